"""What the host converts at the border of a program, for dtypes that an engine lacks.

An engine without int64 still gets exact answers where int32 can stand for 64-bit integers: where
a value is proved to fit it, by what makes it (`ranges.py`), and where its use takes no notice of
limits: as an index, in a comparison with a small constant, in a cast of an input. Everything else
in such a dtype stays as it is, to be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import dtypes
from tripy.dtypes import PACKED, dtype
from tripy.engines.kernels import cast
from tripy.engines.ranges import MOVED, RULES, ranges
from tripy.graph import Graph, Node, Value

Convert = Callable[[Any], Any]

_LIMITS = np.iinfo(np.int32)
#: Positions of inputs that are indices.
_INDICES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("gather", "take_along_dim", "scatter"), (1,))
}
_LACKED = (dtypes.int64, dtypes.float64)
#: What makes other dtypes of int64 values that fit int32 as it does of those.
_READERS = ("cast", "argmax", "argmin", "topk_indices", "all", "any")
_COMPARISONS = ("eq", "lt", "le")


class Border(NamedTuple):
    """The graph inside, where its inputs come from, and how its results leave."""

    graph: Graph
    inputs: list[tuple[int, Convert | None]]
    outputs: list[Convert | None]

    def enter(self, buffers: Sequence[Any]) -> list[Any]:
        """Return the inputs of the graph inside."""
        return [_converted(convert, buffers[source]) for source, convert in self.inputs]

    def leave(self, results: Sequence[Any]) -> list[Any]:
        """Return the results as declared."""
        return [_converted(convert, result) for convert, result in zip(self.outputs, results)]


def _converted(convert: Convert | None, array: Any) -> Any:
    return array if convert is None else convert(array)


def _limited(array: Any) -> Any:
    return np.asarray(np.clip(array, _LIMITS.min, _LIMITS.max), np.int32)


def _caster(kind: dtype) -> Convert:
    target = dtypes.to_numpy(kind)
    return lambda array: cast(array, target)


def drawn(graph: Graph, lacking: Sequence[dtype]) -> Border | None:
    """Return the border of a graph; None where there is nothing to convert."""
    if not any(value.dtype in lacking for value in (*graph.inputs, *graph.values)):
        return None
    return _Drawing(graph, lacking).border()


class _Drawing:
    def __init__(self, graph: Graph, lacking: Sequence[dtype]) -> None:
        self.graph = graph
        self.lacking = lacking
        self.positions = {id(value): i for i, value in enumerate(graph.inputs)}
        self.narrow = _Narrow(graph, self.positions, lacking).values
        self.inner: dict[tuple[int, str], tuple[Value, Convert | None]] = {}
        self.made: dict[int, Value] = {}

    def border(self) -> Border:
        for value in self.graph.values:
            self.made[id(value)] = self._inside(value)
        results, leaving = [], []
        for value in self.graph.outputs:
            source = self._cast_source(value)
            results.append(self.made[id(value if source is None else source)])
            is_cast = source is not None or id(value) in self.narrow
            leaving.append(_caster(value.dtype) if is_cast else None)
        sources = {name: self._symbol_source(*at) for name, at in self.graph.symbols.items()}
        rows = list(self.inner.items())
        order = {key: i for i, (key, _) in enumerate(rows)}
        symbols = {name: (order[key], dim) for name, (key, dim) in sources.items()}
        names = {id(v): self.graph.names.get(id(self.graph.inputs[k[0]]), "") for k, (v, _) in rows}
        inside = Graph.build([v for _, (v, _) in rows], results, (), names, symbols)
        return Border(inside, [(key[0], convert) for key, (_, convert) in rows], leaving)

    def _input(self, position: int, kind: dtype, convert: Convert | None) -> Value:
        """Return the input inside for an input of the graph and a conversion of it."""
        key = (position, kind.name)
        if key not in self.inner:
            outer = self.graph.inputs[position]
            same = convert is None
            made = outer if same else Value(kind, outer.shape, outer.device, traced=True)
            self.inner[key] = (made, convert)
        return self.inner[key][0]

    def _symbol_source(self, position: int, dim: int | None) -> tuple[tuple[int, str], int | None]:
        found = next((key for key in self.inner if key[0] == position), None)
        if found is None:
            outer = self.graph.inputs[position]
            self._input(position, outer.dtype, None)
            found = (position, outer.dtype.name)
        return found, dim

    def _inside(self, value: Value) -> Value:
        position, node = self.positions.get(id(value)), value.node
        is_narrow = id(value) in self.narrow
        if position is not None:
            if self._is_only_converted(value):
                return value
            kind = dtypes.int32 if is_narrow else value.dtype
            return self._input(position, kind, _limited if is_narrow else None)
        if value.is_leaf or node is None:
            return _constant(value) if is_narrow else value
        if _is_entering(value, self.positions, self.lacking):
            source = self.positions[id(node.inputs[0])]
            return self._input(source, value.dtype, _caster(value.dtype))
        return self._copied(value, node, is_narrow)

    def _copied(self, value: Value, node: Node, is_narrow: bool) -> Value:
        inputs = tuple(self.made[id(i)] for i in node.inputs)
        if node.primitive.name in _COMPARISONS and dtypes.int32 in [i.dtype for i in inputs]:
            inputs = tuple(_constant(i) if i.dtype is dtypes.int64 else i for i in inputs)
        if not is_narrow and all(a is b for a, b in zip(inputs, node.inputs)):
            return value
        kind = dtypes.int32 if is_narrow else value.dtype
        attributes: Mapping[str, Any] = node.attributes
        if "dtype" in attributes:
            attributes = {**attributes, "dtype": kind}
        made = Node(node.primitive, inputs, dict(attributes), (kind, value.shape), node.source)
        return Value(kind, value.shape, value.device, made, None, value.traced, value.source)

    def _is_only_converted(self, value: Value) -> bool:
        users = [v for v in self.graph.operations if v.node and value in v.node.inputs]
        is_output = any(value is output for output in self.graph.outputs)
        enter = [_is_entering(user, self.positions, self.lacking) for user in users]
        return bool(users) and all(enter) and not is_output

    def _cast_source(self, value: Value) -> Value | None:
        """Return what a result is cast from, where the host can do that."""
        node = value.node
        if node is None or node.primitive.name != "cast" or value.dtype not in self.lacking:
            return None
        source = node.inputs[0]
        if source.is_leaf or source.dtype in self.lacking:
            return None
        return source


def _constant(value: Value) -> Value:
    return Value(dtypes.int32, value.shape, value.device, data=_limited(value.data))


def _is_entering(value: Value, inputs: Mapping[int, int], lacking: Sequence[dtype]) -> bool:
    """Whether a value is a cast of an input in a dtype that the engine lacks."""
    node = value.node
    if node is None or node.primitive.name != "cast" or value.dtype in (*lacking, *PACKED):
        return False
    return id(node.inputs[0]) in inputs and node.inputs[0].dtype in lacking


class _Narrow:
    """The int64 values for which int32 stands: limited to it, or, where they fit, exactly.

    All are taken for narrow first; those that cannot be made, or are used, in int32 drop out, and
    what hangs together with them is looked at again.
    """

    def __init__(self, graph: Graph, inputs: Mapping[int, int], lacking: Sequence[dtype]) -> None:
        wide = [v for v in graph.values if v.dtype is dtypes.int64]
        self.values = {id(value): value for value in wide}
        self.ranges = ranges(graph) if wide else {}
        self.uses: dict[int, list[tuple[Value, int]]] = {key: [] for key in self.values}
        for value in graph.operations if wide else ():
            if value.node is not None and not _is_entering(value, inputs, lacking):
                for position, source in enumerate(value.node.inputs):
                    self.uses.get(id(source), []).append((value, position))
        self.results = {id(value) for value in graph.outputs}
        self._settle(wide)

    def _settle(self, pending: list[Value]) -> None:
        while pending:
            value = pending.pop()
            if id(value) not in self.values or self._stays(value):
                continue
            del self.values[id(value)]
            node = None if value.is_leaf else value.node
            pending += node.inputs if node is not None else ()
            pending += [user for user, _ in self.uses[id(value)]]
            beside = (user.node for user, _ in self.uses[id(value)])
            pending += [other for node in beside if node is not None for other in node.inputs]

    def _stays(self, value: Value) -> bool:
        if id(value) in self.results and (value.is_leaf or not self.fits(value)):
            return False
        return self._is_made(value) and all(self._is_used(value, *u) for u in self.uses[id(value)])

    def fits(self, value: Value) -> bool:
        """Whether every number that a value may have is one of int32."""
        low, high = self.ranges[id(value)]
        return _LIMITS.min <= low and high <= _LIMITS.max

    def _is_exact(self, value: Value) -> bool:
        is_there = value.dtype is not dtypes.int64 or id(value) in self.values
        return is_there and value.dtype is not dtypes.float64 and self.fits(value)

    def _is_made(self, value: Value) -> bool:
        node = None if value.is_leaf else value.node
        if node is None:
            return True
        name = node.primitive.name
        if name == "cast":
            return node.inputs[0].dtype not in (*_LACKED, *PACKED)
        if name in MOVED or (name == "scatter" and node.attributes["reduction"] is None):
            return all(id(i) in self.values for i in node.inputs if self._is_moved(node, i))
        return name in RULES and self.fits(value) and all(map(self._is_exact, node.inputs))

    def _is_moved(self, node: Node, source: Value) -> bool:
        """Whether elements of an input, and not what it says of places, are in the result."""
        if source.dtype is not dtypes.int64:
            return False
        places = _INDICES.get(node.primitive.name, ())
        return any(i is source and at not in places for at, i in enumerate(node.inputs))

    def _is_used(self, value: Value, user: Value, position: int) -> bool:
        """Whether one use of a value is served by what stands for it."""
        node = user.node
        if node is None or position in _INDICES.get(node.primitive.name, ()):
            return node is not None
        if node.primitive.name in _COMPARISONS:
            return self._is_compared(value, node.inputs[1 - position])
        if user.dtype is dtypes.int64:
            return id(user) in self.values
        if user.dtype is dtypes.float64:
            return False
        return node.primitive.name in _READERS and self.fits(value)

    def _is_compared(self, value: Value, other: Value) -> bool:
        is_there = other.dtype is not dtypes.int64 or id(other) in self.values
        if not is_there and (other.data is None or not _is_inside(other.data)):
            return False
        if self.fits(value) and self.fits(other):
            return True
        constants = [v for v in (value, other) if v.data is not None]
        return any(_is_inside(constant.data) for constant in constants)


def _is_inside(data: Any) -> bool:
    return bool(np.all((data > _LIMITS.min) & (data < _LIMITS.max)))
