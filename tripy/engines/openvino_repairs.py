"""Graphs as the CPU plugin computes them rightly.

On processors with AMX oneDNN (of OpenVINO 2026.4) gives wrong results, with relative errors of 1,
for convolutions of halves and of int8 where the weights in one row of the kernel fill whole vectors
of 64 bytes, two or more, and those of one cell do not. A tap of zeros makes it another kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tripy import dtypes, shapes
from tripy.graph import Graph, Node, Value, renewed, replaced, rewritten
from tripy.ops.registry import PRIMITIVES

_VECTOR = 64  # bytes
_SMALL = (dtypes.int8, dtypes.int4)


def _applied(name: str, *inputs: Value, like: Value, **attributes: Any) -> Value:
    """Return a value computed by a primitive, at the line of another value."""
    record = PRIMITIVES[name]
    result = record.infer(*inputs, **attributes)
    node = Node(record, inputs, attributes, result, like.source)
    return Value(*result, like.device, node, traced=like.traced, source=like.source)


def _is_quantized(weight: Value) -> bool:
    """Whether the weight is computed from small integers."""
    node = None if weight.is_leaf else weight.node
    name = "" if node is None else node.primitive.name
    return node is not None and name == "dequantize" and node.inputs[0].dtype in _SMALL


def _taps(conv: Node, precision: str) -> int:
    """Return how many taps of zeros a convolution needs."""
    weight: Any = conv.inputs[1]
    if conv.attributes["dilation"][-1] != 1 or not shapes.is_static(weight.shape):
        return 0  # rows of dilated kernels are right
    sizes = [1] * _is_quantized(weight) + [2] * (precision != "float32")
    cells = [weight.shape[1] * size for size in sizes]  # bytes of all channels of a cell
    rows = [weight.shape[-1] * cell for cell in cells]
    found = (r % _VECTOR == 0 and r >= 2 * _VECTOR and c % _VECTOR for r, c in zip(rows, cells))
    return int(any(found))


def _longer(weight: Value, taps: int) -> Value:
    """Return a weight with zeros at the end of its last dim; quantized constants stay so."""
    node = None if weight.is_leaf else weight.node
    if weight.data is not None:
        config = [(0, 0)] * (len(weight.shape) - 1) + [(0, taps)]
        data = np.pad(np.asarray(weight.data), config)
        return Value(weight.dtype, data.shape, weight.device, data=data, source=weight.source)
    if node is not None and node.primitive.name == "dequantize" and not node.attributes["split"]:
        values, scale = node.inputs
        return _applied("dequantize", _longer(values, taps), scale, like=weight, **node.attributes)
    zero = np.zeros((), dtypes.to_numpy(weight.dtype))
    value = Value(weight.dtype, (), weight.device, data=zero, source=weight.source)
    low = (0,) * len(weight.shape)
    amounts = {"low": low, "high": (*low[:-1], taps), "mode": "constant"}
    return _applied("pad", weight, value, like=weight, **amounts)


def repaired(graph: Graph, precision: str) -> Graph:
    """Return a graph without convolutions that the plugin gets wrong in this precision."""
    convs = [v for v in graph.operations if v.node and v.node.primitive.name == "conv"]
    needed = {id(v): taps for v in convs if v.node and (taps := _taps(v.node, precision))}
    if not needed:
        return graph

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        taps, node = needed.get(id(value), 0), value.node
        if not taps or node is None:
            return renewed(value, inputs)
        x, weight, *bias = inputs
        *others, (low, high) = node.attributes["padding"]
        attributes = {**node.attributes, "padding": (*others, (low, high + taps))}
        inputs = (x, _longer(weight, taps), *bias)
        result = (node.dtype, node.shape)
        return replaced(value, Node(node.primitive, inputs, attributes, result, node.source))

    return rewritten(graph, changed)
