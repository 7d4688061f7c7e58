"""XLA row of resize: gathers at positions that are known, and a weighted sum."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from tripy.engines.resize_kernels import taps
from tripy.engines.window_kernels import WIDE
from tripy.engines.xla_cast import FLOAT32, cast
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape

_LEAST = -1e9  # less than what comes of bytes


def resize(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, exact = inputs[0], attrs["mode"] == "nearest"
    is_integer = dtype.kind in "iu" and not exact
    if not exact:
        x = cast(x, FLOAT32 if is_integer else WIDE.get(dtype, dtype))
    for dim, after in enumerate(shape):
        if x.shape[dim] != after:
            repeats = exact and after % x.shape[dim] == 0
            x = _repeated(x, dim, after) if repeats else _along(x, dim, after, attrs, is_integer)
    if is_integer:
        x = lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)
    return cast(x, dtype)


def _along(x: Array, dim: int, after: int, attrs: Attrs, is_integer: bool) -> Array:
    column = (-1,) + (1,) * (x.ndim - dim - 1)
    total: Any = None
    for index, weight in taps(attrs, x.shape[dim], after):
        term = x.at[(*[slice(None)] * dim, index.astype(np.int32))].get(mode="promise_in_bounds")
        if weight is not None:
            term = term * weight.astype(x.dtype).reshape(column)
        if is_integer:  # a product fused with the sum would decide ties in another way
            term = lax.max(term, np.float32(_LEAST))
        total = term if total is None else total + term
    return total


def _repeated(x: Array, dim: int, after: int) -> Array:
    """Every element of a dim several times, which costs no gather."""
    times = after // x.shape[dim]
    grown = (*x.shape[: dim + 1], times, *x.shape[dim + 1 :])
    dims = (d + (d > dim) for d in range(x.ndim))
    y = lax.broadcast_in_dim(x, grown, tuple(dims))
    return y.reshape(*x.shape[:dim], after, *x.shape[dim + 1 :])


ROWS: dict[str, Row] = {"resize": resize}
