"""Graph rewrites that engines share, as a table of named functions."""

from __future__ import annotations

from collections.abc import Callable

from tripy.config import logger
from tripy.graph import Graph, Value, volume

_LARGEST_FOLD = 1 << 16  # elements; bigger results would only cost memory


def _is_small(value: Value) -> bool:
    return all(isinstance(size, int) for size in value.shape) and volume(value.shape) <= (
        _LARGEST_FOLD
    )


def fold_constants(graph: Graph) -> Graph:
    """Compute small values that depend on no input, with the reference engine."""
    from tripy.evaluate import evaluate

    fixed: set[int] = set()
    wanted: list[Value] = []
    for value in graph.operations:
        node = value.node
        if node is None or value.traced or not _is_small(value):
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
