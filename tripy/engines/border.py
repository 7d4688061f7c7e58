"""What the host converts at the border of a program, for dtypes that an engine lacks.

An engine without int64 still gets exact answers where 64-bit integers only come in or go out:
indices (a limit to int32 changes no index that exists), comparisons with small constants, casts of
an input and casts of a result. Everything else in such a dtype stays as it is, to be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import dtypes
from tripy.dtypes import INTEGERS, PACKED, dtype
from tripy.engines.kernels import cast
from tripy.graph import Graph, Node, Value

Convert = Callable[[Any], Any]

_LIMITS = np.iinfo(np.int32)
#: Positions of inputs that are indices, and of those whose elements are only moved.
_INDICES = {"gather": (1,), "take_along_dim": (1,), "scatter": (1,)}
_MOVED = {"reshape": 1, "permute": 1, "expand": 1, "slice": 1, "concat": None, "gather": 1}
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
    edges = (*graph.inputs, *graph.outputs)
    if not any(value.dtype in lacking for value in edges):
        return None
    return _Drawing(graph, lacking).border()


class _Drawing:
    def __init__(self, graph: Graph, lacking: Sequence[dtype]) -> None:
        self.graph = graph
        self.lacking = lacking
        self.positions = {id(value): i for i, value in enumerate(graph.inputs)}
        self.narrow = _narrow_values(graph, self.positions, lacking)
        self.inner: dict[tuple[int, str], tuple[Value, Convert | None]] = {}
        self.made: dict[int, Value] = {}

    def border(self) -> Border:
        for value in self.graph.values:
            self.made[id(value)] = self._inside(value)
        results, leaving = [], []
        for value in self.graph.outputs:
            source = self._cast_source(value)
            results.append(self.made[id(value if source is None else source)])
            leaving.append(None if source is None else _caster(value.dtype))
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


def _narrow_values(graph: Graph, inputs: Mapping[int, int], lacking: Sequence[dtype]) -> set[int]:
    """Return the int64 values that int32 stands for exactly, by what makes and what uses them."""
    outputs = {id(value) for value in graph.outputs}
    found = {id(v): v for v in graph.values if v.dtype is dtypes.int64 and id(v) not in outputs}
    uses: dict[int, list[tuple[Value, int]]] = {key: [] for key in found}
    for value in graph.operations if found else ():
        if _is_entering(value, inputs, lacking):
            continue
        for position, source in enumerate(value.node.inputs if value.node is not None else ()):
            if id(source) in uses:
                uses[id(source)].append((value, position))
    while True:
        kept = {
            key: value
            for key, value in found.items()
            if _is_made_narrow(value, found) and all(_is_index(*u, found) for u in uses[key])
        }
        if len(kept) == len(found):
            return set(found)
        found = kept


def _moves(node: Node, position: int) -> bool:
    count = _MOVED.get(node.primitive.name, 0)
    return count is None or position < count


def _is_made_narrow(value: Value, narrow: Mapping[int, Value]) -> bool:
    node = value.node
    if value.is_leaf or node is None:
        return True
    if node.primitive.name == "cast":
        return node.inputs[0].dtype in (*INTEGERS[:-1], dtypes.bool_)
    if node.primitive.name not in _MOVED:
        return False
    return all(id(s) in narrow for i, s in enumerate(node.inputs) if _moves(node, i))


def _is_index(user: Value, position: int, narrow: Mapping[int, Value]) -> bool:
    """Whether one use of a value takes nothing of it but what an index says."""
    node = user.node
    if node is None:
        return False
    if position in _INDICES.get(node.primitive.name, ()):
        return True
    if node.primitive.name in _COMPARISONS:
        other = node.inputs[1 - position]
        return other.data is not None and _is_inside(other.data)
    return _moves(node, position) and id(user) in narrow


def _is_inside(data: Any) -> bool:
    return bool(np.all((data > _LIMITS.min) & (data < _LIMITS.max)))
