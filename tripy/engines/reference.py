"""The reference engine: NumPy, one body per primitive, in topological order.

It defines the semantics. The eager mode runs small graphs through :func:`run` directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.engines.base import Options, Refusal
from tripy.engines.kernels import BODIES
from tripy.graph import Graph, Node, Value, bind

_INDEXING = ("gather", "take_along_dim")


def run_node(node: Node, inputs: Sequence[Any], sizes: Mapping[str, int] | None) -> Any:
    """Compute one node; ``sizes`` gives the symbols of a dynamic graph their values."""
    attributes, shape = node.attributes, node.shape
    if sizes is not None:
        attributes = {k: shapes.substitute(v, sizes) for k, v in attributes.items()}
        shape = shapes.substitute(shape, sizes)
        if node.primitive.name in _INDEXING:
            attributes["clamp"] = True
    body = BODIES[node.primitive.name]
    try:
        return body(inputs, attributes, shape, dtypes.to_numpy(node.dtype))  # type: ignore[arg-type]
    except IndexError as problem:
        raise _index_error(node, problem) from None
    except MemoryError as problem:
        raise errors.error(
            errors.TripyMemoryError,
            f"there is not enough memory for {node.primitive.name} of shape {shape}.",
            source=node.source,
        ) from problem


def _index_error(node: Node, problem: IndexError) -> errors.TripyIndexError:
    position, value, size = problem.args
    return errors.error(
        errors.TripyIndexError,
        f"an index is out of range for a dim of size {size}.",
        received=f"{value} at position {position} of the index",
        expected=f"{-size} … {size - 1}",
        source=node.source,
    )


def compute(value: Value) -> None:
    """Compute one value whose inputs are known, and keep the result in it."""
    node = value.node
    if value.data is None and node is not None:
        value.settle(run_node(node, [i.data for i in node.inputs], None))


def run(values: Iterable[Value], known: dict[int, Any], sizes: Mapping[str, int] | None) -> None:
    """Compute values in topological order; results are added to ``known`` by id."""
    with np.errstate(all="ignore"):
        for value in values:
            key = id(value)
            if key in known:
                continue
            node, data = value.node, value.data  # in this order: other threads set data first
            if data is not None or node is None:
                known[key] = data
                continue
            known[key] = run_node(node, [known[id(i)] for i in node.inputs], sizes)


class ReferenceProgram:
    """Interprets a graph; every call allocates its own buffers."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        graph = self._graph
        known = {id(value): array for value, array in zip(graph.inputs, inputs)}
        run(graph.values, known, bind(graph.symbols, [a.shape for a in inputs], inputs))
        return [_owned(known[id(value)], inputs) for value in graph.outputs]


def _owned(result: Any, inputs: Sequence[Any]) -> Any:
    """Copy results that are views, so that they own their memory."""
    return (
        result
        if result.flags.owndata and all(result is not i for i in inputs)
        else (np.array(result, order="C"))
    )


class ReferenceEngine:
    """Plain NumPy on the CPU; supports every operation and dtype."""

    name = "reference"
    precisions = ("float32",)

    def refusals(self, graph: Graph) -> list[Refusal]:
        """Return nothing: the reference engine computes everything."""
        return []

    def build(self, graph: Graph, options: Options) -> ReferenceProgram:
        """Return the interpreter of a graph."""
        return ReferenceProgram(graph)


ENGINE = ReferenceEngine()
