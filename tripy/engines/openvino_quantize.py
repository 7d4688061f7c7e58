"""OpenVINO rows of quantization, in the form that the plugin turns into integer kernels.

The plugin moves dequantization behind what follows (2026.4), and is wrong with some of it: average
pooling and limits stay in int8, an added constant becomes a rounded zero point, and per-channel
factors get a wrong shape when a dim vanishes. A ``Tracker`` follows the values that it may move,
and puts something that it does not pass before everything but the operations listed here. It also
says what may be quantized by the kernel that computes it, which may be a step off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
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
    constant_value,
    convert,
    element_type,
    narrow,
    out,
    rank,
    rounded_to_float8,
    settled,
    unfused,
)
from tripy.graph import Graph, Node, Value


def _float32(inputs: Inputs) -> list[Output]:
    return [convert(settled(x), F32) for x in inputs]


def _reshaped(ctx: Context, x: Output, shape: Shape, split: Shape) -> Output:
    return out(op.reshape(x, ctx.shape(shape), special_zero=False)) if split else x


def _without_nan(x: Output, ratio: Output) -> Output:
    """0 for NaN, which Relu does not give; beside it nothing may stand between convolutions."""
    if x.get_node().get_type_name() == "Relu":
        return ratio
    return out(op.select(op.equal(ratio, ratio), ratio, const(0.0, F32)))


def _requantized(x: Output, factor: float) -> Output:
    """What the kernel of a product gives in place of float32."""
    limits = [const(limit, F32) for limit in (-128 * factor, 127 * factor, -128.0, 127.0)]
    return convert(out(op.fake_quantize(x, *limits, levels=256)), ov.Type.i8)


def quantize(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str
) -> Output:
    (x, scale), split = _float32(inputs), attrs["split"]
    factor = constant_value(scale)
    if attrs["fused"] and factor is not None and factor.size == 1 and out_dtype == "int8":
        return _requantized(x, float(factor.reshape(())))
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


def _in_blocks(ctx: Context, x: Output, split: Shape) -> Output:
    """A constant anew, because the plugin keeps integers only where they are scaled as they lie."""
    value = constant_value(x) if split and element_type(x) == ov.Type.i8 else None
    return _reshaped(ctx, x, split, split) if value is None else const(value.reshape(split), x)


def dequantize(
    ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, out_dtype: str
) -> Output:
    split = attrs["split"]
    x = convert(_in_blocks(ctx, inputs[0], split), F32)
    if x.get_partial_shape().is_dynamic and any(n != 1 for n in inputs[1].get_partial_shape()):
        x = unfused(x)  # the plugin takes factors of the last dim for those of another one
    product = op.multiply(x, convert(settled(inputs[1]), F32))
    return narrow(_reshaped(ctx, out(product), out_shape, split), out_dtype)


#: What holds the packed types between quantize and dequantize; other kernels do not take them.
CARRIERS = {"int4": "int8", "float8": "float32"}

# Kinds of values: constants and their quantized form; dequantized weights; dequantized inputs with
# one scale, also with their dims moved; products of weights and inputs, whose scales are those of
# channels or, in a matrix product, of the last dim; and sums of these.
CONSTANT, WEIGHT, PRODUCT, MATRIX, SUM = "constant", "weight", "product", "matrix product", "sum"
GRID, MOVED = "grid", "moved grid"
SCALED = "scaled"  # floats by factors that the plugin takes for those of a dequantization
_NUMBERS = {GRID, PRODUCT, MATRIX, SUM}  # never NaN
#: Operations that make finite numbers of finite numbers.
_FINITE = (
    *("relu", "maxpool", "maximum", "minimum", "permute", "reshape", "concat"),
    *("add", "mul", "gelu", "sigmoid", "tanh", "softmax", "mean"),
)
_PRODUCTS = {"conv": PRODUCT, "conv_transpose": PRODUCT, "matmul": MATRIX}
_SCALES = ("mul", "div", "batchnorm")
_REDUCES = ("mean", "sum", "max", "min", "avgpool")
#: What factors are moved behind.
_MOVES = ("add", "sub", "permute", "reshape", "relu", "maxpool", "slice", "concat")
#: What takes values as they are and past which nothing is moved.
_ENDED = dict.fromkeys(("quantize", "sigmoid", "tanh", "gelu"), "")
# Kind of an input -> operations that take it as it is -> kind of what they return.
_PASSED: dict[str, dict[str, str]] = {
    CONSTANT: {"quantize": CONSTANT, "reshape": CONSTANT, "dequantize": WEIGHT},
    WEIGHT: {"permute": WEIGHT, **dict.fromkeys(_PRODUCTS, "")},
    GRID: {
        **dict.fromkeys(("relu", "maxpool"), GRID),
        **dict.fromkeys(("permute", "reshape"), MOVED),
        **_PRODUCTS,
        **_ENDED,
        "concat": "",  # with a barrier behind
    },
    MOVED: {"permute": MOVED, "reshape": MOVED, "matmul": MATRIX, **_ENDED, "concat": ""},
    PRODUCT: {
        **dict.fromkeys(("relu", "maxpool"), PRODUCT),
        **_ENDED,
    },
    MATRIX: {"relu": MATRIX, **_ENDED},
    SUM: {"relu": SUM, "quantize": ""},
}


def _is_batch(name: str, kind: str, x: Output) -> bool:
    """Whether it is a batch of weights, from which integer kernels read only the first."""
    return name == "matmul" and kind == WEIGHT and rank(x) > 2


def _has_many_scales(node: Node) -> bool:
    """Whether it quantizes by more than one scale, which need not be those of a product."""
    return node.primitive.name == "quantize" and any(size != 1 for size in node.inputs[1].shape)


def _are_factors(value: Value) -> bool:
    return value.data is not None and value.data.size > 1


def _is_silu(node: Node) -> bool:
    """Whether it is x * sigmoid(x), past which the plugin moves nothing."""
    if node.primitive.name != "mul":
        return False
    for x, gate in (node.inputs, node.inputs[::-1]):
        if gate.node and gate.node.primitive.name == "sigmoid" and gate.node.inputs[0] is x:
            return True
    return False


def _sum(node: Node, kinds: Sequence[str]) -> str | None:
    """The kind of a sum; None where the plugin must not know what is added."""
    if set(kinds) in ({PRODUCT, CONSTANT}, {MATRIX, CONSTANT}):
        product = node.inputs[kinds[0] == CONSTANT]
        kind = PRODUCT if PRODUCT in kinds else MATRIX
        return kind if product.shape == node.shape else None
    kinds = ["" if kind == SCALED else kind for kind in kinds]
    if len({value.shape for value in node.inputs}) > 1 or not _NUMBERS | {""} >= set(kinds):
        return None
    return SUM if _NUMBERS >= set(kinds) else ""


def _quantizes(value: Value) -> bool:
    return value.node is not None and value.node.primitive.name == "quantize"


def _used_twice(graph: Graph) -> set[int]:
    """Values with several uses."""
    uses = Counter(id(i) for v in graph.operations for i in (v.node.inputs if v.node else ()))
    uses.update(map(id, graph.outputs))
    return {value for value, times in uses.items() if times > 1}


class Tracker:
    """Knows which values of a graph the plugin takes for quantized ones.

    Args:
        graph: what is to be built.
        has_snippets: whether the plugin fuses elementwise operations into them. Without, it gives
            the scales of a product to its kernel though the product has other uses, too.
    """

    def __init__(self, graph: Graph, has_snippets: bool) -> None:
        self._shared = set() if has_snippets else _used_twice(graph)
        self._is_quantized = any(map(_quantizes, graph.operations))
        self._kinds: dict[int, str] = {}
        self._finite: set[int] = set()  # other values that are never NaN
        self._unsure: set[int] = set()  # values made of what the tracker does not know

    def add_constant(self, value: Value) -> None:
        """Note a constant."""
        self._kinds[id(value)] = CONSTANT

    def _kinds_of(self, node: Node) -> list[str]:
        return [self._kinds.get(id(value), "") for value in node.inputs]

    def operands(self, node: Node, inputs: Sequence[Output]) -> list[Output]:
        """Return the inputs of a node, behind a barrier where the plugin must not go on."""
        kinds, name = self._kinds_of(node), node.primitive.name
        passes = {kind for kind in kinds if kind == CONSTANT or name in _PASSED.get(kind, ())}
        if name not in _REDUCES:
            passes.add(SCALED)
        if name == "add" and _sum(node, kinds) is not None:
            passes = set(kinds)
        if _is_silu(node):
            passes |= {GRID, MOVED, PRODUCT, MATRIX}
        if _has_many_scales(node):
            passes = {CONSTANT}
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
            kind = self._passed(node, kinds)
        if kind in (PRODUCT, MATRIX) and id(value) in self._shared:
            return self._apart(value, node, output)
        if name == "concat" and not {GRID, MOVED}.isdisjoint(kinds):
            output = barrier(output)  # a quantization that is moved to the inputs takes their grid
        if kind:
            self._kinds[id(value)] = kind
            if name != "dequantize" and not all(map(self._is_known, node.inputs)):
                self._unsure.add(id(value))
        elif name in _FINITE and all(map(self._is_number, node.inputs)):
            self._finite.add(id(value))
        return output

    def _apart(self, value: Value, node: Node, output: Output) -> Output:
        """Return a product that the plugin takes for a value of floats."""
        if all(map(self._is_known, node.inputs)):
            self._finite.add(id(value))
        return barrier(output)

    def attributes(self, node: Node) -> dict[str, Any]:
        """Return what rows must know beside the attributes of a node."""
        if node.primitive.name != "quantize":
            return {}
        return {"fused": self._is_number(node.inputs[0])}

    def _is_known(self, value: Value) -> bool:
        return id(value) in self._kinds and id(value) not in self._unsure

    def _is_number(self, value: Value) -> bool:
        """Whether no element can be NaN."""
        if id(value) in self._unsure:
            return False
        if self._kinds.get(id(value)) == CONSTANT:
            return bool(np.isfinite(np.asarray(value.data, np.float64)).all())
        return self._kinds.get(id(value)) in _NUMBERS | {MOVED} or id(value) in self._finite

    def _is_scaled(self, node: Node, kinds: Sequence[str]) -> bool:
        if not self._is_quantized or not {"", SCALED, CONSTANT} >= set(kinds):
            return False
        name = node.primitive.name
        if name in _SCALES and any(map(_are_factors, node.inputs)):
            return True
        return SCALED in kinds and name in (*_MOVES, *_SCALES)

    def _passed(self, node: Node, kinds: Sequence[str]) -> str:
        name = node.primitive.name
        if self._is_scaled(node, kinds):
            return SCALED
        if name == "add":
            return _sum(node, kinds) or ""
        found = [_PASSED.get(kind, {}).get(name, "") for kind in kinds]
        if PRODUCT in found or MATRIX in found:
            return PRODUCT if PRODUCT in found else MATRIX
        is_whole = found and (
            found[0] in (GRID, MOVED, WEIGHT, SUM) or (CONSTANT == found[0] and all(kinds))
        )
        return found[0] if is_whole else ""


ROWS: dict[str, Row] = {"quantize": quantize, "dequantize": dequantize}
CHECKS: dict[str, Check] = {}
