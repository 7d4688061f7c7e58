"""Node helpers of the OpenVINO rows, and the rows that address elements: windows, slices, indices.

The CPU plugin saturates 8-bit arithmetic and takes most integer reductions and windows through
float32, so integer rows compute in int32 with the operations that stay exact there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Protocol, TypeAlias

import numpy as np
import openvino as ov
from openvino import Node, Output

# AvgPool of opset16 crashes the CPU plugin of 2026.4 while it compiles.
from openvino import opset15 as op

Attrs: TypeAlias = Mapping[str, Any]
Inputs: TypeAlias = Sequence[Output]
Shape: TypeAlias = tuple[Any, ...]
Row: TypeAlias = "Callable[[Context, Inputs, Attrs, Shape, str], Output]"

DTYPES: dict[str, ov.Type] = {
    "float32": ov.Type.f32,
    "float16": ov.Type.f16,
    "bfloat16": ov.Type.bf16,
    "float64": ov.Type.f64,
    "float8": ov.Type.f8e4m3,
    "int4": ov.Type.i4,
    "int8": ov.Type.i8,
    "uint8": ov.Type.u8,
    "int16": ov.Type.i16,
    "int32": ov.Type.i32,
    "int64": ov.Type.i64,
    "bool": ov.Type.boolean,
}
F32, I32, I64 = ov.Type.f32, ov.Type.i32, ov.Type.i64
HALVES = (ov.Type.f16, ov.Type.bf16)
SMALL_INTEGERS = (ov.Type.i8, ov.Type.u8, ov.Type.i16)
LEAST_INT32 = -(2**31)


class Context(Protocol):
    """What a row may ask of the engine: sizes, which may be symbolic, as nodes."""

    def size(self, dim: Any) -> Output:
        """Rank-0 int64 node of one size."""

    def shape(self, dims: Sequence[Any]) -> Output:
        """Rank-1 int64 node of several sizes; a Constant if all are ints."""


def out(node: Node) -> Output:
    """The only output of `node`."""
    return node.output(0)


def element_type(x: Output | Node) -> ov.Type:
    return x.get_element_type()


def rank(x: Output) -> int:
    return int(x.get_partial_shape().rank.get_length())


def is_integer(x: Output) -> bool:
    return element_type(x) == I32 or element_type(x) in SMALL_INTEGERS


def is_bool(x: Output) -> bool:
    return bool(element_type(x) == ov.Type.boolean)


def const(value: Any, like: Output | Node | ov.Type) -> Output:
    """Constant of the element type `like`, or of that of the output `like`."""
    kind = like if isinstance(like, ov.Type) else element_type(like)
    return out(op.constant(value, kind))


def filled(ctx: Context, value: Any, shape: Shape, dtype: str) -> Output:
    """One value in every element of `shape`."""
    return out(op.broadcast(const(value, DTYPES[dtype]), ctx.shape(shape)))


def indices(values: Sequence[int] | np.ndarray[Any, Any]) -> Output:
    return out(op.constant(np.array(values, np.int64)))


def convert(x: Output, kind: ov.Type) -> Output:
    return x if element_type(x) == kind else out(op.convert(x, kind))


def wide_integers(x: Output) -> Output:
    """int32 for 8- and 16-bit integers, everything else as it is."""
    return convert(x, I32) if element_type(x) in SMALL_INTEGERS else x


def wide(x: Output) -> Output:
    """The type to compute in: float32 for 16-bit floats, int32 for small integers."""
    return convert(x, F32) if element_type(x) in HALVES else wide_integers(x)


def wrapped_to_16_bits(x: Output | Node) -> Node:
    """int32 wrapped as int16 would: the plugin drops the conversion to int16 and back."""
    half, mask = const(2**15, I32), const(2**16 - 1, I32)
    return op.subtract(op.bitwise_and(op.add(x, half), mask), half)


def narrow(x: Output | Node, dtype: str) -> Output:
    """`x` in the declared dtype; the conversion of integers wraps."""
    if dtype == "int16" and element_type(x) == I32:
        x = wrapped_to_16_bits(x)
    return convert(out(x) if isinstance(x, Node) else x, DTYPES[dtype])


def constant_value(x: Output) -> np.ndarray[Any, Any] | None:
    """The array behind a Constant, None for any other node."""
    node = x.get_node()
    return np.array(node.get_data()) if node.get_type_name() == "Constant" else None


def known_size(x: Output, dim: int) -> int | None:
    size = x.get_partial_shape()[dim]
    return None if size.is_dynamic else int(size.get_length())


def size_of(x: Output, dim: int) -> Output:
    """Size of one dim of `x` as a rank-0 int32 node."""
    known = known_size(x, dim)
    if known is not None:
        return const(known, I32)
    return out(op.gather(op.shape_of(x, "i32"), const(dim, I32), const(0, I32)))


def slice_dim(x: Output, dim: int, start: int, stop: Output, step: int = 1) -> Output:
    """Elements start, start + step, … before the int64 node `stop`, which may pass the end."""
    bounds = (indices([start]), out(op.unsqueeze(stop, indices([0]))), indices([step]))
    return out(op.slice(x, *bounds, indices([dim])))


def pad_with(
    ctx: Context, x: Output, padding: Sequence[tuple[Any, Any]], value: float
) -> Output:
    """Pads the last dims of `x`, one (low, high) pair each."""
    leading = [0] * (rank(x) - len(padding))
    low, high = (ctx.shape([*leading, *(pair[side] for pair in padding)]) for side in (0, 1))
    return out(op.pad(x, low, high, "constant", const(value, x)))


def _is_static(padding: Sequence[tuple[Any, Any]]) -> bool:
    return all(isinstance(amount, int) for pair in padding for amount in pair)


def _native_pads(
    ctx: Context, x: Output, padding: Sequence[tuple[Any, Any]], value: float = 0.0
) -> tuple[Output, list[int], list[int]]:
    """The input and the amounts the native operation takes; symbolic amounts are padded here."""
    if _is_static(padding):
        return x, [low for low, _ in padding], [high for _, high in padding]
    none = [0] * len(padding)
    return pad_with(ctx, x, padding, value), none, none


def _grouped(weight: Output, groups: int) -> Output:
    """Splits the first dim of `weight` into (groups, rest)."""
    first, *rest = weight.get_partial_shape().to_shape()
    shape = [groups, first // groups, *rest]
    value = constant_value(weight)
    if value is not None and element_type(weight) == F32:
        return out(op.constant(value.reshape(shape), shared_memory=False))
    return out(op.reshape(weight, indices(shape), special_zero=False))


def _finished(ctx: Context, y: Output, bias: Inputs, dtype: str) -> Output:
    """Adds the bias, which the plugin fuses with the convolution, and rounds."""
    if bias:
        column = indices([1, -1] + [1] * (rank(y) - 2))
        y = out(op.add(y, op.reshape(bias[0], column, special_zero=False)))
    return narrow(y, dtype)


def _has_no_cells(x: Output) -> bool:
    """Of padding alone the plugin makes nonsense."""
    return any(known_size(x, dim) == 0 for dim in range(rank(x)))


def conv(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str) -> Output:
    # In float32, because with bfloat16 the plugin loses the bias of some grouped convolutions.
    x, weight, *bias = map(wide, inputs)
    if _has_no_cells(x):
        return _finished(ctx, filled(ctx, 0, out_shape, "float32"), bias, out_dtype)
    x, low, high = _native_pads(ctx, x, attrs["padding"])
    stride, dilation, groups = list(attrs["stride"]), list(attrs["dilation"]), attrs["groups"]
    if groups == 1:
        y = op.convolution(x, weight, stride, low, high, dilation)
    else:
        y = op.group_convolution(x, _grouped(weight, groups), stride, low, high, dilation)
    return _finished(ctx, out(y), bias, out_dtype)


def conv_transpose(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str
) -> Output:
    x, weight, *bias = map(wide, inputs)
    if _has_no_cells(x):
        return _finished(ctx, filled(ctx, 0, out_shape, "float32"), bias, out_dtype)
    low, high = ([pair[side] for pair in attrs["padding"]] for side in (0, 1))
    options = {
        "strides": list(attrs["stride"]),
        "pads_begin": low,
        "pads_end": high,
        "dilations": list(attrs["dilation"]),
        "output_padding": list(attrs["output_padding"]),
    }
    if attrs["groups"] == 1:
        y = op.convolution_backprop_data(x, weight, **options)
    else:
        filters = _grouped(weight, attrs["groups"])
        y = op.group_convolution_backprop_data(x, filters, **options)
    return _finished(ctx, out(y), bias, out_dtype)


def _fit(ctx: Context, y: Output, out_shape: Shape) -> Output:
    """Drops windows after the last one that the shape rule counts."""
    for dim in range(2, len(out_shape)):
        if known_size(y, dim) is None or known_size(y, dim) != out_shape[dim]:
            y = slice_dim(y, dim, 0, ctx.size(out_shape[dim]))
    return y


def _slide(
    ctx: Context, x: Output, attrs: Attrs, out_shape: Shape, combine: Callable[..., Node]
) -> Output:
    """Combines the cells of each window of the padded `x`, one dim after the other."""
    for dim, (size, step) in enumerate(zip(attrs["kernel"], attrs["stride"], strict=True), 2):
        span = out(op.multiply(ctx.size(out_shape[dim]), const(step, I64)))
        offsets = [const(offset, I64) for offset in range(size)]
        stops = [out(op.add(span, offset)) for offset in offsets]
        cells = [slice_dim(x, dim, start, stop, step) for start, stop in enumerate(stops)]
        x = reduce(lambda lhs, rhs: out(combine(lhs, rhs)), cells)
    return x


def _with_room(ctx: Context, x: Output, attrs: Attrs, value: int) -> Output:
    """Room after the end of `x` for windows that pass it, which `ceil_mode` allows."""
    if not attrs["ceil_mode"]:
        return x
    return pad_with(ctx, x, [(0, size - 1) for size in attrs["kernel"]], value)


def _slow_maxpool(ctx: Context, x: Output, attrs: Attrs, out_shape: Shape) -> Output:
    """Window maximum of int32, which the native operation takes through float32."""
    x = pad_with(ctx, x, attrs["padding"], LEAST_INT32)
    x = _with_room(ctx, x, attrs, LEAST_INT32)
    return _slide(ctx, x, attrs, out_shape, op.maximum)


def maxpool(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str) -> Output:
    x = inputs[0]
    if out_dtype == "int32":
        return _slow_maxpool(ctx, x, attrs, out_shape)
    x = convert(x, F32) if is_integer(x) or not _is_static(attrs["padding"]) else x
    x, low, high = _native_pads(ctx, x, attrs["padding"], -np.inf)
    kernel, stride = list(attrs["kernel"]), list(attrs["stride"])
    rounding = "ceil_torch" if attrs["ceil_mode"] else "floor"
    y = op.max_pool(x, stride, [1] * len(kernel), low, high, kernel, rounding)
    return narrow(y.output(0), out_dtype)


def _slow_avgpool(ctx: Context, x: Output, attrs: Attrs, out_shape: Shape) -> Output:
    """Sums over counts: exact for integers, and for padding known only at run time."""
    x = wide(x)
    sizes = out(op.shape_of(x, "i64"))
    keep = np.array([0, 0] + [1] * (rank(x) - 2), np.int64)
    cells = op.broadcast(const(1, x), op.maximum(op.multiply(sizes, keep), indices(1 - keep)))
    cells = pad_with(ctx, out(cells), attrs["padding"], int(attrs["count_include_pad"]))
    padded = pad_with(ctx, x, attrs["padding"], 0)
    total, count = (
        convert(_slide(ctx, _with_room(ctx, grid, attrs, 0), attrs, out_shape, op.add), F32)
        for grid in (padded, cells)
    )
    mean = op.divide(total, count)
    return out(op.floor(mean)) if is_integer(x) else out(mean)


def avgpool(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str) -> Output:
    x, padding, include = inputs[0], attrs["padding"], attrs["count_include_pad"]
    static = _is_static(padding)
    if is_integer(x) or not (static or include):
        return narrow(_slow_avgpool(ctx, x, attrs, out_shape), out_dtype)
    if include and (attrs["ceil_mode"] or not static):
        # Padding becomes cells that count, so that only what lies beyond it does not.
        x, padding, include = pad_with(ctx, x, padding, 0.0), [(0, 0)] * len(padding), False
    kernel, stride = list(attrs["kernel"]), list(attrs["stride"])
    low, high = ([pair[side] for pair in padding] for side in (0, 1))
    rounding = "ceil_torch" if attrs["ceil_mode"] else "floor"
    y = out(op.avg_pool(wide(x), stride, low, high, kernel, not include, rounding))
    return narrow(_fit(ctx, y, out_shape) if attrs["ceil_mode"] else y, out_dtype)


# Movement and indices.


def reshape(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return out(op.reshape(inputs[0], ctx.shape(attrs["shape"]), special_zero=False))


def permute(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    perm = attrs["perm"]
    return out(op.transpose(inputs[0], indices(perm))) if perm else inputs[0]


def expand(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    if not attrs["shape"]:  # A Broadcast to rank 0 crashes the plugin.
        return inputs[0]
    return out(op.broadcast(inputs[0], ctx.shape(attrs["shape"])))


def stop_of(ctx: Context, start: Any, step: int, size: Any) -> Output:
    """Where a slice of `size` elements ends; before element 0 is written as far below."""
    span = op.multiply(ctx.size(size), const(step, I64))
    stop = op.add(ctx.size(start), span)
    if step > 0:
        return out(stop)
    return out(op.select(op.less(stop, const(0, I64)), const(LEAST_INT32, I64), stop))


def slice_(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x, starts, steps = inputs[0], attrs["starts"], attrs["steps"]
    whole = [
        (start, step, size) == (0, 1, known_size(x, dim))
        for dim, (start, step, size) in enumerate(zip(starts, steps, out_shape, strict=True))
    ]
    dims = [dim for dim, same in enumerate(whole) if not same]
    if not dims:
        return x
    first = ctx.shape([starts[d] for d in dims])
    if all(isinstance(value, int) for d in dims for value in (starts[d], out_shape[d])):
        ends = [starts[d] + steps[d] * out_shape[d] for d in dims]
        stop = indices([end if end >= 0 else LEAST_INT32 for end in ends])
    else:
        parts = [stop_of(ctx, starts[d], steps[d], out_shape[d]) for d in dims]
        stop = out(op.concat([op.unsqueeze(part, indices([0])) for part in parts], 0))
    return out(op.slice(x, first, stop, indices([steps[d] for d in dims]), indices(dims)))


def pad(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x, value = inputs
    if all(isinstance(n, int) and n == 0 for n in (*attrs["low"], *attrs["high"])):
        return x
    low, high = ctx.shape(attrs["low"]), ctx.shape(attrs["high"])
    return out(op.pad(x, low, high, attrs["mode"], value))


def concat(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return out(op.concat(list(inputs), attrs["dim"])) if len(inputs) > 1 else inputs[0]


def valid_index(x: Output, index: Output, dim: int) -> Output:
    """Negative indices wrapped, then clamped to what exists; constants are settled here."""
    size, known, value = size_of(x, dim), known_size(x, dim), constant_value(index)
    if value is not None and known:
        wrapped = np.where(value < 0, value.astype(np.int64) + known, value)
        return out(op.constant(np.clip(wrapped, 0, known - 1).astype(np.int32)))
    index = wide_integers(index)
    below = op.convert(op.less(index, const(0, I32)), I32)
    wrapped = op.add(index, op.multiply(below, size))
    last = op.subtract(size, const(1, I32))
    return out(op.maximum(op.minimum(wrapped, last), const(0, I32)))


def gather(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x, index = inputs
    dim = attrs["dim"]
    return out(op.gather(x, valid_index(x, index, dim), const(dim, I64)))


def take_along_dim(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str
) -> Output:
    x, index = inputs
    dim = attrs["dim"]
    beside = [size for d, size in enumerate(out_shape) if d != dim]
    index = valid_index(x, index, dim)
    if not all(isinstance(size, int) for size in beside) or x.get_partial_shape() != out_shape:
        sizes = ctx.shape(out_shape)
        own = op.unsqueeze(op.convert(size_of(x, dim), I64), indices([0]))
        target = op.scatter_elements_update(sizes, indices([dim]), own, const(0, I64))
        x, index = out(op.broadcast(x, target)), out(op.broadcast(index, sizes))
    return out(op.gather_elements(x, index, dim))


def size(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return convert(ctx.size(attrs["size"]), I32)


WINDOW_ROWS: dict[str, Row] = {
    "conv": conv,
    "conv_transpose": conv_transpose,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "reshape": reshape,
    "permute": permute,
    "expand": expand,
    "slice": slice_,
    "pad": pad,
    "concat": concat,
    "gather": gather,
    "take_along_dim": take_along_dim,
    "size": size,
}
