"""The one intermediate representation: values, nodes and graphs of primitives."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import errors, shapes
from tripy.devices import CPU, device
from tripy.dtypes import dtype
from tripy.shapes import Condition, Shape

Type = tuple[dtype, Shape]
Attributes = dict[str, Any]


class Primitive(NamedTuple):
    """One operation that every engine knows.

    Attributes:
        name: key of the row in every engine's table.
        infer: dtype and shape rule; gets input values and attributes, raises the user's errors.
        work: estimated scalar operations of a node, each of about 0.05 ns of NumPy's time.
    """

    name: str
    infer: Callable[..., Type]
    work: Callable[[Node], float]


class Node:
    """One application of a primitive."""

    __slots__ = ("attributes", "dtype", "inputs", "primitive", "shape", "source")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Value, ...],
        attributes: Attributes,
        result: Type,
        source: errors.Source,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.attributes = attributes
        self.dtype, self.shape = result
        self.source = source

    @property
    def label(self) -> str:
        """What to call the operation: its primitive, or the user's plugin."""
        return str(self.attributes.get("plugin", self.primitive.name))


class Value:
    """The result of a node, a constant, or (with neither) an input of a traced function.

    Attributes:
        node: what computes the value; None once it is known, and for constants and inputs.
        data: the elements, where they are known (an array on the value's device, or Spread).
        uses: how many nodes were recorded that take the value as an input.
        traced: whether the value depends on an input of a function being compiled.
        parameter: whether it is a weight, which compiled programs treat as a constant.
        literal: whether it is a number in the user's code, which programs treat as a constant.
        default: whether it is a parameter that still holds its default value.
        owner: weak reference to the Tensor that shows the value to the user.
    """

    __slots__ = (
        "__weakref__",
        "data",
        "default",
        "device",
        "dtype",
        "literal",
        "node",
        "owner",
        "parameter",
        "shape",
        "source",
        "traced",
        "uses",
    )

    def __init__(
        self,
        dtype: dtype,
        shape: Shape,
        device: device = CPU,
        node: Node | None = None,
        data: Any = None,
        traced: bool = False,
        source: errors.Source = (),
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.device = device
        self.node = node
        self.data = data
        self.traced = traced
        self.source = source
        self.parameter = False
        self.literal = False
        self.default = False
        self.uses = 0
        self.owner: weakref.ref[Any] | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether evaluation starts here: known elements, an input, or a weight."""
        return self.node is None or self.data is not None or self.parameter

    def settle(self, data: Any) -> None:
        """Keep the elements and let go of how they are computed."""
        self.data = data
        self.node = None

    @property
    def is_alive(self) -> bool:
        """Whether a Tensor of the user still refers to the value."""
        return self.owner is not None and self.owner() is not None


class Spread:
    """Elements that stay divided over the devices of a mesh until something needs them whole.

    Attributes:
        array: the engine's array, whose attributes are those of the elements.
        gather: what makes elements on one device of it; with True, on the host.
    """

    __slots__ = ("array", "gather")

    def __init__(self, array: Any, gather: Callable[[Any, bool], Any]) -> None:
        self.array = array
        self.gather = gather

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.gather(self.array, True), dtype)

    def copy(self) -> Spread:
        """Return itself: nobody can change the elements."""
        return self


def gather(values: Iterable[Value]) -> None:
    """Bring divided elements together, for work on one device."""
    for value in values:
        if type(value.data) is Spread:
            value.data = value.data.gather(value.data.array, False)


def topological(outputs: Iterable[Value]) -> list[Value]:
    """Return every value that the outputs need, inputs before users, without recursion."""
    order: list[Value] = []
    seen: set[int] = set()
    stack: list[Any] = list(outputs)
    stack.reverse()
    while stack:
        value = stack.pop()
        if type(value) is tuple:  # its inputs are in the order already
            order.append(value[0])
            continue
        key = id(value)
        if key in seen:
            continue
        seen.add(key)
        node = value.node
        if node is None or value.data is not None or value.parameter:  # a leaf
            order.append(value)
            continue
        stack.append((value,))
        stack.extend([i for i in node.inputs[::-1] if id(i) not in seen])
    return order


class Graph:
    """Values in topological order between inputs and outputs.

    Attributes:
        inputs: the values given at every call, in order.
        outputs: the values returned, in order.
        values: everything the outputs need, inputs before users.
        conditions: relations of sizes to check at every call.
        names: names of inputs and parameters, by ``id`` of the value.
        symbols: where each dynamic size is read: (input, dim), or (input, None) for its value.
    """

    def __init__(
        self,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        values: list[Value],
        conditions: list[Condition] | None = None,
        names: dict[int, str] | None = None,
        symbols: dict[str, tuple[int, int | None]] | None = None,
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.values = values
        self.conditions = conditions or []
        self.names = names or {}
        self.symbols = symbols or {}

    @classmethod
    def build(
        cls,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        conditions: Iterable[Condition] = (),
        names: Mapping[int, str] | None = None,
        symbols: Mapping[str, tuple[int, int | None]] | None = None,
    ) -> Graph:
        """Collect the graph between inputs and outputs."""
        unique = list(dict.fromkeys(conditions))
        values = topological(outputs)
        return cls(inputs, outputs, values, unique, dict(names or {}), dict(symbols or {}))

    def collect(self) -> None:
        """Drop the values that the outputs no longer need."""
        self.values = topological(self.outputs)

    @property
    def constants(self) -> list[Value]:
        """The leaves that are not inputs."""
        inputs = {id(value) for value in self.inputs}
        return [v for v in self.values if v.is_leaf and id(v) not in inputs]

    @property
    def operations(self) -> list[Value]:
        """The values that a node computes."""
        inputs = {id(value) for value in self.inputs}
        return [v for v in self.values if not v.is_leaf and id(v) not in inputs]

    def key(self) -> tuple[Any, ...]:
        """Return a hashable key; equal keys mean equal programs.

        Literals count by their elements, other constants by identity, inputs by type.
        """
        numbers = {id(value): n for n, value in enumerate(self.values)}
        inputs = {id(value) for value in self.inputs}
        rows: list[tuple[Any, ...]] = []
        for value in self.values:
            node = value.node
            if id(value) in inputs:
                rows.append((value.dtype, value.shape))
            elif value.is_leaf or node is None:
                identity = value.data.tobytes() if value.literal else id(value)
                rows.append((value.dtype, value.shape, identity))
            else:
                used = tuple([numbers[id(i)] for i in node.inputs])
                rows.append((node.primitive.name, used, tuple(node.attributes.items()), node.shape))
        outputs = tuple([numbers[id(value)] for value in self.outputs])
        return (*rows, tuple([numbers.get(id(value)) for value in self.inputs]), outputs)

    def __str__(self) -> str:
        names = self.value_names()
        lines = [f"graph({', '.join(_typed(names, v) for v in self.inputs)})"]
        for value in self.operations:
            node = value.node
            if node is None:
                continue
            arguments = [names[id(i)] for i in node.inputs]
            arguments += [f"{k}={v}" for k, v in node.attributes.items()]
            call = f"{node.primitive.name}({', '.join(arguments)})"
            lines.append(f"    {_typed(names, value)} = {call}")
        lines.append(f"    return {', '.join(names[id(v)] for v in self.outputs)}")
        return "\n".join(lines)

    def value_names(self) -> dict[int, str]:
        """Return a name of its own for every value, by ``id``."""
        names: dict[int, str] = {}
        taken: set[str] = set()
        numbers = iter(range(len(self.values) + len(self.inputs)))
        for value in (*self.inputs, *self.values):
            if id(value) in names:
                continue
            name = self.names.get(id(value)) or f"v{next(numbers)}"
            while name in taken:
                name += "_"
            taken.add(name)
            names[id(value)] = name
        return names


def rewritten(graph: Graph, change: Callable[[Value, tuple[Value, ...]], Value]) -> Graph:
    """Return a graph with ``change(value, its new inputs)`` in place of every value."""
    made: dict[int, Value] = {}
    for value in (*graph.inputs, *graph.values):
        if id(value) not in made:
            node = None if value.is_leaf else value.node
            sources = () if node is None else tuple(made[id(i)] for i in node.inputs)
            made[id(value)] = change(value, sources)
    inputs, outputs = ([made[id(v)] for v in vs] for vs in (graph.inputs, graph.outputs))
    names = {id(made[key]): name for key, name in graph.names.items() if key in made}
    return Graph.build(inputs, outputs, graph.conditions, names, graph.symbols)


def replaced(value: Value, node: Node | None, shape: Shape | None = None) -> Value:
    """Return a value like another one, computed by a node (None: an input)."""
    shape = value.shape if shape is None else shape
    return Value(value.dtype, shape, value.device, node, traced=value.traced, source=value.source)


def renewed(value: Value, inputs: tuple[Value, ...]) -> Value:
    """Return an operation on other inputs; constants and inputs of the graph are themselves."""
    node = value.node
    if value.is_leaf or node is None:
        return value
    result = (node.dtype, node.shape)
    return replaced(value, Node(node.primitive, inputs, node.attributes, result, node.source))


def specialise(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """Return a copy of a dynamic graph in which every symbol has its value."""

    def fixed(value: Value, inputs: tuple[Value, ...]) -> Value:
        node = value.node
        if value.data is not None or (node is not None and value.is_leaf):
            return value
        shape = shapes.substitute(value.shape, sizes)
        if node is None:
            return replaced(value, None, shape)
        attributes = {k: shapes.substitute(v, sizes) for k, v in node.attributes.items()}
        result = (value.dtype, shape)
        return replaced(value, Node(node.primitive, inputs, attributes, result, node.source), shape)

    static = rewritten(graph, fixed)
    static.conditions, static.symbols = [], {}
    return static


def bind(
    symbols: Mapping[str, tuple[int, int | None]],
    input_shapes: Sequence[Sequence[int]],
    inputs: Sequence[Any],
) -> dict[str, int]:
    """Return the value of every symbol (see ``Graph.symbols``) for a call with these inputs."""
    return {
        name: int(inputs[i]) if dim is None else input_shapes[i][dim]
        for name, (i, dim) in symbols.items()
    }


def shape_text(shape: Shape) -> str:
    """Return a shape as Python prints a tuple, with formulas for dynamic sizes."""
    inner = ", ".join(map(str, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _typed(names: Mapping[int, str], value: Value) -> str:
    return f"{names[id(value)]}: {value.dtype}{shape_text(value.shape)}"


def volume(shape: Shape) -> float:
    """Return the number of elements, with opt values for dynamic sizes."""
    result = 1
    for size in shape:
        result *= size if isinstance(size, int) else shapes.optimum(size)
    return result
