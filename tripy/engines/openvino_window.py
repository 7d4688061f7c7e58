"""OpenVINO rows that address elements: convolution, pooling, movement, indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from openvino import Node, Output

# AvgPool of opset16 crashes the CPU plugin of 2026.4 while it compiles.
from openvino import opset15 as op

from tripy import shapes
from tripy.engines.openvino_nodes import (
    F32,
    I32,
    I64,
    INTEGER_LIMITS,
    LEAST_INT32,
    Attrs,
    Check,
    Context,
    Inputs,
    Row,
    Shape,
    as_int32,
    chosen,
    const,
    constant_value,
    convert,
    element_type,
    filled,
    indices,
    is_integer,
    known_size,
    narrow,
    out,
    rank,
    size_of,
    unfused,
    wide,
    wide_integers,
)


def slice_dim(x: Output, dim: int, start: int, stop: Output, step: int = 1) -> Output:
    """Elements start, start + step, … before the int64 node `stop`, which may pass the end."""
    bounds = (indices([start]), out(op.unsqueeze(stop, indices([0]))), indices([step]))
    return out(op.slice(x, *bounds, indices([dim])))


def pad_with(ctx: Context, x: Output, padding: Sequence[tuple[Any, Any]], value: float) -> Output:
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


def _behind(x: Output, weight: Output, attrs: Attrs, around: int) -> int | None:
    """Columns behind those that a kernel with one column of results covers."""
    width, cells = known_size(x, -1), int(weight.get_shape()[-1])
    if width is None or cells == 1 or attrs["stride"][-1] == 1:
        return None
    return int(width + around - attrs["dilation"][-1] * (cells - 1) - 1)


def _without_stride(
    x: Output, weight: Output, attrs: Attrs, low: list[int], high: list[int]
) -> tuple[Output, list[int], list[int]]:
    """For a result of one column: with AVX-512 the plugin is wrong where the stride is not 1."""
    stride = list(attrs["stride"])
    behind = _behind(x, weight, attrs, low[-1] + high[-1])
    if behind is None or behind - high[-1] >= int(known_size(x, -1) or 0):
        return x, high, stride
    if behind > high[-1]:
        stop = indices([high[-1] - behind])
        x = out(op.slice(x, indices([0]), stop, indices([1]), indices([rank(x) - 1])))
    return x, [*high[:-1], max(high[-1] - behind, 0)], [*stride[:-1], 1]


def _has_empty_windows(weight: Output, attrs: Attrs) -> bool:
    """Whether kernels may cover padding alone, where the plugin reads beyond the input."""
    extents = (d * (n - 1) + 1 for n, d in zip(list(weight.get_shape())[2:], attrs["dilation"]))
    return _is_static(attrs["padding"]) and any(
        max(pair) >= extent for pair, extent in zip(attrs["padding"], extents, strict=True)
    )


def conv(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str) -> Output:
    # In float32, because with bfloat16 the plugin loses the bias of some grouped convolutions.
    x, weight, *bias = map(wide, inputs)
    if _has_no_cells(x):
        return _finished(ctx, filled(ctx, 0, out_shape, "float32"), bias, out_dtype)
    if _has_empty_windows(weight, attrs):  # a padding that is not fused again
        x = unfused(pad_with(ctx, x, attrs["padding"], 0.0))
        attrs = {**attrs, "padding": [(0, 0)] * len(attrs["padding"])}
    x, low, high = _native_pads(ctx, x, attrs["padding"])
    stride, dilation, groups = list(attrs["stride"]), list(attrs["dilation"]), attrs["groups"]
    if out_shape[-1] == 1:
        x, high, stride = _without_stride(x, weight, attrs, low, high)
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


def _all_padding(ctx: Context, number: float, out_shape: Shape, dtype: str) -> Output:
    carrier = "int32" if dtype in INTEGER_LIMITS else "float32"
    return narrow(filled(ctx, number, out_shape, carrier), dtype)


def _lacking(x: Output, attrs: Attrs, low: Sequence[int], high: Sequence[int]) -> list[int]:
    """Cells that the padded input may have too few for one window, which `ceil_mode` allows."""
    if not attrs["ceil_mode"]:
        return [0] * len(low)
    sizes = [int(size.get_min_length()) for size in list(x.get_partial_shape())[2:]]
    return [
        max(0, cells - size - before - after)
        for size, cells, before, after in zip(sizes, attrs["kernel"], low, high, strict=True)
    ]


def maxpool(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str) -> Output:
    x = inputs[0]
    if _has_no_cells(x):
        least = INTEGER_LIMITS[out_dtype][1] if out_dtype in INTEGER_LIMITS else -np.inf
        return _all_padding(ctx, least, out_shape, out_dtype)
    if out_dtype == "int32":
        return _slow_maxpool(ctx, x, attrs, out_shape)
    x = convert(x, F32) if is_integer(x) or not _is_static(attrs["padding"]) else x
    x, low, high = _native_pads(ctx, x, attrs["padding"], -np.inf)
    kernel, stride = list(attrs["kernel"]), list(attrs["stride"])
    rounding = "ceil_torch" if attrs["ceil_mode"] else "floor"
    lacking = _lacking(x, attrs, low, high)
    high = [n + less for n, less in zip(high, lacking, strict=True)]
    y = op.max_pool(x, stride, [1] * len(kernel), low, high, kernel, rounding)
    result = y.output(0)
    return narrow(_fit(ctx, result, out_shape) if any(lacking) else result, out_dtype)


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
    if _has_no_cells(x):
        return _all_padding(ctx, 0 if include or is_integer(x) else np.nan, out_shape, out_dtype)
    static = _is_static(padding)
    sides = [[pair[side] for pair in padding] for side in (0, 1)]
    is_short = static and any(_lacking(x, attrs, *sides))
    if is_integer(x) or not (static or include) or is_short:
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
    x = inputs[0]
    if not attrs["shape"] and rank(x):  # MatMul and then Reshape to rank 0 crashes the plugin
        return out(op.squeeze(x, indices(list(range(rank(x))))))
    return out(op.reshape(x, ctx.shape(attrs["shape"]), special_zero=False))


def permute(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    perm = attrs["perm"]
    return out(op.transpose(inputs[0], indices(perm))) if perm else inputs[0]


def expand(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    if not attrs["shape"]:  # A Broadcast to rank 0 crashes the plugin.
        return inputs[0]
    return out(op.broadcast(inputs[0], ctx.shape(attrs["shape"])))


def _known_stop(start: Any, step: int, size: Any, before: Any) -> int | None:
    """Where a slice of `size` of `before` elements ends, if a number says it for all sizes."""
    if isinstance(start, int) and isinstance(size, int):
        end = start + step * size
        return end if end >= 0 else LEAST_INT32  # before element 0 is written as far below
    if step != 1 or not isinstance(start, int):
        return None
    most = shapes.bounds(size)[1]
    return start + most if shapes.minimum(before - start, most) == size else None


def _computed_stop(ctx: Context, start: Any, step: int, size: Any) -> Output:
    span = op.multiply(ctx.size(size), const(step, I64))
    stop = op.add(ctx.size(start), span)
    if step > 0:
        return out(stop)
    return out(op.select(op.less(stop, const(0, I64)), const(LEAST_INT32, I64), stop))


def _stops(ctx: Context, slices: Sequence[tuple[Any, int, Any, Any]]) -> Output:
    """Numbers where they can be: with others the plugin forgets to prepare some slices."""
    known = [_known_stop(*one) for one in slices]
    if None not in known:
        return indices(np.array(known, np.int64))
    parts = [
        _computed_stop(ctx, start, step, size) if stop is None else const(stop, I64)
        for stop, (start, step, size, _) in zip(known, slices, strict=True)
    ]
    return out(op.concat([op.unsqueeze(part, indices([0])) for part in parts], 0))


def slice_(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    slices = list(zip(attrs["starts"], attrs["steps"], out_shape, attrs["before"], strict=True))
    dims = [
        dim
        for dim, (start, step, size, before) in enumerate(slices)
        if (start, step, size) != (0, 1, before)
    ]
    if not dims:
        return inputs[0]
    first, stops = ctx.shape([slices[d][0] for d in dims]), _stops(ctx, [slices[d] for d in dims])
    steps = indices([slices[d][1] for d in dims])
    return out(op.slice(inputs[0], first, stops, steps, indices(dims)))


def where(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return chosen(*inputs)


def pad(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x, value = inputs
    if all(isinstance(n, int) and n == 0 for n in (*attrs["low"], *attrs["high"])):
        return x
    low, high = ctx.shape(attrs["low"]), ctx.shape(attrs["high"])
    if attrs["mode"] != "constant":
        return out(op.pad(x, low, high, attrs["mode"]))
    known = constant_value(value)
    if known is not None and (dtype != "int32" or abs(int(known)) <= 2**24):
        return out(op.pad(x, low, high, "constant", value))
    # The plugin rounds a large int32 value and does not read one that is computed.
    zero = const(0, I32)
    real = op.pad(op.broadcast(const(1, I32), op.shape_of(x)), low, high, "constant", zero)
    padded = out(op.pad(x, low, high, "constant", const(0, x)))
    return chosen(op.not_equal(real, zero), padded, value)


def concat(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return out(op.concat(list(inputs), attrs["dim"])) if len(inputs) > 1 else inputs[0]


def valid_index(x: Output, index: Output, dim: int) -> Output:
    """Negative indices wrapped, then clamped to what exists; constants are settled here."""
    size, known, value = size_of(x, dim), known_size(x, dim), constant_value(index)
    if value is not None and known:
        wrapped = np.where(value < 0, value.astype(np.int64) + known, value)
        return out(op.constant(np.clip(wrapped, 0, known - 1).astype(np.int32)))
    index = wide_integers(index)
    below = as_int32(op.less(index, const(0, I32)))
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
    beside = [(d, size) for d, size in enumerate(out_shape) if d != dim]
    index = valid_index(x, index, dim)
    if any(known_size(v, d) != size for v in (x, index) for d, size in beside):
        sizes = ctx.shape(out_shape)
        own = op.unsqueeze(op.convert(size_of(x, dim), I64), indices([0]))
        target = op.scatter_elements_update(sizes, indices([dim]), own, const(0, I64))
        x, index = out(op.broadcast(x, target)), out(op.broadcast(index, sizes))
    return out(op.gather_elements(x, index, dim))


def size(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return convert(ctx.size(attrs["size"]), I32)


def batchnorm(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    return narrow(op.batch_norm_inference(*map(wide, inputs), attrs["eps"]), dtype)


ROWS: dict[str, Row] = {
    "batchnorm": batchnorm,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "reshape": reshape,
    "permute": permute,
    "expand": expand,
    "slice": slice_,
    "where": where,
    "pad": pad,
    "concat": concat,
    "gather": gather,
    "take_along_dim": take_along_dim,
    "size": size,
}
CHECKS: dict[str, Check] = {}
