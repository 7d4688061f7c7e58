"""NumPy body of resize, and the source positions and weights that engines share."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripy.engines.window_kernels import (
    FLOAT32,
    WIDE,
    Array,
    Attrs,
    Body,
    DType,
    Inputs,
    Shape,
)
from tripy.shapes import Size, maximum

#: Mode -> weights of the elements beside the floor of the source coordinate, by their offset from
#: it: polynomials in the fraction, highest power first.
WEIGHTS: dict[str, dict[int, tuple[float, ...]]] = {
    "linear": {0: (-1.0, 1.0), 1: (1.0, 0.0)},
    "cubic": {
        -1: (-0.75, 1.5, -0.75, 0.0),
        0: (1.25, -2.25, 0.0, 1.0),
        1: (-1.25, 1.5, 0.75, 0.0),
        2: (0.75, -0.75, 0.0, 0.0),
    },
}


def coordinates(before: Size, after: Size, align_corners: bool) -> tuple[Size, Size, Size]:
    """(step, offset, divisor): output i has the source coordinate (i * step + offset) / divisor."""
    if align_corners:
        return before - 1, 0, maximum(after - 1, 1)
    return 2 * before, before - after, 2 * after


def taps(attrs: Attrs, before: int, after: int) -> list[tuple[Array, Any]]:
    """(index, float64 weight) of the elements that an output along one dim is the sum of."""
    number: Any = np.arange(after)
    if attrs["mode"] == "nearest":
        return [(number * before // after, None)]
    sizes: Any = coordinates(before, after, attrs["align_corners"])
    step, offset, divisor = sizes
    place = number * step + offset
    if attrs["mode"] == "linear":
        place = np.clip(place, 0, (before - 1) * divisor)
    first = place // divisor
    fraction = (place - first * divisor) / divisor
    return [
        (np.clip(first + at, 0, before - 1), np.polyval(weight, fraction))
        for at, weight in WEIGHTS[attrs["mode"]].items()
    ]


def _along(x: Array, dim: int, after: int, attrs: Attrs) -> Array:
    column = (-1,) + (1,) * (x.ndim - dim - 1)
    total: Any = None
    for index, weight in taps(attrs, x.shape[dim], after):
        term = x.take(index, dim)
        if weight is not None:
            term *= weight.astype(x.dtype).reshape(column)
        total = term if total is None else total + term
    return np.asarray(total)


def _resize(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, exact = inputs[0], attrs["mode"] == "nearest"
    is_integer = dtype.kind in "iu" and not exact
    if not exact:
        x = x.astype(FLOAT32 if is_integer else WIDE.get(dtype, dtype), copy=False)
    for dim, after in enumerate(shape):
        if x.shape[dim] != after:
            x = _along(x, dim, after, attrs)
    if is_integer:
        x = np.clip(np.rint(x), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return x.astype(dtype, copy=False)


BODIES: dict[str, Body] = {"resize": _resize}
