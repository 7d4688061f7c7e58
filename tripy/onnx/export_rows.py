"""The ONNX form of every primitive: one row each. A primitive without a row is refused by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tripy import dtypes, shapes
from tripy.graph import Node
from tripy.onnx.builder import Builder, Ref, Refused
from tripy.onnx.export_elementwise import ELEMENTWISE, FLOATS, Row, plain
from tripy.onnx.export_layers import LAYERS
from tripy.shapes import Size

_LEAST_INT64 = -(2**63)


# Reductions and products ---------------------------------------------------------------------


def _reduced(b: Builder, op: str, x: Ref, node: Node) -> Ref:
    dims, keepdim = node.attributes["dims"], node.attributes["keepdim"]
    return b.node(op, x, b.ints(dims), keepdims=int(keepdim)) if dims else x


def reduction(op: str) -> Row:
    return lambda b, node, inputs: _reduced(b, op, inputs[0], node)


def any_(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    count = _reduced(b, "ReduceSum", b.to(inputs[0], "int32"), node)
    return b.node("Greater", count, b.constant(0, "int32"))


def all_(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    return b.node("Not", any_(b, node, [b.node("Not", inputs[0])]))


def position(op: str) -> Row:
    def row(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
        dim, keepdim = node.attributes["dim"], node.attributes["keepdim"]
        return b.to(b.node(op, inputs[0], axis=dim, keepdims=int(keepdim)), "int32")

    return row


def along(op: str) -> Row:
    """An operation with one attribute, the dim."""
    return lambda b, node, inputs: b.node(op, *inputs, axis=node.attributes["dim"])


# Windows -------------------------------------------------------------------------------------


def _pads(node: Node) -> list[Size]:
    padding = node.attributes["padding"]
    return [pair[side] for side in (0, 1) for pair in padding]


def _padded(b: Builder, x: Ref, node: Node, value: float) -> tuple[Ref, list[int]]:
    """The input and the padding left to the operation; amounts that vary need a node."""
    pads = _pads(node)
    static = [amount for amount in pads if isinstance(amount, int)]
    if len(static) == len(pads):
        return x, static
    count = len(pads) // 2
    amounts = b.shape([0, 0, *pads[:count], 0, 0, *pads[count:]])
    return b.node("Pad", x, amounts, b.constant(value, x.dtype)), [0] * len(pads)


def conv(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    x, pads = _padded(b, inputs[0], node, 0)
    a = node.attributes
    options = {"strides": a["stride"], "dilations": a["dilation"], "group": a["groups"]}
    return b.node("Conv", x, *inputs[1:], pads=pads, **options)


def conv_transpose(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    a = node.attributes
    options = {"strides": a["stride"], "dilations": a["dilation"], "group": a["groups"]}
    extra = a["output_padding"]
    return b.node("ConvTranspose", *inputs, pads=_pads(node), output_padding=extra, **options)


def _fills_ceil(node: Node) -> bool:
    """Whether no window of ``ceil_mode`` starts beyond the input."""
    a = node.attributes
    rows = zip(node.inputs[0].shape[2:], node.shape[2:], a["kernel"], a["stride"], a["padding"])
    return all(
        shapes.floordiv(size + low + high - kernel + stride - 1, stride) + 1 == out
        for size, out, kernel, stride, (low, high) in rows
    )


def _pool(b: Builder, op: str, x: Ref, node: Node, pads: list[int], **options: Any) -> Ref:
    a = node.attributes
    if a["ceil_mode"] and b.opset < 22 and not _fills_ceil(node):
        raise Refused("windows that start in the padding are dropped only from opset 22 on")
    window = {"kernel_shape": a["kernel"], "strides": a["stride"]}
    return b.node(op, x, pads=pads, ceil_mode=int(a["ceil_mode"]), **window, **options)


def maxpool(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    x = inputs[0]
    if x.dtype == "int64":
        raise Refused("MaxPool of ONNX does not take int64")
    x = b.to(x, {"int16": "float32", "int32": "float64"}.get(x.dtype, x.dtype))
    low = -math.inf if x.dtype in FLOATS else dtypes.integer_range(node.inputs[0].dtype)[0]
    x, pads = _padded(b, x, node, low)
    return b.to(_pool(b, "MaxPool", x, node, pads), node.dtype.name)


def avgpool(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    x, include = inputs[0], node.attributes["count_include_pad"]
    is_integer = x.dtype not in FLOATS
    if is_integer:
        largest = dtypes.integer_range(node.dtype)[1] * math.prod(node.attributes["kernel"])
        if largest > 2**24:
            raise Refused(f"sums of {x.dtype} windows do not fit float32 exactly")
        x = b.to(x, "float32")
    if not include and not shapes.is_static(_pads(node)):
        raise Refused("padding that varies cannot be left out of averages")
    x, pads = _padded(b, x, node, 0)
    mean = _pool(b, "AveragePool", x, node, pads, count_include_pad=int(include))
    return b.to(b.node("Floor", mean), node.dtype.name) if is_integer else mean


def batchnorm(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    return b.node("BatchNormalization", *inputs, epsilon=float(node.attributes["eps"]))


# Movement and indices ------------------------------------------------------------------------


def reshape(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    # A size of 0 would mean the size of the input.
    may_be_empty = not all(isinstance(size, int) and size for size in node.shape)
    allow = 1 if may_be_empty else None
    return b.node("Reshape", inputs[0], b.shape(node.shape), allowzero=allow)


def permute(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    perm = node.attributes["perm"]
    return b.node("Transpose", inputs[0], perm=perm) if perm else inputs[0]


def _expanded(b: Builder, x: Ref, shape: Sequence[Size]) -> Ref:
    return b.node("Expand", x, b.shape(shape))


def expand(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    return _expanded(b, inputs[0], node.shape)


def _stop(b: Builder, start: Size, step: int, size: Size) -> Ref:
    """Where a slice ends, as a vector; before element 0 is written as far below."""
    stop = start + size * step
    if isinstance(stop, int):
        return b.ints([stop if stop >= 0 else _LEAST_INT64])
    found = b.size(stop)
    if step < 0:
        before = b.node("Less", found, b.size(0))
        found = b.choose(before, b.constant(_LEAST_INT64, "int64"), found)
    return b.node("Unsqueeze", found, b.ints([0]))


def slice_(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    rows = zip(node.attributes["starts"], node.attributes["steps"], node.shape)
    whole = [(0, 1, size) for size in node.inputs[0].shape]
    cut = [(d, *row) for d, (row, same) in enumerate(zip(rows, whole)) if row != same]
    if not cut:
        return inputs[0]
    dims, starts, steps, _ = zip(*cut)
    stops = [_stop(b, start, step, size) for _, start, step, size in cut]
    stop = b.node("Concat", *stops, axis=0) if len(stops) > 1 else stops[0]
    return b.node("Slice", inputs[0], b.shape(starts), stop, b.ints(dims), b.ints(steps))


def pad(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    a = node.attributes
    if not node.shape:
        return inputs[0]
    amounts = b.shape([*a["low"], *a["high"]])
    if a["mode"] != "constant":
        return b.node("Pad", inputs[0], amounts, mode=a["mode"])
    return b.node("Pad", inputs[0], amounts, inputs[1])


def take_along_dim(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    (x, index), dim = inputs, node.attributes["dim"]
    size = node.inputs[0].shape[dim]
    whole = (*node.shape[:dim], size, *node.shape[dim + 1 :])
    if node.inputs[0].shape != whole:
        x = _expanded(b, x, whole)
    if node.inputs[1].shape != node.shape:
        index = _expanded(b, index, node.shape)
    return b.node("GatherElements", x, index, axis=dim)


ROWS: dict[str, Row] = {
    **ELEMENTWISE,
    **LAYERS,
    "sum": reduction("ReduceSum"),
    "prod": reduction("ReduceProd"),
    "mean": reduction("ReduceMean"),
    "max": reduction("ReduceMax"),
    "min": reduction("ReduceMin"),
    "all": all_,
    "any": any_,
    "argmax": position("ArgMax"),
    "argmin": position("ArgMin"),
    "matmul": plain("MatMul"),
    "softmax": along("Softmax"),
    "log_softmax": along("LogSoftmax"),
    "conv": conv,
    "conv_transpose": conv_transpose,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "batchnorm": batchnorm,
    "reshape": reshape,
    "permute": permute,
    "expand": expand,
    "slice": slice_,
    "pad": pad,
    "concat": along("Concat"),
    "gather": along("Gather"),
    "take_along_dim": take_along_dim,
}
