"""Graphs as the CPU plugin computes them rightly.

On processors with AMX oneDNN (of OpenVINO 2026.4) gives wrong results, with relative errors of 1,
for convolutions of halves and of int8 where the weights in one row of the kernel fill whole vectors
of 64 bytes, two or more, and those of one cell do not. A tap of zeros makes it another kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from tripy import dtypes, shapes
from tripy.graph import Graph, Node, Value, renewed, replaced, rewritten
from tripy.passes import applied

_VECTOR = 64  # bytes
_SMALL = (dtypes.int8, dtypes.int4)


def _dequantized(weight: Value) -> Node | None:
    """Return the node that makes a weight of small integers."""
    node = None if weight.is_leaf else weight.node
    if node is None or node.primitive.name != "dequantize":
        return None
    return node if node.inputs[0].dtype in _SMALL else None


def _is_wrong(conv: Node, precision: str) -> bool:
    """Whether oneDNN may choose the kernel that gets it wrong."""
    weight: Any = conv.inputs[1]
    if conv.attributes["dilation"][-1] != 1 or not shapes.is_static(weight.shape):
        return False  # rows of dilated kernels are right
    sizes = [1] * (_dequantized(weight) is not None) + [2] * (precision != "float32")
    cells = [weight.shape[1] * size for size in sizes]  # bytes of all channels of a cell
    rows = [weight.shape[-1] * cell for cell in cells]
    return any(r % _VECTOR == 0 and r >= 2 * _VECTOR and c % _VECTOR for r, c in zip(rows, cells))


def _longer(weight: Value) -> Value:
    """Return a weight with a zero at the end of its last dim; quantized constants stay so."""
    source, lead = weight.source, (0,) * (len(weight.shape) - 1)
    if weight.data is not None:
        data = np.pad(np.asarray(weight.data), [*((n, n) for n in lead), (0, 1)])
        return Value(weight.dtype, data.shape, weight.device, data=data, source=source)
    node = _dequantized(weight)
    if node is not None and not node.attributes["split"]:
        integers, scale = node.inputs
        if scale.shape[-1:] in ((), (1,)):
            longer = _longer(integers)
            return applied("dequantize", longer, scale, source=source, **node.attributes)
    zero = np.zeros((), dtypes.to_numpy(weight.dtype))
    value = Value(weight.dtype, (), weight.device, data=zero, source=source)
    amounts = {"low": (*lead, 0), "high": (*lead, 1), "mode": "constant"}
    return applied("pad", weight, value, source=source, **amounts)


def repaired(graph: Graph, precision: str) -> Graph:
    """Return a graph without convolutions that the plugin gets wrong in this precision."""
    convs = [v for v in graph.operations if v.node and v.node.primitive.name == "conv"]
    wrong = {id(v) for v in convs if v.node and _is_wrong(v.node, precision)}
    if not wrong:
        return graph

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        node = value.node
        if id(value) not in wrong or node is None:
            return renewed(value, inputs)
        x, weight, *bias = inputs
        *others, (low, high) = node.attributes["padding"]
        attributes = {**node.attributes, "padding": (*others, (low, high + 1))}
        made = (x, _longer(weight), *bias)
        result = (node.dtype, node.shape)
        return replaced(value, Node(node.primitive, made, attributes, result, node.source))

    return rewritten(graph, changed)


def kept_slices(model: ov.Model) -> ov.Model:
    """Return the model, in which GatherElements does not lose the Slice before it.

    OpenVINO drops those that start at 0, whatever they cut off. One that starts before 0 stays.
    """
    nodes = model.get_ops()
    if any(node.get_type_name() == "GatherElements" for node in nodes):
        for node in nodes:
            if node.get_type_name() == "Slice" and _is_all(node, 1, 0) and _is_all(node, 3, 1):
                far = np.full(node.input(1).get_shape(), np.iinfo(np.int32).min, np.int64)
                node.input(1).replace_source_output(op.constant(far).output(0))
    return model


def _is_all(node: Any, index: int, number: int) -> bool:
    """Whether an input is a constant of nothing but a number."""
    source = node.input_value(index).get_node()
    return bool(source.get_type_name() == "Constant" and (source.get_data() == number).all())
