"""Conversion between any two dtypes inside XLA programs, as `kernels.cast` defines it.

XLA may round twice on the way from wide types to bfloat16 and float8, gives NaN for what float8
cannot hold, and promises nothing for floats that an integer type cannot hold.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
from jax import lax

from tripy.engines.xla_types import Array, DType

__all__ = ["BFLOAT16", "BOOL", "FLOAT8", "FLOAT16", "FLOAT32", "FLOAT64", "FLOATS", "INT4", "cast"]

BOOL, INT4, INT8 = np.dtype(bool), np.dtype(ml_dtypes.int4), np.dtype(np.int8)
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
FLOAT16, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
FLOAT8 = np.dtype(ml_dtypes.float8_e4m3fn)
FLOATS = frozenset([FLOAT16, BFLOAT16, FLOAT32, FLOAT64, FLOAT8])
#: Types to compute in instead of those that only store.
_CARRIERS = {INT4: INT8, FLOAT8: FLOAT32}
_HALVES = (FLOAT16, BFLOAT16)


def cast(x: Array, dtype: DType) -> Array:
    """Return x in another dtype."""
    if x.dtype == dtype:
        return x
    x = _converted(x, _CARRIERS.get(x.dtype, x.dtype))
    if dtype == BOOL:
        return lax.ne(x, x.dtype.type(0))
    if dtype == FLOAT8:
        return _float8(_odd(x))
    if dtype in FLOATS:
        return _converted(_odd(x) if dtype in _HALVES else x, dtype)
    return _converted(_whole(x, dtype), dtype)


def _converted(x: Array, dtype: DType) -> Array:
    return lax.convert_element_type(x, dtype)


def _whole(x: Array, dtype: DType) -> Array:
    """Floats truncated and saturated, NaN as 0; integers wrapped."""
    if x.dtype not in FLOATS:
        return _converted(x, _CARRIERS.get(dtype, dtype))
    x = _converted(x, FLOAT64 if x.dtype == FLOAT64 else FLOAT32)
    limits, carrier = ml_dtypes.iinfo(dtype), _CARRIERS.get(dtype, dtype)
    low, high = int(limits.min), int(limits.max)
    below, above = lax.lt(x, x.dtype.type(low)), lax.ge(x, x.dtype.type(high + 1))
    outside = below | above | lax.ne(x, x)
    whole = _converted(_select(outside, 0, x), carrier)
    return _select(below, low, _select(above, high, whole))


def _select(condition: Array, value: int, x: Array) -> Array:
    return lax.select(condition, lax.full_like(x, value), x)


# Rounding once -------------------------------------------------------------------------------


def _odd(x: Array) -> Array:
    """In float32: a value between two neighbours becomes the odd one, so that it rounds once."""
    if x.dtype == INT64:
        x = _converted(_sticky(x, 10, 53), FLOAT64)
    if x.dtype == FLOAT64:
        x = lax.bitcast_convert_type(_folded(lax.bitcast_convert_type(x, INT64), 29), FLOAT64)
    if x.dtype == INT32:
        x = _sticky(x, 7, 24)
    return _converted(x, FLOAT32)


def _sticky(x: Array, lost: int, bits: int) -> Array:
    """Integers that fit in a number of bits as they are, others with one bit for the lost ones."""
    most = x.dtype.type(1 << bits)
    return lax.select(lax.ge(x, -most) & lax.le(x, most), x, _folded(x, lost))


def _folded(x: Array, lost: int) -> Array:
    """One bit stands above the lost low bits where any of them was set."""
    mask = x.dtype.type((1 << lost) - 1)
    some = _converted(lax.ne(x & mask, x.dtype.type(0)), x.dtype)
    return (x & ~mask) | (some << x.dtype.type(lost))


def _float8(x: Array) -> Array:
    """The nearest float8: three bits after the first, or multiples of the smallest number."""
    x = lax.clamp(np.float32(-448), x, np.float32(448))
    small = lax.round(x * np.float32(512), lax.RoundingMethod.TO_NEAREST_EVEN) * np.float32(1 / 512)
    near = lax.select(lax.abs(x) < np.float32(2**-6), small, lax.reduce_precision(x, 8, 3))
    return _converted(near, FLOAT8)
