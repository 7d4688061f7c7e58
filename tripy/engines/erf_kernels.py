"""NumPy bodies of the error function, which NumPy lacks: Taylor series around tabulated points."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_STEP = 1 / 256  # distance of the points; its square is exact, and so are squares of points
_TERMS = 6  # then what is left out is below 2e-17 of the sum
_BLOCK = 1 << 13  # elements at once, so that what lies between stays in the cache
_FLAT, _TINY = 6.0, 26.5  # erf is 1 from here on; erfc is not a normal number from here on
_SLOPE = 2 / math.sqrt(math.pi)


def _table(end: float, row: Callable[[float], Iterable[float]]) -> Array:
    """Coefficients of the series around 0, _STEP, … end; one row per power."""
    return np.array([[*row(n * _STEP)] for n in range(round(end / _STEP) + 1)]).T.copy()


def _erf_row(x: float) -> list[float]:
    """y = erf(x) has y' = 2/√π·e^(-x²) and y⁽ⁿ⁺¹⁾ = -2x·y⁽ⁿ⁾ - 2(n-1)·y⁽ⁿ⁻¹⁾."""
    found = [math.erf(x), _SLOPE * math.exp(-x * x)]
    for n in range(1, _TERMS - 1):
        found.append(-2 * x * found[n] - 2 * (n - 1) * found[n - 1])
    return [value / math.factorial(n) for n, value in enumerate(found)]


def _scaled_row(x: float) -> list[float]:
    """y = e^(x²)·erfc(x) has y' = 2x·y - 2/√π and y⁽ⁿ⁺¹⁾ = 2x·y⁽ⁿ⁾ + 2n·y⁽ⁿ⁻¹⁾."""
    found = [math.exp(x * x) * math.erfc(x)]
    found.append(2 * x * found[0] - _SLOPE)
    for n in range(1, _TERMS - 1):
        found.append(2 * x * found[n] + 2 * n * found[n - 1])
    return [value / math.factorial(n) for n, value in enumerate(found)]


@functools.cache
def _tables() -> tuple[Array, Array]:
    return _table(_FLAT, _erf_row), _table(_TINY, _scaled_row)


def _summed(table: Array, x: Array, index: Array) -> Array:
    offset = x - index * _STEP
    total: Array = table[-1][index]
    for row in table[-2::-1]:
        total *= offset
        total += row[index]
    return total


def _nearest(x: Array) -> Array:
    return np.rint(x * (1 / _STEP)).astype(np.intp)


def _erf_block(x: Array) -> Array:
    size = np.minimum(np.abs(x), _FLAT)  # NaN stays
    index = _nearest(np.nan_to_num(size))
    return np.copysign(_summed(_tables()[0], size, index), x)


def _erfc_block(x: Array) -> Array:
    size = np.minimum(np.abs(x), 2 * _TINY)
    index = np.minimum(_nearest(np.nan_to_num(size)), round(_TINY / _STEP))
    near = index * _STEP
    # e^(-x²) of a point and of what is left, because x² itself would be rounded.
    tail = np.exp(-near * near) * np.exp((near - size) * (near + size))
    tail *= _summed(_tables()[1], size, index)
    return np.where(x < 0, 2 - tail, tail)


def _in_blocks(function: Callable[[Array], Array], x: Array) -> Array:
    flat = x.ravel()
    out = np.empty(flat.shape)
    for start in range(0, flat.size, _BLOCK):
        out[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
    return out.reshape(x.shape)


def erf(x: Array) -> Array:
    """2/√π·∫₀ˣ e^(-t²) dt of float64, to a few units in the last place."""
    return _in_blocks(_erf_block, x)


def erfc(x: Array) -> Array:
    """1 - erf(x) of float64, without cancellation: to a few units in the last place of it."""
    return _in_blocks(_erfc_block, x)
