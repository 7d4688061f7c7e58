"""Programs that run in a helper process, for processes in which an engine cannot run.

The helper (``tripy/helper.py``) is started with the first program. It ends when the pipe to it is
closed, which the end of this process does, however that comes. Calls of several threads take turns.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from tripy import dtypes, errors
from tripy.engines import wire
from tripy.engines.base import Options
from tripy.graph import Graph
from tripy.host import HOOKS
from tripy.locks import Lock

_logger = logging.getLogger("tripy.runtime")
_SLOT = re.compile(r"^  (received|expected|how to fix): (.*)$", re.MULTILINE)


class _Helper:
    """The helper process of this process."""

    def __init__(self) -> None:
        import subprocess  # few processes need it

        paths = os.pathsep.join(map(os.path.abspath, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tripy.helper"],
            bufsize=0,  # a process that is forked while something is written must not write it too
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self.is_open = True
        self.dropped: deque[int] = deque()  # numbers of programs that nobody has any more

    def ask(self, record: dict[str, Any], members: Sequence[Sequence[Any]] = ()) -> Any:
        """Return the answer (a record, then arrays of bytes) to a request, or raise its error."""
        record["dropped"] = [self.dropped.popleft() for _ in range(len(self.dropped))]
        answered = False
        try:
            wire.send(self._process.stdin, record, members)
            answer, found = wire.receive(self._process.stdout)
            answered = True
        except (OSError, EOFError, ValueError, MemoryError) as problem:
            raise _failed("gave no whole answer", repr(problem)) from problem
        finally:
            if not answered:  # perhaps interrupted: the rest of the answer would come next
                self.close()
        if "error" in answer:
            raise _error(*answer["error"]) from RuntimeError(answer["cause"])
        return answer, found

    def close(self) -> None:
        """End the process."""
        self.is_open = False
        with contextlib.suppress(OSError), self._process as process:
            process.kill()

    def leave(self) -> None:
        """Let go of the helper of the parent, in a process that was just forked."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.returncode = 0  # it is no child of this process


def _failed(what: str, received: str) -> errors.TripyRuntimeError:
    return errors.error(
        errors.TripyRuntimeError,
        f"the helper process, which runs programs for this forked process, {what}.",
        received=received,
        expected="a process of Python; the next call starts another one",
        fix="see what it wrote to stderr and whether there is memory left, or use "
        "multiprocessing.get_context('spawn')",
    )


def _error(kind: str, text: str) -> errors.TripyException:
    """Return an error of the helper, with the user's line in this process."""
    slots = dict(_SLOT.findall(text))
    known: type[errors.TripyException] = getattr(errors, kind)
    return errors.error(
        known,
        text.partition("\n")[0],
        received=slots.get("received"),
        expected=slots.get("expected"),
        fix=slots.get("how to fix"),
    )


# --- the helper of this process --------------------------------------------------------------

_lock = Lock()
_helpers: list[_Helper] = []  # the one that runs
_warned: list[int] = []  # this process, once it was told


def _helper() -> _Helper:
    if not _helpers or not _helpers[0].is_open:
        if _warned != [os.getpid()]:
            _warned[:] = [os.getpid()]
            _logger.warning(
                "compiled programs run in a helper process, because this process was forked after "
                "its parent ran some; processes of multiprocessing.get_context('spawn') are faster"
            )
        _helpers[:] = [_started()]
    return _helpers[0]


def _started() -> _Helper:
    try:
        return _Helper()
    except (OSError, TypeError) as problem:
        raise _failed("could not be started", repr(sys.executable)) from problem


def ask(record: dict[str, Any], members: Sequence[Sequence[Any]] = ()) -> Any:
    """Return the answer of the helper."""
    with _lock:
        return _helper().ask(record, members)


def _close() -> None:
    for helper in _helpers:
        helper.close()


def _after_fork() -> None:
    for helper in _helpers:
        helper.leave()
    _helpers.clear()


atexit.register(_close)
if hasattr(os, "register_at_fork"):  # there is none on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)


# --- programs --------------------------------------------------------------------------------


def _described(options: Options) -> list[Any]:
    return [str(options.device), *options._replace(streams=1)[1:]]  # because calls take turns


def fingerprint(engine: str, options: Options) -> str:
    """Return what the engine of the helper says."""
    answer, _ = ask({"do": "fingerprint", "engine": engine, "options": _described(options)})
    text: str = answer["fingerprint"]
    return text


class RemoteProgram:
    """A program of the helper process; sent again where the helper is another one."""

    def __init__(self, engine: str, graph: Graph, options: Options, exported: Any = None) -> None:
        _check(graph)
        self._request = {"do": "build", "engine": engine, "options": _described(options)}
        self._graph = HOOKS["graph_to_parts"](graph)  # no values: those are known by identity
        self._outputs = [dtypes.to_numpy(value.dtype) for value in graph.outputs]
        self._place: tuple[_Helper, int] | None = None
        with _lock:
            self._build(_helper(), exported)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        shapes = [array.shape for array in inputs]
        members = [[wire.raw(array)] for array in inputs]
        answer, found = self._ask({"do": "call", "shapes": shapes}, members)
        rows = zip(found, self._outputs, answer["shapes"])
        return [array.view(kind).reshape(shape) for array, kind, shape in rows]

    def export(self) -> bytes:
        """Return the compiled model, with its weights."""
        _, (exported,) = self._ask({"do": "export"})
        return bytes(exported)

    def __del__(self) -> None:
        place = getattr(self, "_place", None)
        if place is not None:
            place[0].dropped.append(place[1])

    def _ask(self, record: dict[str, Any], members: Sequence[Sequence[Any]] = ()) -> Any:
        with _lock:
            helper = _helper()
            if self._place is None or self._place[0] is not helper:
                self._build(helper, None)
            return helper.ask(record | {"program": self._number}, members)

    def _build(self, helper: _Helper, exported: Any) -> None:
        members = [*self._graph, *([] if exported is None else [[exported]])]
        answer, _ = helper.ask(self._request, members)
        self._number: int = answer["program"]
        self._place = helper, self._number


def _check(graph: Graph) -> None:
    """Raise TripyUnsupportedError for code of the user, which the helper does not have."""
    for value in graph.operations:
        if value.node is not None and value.node.primitive.name == "plugin":
            raise errors.error(
                errors.TripyUnsupportedError,
                f"the plugin {value.node.label!r} cannot run in a process that was forked after "
                "compiled programs ran.",
                received="a graph with a plugin",
                expected="operations of tripy, which a helper process knows too",
                fix="use multiprocessing.get_context('spawn'), or engine='reference'",
                source=value.node.source,
            )
