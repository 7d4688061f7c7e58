"""Times of the kernels of an XLA program, led back to the operations of the graph."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from tripy.engines.base import Kernel, Options
from tripy.engines.xla import XLAProgram
from tripy.engines.xla_memory import FAILURES, failure
from tripy.graph import Graph, Node
from tripy.locks import Lock

_tracing = Lock()  # JAX traces one thing at a time
_wait: Any = jax.block_until_ready  # its types are not complete

_COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.-]+) = ")
_NAME = re.compile(r"%([\w.-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%([\w.-]+)")
_SCOPE = re.compile(r"op_name=\"[^\"]*?/op(\d+)_")


def measure(graph: Graph, options: Options, inputs: Sequence[Any], repeat: int) -> list[Kernel]:
    """Build the graph once more with numbered operations, and trace calls of it."""
    nodes = [value.node for value in graph.operations if value.node is not None]
    scopes = {id(node.source): f"op{n}_{node.label}" for n, node in enumerate(nodes)}
    program = XLAProgram(graph, options, scopes)
    _wait(program(inputs))
    try:
        with _tracing, tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                for _ in range(repeat):
                    _wait(program(inputs))
            times = _times(folder, repeat)
    except (*FAILURES, RuntimeError) as problem:  # such as another trace that is running
        raise failure("profile the program", problem) from problem
    text = _Text(program.text(inputs))
    return [_kernel(name, text, nodes, t) for name, t in times.items()]


def _events(folder: str) -> Iterator[Any]:
    """Yield the events of operations, in any order."""
    for path in Path(folder).rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                yield from line.events


def _times(folder: str, repeat: int) -> dict[str, list[float]]:
    """Return the microseconds of each instruction in every call, in the order of first runs."""
    found: dict[str, list[tuple[float, float]]] = {}
    for event in _events(folder):
        name = dict(event.stats).get("hlo_op")
        if name is not None:
            found.setdefault(str(name), []).append((event.start_ns, event.duration_ns / 1e3))
    rows = sorted((sorted(events), name) for name, events in found.items())
    return {name: _per_call([time for _, time in events], repeat) for events, name in rows}


def _per_call(times: list[float], repeat: int) -> list[float]:
    """Return one time per call; an instruction in a loop runs several times in each."""
    count = len(times) // repeat
    if count * repeat != len(times):
        return [sum(times) / repeat] * repeat
    return [sum(times[i * count : (i + 1) * count]) for i in range(repeat)]


class _Text:
    """A compiled program as XLA prints it: which operations its instructions are of."""

    def __init__(self, text: str) -> None:
        self._own: dict[str, set[int]] = {}
        self._members: dict[str, list[str]] = {}  # computation -> instructions
        self._called: dict[str, list[str]] = {}  # instruction -> computations
        self._users: dict[str, list[str]] = {}
        inside = ""
        for line in text.splitlines():
            if begun := _COMPUTATION.match(line):
                inside = begun[1]
            elif instruction := _INSTRUCTION.match(line):
                self._add(inside, instruction[1], line[instruction.end() :])

    def _add(self, inside: str, name: str, rest: str) -> None:
        self._members.setdefault(inside, []).append(name)
        self._own[name] = {int(number) for number in _SCOPE.findall(rest)}
        self._called[name] = _CALLED.findall(rest)
        for operand in _NAME.findall(rest.partition("), ")[0]):
            self._users.setdefault(operand, []).append(name)

    def own(self, name: str) -> set[int]:
        """Return the numbers of the operations in an instruction."""
        parts = (self.own(m) for c in self._called.get(name, ()) for m in self._members.get(c, ()))
        return self._own.get(name, set()).union(*parts)

    def served(self, name: str) -> set[int]:
        """Return its own operations; where XLA forgot them, those of what uses it first."""
        found = self.own(name)
        while not found and (users := self._users.get(name)):
            name = users[0]
            found = self.own(name)
        return found


def _kernel(name: str, text: _Text, nodes: Sequence[Node], times: list[float]) -> Kernel:
    labels = [nodes[number].label for number in sorted(text.own(name))]
    found = [nodes[number] for number in sorted(text.served(name))]
    return Kernel("+".join(labels) or name.partition(".")[0], found, name, times)
