"""The XLA row of every primitive, and what XLA cannot compute exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jax import lax
from jax import numpy as jnp

from tripy.engines import (
    xla_attention,
    xla_elementwise,
    xla_order,
    xla_plugin,
    xla_pool,
    xla_quantize,
    xla_random,
    xla_resize,
    xla_window,
)
from tripy.engines.base import Refusal
from tripy.engines.xla_cast import BFLOAT16, FLOAT16, FLOAT32, FLOATS, cast
from tripy.engines.xla_elementwise import in_bits, stretched, unpacked, wide
from tripy.engines.xla_types import (
    Array,
    Attrs,
    Check,
    Context,
    DType,
    Inputs,
    Row,
    Shape,
    sum_type,
)
from tripy.graph import Node

__all__ = ["CHECKS", "ROWS"]

#: Modules with the rows of a family each.
FAMILIES = (
    xla_attention,
    xla_order,
    xla_plugin,
    xla_pool,
    xla_quantize,
    xla_random,
    xla_resize,
    xla_window,
)
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


# Constants -------------------------------------------------------------------------------------


def _arange(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    start, step = attrs["start"], attrs["step"]
    if isinstance(start, int) and isinstance(step, int):
        counted = lax.iota(INT64, shape[0]) * np.int64(step) + np.int64(start)
        return cast(counted, dtype)
    # By NumPy: a fused multiplication and addition may end on the other side of a whole number.
    return cast(jnp.asarray(start + np.arange(shape[0]) * step), dtype)


def _size(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    return jnp.asarray(attrs["size"], dtype)


# Reductions ------------------------------------------------------------------------------------


def _reduction(function: Callable[..., Array], average: bool = False) -> Row:
    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        x, dims = wide(inputs[0]), attrs["dims"]
        total = function(x, axes=dims)
        if average:
            total = total / total.dtype.type(math.prod(x.shape[dim] for dim in dims))
        return lax.reshape(cast(total, dtype), shape)

    return row


def _extreme(function: Callable[..., Array]) -> Row:
    reduce = _reduction(function)

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        found = reduce(ctx, inputs, attrs, shape, dtype)
        if ctx.platform != "cpu" or dtype not in FLOATS:
            return found
        # XLA loses NaN here and there where it reduces with vector instructions of a CPU.
        undefined = lax.reduce_or(lax.ne(inputs[0], inputs[0]), attrs["dims"])
        return lax.select(lax.reshape(undefined, shape), lax.full_like(found, np.nan), found)

    return row


def _position(function: Callable[..., Array]) -> Row:
    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return lax.reshape(function(inputs[0], attrs["dim"], dtype), shape)

    return row


def _centred(x: Array, dim: int) -> Array:
    return x - lax.expand_dims(lax.reduce_max(x, (dim,)), (dim,))


def _total(x: Array, dim: int) -> Array:
    return lax.expand_dims(lax.reduce_sum(x, (dim,)), (dim,))


def _softmax(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    powers = lax.exp(_centred(wide(inputs[0]), attrs["dim"]))
    return cast(powers / _total(powers, attrs["dim"]), dtype)


def _log_softmax(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x = _centred(wide(inputs[0]), attrs["dim"])
    return cast(x - lax.log(_total(lax.exp(x), attrs["dim"])), dtype)


REDUCTIONS: dict[str, Row] = {
    "sum": _reduction(lax.reduce_sum),
    "prod": _reduction(in_bits(lax.reduce_prod)),
    "mean": _reduction(lax.reduce_sum, average=True),
    "max": _extreme(lax.reduce_max),
    "min": _extreme(lax.reduce_min),
    "all": _reduction(lax.reduce_and),
    "any": _reduction(lax.reduce_or),
    "argmax": _position(lax.argmax),
    "argmin": _position(lax.argmin),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
}


# Movement --------------------------------------------------------------------------------------


def _moving(function: Callable[..., Array]) -> Row:
    """Called as function(attrs, shape, *inputs)."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return cast(function(attrs, shape, *map(unpacked, inputs)), dtype)

    return row


def _slice(attrs: Attrs, shape: Shape, x: Array) -> Array:
    """Negative steps take the same elements forwards and reverse them."""
    if 0 in shape:
        return lax.full(shape, 0, x.dtype)
    first, last, strides = [], [], []
    for start, step, count in zip(attrs["starts"], attrs["steps"], shape, strict=True):
        end = start + (count - 1) * step
        first.append(min(start, end))
        last.append(max(start, end) + 1)
        strides.append(abs(step))
    backwards = [dim for dim, step in enumerate(attrs["steps"]) if step < 0]
    return lax.rev(lax.slice(x, first, last, strides), backwards)


def _pad(attrs: Attrs, shape: Shape, x: Array, value: Array) -> Array:
    amounts = list(zip(attrs["low"], attrs["high"], strict=True))
    amounts = [(0, 0)] * (x.ndim - len(amounts)) + amounts
    if attrs["mode"] == "constant":
        return lax.pad(x, value, [(low, high, 0) for low, high in amounts])
    return jnp.pad(x, amounts, attrs["mode"])


def _concat(attrs: Attrs, shape: Shape, *inputs: Array) -> Array:
    return lax.concatenate(inputs, attrs["dim"])


def _picked(take: Callable[..., Array]) -> Callable[..., Array]:
    def pick(attrs: Attrs, shape: Shape, x: Array, index: Array) -> Array:
        dim = attrs["dim"]
        if x.size == 0:
            return lax.full(shape, 0, x.dtype)
        return take(x, _places(index, x.shape[dim]), dim, mode="clip")

    return pick


def _places(index: Array, size: int) -> Array:
    """Negative indices wrap, and those out of range become the nearest valid one."""
    index = cast(index, INT64 if index.dtype == INT64 else INT32)
    zero, count = index.dtype.type(0), index.dtype.type(size)
    wrapped = lax.select(lax.lt(index, lax.full_like(index, 0)), index + count, index)
    return cast(lax.clamp(zero, wrapped, count - 1), INT32 if size < 1 << 31 else INT64)


MOVEMENT: dict[str, Callable[..., Array]] = {
    "reshape": lambda attrs, shape, x: lax.reshape(x, shape),
    "permute": lambda attrs, shape, x: lax.transpose(x, attrs["perm"]),
    "expand": lambda attrs, shape, x: stretched(x, shape),
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "gather": _picked(jnp.take),
    "take_along_dim": _picked(jnp.take_along_axis),
}


# Products --------------------------------------------------------------------------------------

#: What float32 products become where `precision` allows it.
NARROWER = {"float16": FLOAT16, "bfloat16": BFLOAT16}


def _matmul(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    lhs, rhs = inputs
    is_float32 = lhs.dtype == FLOAT32
    if is_float32:
        lhs, rhs = (cast(x, NARROWER.get(ctx.precision, dtype)) for x in inputs)
    exact = is_float32 and ctx.precision == "float32"
    precision = lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT
    kind = sum_type(ctx, lhs, rhs, dtype)
    product = jnp.matmul(lhs, rhs, precision=precision, preferred_element_type=kind)
    return cast(product, dtype)


TABLE: dict[str, Row] = {
    **xla_elementwise.ROWS,
    **REDUCTIONS,
    **{name: _moving(function) for name, function in MOVEMENT.items()},
    "arange": _arange,
    "size": _size,
    "matmul": _matmul,
}
ROWS: dict[str, Row] = {
    **TABLE,
    **{name: row for family in FAMILIES for name, row in family.ROWS.items()},
}
CHECKS: dict[str, Check] = {**xla_plugin.CHECKS}


def refusal(node: Node) -> Refusal | None:
    """Return why a node has no exact form here; None where it has one."""
    check = CHECKS.get(node.primitive.name)
    if check is None:
        return None
    kinds = [*(value.dtype.name for value in node.inputs), node.dtype.name]
    sizes = [*(value.shape for value in node.inputs), node.shape]
    reason = check(kinds, node.attributes, sizes)
    return None if reason is None else Refusal(node, reason)
