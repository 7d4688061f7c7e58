"""The helper process of a forked one: builds and runs the programs that it is sent.

python -m tripy.helper, with pipes for stdin and stdout; ``engines/remote.py`` is the other side.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from tripy import dtypes, errors
from tripy.devices import device
from tripy.engines import base, wire
from tripy.graph import Graph
from tripy.portable import graph_from_parts

Answer = tuple[dict[str, Any], list[list[Any]]]


class _Built:
    """A program and the graph that says what its inputs are."""

    def __init__(self, graph: Graph, program: base.Program) -> None:
        self.program = program
        self._inputs = [dtypes.to_numpy(value.dtype) for value in graph.inputs]

    def __call__(self, arrays: list[Any], shapes: list[list[int]]) -> list[Any]:
        rows = zip(arrays, self._inputs, shapes)
        return self.program([array.view(kind).reshape(shape) for array, kind, shape in rows])


_programs: dict[int, _Built] = {}


def _options(record: dict[str, Any]) -> base.Options:
    place, *others = record["options"]
    return base.Options(device(place), *others)


def _fingerprint(record: dict[str, Any], members: list[Any]) -> Answer:
    return {"fingerprint": base.load(record["engine"]).fingerprint(_options(record))}, []


def _build(record: dict[str, Any], members: list[Any]) -> Answer:
    engine, options = base.load(record["engine"]), _options(record)
    graph, exported = graph_from_parts(*members[:2]), members[2:]
    make = engine.restore if exported else engine.build
    program = make(graph, options, *exported)
    number = max(_programs, default=0) + 1
    _programs[number] = _Built(graph, program)
    return {"program": number}, []


def _call(record: dict[str, Any], members: list[Any]) -> Answer:
    results = _programs[record["program"]](members, record["shapes"])
    return {"shapes": [array.shape for array in results]}, [[wire.raw(a)] for a in results]


def _export(record: dict[str, Any], members: list[Any]) -> Answer:
    return {}, [[_programs[record["program"]].program.export()]]


_TASKS: dict[str, Callable[[dict[str, Any], list[Any]], Answer]] = {
    "fingerprint": _fingerprint,
    "build": _build,
    "call": _call,
    "export": _export,
}


def _answer(record: dict[str, Any], members: list[Any]) -> Answer:
    for number in record["dropped"]:
        _programs.pop(number, None)
    try:
        return _TASKS[record["do"]](record, members)
    except Exception as problem:
        known = isinstance(problem, errors.TripyException)
        kind = type(problem) if known else errors.TripyRuntimeError
        text = str(problem) if known else f"the helper process failed: {problem!r}."
        return {"error": [kind.__name__, text], "cause": str(problem.__cause__ or problem)}, []


def main() -> None:
    """Answer requests until nobody can send any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too, but is for the other side
    requests, answers = (os.fdopen(os.dup(end), mode, 0) for end, mode in ((0, "rb"), (1, "wb")))
    os.dup2(2, 1)  # whatever prints must not get among the answers
    try:
        while True:
            wire.send(answers, *_answer(*wire.receive(requests)))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # at once: there is nothing to keep


if __name__ == "__main__":
    main()
