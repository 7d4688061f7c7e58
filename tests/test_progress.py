"""Stages of a compile: the report, the callback, and the line on a terminal."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import tripy as tp
from tripy import passes, progress
from tripy.progress import CompileReport, CompileStage

INFO = tp.InputInfo((2,), tp.float32)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> str:
        """What the last line shows after all that was written."""
        line: list[str] = []
        column = 0
        for character in self.getvalue().rpartition("\n")[2]:
            if character == "\r":
                column = 0
                continue
            line[column : column + 1] = [character]
            column += 1
        return "".join(line).rstrip()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made))
    monkeypatch.setattr(progress, "_PATIENCE", 0.05)
    monkeypatch.setattr(progress, "_INTERVAL", 0.01)
    return made


def until(condition: Callable[[], Any]) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def during_passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Adds something that a compile does among its passes."""

    def add(action: Callable[[], Any]) -> None:
        monkeypatch.setitem(passes.PASSES, "test", lambda graph: (action(), graph)[1])

    return add


def compiled(**options: Any) -> tp.Executable:
    return tp.compile(tp.relu, args=[INFO], engine="reference", **options)


# The report and the callback --------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["openvino", "reference"])
def test_report_has_all_stages(engine: str) -> None:
    start = time.perf_counter()
    report = tp.compile(tp.relu, args=[INFO], engine=engine).compile_report
    spent = time.perf_counter() - start
    assert [stage.name for stage in report.stages] == ["trace", "passes", "build"]
    assert all(stage.seconds > 0 for stage in report.stages)
    assert report.total_seconds <= spent
    assert report.total_seconds == pytest.approx(sum(s.seconds for s in report.stages))


def test_report_knows_which_stage_takes_long(
    during_passes: Callable[[Callable[[], Any]], None],
) -> None:
    during_passes(lambda: time.sleep(0.2))
    report = compiled().compile_report
    assert report.stages[1].seconds >= 0.2
    assert max(report.stages, key=lambda stage: stage.seconds).name == "passes"


def test_text_of_the_report() -> None:
    report = CompileReport((CompileStage("trace", 0.0126), CompileStage("build", 1.5)))
    assert str(report).splitlines() == [
        "trace      0.013 s",
        "build      1.500 s",
        "total      1.513 s",
    ]
    assert str(CompileReport()) == "total      0.000 s"


def test_callback_gets_stages_and_times_from_the_start() -> None:
    seen: list[tuple[str, float]] = []
    report = compiled(progress=lambda *row: seen.append(row)).compile_report
    times = [stage.seconds for stage in report.stages]
    assert [name for name, _ in seen] == ["trace", "passes", "build"]
    assert [at for _, at in seen] == pytest.approx([0.0, times[0], times[0] + times[1]])


def test_callback_may_be_any_callable_of_two() -> None:
    class Watcher:
        def __init__(self) -> None:
            self.stages: list[str] = []

        def watch(self, stage: str, elapsed: float, *, extra: int = 0) -> None:
            self.stages.append(stage)

        __call__ = watch

    watcher = Watcher()
    compiled(progress=watcher)
    compiled(progress=watcher.watch)
    assert watcher.stages == ["trace", "passes", "build"] * 2


@pytest.mark.parametrize("wrong", [lambda: None, lambda a, b, c: None, int, "yes"])
def test_callback_that_cannot_be_called_is_refused_at_once(wrong: Any) -> None:
    def never(x: tp.Tensor) -> tp.Tensor:
        raise AssertionError("traced")

    with pytest.raises(tp.TripyTypeError, match="progress must be a function"):
        tp.compile(never, args=[INFO], progress=wrong)


def test_errors_of_the_callback_pass_through(terminal: Terminal) -> None:
    def stop(stage: str, elapsed: float) -> None:
        if stage == "build":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compiled(progress=stop)
    assert terminal.getvalue() == ""


# The line on a terminal -------------------------------------------------------------------------


def test_long_compile_shows_its_stage_and_erases_the_line(
    terminal: Terminal, during_passes: Callable[[Callable[[], Any]], None]
) -> None:
    during_passes(lambda: until(lambda: terminal.getvalue().count("compiling") > 5))
    compiled()
    text = terminal.getvalue()
    assert re.search(r"\r[|/\\-] compiling: passes, \d+\.\d s *\r", text)
    assert "\n" not in text
    assert text.endswith("\r")
    assert terminal.screen() == ""


def test_line_follows_the_stages(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    from tripy.engines.reference import ReferenceEngine

    build = ReferenceEngine.build

    def slow(*args: Any) -> Any:
        until(lambda: "compiling: build" in terminal.getvalue())
        return build(*args)

    monkeypatch.setattr(ReferenceEngine, "build", slow)
    compiled()
    assert "compiling: passes" not in terminal.getvalue()
    assert terminal.screen() == ""


def test_other_output_starts_on_the_line(
    terminal: Terminal, during_passes: Callable[[Callable[[], Any]], None]
) -> None:
    def warn() -> None:
        until(lambda: "compiling" in terminal.getvalue())
        terminal.write("a warning of one line that is longer than the line of the compile\n")

    during_passes(warn)
    compiled()
    lines = terminal.getvalue().split("\n")
    assert "\ra warning of one line" in lines[0]
    assert terminal.screen() == ""


def test_short_compile_writes_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 60.0)
    compiled()
    assert terminal.getvalue() == ""
    assert [t for t in threading.enumerate() if t.name == "tripy progress"] == []


def test_line_appears_after_half_a_second() -> None:
    assert progress._PATIENCE == 0.5


@pytest.mark.parametrize("stream", ["file", "none"])
def test_nothing_happens_without_a_terminal(
    stream: str,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    during_passes: Callable[[Callable[[], Any]], None],
) -> None:
    plain = io.StringIO() if stream == "file" else None
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=plain))
    names: list[str] = []

    def look() -> None:
        time.sleep(0.1)
        names.extend(thread.name for thread in threading.enumerate())

    during_passes(look)
    compiled()
    assert "tripy progress" not in names
    assert plain is None or plain.getvalue() == ""


def test_callback_replaces_the_line(
    terminal: Terminal, during_passes: Callable[[Callable[[], Any]], None]
) -> None:
    during_passes(lambda: time.sleep(0.1))
    compiled(progress=lambda stage, elapsed: None)
    assert terminal.getvalue() == ""


def test_line_waits_for_the_users_function(terminal: Terminal) -> None:
    def slow(x: tp.Tensor) -> tp.Tensor:
        time.sleep(0.1)
        assert terminal.getvalue() == ""
        return x + 1.0

    tp.compile(slow, args=[INFO], engine="reference")


def test_line_goes_when_the_compile_fails(
    terminal: Terminal, during_passes: Callable[[Callable[[], Any]], None]
) -> None:
    def fail() -> None:
        until(lambda: "compiling" in terminal.getvalue())
        raise KeyError("mine")

    during_passes(fail)
    for _ in range(2):  # the second one may write again
        terminal.seek(0)
        terminal.truncate()
        with pytest.raises(KeyError, match="mine"):
            compiled()
        assert terminal.screen() == ""
    assert [t for t in threading.enumerate() if t.name == "tripy progress"] == []


def test_only_one_of_several_compiles_writes(
    terminal: Terminal,
    during_passes: Callable[[Callable[[], Any]], None],
    in_threads: Callable[[int, Callable[[int], None]], None],
) -> None:
    most: list[int] = []

    def look() -> None:
        until(lambda: "compiling" in terminal.getvalue())
        most.append(sum(t.name == "tripy progress" for t in threading.enumerate()))

    during_passes(look)
    in_threads(4, lambda _: compiled() and None)
    assert max(most) == 1
    assert len(most) == 4
    assert terminal.screen() == ""


def test_broken_terminal_does_no_harm(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    during_passes: Callable[[Callable[[], Any]], None],
) -> None:
    tried = threading.Event()

    def broken(text: str) -> int:
        tried.set()
        raise OSError("gone")

    monkeypatch.setattr(terminal, "write", broken)
    during_passes(lambda: until(tried.is_set))
    assert compiled()(tp.ones((2,))).tolist() == [1.0, 1.0]
