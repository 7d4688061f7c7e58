"""XLA rows of running sums and products, of sorting, and of scatter.

XLA sorts one operand of integers many times faster than floats or pairs, so floats become integers
of the same order, and what is up to 32 bits wide shares a word with its position.
"""

from __future__ import annotations

import numpy as np
from jax import lax

from tripy.engines.window_kernels import WIDE
from tripy.engines.xla_cast import BOOL, FLOAT8, FLOAT64, FLOATS, INT4, cast
from tripy.engines.xla_elementwise import in_bits
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape

INT8, INT16, INT32, INT64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
UINT8 = np.dtype(np.uint8)
_WORD = INT64.type(32)


# Running sums and products.


def cumsum(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    total = lax.cumsum(cast(inputs[0], WIDE.get(dtype, dtype)), axis=attrs["dim"])
    return cast(total, dtype)


def cumprod(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    """In float64: float32 may not hold a product of parts where it holds that of all."""
    wide = FLOAT64 if dtype in FLOATS else dtype
    return cast(in_bits(lax.cumprod)(cast(inputs[0], wide), axis=attrs["dim"]), dtype)


# Order.


def topk(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    keys = _keys(inputs[0])
    if shape == inputs[0].shape:  # a sort, whose indices nobody may want
        best = _first(lax.sort(keys, dimension=attrs["dim"], is_stable=False), attrs)
    else:
        best, _ = _best(keys, attrs)
    return _values(best, dtype)


def topk_indices(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    return _best(_keys(inputs[0]), attrs)[1]


def _keys(x: Array) -> Array:
    """Signed integers in the order of the elements, NaN last."""
    if x.dtype not in FLOATS:
        return cast(x, {BOOL: INT8, UINT8: INT16}.get(x.dtype, x.dtype))
    x = lax.select(lax.ne(x, x), lax.full_like(x, np.nan), x)
    bits = lax.bitcast_convert_type(x, np.dtype(f"int{8 * x.dtype.itemsize}"))
    least = lax.full_like(bits, np.iinfo(bits.dtype).min)
    return _mirrored(lax.select(lax.eq(bits, least), lax.full_like(bits, 0), bits))


def _values(keys: Array, dtype: DType) -> Array:
    if dtype not in FLOATS:
        return cast(keys, dtype)
    return lax.bitcast_convert_type(_mirrored(keys), dtype)


def _mirrored(bits: Array) -> Array:
    """From the bits of floats, where negative numbers have the order of their sizes, and back."""
    turned = bits ^ bits.dtype.type(np.iinfo(bits.dtype).max)
    return lax.select(lax.lt(bits, bits.dtype.type(0)), turned, bits)


def _best(keys: Array, attrs: Attrs) -> tuple[Array, Array]:
    """The first k keys and, as int32, where they are."""
    dim, largest = attrs["dim"], attrs["largest"]
    place = lax.broadcasted_iota(INT32, keys.shape, dim)
    last = INT32.type(keys.shape[dim] - 1)
    if largest:  # taken from the end, so the first of equal elements is to be the last
        place = last - place
    best, place = (_first(part, attrs) for part in _sorted(keys, place, dim))
    return best, last - place if largest else place


def _sorted(keys: Array, place: Array, dim: int) -> tuple[Array, Array]:
    """Ordered by key and then by place: no two pairs are equal, so the order need not be stable."""
    if keys.dtype == INT64:
        best, place = lax.sort((keys, place), dimension=dim, num_keys=2, is_stable=False)
        return best, place
    pairs = lax.shift_left(cast(keys, INT64), _WORD) | cast(place, INT64)
    pairs = lax.sort(pairs, dimension=dim, is_stable=False)
    return cast(lax.shift_right_arithmetic(pairs, _WORD), keys.dtype), cast(pairs, INT32)


def _first(ordered: Array, attrs: Attrs) -> Array:
    dim, k = attrs["dim"], attrs["k"]
    if not attrs["largest"]:
        return lax.slice_in_dim(ordered, 0, k, axis=dim)
    size = ordered.shape[dim]
    return lax.rev(lax.slice_in_dim(ordered, size - k, size, axis=dim), (dim,))


# Indexed access.


def scatter(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    (x, index, updates), dim = inputs, attrs["dim"]
    places = [lax.broadcasted_iota(INT32, index.shape, d) for d in range(index.ndim)]
    places[dim] = _targets(cast(index, INT64), shape[dim])
    if attrs["reduction"] is None:
        at = _stored(x).at[tuple(places)]
        out = at.set(_stored(updates), mode="drop", wrap_negative_indices=False)
        return _restored(out, dtype)
    wide = WIDE.get(dtype, dtype)
    combine = getattr(cast(x, wide).at[tuple(places)], attrs["reduction"])
    out = combine(cast(updates, wide), mode="drop", wrap_negative_indices=False)
    return cast(out, dtype)


def _targets(index: Array, size: int) -> Array:
    """Indices counted from the start; those out of range become the size."""
    end, none = lax.full_like(index, size), lax.full_like(index, 0)
    target = lax.select(lax.lt(index, none), index + end, index)
    inside = lax.ge(target, none) & lax.lt(target, end)
    return cast(lax.select(inside, target, end), INT32)


def _stored(x: Array) -> Array:
    """As bytes where the dtype only stores: neighbours of 4 bits cannot be written apart."""
    if x.dtype == FLOAT8:
        return lax.bitcast_convert_type(x, UINT8)
    return cast(x, INT8) if x.dtype == INT4 else x


def _restored(x: Array, dtype: DType) -> Array:
    return lax.bitcast_convert_type(x, dtype) if dtype == FLOAT8 else cast(x, dtype)


ROWS: dict[str, Row] = {
    "cumsum": cumsum,
    "cumprod": cumprod,
    "topk": topk,
    "topk_indices": topk_indices,
    "scatter": scatter,
}
