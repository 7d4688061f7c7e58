"""The ONNX form of scans, selection, resizing and quantization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import dtypes, shapes
from tripy.graph import Node
from tripy.onnx.builder import Builder, Ref, Refused
from tripy.onnx.export_elementwise import FLOATS, Row, widened
from tripy.shapes import Size


def cumsum(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    dim = b.constant(node.attributes["dim"], "int64")
    return widened(lambda b, x: b.node("CumSum", x, dim))(b, node, inputs)


def best(result: int) -> Row:
    """The values (result 0) or the positions (result 1) of TopK."""

    def row(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
        a = node.attributes
        options = {"axis": a["dim"], "largest": int(a["largest"])}
        found = b.node("TopK", inputs[0], b.shape([a["k"]]), result=result, **options)
        return b.to(found, node.dtype.name)

    return row


def scatter(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    a = node.attributes
    return b.node("ScatterElements", *inputs, axis=a["dim"], reduction=a["reduction"])


# Images --------------------------------------------------------------------------------------


def resize(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    """Rounded and cut to the grid for integers, which are interpolated in float32."""
    x, a = inputs[0], node.attributes
    if a["mode"] == "nearest":
        return _nearest(b, node, x)
    coordinates = "align_corners" if a["align_corners"] else "half_pixel"
    wide = b.to(x, "float32") if x.dtype not in FLOATS else x
    found = _resized(b, wide, node, coordinates, cubic_coeff_a=-0.75)
    if x.dtype in FLOATS:
        return found
    low, high = (b.constant(n, "float32") for n in dtypes.integer_range(node.dtype))
    return b.to(b.node("Clip", b.node("Round", found), low, high), x.dtype)


def _resized(b: Builder, x: Ref, node: Node, coordinates: str, **options: Any) -> Ref:
    form = {"coordinate_transformation_mode": coordinates, "mode": node.attributes["mode"]}
    return b.node("Resize", x, None, None, b.shape(node.shape), **form, **options)


def _nearest(b: Builder, node: Node, x: Ref) -> Ref:
    """Whole factors are exact in Resize; others gather the elements that integers name."""
    pairs = list(zip(node.attributes["before"], node.shape))
    if x.dtype in FLOATS and all(
        old == new or (old != 0 and shapes.mod(new, old) == 0) for old, new in pairs
    ):
        return _resized(b, x, node, "asymmetric", nearest_mode="floor")
    for dim, (old, new) in enumerate(pairs):
        if old != new:
            numbers = b.node("Range", b.size(0), b.size(new), b.size(1))
            index = b.node("Div", b.node("Mul", numbers, b.size(old)), b.size(new))
            x = b.node("Gather", x, index, axis=dim)
    return x


# Quantization --------------------------------------------------------------------------------


def _layout(node: Node) -> tuple[list[Size], dict[str, Any]]:
    """The shape of the scale in ONNX, and the attributes that say what it goes along."""
    scale, split = list(node.inputs[1].shape), node.attributes["split"]
    several = [dim for dim, size in enumerate(scale) if size != 1]
    if not split and len(several) < 2:
        return [scale[dim] for dim in several], {"axis": several[0]} if several else {}
    if not split:
        return scale, {"axis": 0, "block_size": 1}
    at = next(d for d, (a, b) in enumerate(zip(scale, split)) if a == 1 and b != 1)
    length = split[at]
    if not isinstance(length, int):
        raise Refused("blocks of a dynamic size")
    return scale[:at] + scale[at + 1 :], {"axis": at - 1, "block_size": length}


def _scale(b: Builder, node: Node, scale: Ref, shape: Sequence[Size]) -> Ref:
    """The scale in its own shape; a constant stays one, which runtimes look for."""
    known = node.inputs[1].data
    if known is not None and shapes.is_static(shape):
        return b.constant(known.reshape([int(str(size)) for size in shape]), scale.dtype)
    return b.node("Reshape", scale, b.shape(shape))


def scaled(op: str) -> Row:
    def row(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
        shape, options = _layout(node)
        if "block_size" in options and b.opset < 21:
            raise Refused("blocks of scales need opset 21")
        scale = _scale(b, node, inputs[1], shape)
        if op == "DequantizeLinear":
            return b.node(op, inputs[0], scale, dtype=scale.dtype, **options)
        zero = b.constant(0, node.dtype.name)
        if shape:
            zero = b.node("Expand", zero, b.shape(shape))
        return b.node(op, inputs[0], scale, zero, **options)

    return row


LAYERS: dict[str, Row] = {
    "cumsum": cumsum,
    "topk": best(0),
    "topk_indices": best(1),
    "scatter": scatter,
    "resize": resize,
    "quantize": scaled("QuantizeLinear"),
    "dequantize": scaled("DequantizeLinear"),
}
