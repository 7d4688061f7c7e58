"""OpenVINO rows of quantization, in the form that the plugin turns into integer kernels.

The plugin moves dequantization behind what follows (2026.4), and is wrong with some of it: average
pooling and sums stay in int8, an added constant becomes a rounded zero point, and per-channel
factors get a wrong shape when a dim vanishes. A ``Tracker`` follows the values that it may move,
and puts something that it does not pass before everything but the operations listed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import openvino as ov
from openvino import Output
from openvino import opset15 as op

from tripy import dtypes
from tripy.engines.openvino_nodes import (
    F32,
    INTEGER_LIMITS,
    Attrs,
    Check,
    Context,
    Inputs,
    Row,
    Shape,
    barrier,
    const,
    convert,
    narrow,
    out,
    rank,
    rounded_to_float8,
    settled,
)
from tripy.graph import Node, Value


def _float32(inputs: Inputs) -> list[Output]:
    return [convert(settled(x), F32) for x in inputs]


def _reshaped(ctx: Context, x: Output, shape: Shape, split: Shape) -> Output:
    return out(op.reshape(x, ctx.shape(shape), special_zero=False)) if split else x


def _without_nan(x: Output, ratio: Output) -> Output:
    """0 for NaN, which Relu does not give; beside it nothing may stand between convolutions."""
    if x.get_node().get_type_name() == "Relu":
        return ratio
    return out(op.select(op.equal(ratio, ratio), ratio, const(0.0, F32)))


def quantize(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str
) -> Output:
    (x, scale), split = _float32(inputs), attrs["split"]
    ratio = out(op.divide(_reshaped(ctx, x, split, split), scale))
    ratio = _reshaped(ctx, ratio, out_shape, split)
    if out_dtype == "float8":
        return rounded_to_float8(ratio)  # stays float32, as int4 stays int8: see CARRIERS
    # What has been rounded passes through FakeQuantize unchanged: it is there to be recognised.
    whole = op.round(_without_nan(x, ratio), "half_to_even")
    _, least, largest = INTEGER_LIMITS[out_dtype]
    limits = [const(float(limit), F32) for limit in (least, largest)] * 2
    steps = op.fake_quantize(whole, *limits, levels=largest - least + 1)
    return convert(out(steps), ov.Type.i8)


def dequantize(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str
) -> Output:
    x, split = convert(inputs[0], F32), attrs["split"]
    scale = convert(settled(inputs[1]), F32)
    product = op.multiply(_reshaped(ctx, x, split, split), scale)
    return narrow(_reshaped(ctx, out(product), out_shape, split), out_dtype)


#: What holds the packed types between quantize and dequantize; other kernels do not take them.
CARRIERS = {"int4": "int8", "float8": "float32"}

# Kinds of values: constants and their quantized form; dequantized weights; dequantized inputs with
# one scale, also with their dims moved; and products of weights and inputs.
CONSTANT, WEIGHT, PRODUCT = "constant", "weight", "product"
GRID, MOVED = "grid", "moved grid"
_PRODUCTS = dict.fromkeys(("conv", "conv_transpose", "matmul"), PRODUCT)
# Kind of an input -> operations that take it as it is -> kind of what they return.
_PASSED: dict[str, dict[str, str]] = {
    CONSTANT: {"quantize": CONSTANT, "reshape": CONSTANT, "dequantize": WEIGHT},
    WEIGHT: {"permute": WEIGHT, **dict.fromkeys(_PRODUCTS, "")},
    GRID: {
        **dict.fromkeys(("relu", "maxpool"), GRID),
        **dict.fromkeys(("permute", "reshape"), MOVED),
        **_PRODUCTS,
        "quantize": "",
    },
    MOVED: {"permute": MOVED, "reshape": MOVED, "matmul": PRODUCT, "quantize": ""},
    PRODUCT: {
        **dict.fromkeys(("relu", "maxpool", "add"), PRODUCT),
        **dict.fromkeys(("quantize", "sigmoid", "tanh", "gelu"), ""),
    },
}


def _is_batch(name: str, kind: str, x: Output) -> bool:
    """Whether it is a batch of weights, from which integer kernels read only the first."""
    return name == "matmul" and kind == WEIGHT and rank(x) > 2


class Tracker:
    """Knows which values of a graph the plugin takes for quantized ones."""

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}

    def add_constant(self, value: Value) -> None:
        """Note a constant."""
        self._kinds[id(value)] = CONSTANT

    def _kinds_of(self, node: Node) -> list[str]:
        return [self._kinds.get(id(value), "") for value in node.inputs]

    def operands(self, node: Node, inputs: Sequence[Output]) -> list[Output]:
        """Return the inputs of a node, behind a barrier where the plugin must not go on."""
        kinds, name = self._kinds_of(node), node.primitive.name
        passes = {kind for kind in kinds if kind == CONSTANT or name in _PASSED.get(kind, ())}
        if name == "add" and CONSTANT not in kinds:
            passes.clear()
        if name in ("conv", "conv_transpose") and GRID not in kinds:
            passes.discard(WEIGHT)  # the plugin makes products of 1x1 kernels, of a wrong shape
        return [
            x if not kind or (kind in passes and not _is_batch(name, kind, x)) else barrier(x)
            for kind, x in zip(kinds, inputs)
        ]

    def result(self, value: Value, node: Node, output: Output) -> Output:
        """Note the kind of a result, and return it."""
        kinds, name = self._kinds_of(node), node.primitive.name
        if name == "dequantize" and kinds[0] != CONSTANT:
            is_int8 = node.inputs[0].dtype is dtypes.int8
            if not is_int8 or any(size != 1 for size in node.inputs[1].shape):
                return barrier(output)
            kind = GRID
        else:
            kind = self._passed(name, kinds)
        if kind:
            self._kinds[id(value)] = kind
        return output

    def _passed(self, name: str, kinds: Sequence[str]) -> str:
        found = [_PASSED.get(kind, {}).get(name, "") for kind in kinds]
        if PRODUCT in found and (name != "add" or CONSTANT in kinds):
            return PRODUCT
        is_whole = found and (
            found[0] in (GRID, MOVED, WEIGHT) or (CONSTANT == found[0] and all(kinds))
        )
        return found[0] if is_whole else ""


ROWS: dict[str, Row] = {"quantize": quantize, "dequantize": dequantize}
CHECKS: dict[str, Check] = {}
