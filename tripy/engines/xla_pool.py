"""Rows of the XLA engine for pooling."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from tripy.engines.xla_elementwise import wide
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape

#: Cells of a window above which the dims are pooled one after the other.
SEPARATE = {"cpu": 1, "gpu": 32}


def _pool(ctx: Context, combine: Any, x: Array, attrs: Attrs, space: Shape, fill: Any) -> Array:
    kernel, stride = attrs["kernel"], attrs["stride"]
    geometry = zip(x.shape[2:], kernel, stride, attrs["padding"], space)
    # The last window ends where it must: beyond the padding, or before cells that none covers.
    padding = [(p, max(0, (n - 1) * s + k - p - d)) for d, k, s, (p, _), n in geometry]
    dims = range(len(kernel))
    apart = math.prod(kernel) > SEPARATE[ctx.platform]
    for chosen in [(dim,) for dim in dims] if apart else [tuple(dims)]:
        x = lax.reduce_window(
            x,
            np.asarray(fill, x.dtype),
            combine,
            (1, 1, *(kernel[dim] if dim in chosen else 1 for dim in dims)),
            (1, 1, *(stride[dim] if dim in chosen else 1 for dim in dims)),
            ((0, 0), (0, 0), *(padding[dim] if dim in chosen else (0, 0) for dim in dims)),
        )
    return x


def _maxpool(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    lowest = np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf
    return _pool(ctx, lax.max, inputs[0], attrs, shape[2:], lowest)


def _counts(sizes: Shape, attrs: Attrs, space: Shape) -> np.ndarray[Any, Any]:
    """Number of cells that every average divides by, a single one if all are equal."""
    counts: np.ndarray[Any, Any] = np.ones((1,) * len(space), np.int64)
    geometry = zip(sizes, attrs["kernel"], attrs["stride"], attrs["padding"], space)
    for dim, (size, kernel, stride, (low, high), out) in enumerate(geometry):
        first, last = (-low, size + high) if attrs["count_include_pad"] else (0, size)
        starts = np.arange(out) * stride - low
        number = np.minimum(starts + kernel, last) - np.maximum(starts, first)
        number = number[:1] if np.all(number == number[:1]) else number
        counts = counts * number.reshape(-1, *(1,) * (len(space) - dim - 1))
    return counts


def _avgpool(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    (x,) = inputs
    counts, space = _counts(x.shape[2:], attrs, shape[2:]), shape[2:]
    if dtype.kind in "iu":
        return _whole_average(ctx, x, attrs, space, counts).astype(dtype)
    total = _pool(ctx, lax.add, wide(x), attrs, space, 0)
    return (total / counts.astype(total.dtype)).astype(dtype)


def _whole_average(
    ctx: Context, x: Array, attrs: Attrs, space: Shape, counts: np.ndarray[Any, Any]
) -> Array:
    cells = math.prod(attrs["kernel"])
    if x.dtype.itemsize == 8:
        return _long_average(ctx, x, attrs, space, counts)
    wide = np.dtype(np.int32 if cells << 8 * x.dtype.itemsize < 1 << 31 else np.int64)
    total = _pool(ctx, lax.add, x.astype(wide), attrs, space, 0)
    return jnp.floor_divide(total, counts.astype(wide))


def _long_average(
    ctx: Context, x: Array, attrs: Attrs, space: Shape, counts: np.ndarray[Any, Any]
) -> Array:
    """The sum may not fit in 64 bits: the upper and lower halves of x are summed apart."""
    upper = _pool(ctx, lax.add, x >> 32, attrs, space, 0)
    lower = _pool(ctx, lax.add, x & 0xFFFFFFFF, attrs, space, 0)
    quotient = jnp.floor_divide(upper, counts)
    rest = (upper - quotient * counts) << 32
    return (quotient << 32) + jnp.floor_divide(rest + lower, counts)


ROWS: dict[str, Row] = {"maxpool": _maxpool, "avgpool": _avgpool}
