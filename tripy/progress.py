"""Stages of a compile and results of a map: a callback, or a line on the terminal meanwhile."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from tripy import errors

Callback = Callable[[str, float], Any]
Counter = Callable[[int, int | None], Any]

_PATIENCE = 0.5  # seconds until a line appears
_INTERVAL = 0.1
_FRAMES = "|/-\\"
_BAR = 20  # characters
_terminal = threading.Lock()  # held by what writes; others are silent


class CompileStage(NamedTuple):
    """One stage of a compile.

    Attributes:
        name: ``trace`` (the function is called), ``passes`` (weights are loaded and constants
            folded), ``build`` (an engine is chosen and builds the program) or ``check`` (it is
            compared with the reference engine, where that was asked for).
        seconds: how long it took.
    """

    name: str
    seconds: float


class CompileReport(NamedTuple):
    """How long each stage of a compile took; its text is a table.

    Attributes:
        stages: the stages in order.

    Example:
        >>> report = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)]).compile_report
        >>> [stage.name for stage in report.stages]
        ['trace', 'passes', 'build']
        >>> str(report).splitlines()[-1].split()[0]
        'total'
    """

    stages: tuple[CompileStage, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Sum of the times of all stages."""
        return sum(stage.seconds for stage in self.stages)

    def __str__(self) -> str:
        rows = (*self.stages, CompileStage("total", self.total_seconds))
        return "\n".join(f"{name:<8}{seconds:8.3f} s" for name, seconds in rows)


class Progress:
    """A compile that is running; ``with`` it, name each stage as it starts."""

    def __init__(self, callback: Callback | None = None) -> None:
        self._callback = callback
        self._starts: list[tuple[str, float]] = []
        self._line: _Line | None = None

    def __enter__(self) -> Progress:
        return self

    def start(self, stage: str) -> None:
        """Begin a stage, which ends the one before."""
        self._starts.append((stage, time.perf_counter()))
        if self._callback is not None:
            self._callback(stage, self._starts[-1][1] - self._starts[0][1])
        elif self._line is None and len(self._starts) > 1:
            # not in the first stage, which runs the user's code, and that may print
            self._line = _Line.opened(self._text, self._starts[0][1])

    def _text(self, spent: float) -> str:
        return f"compiling: {self._starts[-1][0]}, {spent:.1f} s"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            self._line.close()
        self._starts.append(("", time.perf_counter()))

    @property
    def report(self) -> CompileReport:
        """The times of all stages, after the end."""
        pairs = itertools.pairwise(self._starts)
        return CompileReport(tuple(CompileStage(name, end - at) for (name, at), (_, end) in pairs))


class Count:
    """Results that come one by one, shown as they do; ``with`` it, and add each."""

    def __init__(self, show: bool | Counter, total: int | None) -> None:
        self._callback = None if isinstance(show, bool) else show
        self._is_shown = show is True
        self._line: _Line | None = None
        self.total = total
        self.done = 0

    def __enter__(self) -> Count:
        if self._is_shown:
            self._line = _Line.opened(self._text, time.perf_counter())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            self._line.close()

    def add(self) -> None:
        """Count one more result."""
        self.done += 1
        if self._callback is not None:
            self._callback(self.done, self.total)

    def _text(self, spent: float) -> str:
        done, total = self.done, self.total
        counted = f"{done}" if not total else f"{_bar(min(done / total, 1.0))}, {done} of {total}"
        return f"mapping: {counted}, {done / max(spent, 1e-9):.1f}/s, {spent:.1f} s"


def _bar(share: float) -> str:
    return f"[{'#' * int(share * _BAR):.<{_BAR}}] {int(share * 100)} %"


class _Line(threading.Thread):
    """Writes one changing line to a terminal while something takes long, and erases it."""

    def __init__(self, text: Callable[[float], str], start: float, stream: Any) -> None:
        super().__init__(name="tripy progress", daemon=True)
        self._text = text  # of the seconds since the start
        self._beginning = start
        self._stream = stream
        self._width = 0
        self._done = threading.Event()
        self._process = os.getpid()

    @classmethod
    def opened(cls, text: Callable[[float], str], start: float) -> _Line | None:
        """Start a line, where stderr is a terminal that no other line is on."""
        stream = sys.stderr
        if stream is None or not stream.isatty() or not _terminal.acquire(blocking=False):
            return None
        made = cls(text, start, stream)
        made.start()
        return made

    def run(self) -> None:
        pause = _PATIENCE - (time.perf_counter() - self._beginning)
        for frame in itertools.cycle(_FRAMES):
            if self._done.wait(max(pause, 0.0)):
                break
            self._show(f"{frame} {self._text(time.perf_counter() - self._beginning)}")
            pause = _INTERVAL

    def close(self) -> None:
        """Stop writing and erase the line; a forked process has no part in it."""
        if os.getpid() != self._process:
            return
        self._done.set()
        self.join()
        if self._width:
            self._show("")
        _terminal.release()

    def _show(self, text: str) -> None:
        """Write over the line; the cursor goes back, so that other output starts on it."""
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            self._stream.write(f"\r{text:<{self._width}}\r")
            self._stream.flush()
        self._width = len(text)


def check_callback(callback: Any) -> None:
    """Raise TripyTypeError unless a callback takes (stage, elapsed)."""
    if callback is not None and not _takes(callback, "trace", 0.0):
        raise errors.error(
            errors.TripyTypeError,
            "progress must be a function of a stage and a time.",
            received=errors.describe(callback),
            expected="a function that takes (stage: str, elapsed: float)",
            fix="progress=lambda stage, elapsed: print(stage, elapsed)",
            argument="progress",
        )


def check_counter(show: Any) -> None:
    """Raise TripyTypeError unless it is a bool, or a callback takes (done, total)."""
    if not isinstance(show, bool) and not _takes(show, 0, None):
        raise errors.error(
            errors.TripyTypeError,
            "progress must be True, False or a function of two counts.",
            received=errors.describe(show),
            expected="True, False or a function that takes (done: int, total: int | None)",
            fix="progress=True, or progress=lambda done, total: print(done, total)",
            argument="progress",
        )


def _takes(callback: Any, *arguments: Any) -> bool:
    try:
        inspect.signature(callback).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True
