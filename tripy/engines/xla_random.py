"""XLA row of Threefry-2x32: the words of the NumPy body, bit for bit."""

from __future__ import annotations

import numpy as np
from jax import lax
from jax import numpy as jnp

from tripy.engines.random_kernels import GROUPS, PARITY, ROTATIONS, WORD
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape

UINT32, UINT64 = np.dtype(np.uint32), np.dtype(np.uint64)


def threefry(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    high, low = (lax.convert_element_type(x, UINT32) for x in inputs)
    words = _rounds((high, low, high ^ low ^ UINT32.type(PARITY)), *_counters(shape[1]))
    result = jnp.stack([_scaled(word, attrs["span"]) for word in words[: shape[0]]])
    if dtype.kind == "f":
        return lax.convert_element_type(result, dtype) * dtype.type(1 / attrs["span"])
    return lax.bitcast_convert_type(result, dtype)


def _counters(count: int) -> tuple[Array, Array]:
    """The high and the low words of the first counters."""
    if count <= WORD:
        low = lax.iota(UINT32, count)
        return lax.full_like(low, 0), low
    number = lax.iota(UINT64, count)
    return (number >> UINT64.type(32)).astype(UINT32), number.astype(UINT32)


def _rounds(keys: tuple[Array, ...], high: Array, low: Array) -> tuple[Array, Array]:
    first, second = high + keys[0], low + keys[1]
    for group in range(GROUPS):
        for distance in ROTATIONS[group % 2]:
            first = first + second
            second = _rotated(second, distance) ^ first
        first = first + keys[(group + 1) % 3]
        second = second + keys[(group + 2) % 3] + UINT32.type(group + 1)
    return first, second


def _rotated(word: Array, distance: int) -> Array:
    return (word << UINT32.type(distance)) | (word >> UINT32.type(32 - distance))


def _scaled(words: Array, span: int) -> Array:
    """(word * span) >> 32."""
    wide = lax.convert_element_type(words, UINT64) * UINT64.type(span)
    return lax.convert_element_type(wide >> UINT64.type(32), UINT32)


ROWS: dict[str, Row] = {"threefry": threefry}
