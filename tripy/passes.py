"""Graph rewrites that engines share, as a table of named functions."""

from __future__ import annotations

from collections.abc import Callable

from tripy import dtypes
from tripy.config import logger
from tripy.graph import Graph, Node, Value, volume

_LARGEST_FOLD = 1 << 16  # elements; bigger results would only cost memory

_CONVOLUTIONS = ("conv", "conv_transpose")


def _is_small(value: Value) -> bool:
    return all(isinstance(size, int) for size in value.shape) and volume(value.shape) <= (
        _LARGEST_FOLD
    )


def _is_folded(node: Node, value: Value, elsewhere: set[int]) -> bool:
    """Quantized weights shrink; engines make integer kernels of products with them."""
    if node.primitive.name == "quantize":
        return True
    if node.primitive.name == "dequantize":
        return node.inputs[0].dtype is not dtypes.int8 or id(value) in elsewhere
    return _is_small(value)


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
    elsewhere = _used_as_floats(graph)
    for value in graph.operations:
        node = value.node
        if node is None or value.traced or not _is_folded(node, value, elsewhere):
            continue
        if all(i.is_leaf or id(i) in fixed for i in node.inputs):
            fixed.add(id(value))
            wanted.append(value)
    if wanted:
        evaluate(wanted)
        graph.collect()
    return graph


def load_weights(graph: Graph) -> Graph:
    """Compute lazy weights, such as parameters that hold their default values."""
    from tripy.evaluate import evaluate

    pending = [v for v in graph.values if v.is_leaf and v.node is not None and v.data is None]
    evaluate(pending)
    return graph


PASSES: dict[str, Callable[[Graph], Graph]] = {
    "load_weights": load_weights,
    "fold_constants": fold_constants,
}


def optimise(graph: Graph) -> Graph:
    """Run all passes in order."""
    for name, rewrite in PASSES.items():
        graph = rewrite(graph)
        logger.debug("graph after %s:\n%s", name, graph)
    return graph
