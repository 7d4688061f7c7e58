"""The portable form of graphs, sizes and templates: plain JSON values, and constants by name."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tripy import dtypes, errors, shapes, structure
from tripy.devices import CPU, device
from tripy.dtypes import BY_NAME
from tripy.graph import Graph, Node, Value
from tripy.interop import safetensors
from tripy.interop.files import bad
from tripy.ops.plugin import registered
from tripy.ops.registry import PRIMITIVES
from tripy.shapes import Condition, Dim, Function, Size, Symbol
from tripy.source import Place
from tripy.structure import Slot
from tripy.tensor import wrap

_FUNCTIONS = ("floordiv", "mod", "min", "max", "wrap", "broadcast")

# --- sizes and attributes --------------------------------------------------------------------


def size_to_json(size: Size) -> Any:
    """Return an int, or ``[[coefficient, [atom, …]], …]``."""
    if isinstance(size, int):
        return size
    return [[c, [_atom_to_json(atom) for atom in m]] for m, c in size.terms]


def _atom_to_json(atom: shapes.Atom) -> list[Any]:
    if isinstance(atom, Symbol):
        return list(atom)
    return [atom.name, size_to_json(atom.left), size_to_json(atom.right)]


def size_from_json(record: Any) -> Size:
    """Return the size that a record stands for; BadFile for anything else."""
    if type(record) is int:
        return record
    if not isinstance(record, list):
        bad(f"{errors.brief(record)} is no size")
    total: Size = 0
    for coefficient, atoms in record:
        if type(coefficient) is not int:
            bad(f"{errors.brief(record)} is no size")
        total = total + coefficient * shapes.product(map(_atom_from_json, atoms))
    return total


def _atom_from_json(record: Any) -> Size:
    name, *rest = record
    if len(rest) == 3 and type(name) is str and all(type(bound) is int for bound in rest):
        return shapes.symbol(name, *rest)
    if len(rest) != 2 or name not in _FUNCTIONS:
        bad(f"{errors.brief(record)} is no part of a size")
    left, right = map(size_from_json, rest)
    return Dim((((Function(name, left, right),), 1),))


def _attribute_to_json(value: Any) -> Any:
    """Return JSON that tells tuples, sizes, dtypes and infinite floats apart."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Dim):
        return {"size": size_to_json(value)}
    if isinstance(value, dtypes.dtype):
        return {"dtype": value.name}
    if isinstance(value, (tuple, list)):
        return {"tuple": [_attribute_to_json(item) for item in value]}
    raise errors.error(
        errors.TripyUnsupportedError,
        "an attribute of the graph has no portable form.",
        received=errors.describe(value),
        expected="numbers, strings, dtypes, sizes and tuples of them",
        fix="give the plugin attributes of these types",
    )


_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "size": size_from_json,
    "dtype": lambda name: BY_NAME[name],
    "tuple": lambda items: tuple(_attribute_from_json(item) for item in items),
}


def _attribute_from_json(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    ((kind, value),) = record.items()
    return _ATTRIBUTES[kind](value)


# --- graphs ----------------------------------------------------------------------------------


def graph_to_json(
    graph: Graph, with_sources: bool = True
) -> tuple[dict[str, Any], dict[str, Value]]:
    """Return the record of a graph, and its constants by the names that the record uses."""
    numbers = {id(value): i for i, value in enumerate(_all_values(graph))}
    places: dict[Place, int] | None = {} if with_sources else None
    constants = _named_constants(graph)
    names = {id(value): name for name, value in constants.items()}
    rows = [_row(value, numbers, names, places) for value in _all_values(graph)]
    record = {
        "values": rows,
        "inputs": [numbers[id(value)] for value in graph.inputs],
        "outputs": [numbers[id(value)] for value in graph.outputs],
        "conditions": [_condition_to_json(c, places) for c in graph.conditions],
        "symbols": {name: list(at) for name, at in graph.symbols.items()},
        "names": {str(numbers[key]): n for key, n in graph.names.items() if key in numbers},
        "sources": [list(place) for place in places or ()],
    }
    return record, constants


def _all_values(graph: Graph) -> list[Value]:
    known = {id(value) for value in graph.values}
    return [*(value for value in graph.inputs if id(value) not in known), *graph.values]


def _named_constants(graph: Graph) -> dict[str, Value]:
    """Name constants as the module does, the others by number."""
    found: dict[str, Value] = {}
    for value in graph.constants:
        name = graph.names.get(id(value)) or f"constant.{len(found)}"
        while name in found:
            name += "_"
        found[name] = value
    return found


def _place_number(source: errors.Source, places: dict[Place, int] | None) -> int | None:
    place = None if places is None else errors.place_of(source)
    return None if places is None or place is None else places.setdefault(place, len(places))


def _row(
    value: Value,
    numbers: Mapping[int, int],
    names: Mapping[int, str],
    places: dict[Place, int] | None,
) -> dict[str, Any]:
    shape = [size_to_json(size) for size in value.shape]
    row: dict[str, Any] = {"dtype": value.dtype.name, "shape": shape}
    node = value.node
    if id(value) in names:
        row["constant"] = names[id(value)]
    elif node is not None:
        row["operation"] = node.primitive.name
        row["inputs"] = [numbers[id(i)] for i in node.inputs]
        row["attributes"] = {k: _attribute_to_json(v) for k, v in node.attributes.items()}
    source = _place_number(value.source, places)
    return row if source is None else {**row, "source": source}


def _condition_to_json(condition: Condition, places: dict[Place, int] | None) -> list[Any]:
    relation, left, right, message, source = condition
    number = _place_number(source, places)
    return [relation, size_to_json(left), size_to_json(right), message, number]


class _Reader:
    """Rebuilds a graph, and checks every value against the rules of its primitive."""

    def __init__(self, record: Any, constants: Mapping[str, Any], place: device) -> None:
        self.record = record
        self.constants = constants
        self.device = place
        self.sources = [(Place(*row),) for row in record["sources"]]
        self.values: list[Value] = []

    def graph(self) -> Graph:
        record = self.record
        for row in record["values"]:
            self.values.append(self._value(row))
        inputs = [self.values[i] for i in record["inputs"]]
        outputs = [self.values[i] for i in record["outputs"]]
        conditions = [self._condition(*row) for row in record["conditions"]]
        names = {id(self.values[int(i)]): name for i, name in record["names"].items()}
        symbols = {name: (i, dim) for name, (i, dim) in record["symbols"].items()}
        graph = Graph.build(inputs, outputs, conditions, names, symbols)
        _check(graph)
        return graph

    def _source(self, row: Mapping[str, Any]) -> errors.Source:
        number = row.get("source")
        return () if number is None else self.sources[number]

    def _value(self, row: Mapping[str, Any]) -> Value:
        kind = BY_NAME[row["dtype"]]
        shape = tuple(map(size_from_json, row["shape"]))
        source = self._source(row)
        if "constant" in row:
            return self._constant(row["constant"], kind, shape, source)
        if "operation" not in row:
            return Value(kind, shape, self.device, traced=True, source=source)
        primitive = PRIMITIVES[row["operation"]]
        inputs = tuple(self.values[i] for i in row["inputs"])
        attributes = {k: _attribute_from_json(v) for k, v in row["attributes"].items()}
        if primitive.name == "plugin":
            attributes["revision"] = registered(attributes["plugin"]).revision
        result = primitive.infer(*inputs, **attributes)
        if result != (kind, shape):
            bad(f"the operation {primitive.name!r} does not give {kind} {shape}")
        node = Node(primitive, inputs, attributes, result, source)
        return Value(kind, shape, self.device, node, None, True, source)

    def _constant(
        self, name: str, kind: dtypes.dtype, shape: shapes.Shape, source: errors.Source
    ) -> Value:
        tensor = self.constants[name]
        if tensor.dtype is not kind or tensor.shape != shape:
            bad(f"the constant {name!r} is {tensor.dtype} {tensor.shape}, not {kind} {shape}")
        value = Value(kind, shape, self.device, None, tensor._host(), source=source)
        value.parameter = True
        return value

    def _condition(
        self, relation: str, left: Any, right: Any, message: str, source: int | None
    ) -> Condition:
        sizes = size_from_json(left), size_from_json(right)
        place = () if source is None else self.sources[source]
        return Condition(relation, *sizes, message, place)


def _check(graph: Graph) -> None:
    """BadFile for values that nothing gives, and for sizes that no input has."""
    known = {id(value) for value in graph.inputs}
    if any(v.node is None and v.data is None and id(v) not in known for v in graph.values):
        bad("its graph has a value that nothing computes")
    for name, (index, dim) in graph.symbols.items():
        value = graph.inputs[index]
        if name not in (shapes.symbols(value.shape[dim]) if dim is not None else (name,)):
            bad(f"its graph has no input of the size {errors.brief(name)}")
    sizes = [size for value in (*graph.inputs, *graph.values) for size in value.shape]
    sizes += [size for c in graph.conditions for size in (c.left, c.right)]
    if not all(shapes.symbols(size).keys() <= graph.symbols.keys() for size in sizes):
        bad("its graph has a size that no input gives")
    if not all(c.relation in shapes.RELATIONS for c in graph.conditions):
        bad("its graph has an unknown condition")


def graph_from_json(record: Any, constants: Mapping[str, Any], place: device) -> Graph:
    """Return the graph of a record; any error of Python where it is no consistent one."""
    return _Reader(record, constants, place).graph()


def graph_to_parts(graph: Graph, with_sources: bool = True) -> tuple[list[Any], list[Any]]:
    """Return the record of a graph and the elements of its constants, both as parts of a file."""
    record, constants = graph_to_json(graph, with_sources)
    known = {n: Value(v.dtype, v.shape, v.device, data=v.data) for n, v in constants.items()}
    header, tensors = safetensors.encode({name: wrap(value) for name, value in known.items()})
    weights = [header, *(safetensors.to_bytes(t._host(), t.dtype) for t in tensors)]
    return [dumped(record)], weights


def dumped(record: Any) -> bytes:
    """Return the text of a record."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()


def graph_from_parts(record: Any, weights: Any) -> Graph:
    """Return the graph of a record and constants that ``graph_to_parts`` gave."""
    constants = safetensors.decode(memoryview(weights), CPU, "<graph>")
    return graph_from_json(json.loads(bytes(record)), constants, CPU)


# --- templates -------------------------------------------------------------------------------

_PLAIN = (bool, int, float, str, type(None))


def template_to_json(template: Any) -> Any:
    """Return a nested structure with its slots; constants that JSON lacks become null."""
    if isinstance(template, Slot):
        return {"slot": template.index}
    if isinstance(template, dict):
        return {"dict": {k: template_to_json(v) for k, v in template.items()}}
    if type(template) in (list, tuple):
        return {type(template).__name__: [template_to_json(item) for item in template]}
    if structure.is_container(template):
        members = {key: template_to_json(m) for _, key, m in structure.children(template)}
        kind = type(template)
        return {"class": [kind.__module__, kind.__qualname__], "members": list(members.values())}
    if isinstance(template, float) and not math.isfinite(template):
        return {"float": str(template)}
    return template if type(template) in _PLAIN else None


def template_from_json(record: Any) -> Any:
    """Return the structure of a record; classes are looked up, never imported."""
    if not isinstance(record, dict):
        return record
    kind = next(iter(record), "")
    value = record.get(kind)
    if kind == "slot" and type(value) is int:
        return Slot(value)
    if kind == "float":
        return float(value)  # type: ignore[arg-type]
    if kind == "dict" and isinstance(value, dict):
        return {k: template_from_json(v) for k, v in value.items()}
    if kind in ("list", "tuple") and isinstance(value, list):
        items = [template_from_json(item) for item in value]
        return tuple(items) if kind == "tuple" else items
    if kind == "class" and isinstance(value, list) and len(value) == 2:
        members = [template_from_json(item) for item in record["members"]]
        return _instance(value[0], value[1], members)
    return bad(f"{errors.brief(record)} is no structure")


def _instance(module: str, name: str, members: list[Any]) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields"):
        return found(*members)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        fix = f"import {module} before you load the file"
        bad(f"its structure has the class {module}.{name}, which is not there", fix)
    made = object.__new__(found)
    for entry, member in zip(dataclasses.fields(found), members):
        object.__setattr__(made, entry.name, member)
    return made
