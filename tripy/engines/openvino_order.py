"""OpenVINO rows of running sums and products, of sorting, and of scatter.

TopK orders int32 exactly and infinities as it should, but knows no order for NaN. Its stable form
costs the product of size and k; the other one sorts well and breaks ties as it likes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
from openvino import Output
from openvino import opset15 as op

from tripy import shapes
from tripy.engines.openvino_nodes import (
    F32,
    I32,
    I64,
    Attrs,
    Check,
    Context,
    Inputs,
    Row,
    Shape,
    as_int32,
    const,
    convert,
    element_type,
    equal_integers,
    is_bool,
    narrow,
    out,
    settled,
    size_of,
    wide,
    wide_integers,
)
from tripy.engines.openvino_window import slice_dim

#: Results up to which the stable form of TopK is the faster one.
FEW = 128
#: Elements up to which each step of the other form orders several bits of the positions.
MOST_BITS = 24


# Running sums and products.


def cumsum(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return narrow(op.cumsum(wide(inputs[0]), const(attrs["dim"], I64)), dtype)


def cumprod(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    """One multiplication after the other: a product of parts may overflow where all do not."""
    x, dim = wide(inputs[0]), attrs["dim"]
    sizes = x.get_partial_shape()
    sizes[dim] = 1
    before, factor = (op.parameter(sizes, element_type(x)) for _ in range(2))
    product = op.result(op.multiply(before, factor))
    loop = op.tensor_iterator()
    loop.set_body(ov.Model([product], [before, factor]))
    first = slice_dim(x, dim, 0, const(1, I64))
    ones = out(op.broadcast(const(1, x), op.shape_of(first)))
    loop.set_merged_input(before, ones, product.output(0))
    loop.set_sliced_input(factor, x, 0, 1, 1, -1, dim)
    return narrow(loop.get_concatenated_slices(product.output(0), 0, 1, 1, -1, dim), dtype)


# Order.


def _topk(x: Output, k: Output, dim: int, mode: str, stable: bool) -> tuple[Output, Output]:
    node = op.topk(x, k, dim, mode, "value", "i32", stable)
    return node.output(0), node.output(1)


def _nan_as_infinity(x: Output) -> Output:
    return out(op.select(op.is_nan(x), const(np.inf, F32), x))


def _few(x: Output, k: Output, dim: int, mode: str) -> Output:
    """Positions of the first k; those of inf and NaN from an order of its own."""
    if element_type(x) != F32:
        return _topk(x, k, dim, mode, True)[1]
    numbers = _nan_as_infinity(x)
    endless = op.convert(op.equal(numbers, const(np.inf, F32)), F32)
    kind = op.add(endless, op.convert(op.is_nan(x), F32))
    _, ordinary = _topk(numbers, k, dim, mode, True)
    kinds, special = _topk(out(kind), k, dim, mode, True)
    chosen = as_int32(op.greater(kinds, const(0.0, F32)))
    return out(op.add(ordinary, op.multiply(chosen, op.subtract(special, ordinary))))


def _ranks(x: Output, dim: int) -> Output:
    """How many different elements come before each one of a sorted `x`."""
    one = const(1, I32)
    last = op.range(const(-1, I32), op.subtract(size_of(x, dim), one), one, "i32")
    before = out(op.gather(x, op.maximum(last, const(0, I32)), const(dim, I64)))
    same = op.equal(x, before) if element_type(x) == F32 else equal_integers(x, before)
    return out(op.cumsum(as_int32(op.logical_not(same)), const(dim, I64)))


def _all(x: Output, dim: int, mode: str) -> Output:
    """Positions of all elements: sorted, then equal ones by their positions, some bits at once."""
    size, bits, is_float = size_of(x, dim), _bits(x, dim), element_type(x) == F32
    values, places = _topk(_nan_as_infinity(x) if is_float else x, size, dim, mode, False)
    key, used, shift = _ranks(values, dim), bits, bits
    if is_float:
        nan = op.gather_elements(as_int32(op.is_nan(x)), places, dim)
        late = nan if mode == "min" else op.subtract(const(1, I32), nan)
        key, used = out(op.add(op.multiply(key, const(2, I32)), late)), bits + 1
    while shift:
        width = min(shift, 31 - used)
        shift -= width
        above = op.bitwise_right_shift(places, const(shift, I32))
        part = op.bitwise_and(above, const((1 << width) - 1, I32))
        key = out(op.add(op.multiply(key, const(1 << width, I32)), part))
        keys, moved = _topk(key, size, dim, "min", False)
        places = out(op.gather_elements(places, moved, dim))
        key, used = _ranks(keys, dim) if shift else keys, bits
    return places


def _bits(x: Output, dim: int) -> int:
    """Bits of a position along a dim."""
    most = x.get_partial_shape()[dim].get_max_length()
    return MOST_BITS if most < 0 else min(MOST_BITS, max(1, (most - 1).bit_length()))


def _positions(ctx: Context, x: Output, attrs: Attrs) -> Output:
    dim, k, mode = attrs["dim"], attrs["k"], "max" if attrs["largest"] else "min"
    least, most = shapes.bounds(k)
    count = ctx.size(k)
    if most > FEW:
        return slice_dim(_all(x, dim, mode), dim, 0, count)
    found = _few(x, convert(out(op.maximum(count, const(1, I64))), I32), dim, mode)
    return found if least > 0 else slice_dim(found, dim, 0, count)


def _ordered(x: Output) -> Output:
    return convert(x, I32) if is_bool(x) else settled(x)


def topk_indices(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str
) -> Output:
    return _positions(ctx, _ordered(inputs[0]), attrs)


def topk(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x = _ordered(inputs[0])
    return narrow(op.gather_elements(x, _positions(ctx, x, attrs), attrs["dim"]), dtype)


def check_topk(dtypes: Sequence[str], attrs: Attrs, sizes: Sequence[Shape]) -> str | None:
    results, elements = attrs["k"], sizes[0][attrs["dim"]]
    if shapes.bounds(results)[1] <= FEW or shapes.bounds(elements)[1] <= 2**MOST_BITS:
        return None
    return f"a stable order of more than 2^{MOST_BITS} elements is not supported"


# Indexed access.


def scatter(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    """Targets out of range go to one more place, which is cut off again."""
    x, index, updates = inputs
    dim, reduction = attrs["dim"], attrs["reduction"]
    size, zero = size_of(x, dim), const(0, I32)
    target = wide_integers(index)
    target = op.add(target, op.multiply(as_int32(op.less(target, zero)), size))
    below = as_int32(op.less(target, zero))
    target = op.add(target, op.multiply(below, op.subtract(size, target)))
    if reduction is not None:
        x, updates = wide(x), wide(updates)
    grown = op.concat([x, slice_dim(x, dim, 0, const(1, I64))], dim)
    mode = {None: "none", "add": "sum"}.get(reduction, reduction)
    y = op.scatter_elements_update(
        grown, op.minimum(target, size), updates, const(dim, I64), mode, True
    )
    return narrow(slice_dim(out(y), dim, 0, const(-1, I64)), dtype)


ROWS: dict[str, Row] = {
    "cumsum": cumsum,
    "cumprod": cumprod,
    "topk": topk,
    "topk_indices": topk_indices,
    "scatter": scatter,
}
CHECKS: dict[str, Check] = {"topk": check_topk, "topk_indices": check_topk}
