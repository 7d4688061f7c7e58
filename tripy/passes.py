"""Graph rewrites that engines share, as a table of named functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tripy import dtypes, shapes
from tripy.config import config, logger
from tripy.errors import Source
from tripy.graph import Graph, Node, Value, gather, renewed, replaced, rewritten, volume
from tripy.ops.registry import PRIMITIVES

_SMALL_BYTES = 1 << 12  # of constants that are compared
_SURE = 0.499  # steps beyond a limit, from which everything is rounded to it
_LARGEST_FOLD = 1 << 16  # elements; bigger results would only cost memory

_CONVOLUTIONS = ("conv", "conv_transpose")


def _is_small(value: Value) -> bool:
    return all(isinstance(size, int) for size in value.shape) and volume(value.shape) <= (
        _LARGEST_FOLD
    )


def _is_folded(node: Node, value: Value, elsewhere: set[int], scaling: set[int]) -> bool:
    """Quantized weights shrink; engines make integer kernels of products with them."""
    if node.primitive.name == "quantize" or id(value) in scaling:
        return True
    if node.primitive.name == "dequantize":
        return node.inputs[0].dtype is not dtypes.int8 or id(value) in elsewhere
    return _is_small(value)


def _used_by_scaling(graph: Graph) -> set[int]:
    """Constants that quantization is made of; an engine would round them in another order."""
    found: set[int] = set()
    for value in reversed(graph.operations):
        node = value.node
        if node is None:
            continue
        if node.primitive.name in ("quantize", "dequantize") or id(value) in found:
            found.update(id(i) for i in node.inputs if not i.traced)
    return found


def _used_as_floats(graph: Graph) -> set[int]:
    """Values that something other than a product of integers takes."""
    found = {id(value) for value in graph.outputs}
    for value in graph.operations:
        if value.node is not None:
            takes = _takes_integers(value.node)
            found.update(id(i) for i in value.node.inputs if not takes(i))
    return found


def _takes_integers(node: Node) -> Callable[[Value], bool]:
    """Whether a node leaves an input to the engine as a product of integers."""
    name, source = node.primitive.name, node.inputs[0].node if node.inputs else None
    if name in ("matmul", "permute"):
        return lambda value: len(value.shape) == 2
    while source is not None and source.primitive.name in ("relu", "maxpool"):
        source = source.inputs[0].node
    is_quantized = source is not None and source.primitive.name == "dequantize"
    return lambda value: name in _CONVOLUTIONS and is_quantized


def fold_constants(graph: Graph) -> Graph:
    """Compute small values that depend on no input, with the reference engine."""
    from tripy.evaluate import evaluate

    fixed: set[int] = set()
    wanted: list[Value] = []
    elsewhere, scaling = _used_as_floats(graph), _used_by_scaling(graph)
    for value in graph.operations:
        node = value.node
        if node is None or value.traced or not _is_folded(node, value, elsewhere, scaling):
            continue
        if all(i.is_leaf or id(i) in fixed for i in node.inputs):
            fixed.add(id(value))
            wanted.append(value)
    if wanted:
        with config.override(eager_threshold=None):  # a compiled quantization may be a step off
            evaluate(wanted)
        graph.collect()
    return graph


def load_weights(graph: Graph) -> Graph:
    """Compute lazy weights, such as parameters that hold their default values."""
    from tripy.evaluate import evaluate

    pending = [v for v in graph.values if v.is_leaf and v.node is not None and v.data is None]
    evaluate(pending)
    gather(graph.values)
    return graph


def share(graph: Graph) -> Graph:
    """Compute only once what is written twice."""
    own = {id(value) for value in graph.outputs} | set(graph.names)
    first: dict[tuple[Any, ...], Value] = {}
    taken: dict[int, Value] = {}  # by id of a value: the one that takes its place
    for value in graph.values:
        key = _content(value, taken)
        if key is None:
            continue
        other = first.setdefault(key, value)
        if other is not value and id(value) not in own:
            taken[id(value)] = other
    made: dict[int, Value] = {}

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        if id(value) in taken:
            return made[id(taken[id(value)])]
        made[id(value)] = renewed(value, inputs)
        return made[id(value)]

    return rewritten(graph, changed) if taken else graph


def _content(value: Value, taken: Mapping[int, Value]) -> tuple[Any, ...] | None:
    """What a value is; None for large constants, inputs, and what may differ at every call."""
    node = value.node
    if value.data is not None:
        is_small = value.data.nbytes <= _SMALL_BYTES
        return (value.dtype, value.shape, np.asarray(value.data).tobytes()) if is_small else None
    if node is None or value.is_leaf or node.primitive.name == "plugin":
        return None
    used = tuple([id(taken.get(id(i), i)) for i in node.inputs])
    return node.primitive.name, node.dtype, node.shape, used, *node.attributes.items()


def drop_limits(graph: Graph) -> Graph:
    """Leave limits to ``quantize`` where its own are tighter, and make ReLUs of those at 0.

    Engines fuse ReLUs with integer kernels, but neither ReLU6 nor other limits.
    """
    if not any(v.node and v.node.primitive.name == "quantize" for v in graph.operations):
        return graph

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        made = renewed(value, inputs)
        node = made.node
        if node is None or made.is_leaf or node.primitive.name != "quantize":
            return made
        kept, scale = node.inputs
        while (looser := _without_limit(kept, scale, node.dtype)) is not None:
            kept = looser
        if kept is node.inputs[0]:
            return made
        return applied("quantize", kept, scale, source=made.source, **node.attributes)

    return rewritten(graph, changed)


def _without_limit(value: Value, scale: Value, kind: dtypes.dtype) -> Value | None:
    """Return what ``quantize`` may take instead of a limited value; None if it must stay."""
    node = value.node
    is_limit = node is not None and node.primitive.name in ("minimum", "maximum")
    if node is None or not is_limit or kind is dtypes.float8 or not _is_constant(scale):
        return None
    inner, limit = sorted(node.inputs, key=_is_constant)
    if not _is_constant(limit) or limit.data.size != 1 or inner.shape != value.shape:
        return None
    low, high = dtypes.integer_range(kind)
    with np.errstate(all="ignore"):
        steps = np.asarray(limit.data, np.float64) / np.asarray(scale.data, np.float64)
    if node.primitive.name == "minimum":
        return inner if (steps > high - _SURE).all() else None
    if (steps < low + _SURE).all():
        return inner
    return applied("relu", inner, source=value.source) if (steps == 0).all() else None


# --- for engines that do not do it themselves --------------------------------------------------


def applied(name: str, *inputs: Value, source: Source, **attributes: Any) -> Value:
    """Return a value computed by a primitive."""
    record = PRIMITIVES[name]
    result = record.infer(*inputs, **attributes)
    node = Node(record, inputs, attributes, result, source)
    traced = any(value.traced for value in inputs)
    return Value(*result, inputs[0].device, node, traced=traced, source=source)


def _folded(conv: Node, norm: Node) -> Node:
    """Return a convolution that does the work of the normalisation behind it."""
    source, kind = conv.source, norm.dtype
    wide = kind if kind is dtypes.float64 else dtypes.float32

    def apply(name: str, *inputs: Value, **attributes: Any) -> Value:
        return applied(name, *inputs, source=source, **attributes)

    x, filters, *bias = conv.inputs
    filters, *bias = (apply("cast", value, dtype=wide) for value in (filters, *bias))
    weight, shift, mean, variance = (apply("cast", v, dtype=wide) for v in norm.inputs[1:])
    eps = Value(wide, (), x.device, data=np.array(norm.attributes["eps"], dtypes.to_numpy(wide)))
    scale = apply("div", weight, apply("sqrt", apply("add", variance, eps)))
    at = 1 if conv.primitive.name == "conv_transpose" else 0
    sizes = tuple(size if dim == at else 1 for dim, size in enumerate(filters.shape))
    filters = apply("mul", filters, apply("reshape", scale, shape=sizes))
    if bias:
        mean = apply("sub", mean, bias[0])
    shift = apply("sub", shift, apply("mul", mean, scale))
    inputs = (x, apply("cast", filters, dtype=kind), apply("cast", shift, dtype=kind))
    return Node(conv.primitive, inputs, conv.attributes, (norm.dtype, norm.shape), conv.source)


def fold_normalisation(graph: Graph) -> Graph:
    """Fold batch normalisations of constants into the convolutions before them."""
    uses = Counter(id(i) for v in graph.operations for i in (v.node.inputs if v.node else ()))
    uses.update(id(value) for value in graph.outputs)
    alone: set[int] = set()  # new values of convolutions that nothing else uses

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        made = renewed(value, inputs)
        norm = made.node
        if value.is_leaf or norm is None:
            return made
        name = norm.primitive.name
        if name in _CONVOLUTIONS and uses[id(value)] == 1:
            is_whole = name == "conv" or norm.attributes["groups"] == 1
            if is_whole and all(_is_constant(i) for i in norm.inputs[1:]):
                alone.add(id(made))
        conv = norm.inputs[0].node if name == "batchnorm" else None
        is_foldable = conv is not None and id(norm.inputs[0]) in alone
        if conv is not None and is_foldable and all(_is_constant(i) for i in norm.inputs[1:]):
            return replaced(value, _folded(conv, norm))
        return made

    return rewritten(graph, changed)


def _is_constant(value: Value) -> bool:
    return value.data is not None and shapes.is_static(value.shape)


PASSES: dict[str, Callable[[Graph], Graph]] = {
    "load_weights": load_weights,
    "fold_constants": fold_constants,
    "share": share,
    "drop_limits": drop_limits,
}


def optimise(graph: Graph) -> Graph:
    """Run all passes in order."""
    for name, rewrite in PASSES.items():
        graph = rewrite(graph)
        logger.debug("graph after %s:\n%s", name, graph)
    return graph
