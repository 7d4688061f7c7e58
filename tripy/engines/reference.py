"""The reference engine: NumPy, one body per primitive, in topological order.

It defines the semantics. The eager mode runs small graphs through :func:`run` directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.engines import plugin_kernels
from tripy.engines.base import Kernel, Options, Refusal
from tripy.engines.kernels import BODIES
from tripy.graph import Graph, Node, Value, bind
from tripy.ops.quantize import check_scale


def run_node(node: Node, inputs: Sequence[Any], sizes: Mapping[str, int] | None) -> Any:
    """Compute one node. ``sizes`` gives the symbols of a compiled graph their values; without it
    the node is eager, and values that are not allowed raise."""
    attributes, shape = node.attributes, node.shape
    if sizes is None:
        check = VALUE_CHECKS.get(node.primitive.name)
        if check is not None:
            check(node, inputs[1])
    else:
        attributes = {k: shapes.substitute(v, sizes) for k, v in attributes.items()}
        shape = shapes.substitute(shape, sizes)
        if node.primitive.name in ("gather", "take_along_dim"):
            attributes["clamp"] = True
    body = BODIES[node.primitive.name]
    if node.primitive.name == "plugin":  # its errors are the user's own
        return plugin_kernels.noted(body, node, inputs, attributes, shape)
    try:
        return body(inputs, attributes, shape, dtypes.to_numpy(node.dtype))  # type: ignore[arg-type]
    except MemoryError as problem:
        raise errors.error(
            errors.TripyMemoryError,
            f"there is not enough memory for {node.primitive.name}.",
            received=f"a result of shape {shape}",
            expected="results that fit into memory",
            fix="work on smaller batches, or on a smaller dtype",
            source=node.source,
        ) from problem
    except (ValueError, ArithmeticError, TypeError, IndexError) as problem:
        raise errors.error(
            errors.TripyRuntimeError,
            f"NumPy could not compute {node.primitive.name}: {problem}.",
            received=f"a result of shape {shape}",
            expected="shapes and attributes that NumPy can handle",
            fix="use smaller sizes; if the sizes are usual, please report this line",
            source=node.source,
        ) from problem


def _check_index(node: Node, index: Any) -> None:
    size: Any = node.inputs[0].shape[node.attributes["dim"]]
    if not index.size or (-size <= index.min() and index.max() < size):
        return
    position = tuple(map(int, np.argwhere((index < -size) | (index >= size))[0]))
    raise errors.error(
        errors.TripyIndexError,
        f"an index is out of range for a dim of size {size}.",
        received=f"{index[position]} at position {position} of the index",
        expected=f"{-size} … {size - 1}" if size else "none: the dim is empty",
        fix="limit the index: tp.minimum(index, size - 1)",
        source=node.source,
    )


def _check_exponent(node: Node, exponent: Any) -> None:
    if exponent.dtype.kind in "iu" and exponent.size and exponent.min() < 0:
        raise errors.error(
            errors.TripyValueError,
            "an integer tensor cannot have a negative exponent.",
            received=f"an exponent of {exponent.min()}",
            expected="exponents >= 0, or floats",
            fix="cast the operands to tp.float32 first",
            source=node.source,
        )


# Primitive -> what eager mode checks of the elements of its second input.
VALUE_CHECKS = {
    "gather": _check_index,
    "take_along_dim": _check_index,
    "scatter": _check_index,
    "pow": _check_exponent,
    "quantize": check_scale,
    "dequantize": check_scale,
}


def compute(value: Value) -> None:
    """Compute one value whose inputs are known, and keep the result in it."""
    node = value.node
    if value.data is None and node is not None:
        value.settle(run_node(node, [i.data for i in node.inputs], None))


def run(values: Iterable[Value], known: dict[int, Any], sizes: Mapping[str, int] | None) -> None:
    """Compute values in topological order; results are added to ``known`` by id."""
    try:
        with np.errstate(all="ignore"):
            for value in values:
                key = id(value)
                if key in known:
                    continue
                node, data = value.node, value.data  # in this order: other threads set data first
                if data is not None or node is None:
                    known[key] = np.asarray(data)  # weights may be on another device
                    continue
                known[key] = run_node(node, [known[id(i)] for i in node.inputs], sizes)
    finally:
        plugin_kernels.forget()


class ReferenceProgram:
    """Interprets a graph; every call allocates its own buffers."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        graph = self._graph
        known = {id(value): array for value, array in zip(graph.inputs, inputs)}
        run(graph.values, known, bind(graph.symbols, [a.shape for a in inputs], inputs))
        return [_owned(known[id(value)], inputs) for value in graph.outputs]

    def export(self) -> None:
        """Return nothing: the graph is the program."""


def _owned(result: Any, inputs: Sequence[Any]) -> Any:
    """Copy results that are views, so that they own their memory."""
    is_own = result.flags.owndata and all(result is not i for i in inputs)
    return result if is_own else np.array(result, order="C")


class ReferenceEngine:
    """Plain NumPy on the CPU; supports every operation and dtype."""

    name = "reference"

    def precisions(self, kind: str) -> Sequence[str]:
        """Return float32: NumPy computes in the declared dtypes."""
        return ("float32",)

    def refusals(self, graph: Graph) -> list[Refusal]:
        """Return nothing: the reference engine computes everything."""
        return []

    def build(self, graph: Graph, options: Options) -> ReferenceProgram:
        """Return the interpreter of a graph."""
        return ReferenceProgram(graph)

    def fingerprint(self, options: Options) -> str:
        """Return nothing: no program is exported."""
        return ""

    def restore(self, graph: Graph, options: Options, exported: Any) -> ReferenceProgram:
        """Return the interpreter of a graph."""
        return ReferenceProgram(graph)

    def profile(
        self, graph: Graph, options: Options, inputs: Sequence[Any], repeat: int
    ) -> list[Kernel]:
        """Time every node."""
        times = zip(*[_timed(graph, inputs) for _ in range(repeat + 1)])
        nodes = [value.node for value in graph.operations if value.node is not None]
        names = [node.label for node in nodes]
        return [Kernel(n, (node,), n, t[1:]) for n, node, t in zip(names, nodes, times)]


def _timed(graph: Graph, inputs: Sequence[Any]) -> list[float]:
    """Return how many microseconds each operation takes."""
    times: list[float] = []

    def ticking() -> Iterator[Value]:
        for value in graph.operations:
            start = perf_counter()
            yield value  # computed before the next one is asked for
            times.append((perf_counter() - start) * 1e6)

    known = {id(value): value.data for value in graph.constants}
    known |= {id(value): array for value, array in zip(graph.inputs, inputs)}
    run(ticking(), known, bind(graph.symbols, [a.shape for a in inputs], inputs))
    return times


ENGINE = ReferenceEngine()
