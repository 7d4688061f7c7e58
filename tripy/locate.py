"""Comparison of a program with the reference engine, and the search for the first wrong operation.

Engines fuse operations, so a value that becomes a result is not computed as it is inside a program.
The search therefore compiles beginnings of the graph, each with one operation as its only result,
and finds the first whose own beginning is wrong. Then it takes away from the front what it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tripy import errors, shapes
from tripy.calls import InputLeaf
from tripy.engines import base, reference
from tripy.graph import Graph, Value, bind, renewed, replaced, shape_text
from tripy.inputs import info_of
from tripy.spread import RUNS, Moved
from tripy.structure import Slot
from tripy.verify import OutputRow, Report, Room, compare, tolerances

if TYPE_CHECKING:
    from tripy.executable import Executable

_SCANNED = 64  # operations up to which every beginning is tried, in order
_TRIES = 48  # programs that are built to make the one that shows the fault smaller
_LARGEST_SHOWN = 16  # elements of a constant
_HISTORY = (
    "a program that is built anew from the same graph is right: this one differs because of what "
    "it was built or loaded from, or of its earlier calls"
)


class Location(NamedTuple):
    """The operation that ``Executable.verify(locate=True)`` found.

    Attributes:
        operation: its primitive, or the name of the plugin.
        source: where the user wrote it: ``file:line, in function``; empty where that is not known.
        row: how its result differs in ``executable``; None where that fails.
        executable: the sub-program that shows the difference, on the same engine.
        inputs: what ``executable`` is to be called with; values in between are the reference's.
        notes: what else was seen, in sentences.
        text: all of this, as ``print`` shows it.
    """

    operation: str
    source: str
    row: OutputRow | None
    executable: Executable
    inputs: tuple[Any, ...]
    notes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


class Part(NamedTuple):
    """A sub-program: its graph, and which value of the whole graph each input and result is."""

    graph: Graph
    inputs: list[Value]
    outputs: list[Value]


def part_of(graph: Graph, outputs: Sequence[Value], cut: Iterable[int] = ()) -> Part:
    """Return what computes some values of a graph; those in ``cut``, by id, become inputs."""
    ends = set(cut)
    needed = {id(value) for value in outputs}
    for value in reversed(graph.values):
        if id(value) in needed and id(value) not in ends and not value.is_leaf and value.node:
            needed.update(id(i) for i in value.node.inputs)
    made: dict[int, Value] = {}
    taken = []  # values in the cut that are used
    for value in graph.values:
        if id(value) not in needed:
            continue
        if id(value) in ends:
            made[id(value)] = replaced(value, None)
            taken.append(value)
        else:
            node = None if value.is_leaf else value.node
            made[id(value)] = renewed(
                value, tuple(made[id(i)] for i in node.inputs) if node else ()
            )
    symbols = set().union(*(_symbols(value) for value in made.values()))
    read = {graph.symbols[name][0] for name in symbols}
    own = [v for n, v in enumerate(graph.inputs) if id(v) in made or n in read]
    return _numbered(graph, made, own, taken, outputs, symbols)


def _numbered(
    graph: Graph,
    made: Mapping[int, Value],
    own: list[Value],
    taken: list[Value],
    outputs: Sequence[Value],
    symbols: set[str],
) -> Part:
    """Build the graph of a part, whose inputs are ``own`` and ``taken`` of the whole one."""
    position = {id(value): n for n, value in enumerate(own)}
    number = {n: position[id(v)] for n, v in enumerate(graph.inputs) if id(v) in position}
    where = {s: (number[n], dim) for s, (n, dim) in graph.symbols.items() if s in symbols}
    names = {id(made[i]): name for i, name in graph.names.items() if i in made}
    names |= {id(made[id(v)]): f"given{n}" for n, v in enumerate(taken)}
    names |= {id(v): graph.names[id(v)] for v in own if id(v) in graph.names}
    kept = [c for c in graph.conditions if _symbols_of((c.left, c.right)) <= symbols]
    inputs = [*own, *(made[id(v)] for v in taken)]
    results = [made[id(value)] for value in outputs]
    return Part(Graph.build(inputs, results, kept, names, where), [*own, *taken], list(outputs))


def _symbols(value: Value) -> set[str]:
    attributes = () if value.node is None else tuple(value.node.attributes.values())
    return _symbols_of((value.shape, *attributes))


def _symbols_of(item: Any) -> set[str]:
    if isinstance(item, tuple):
        return set().union(*map(_symbols_of, item))
    return set(shapes.symbols(item))


class _Outcome(NamedTuple):
    """What a sub-program gave: its results that differ, or what the engine raised."""

    rows: list[tuple[Value, OutputRow]]
    failure: errors.TripyException | None = None

    @property
    def is_bad(self) -> bool:
        return bool(self.rows) or self.failure is not None


class Reference:
    """The values of a graph on the reference engine, and how much they may differ."""

    def __init__(self, graph: Graph, buffers: Sequence[Any], precision: str) -> None:
        self.buffers = [np.asarray(buffer) for buffer in buffers]
        self.graph = graph
        self.known = {id(value): array for value, array in zip(graph.inputs, self.buffers)}
        sizes = bind(graph.symbols, [b.shape for b in self.buffers], self.buffers)
        reference.run(graph.values, self.known, sizes)
        self._precision = precision
        self._moved: dict[bool, Moved] = {}

    def compared(
        self, path: str, value: Value, result: Any, given: tuple[Any, Any], everywhere: bool
    ) -> OutputRow:
        """Compare a result; where it differs, ask how far roundings move that value.

        Args:
            path: what to call it.
            value: which value it is.
            result: what the engine gave.
            given: the user's rtol and atol, or None.
            everywhere: whether other values than the graph's results will be asked for too.
        """
        limits = tolerances(value, self._precision, *given)
        found, expected = np.asarray(result), self.known[id(value)]
        row = compare(path, found, expected, limits)
        if not row.mismatched or given != (None, None):
            return row
        for room in self._rooms(value, everywhere):
            row = compare(path, found, expected, limits, room)
            if not row.mismatched:
                break
        return row

    def _rooms(self, value: Value, everywhere: bool) -> Iterator[Room]:
        """What a value may differ by, after ever more runs with other roundings."""
        if everywhere not in self._moved:
            wanted = None if everywhere else {id(v) for v in self.graph.outputs}
            self._moved[everywhere] = Moved(
                self.graph, self.buffers, self.known, self._precision, wanted
            )
        moved = self._moved[everywhere]
        for count in range(1, RUNS + 1):
            if moved.runs < count:
                moved.run()
            room = moved.room(value)
            if room is not None and moved.runs >= count:
                yield room


class _Search:
    """Builds sub-programs on an engine and compares their results."""

    def __init__(self, executable: Executable, expected: Reference, is_failure: bool) -> None:
        self.graph = executable._plan.graph
        self._options = executable._options
        self._engine = base.load(executable.engine)
        self._expected = expected
        self._is_failure = is_failure  # what to look for: an exception, or wrong values
        self._seen: dict[Any, _Outcome] = {}

    def outcome(self, outputs: Sequence[Value], cut: frozenset[int] = frozenset()) -> _Outcome:
        """Return what the program of some values gives; see ``part_of``."""
        key = tuple(map(id, outputs)), cut
        if key not in self._seen:
            self._seen[key] = self._outcome(part_of(self.graph, outputs, cut))
        return self._seen[key]

    def program(self, part: Part) -> Any:
        """Return the program of a part."""
        return self._engine.build(part.graph, self._options)

    def inputs(self, part: Part) -> list[Any]:
        """Return the reference's values of the inputs of a part."""
        place = self._options.device
        return [base.put(self._expected.known[id(value)], place) for value in part.inputs]

    def _outcome(self, part: Part) -> _Outcome:
        if self._engine.refusals(part.graph):  # the engine takes this value only inside
            return _Outcome([])
        try:
            results = self.program(part)(self.inputs(part))
        except errors.TripyException as problem:
            return _Outcome([], problem if self._is_failure else None)
        if self._is_failure:
            return _Outcome([])
        rows = [
            (value, self._expected.compared(_label(value), value, result, (None, None), True))
            for value, result in zip(part.outputs, results)
        ]
        return _Outcome([(value, row) for value, row in rows if row.mismatched])

    def is_bad(self, value: Value) -> bool:
        """Whether the program that ends with a value is wrong there."""
        return self.outcome([value]).is_bad


def _label(value: Value) -> str:
    return "input" if value.node is None else value.node.label


def _operands(value: Value) -> list[Value]:
    node = value.node
    return [] if node is None else [i for i in node.inputs if not i.is_leaf and i.node is not None]


def _first(search: _Search, results: Sequence[Value]) -> Value | None:
    """Return the first operation whose own program is wrong; None where none is."""
    operations = search.graph.operations
    if len(operations) <= _SCANNED:
        return next((value for value in operations if search.is_bad(value)), None)
    wrong = next((value for value in results if search.is_bad(value)), None)
    while wrong is not None:
        wrong = _bisected(search, wrong)
        before = next((value for value in _operands(wrong) if search.is_bad(value)), None)
        if before is None:
            break
        wrong = before
    return wrong


def _bisected(search: _Search, wrong: Value) -> Value:
    """Return an operation before which, as far as halving shows, nothing is wrong."""
    order = part_order(search.graph, wrong)
    low, high = -1, len(order) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if search.is_bad(order[middle]):
            kept = {id(value) for value in part_order(search.graph, order[middle])}
            good = {id(value) for value in order[: low + 1]}
            order = [value for value in order[: middle + 1] if id(value) in kept]
            low, high = sum(id(value) in good for value in order) - 1, len(order) - 1
        else:
            low = middle
    return order[high]


def part_order(graph: Graph, last: Value) -> list[Value]:
    """Return the operations that a value needs, itself the last, in topological order."""
    needed = {id(last)}
    found = []
    for value in reversed(graph.operations):
        if id(value) in needed:
            needed.update(id(i) for i in _operands(value))
            found.append(value)
    return found[::-1]


def _distances(graph: Graph, outputs: Sequence[Value]) -> dict[int, int]:
    """How many operations are between a value and the nearest result, by id."""
    found = {id(value): 0 for value in outputs}
    for value in reversed(graph.operations):
        if id(value) in found:
            for operand in _operands(value):
                near = found[id(value)] + 1
                found[id(operand)] = min(found.get(id(operand), near), near)
    return found


def _shrunk(search: _Search, outputs: list[Value]) -> tuple[list[Value], frozenset[int]]:
    """Return fewer results, and values to take as inputs, with which the program stays wrong."""
    for value in list(outputs):
        fewer = [v for v in outputs if v is not value]
        if fewer and search.outcome(fewer).is_bad:
            outputs = fewer
    away = _distances(search.graph, outputs)
    cut: frozenset[int] = frozenset()
    for depth in (*range(1, 9), *(2**n for n in range(4, 12))):
        tried = frozenset(key for key, distance in away.items() if distance >= depth)
        if not tried or search.outcome(outputs, tried).is_bad:
            cut = tried
            break
    inside = sorted((k for k, d in away.items() if d and k not in cut), key=lambda k: -away[k])
    for key in inside[:_TRIES]:
        if search.outcome(outputs, cut | {key}).is_bad:
            cut |= {key}
    return outputs, cut


def located(executable: Executable, expected: Reference, is_failure: bool) -> Location | None:
    """Return the first operation that is wrong; None where a program built anew is right."""
    if executable._options.layout is not None:
        raise errors.error(
            errors.TripyUnsupportedError,
            "the operations of a program on a mesh cannot be tried one by one.",
            received=f"locate=True, mesh={executable._options.layout}",
            expected="an Executable on one device",
            fix="compile without mesh and verify that, or leave out locate",
        )
    search = _Search(executable, expected, is_failure)
    everything = list(search.graph.outputs)
    whole = search.outcome(everything)
    results = [value for value, _ in whole.rows] or everything
    first = _first(search, results)
    if first is None and not whole.is_bad:
        return None
    outputs, cut = _shrunk(search, everything if first is None else [first])
    outcome = search.outcome(outputs, cut)
    target, row = outcome.rows[0] if outcome.rows else (outputs[0], None)
    part = part_of(search.graph, outputs, cut)
    notes = _notes(search, part, first)
    made = _executable(executable, part, search)
    inputs = tuple(search.inputs(part))
    text = _text(executable, target, row, outcome.failure, part, notes)
    source = () if target.node is None else target.node.source
    where = errors.location(source) if source else ""
    return Location(_label(target), where, row, made, inputs, notes, text)


def _notes(search: _Search, part: Part, first: Value | None) -> tuple[str, ...]:
    notes = []
    if len(part.graph.operations) > len(part.outputs):
        notes.append(
            "alone, on the reference's values, it is right: the fault shows only where the "
            "operations before it are part of the program"
        )
    if first is None:
        notes.append("as the only result it is right: the fault shows beside other results")
    return tuple(notes)


def _executable(executable: Executable, part: Part, search: _Search) -> Executable:
    """Return a sub-program as an Executable, which can be called, verified and saved."""
    from tripy.executable import Parameters, output_plan

    graph = part.graph
    names = graph.value_names()
    known = {id(v): i for v, i in zip(executable._graph.inputs, executable._inputs.leaves)}
    leaves = [
        InputLeaf(names[id(own)], known[id(value)].info if id(value) in known else info_of(value))
        for value, own in zip(part.inputs, graph.inputs)
    ]
    count = len(graph.outputs)
    single = count == 1
    return type(executable)(
        parameters=Parameters({leaf.path: Slot(n) for n, leaf in enumerate(leaves)}),
        leaves=leaves,
        template=Slot(0) if single else tuple(Slot(n) for n in range(count)),
        paths=["output"] if single else [f"output[{n}]" for n in range(count)],
        graph=graph,
        plan=output_plan(graph),
        program=_Late(search, part),
        engine=executable.engine,
        options=executable._options,
    )


class _Late:
    """A program that is built at its first call: one that cannot be built must not raise before."""

    def __init__(self, search: _Search, part: Part) -> None:
        self._engine, self._options = search._engine, search._options
        self._graph = part.graph
        self._program: Any = None

    def _built(self) -> Any:
        if self._program is None:
            self._program = self._engine.build(self._graph, self._options)
        return self._program

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        results: list[Any] = self._built()(inputs)
        return results

    def export(self) -> bytes | None:
        """Return the engine's program, where it exports one."""
        exported: bytes | None = self._built().export()
        return exported


def _text(
    executable: Executable,
    target: Value,
    row: OutputRow | None,
    failure: Exception | None,
    part: Part,
    notes: Sequence[str],
) -> str:
    name = executable._graph.value_names().get(id(target), "")
    lines = [f"first different operation: {_label(target)} ({name})"]
    lines += [] if target.node is None else errors.show_source(target.node.source)
    lines += [f"    {row}"] if row is not None else []
    lines += [f"    {line}" for line in str(failure or "").splitlines()]
    lines += [f"    {note}" for note in notes]
    lines.append("the program that shows it (location.executable, with location.inputs):")
    lines += [f"    {line}" for line in str(part.graph).splitlines()]
    return "\n".join([*lines, *_constants(part.graph)])


def _constants(graph: Graph) -> Iterator[str]:
    """Yield lines with the constants that are small."""
    names = graph.value_names()
    for value in graph.constants:
        data = np.asarray(value.data)
        elements = data.tolist() if data.size <= _LARGEST_SHOWN else "…"
        yield f"    {names[id(value)]}: {value.dtype}{shape_text(value.shape)} is {elements}"


def verified(
    executable: Executable,
    buffers: Sequence[Any],
    rtol: float | None,
    atol: float | None,
    locate: bool,
) -> Report:
    """Run an Executable's program and the reference engine, compare, and look for the operation."""
    plan = executable._plan
    expected = Reference(plan.graph, buffers, executable.precision)
    rows: list[OutputRow] = []
    failure = None
    try:
        results = executable._run(executable._program, buffers)
    except errors.TripyRuntimeError as problem:
        failure = problem
    else:
        for n, (path, value) in enumerate(zip(executable._paths, executable._graph.outputs)):
            if value.data is not None:  # a constant, which no program computes
                expected.known[id(value)] = np.asarray(value.data)
            rows.append(expected.compared(path, value, results[n], (rtol, atol), locate))
    report = Report(rows, failure)
    if locate and not report:
        report.location = located(executable, expected, failure is not None)
        report.note = "" if report.location else _HISTORY
    return report
