"""``Executable.map``: order, laziness, errors in their place, ends, memory, threads."""

from __future__ import annotations

import gc
import io
import re
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_endurance import forks, in_fork, linux
from test_progress import Terminal, until
from test_progress import terminal as terminal

import tripy as tp
from tripy import mapping, progress

Rng = np.random.Generator
InThreads = Callable[[int, Callable[[int], None]], None]
both_engines = pytest.mark.parametrize("engine", ["openvino", "reference"])
COUNTS = (1, 2, 3, 9)


def numbers(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def doubling(engine: str = "openvino") -> tp.Executable:
    info = tp.InputInfo(((0, 2, 4), 3), tp.float32)
    return tp.compile(lambda x: x * 2.0, args=[info], engine=engine)


@both_engines
@pytest.mark.parametrize("in_flight", COUNTS)
def test_results_are_those_of_calls_in_order(in_flight: int, engine: str, rng: Rng) -> None:
    model = tp.Sequential(tp.Conv(3, 8, (3, 3)), tp.relu, tp.Conv(8, 4, (3, 3)))
    model.load_state_dict({n: numbers(rng, *v.shape) for n, v in model.state_dict().items()})
    info = tp.InputInfo((1, 3, (6, 8, 16), 12), tp.float32)
    exe = tp.compile(model, args=[info], engine=engine)
    items = [numbers(rng, 1, 3, 6 + i % 11, 12) for i in range(40)]
    results = list(exe.map(items, in_flight))
    assert len(results) == len(items)
    for x, result in zip(items, results, strict=True):
        assert np.array_equal(result.numpy(), exe(x).numpy())


@both_engines
def test_forms_of_items(engine: str, rng: Rng) -> None:
    def function(x: tp.Tensor, pair: Any) -> Any:
        return {"sum": x + pair[0] * pair[1], "x": x, "one": tp.ones((2,)), "text": "text"}

    info = tp.InputInfo((2,), tp.float32)
    exe = tp.compile(function, args=[info, [info, info]], engine=engine)
    items = [(numbers(rng, 2), [tp.Tensor(numbers(rng, 2)), numbers(rng, 2)]) for _ in range(5)]
    for (x, (a, b)), result in zip(items, exe.map(iter(items)), strict=True):
        assert np.allclose(result["sum"].numpy(), x + a.numpy() * b)
        assert np.array_equal(result["x"].numpy(), x)
        assert (result["one"].tolist(), result["text"]) == ([1.0, 1.0], "text")
    assert [r.tolist() for r in doubling(engine).map([(tp.ones((1, 3)),)])] == [[[2.0] * 3]]
    assert [r.shape for r in doubling(engine).map([np.ones((n, 3), "f4") for n in (0, 2, 0)])] == [
        (0, 3), (2, 3), (0, 3),
    ]  # fmt: skip
    constant = tp.compile(lambda: tp.ones((2,)), engine=engine)
    assert [r.tolist() for r in constant.map([(), ()])] == [[1.0, 1.0]] * 2
    assert list(doubling(engine).map([])) == []


def test_values_that_the_host_converts() -> None:
    table = tp.Tensor(np.arange(12, dtype=np.float32).reshape(6, 2))
    exe = tp.compile(lambda i: tp.gather(table, 0, i), args=[tp.InputInfo((2,), tp.int64)])
    assert exe.engine == "openvino"
    found = [r.tolist() for r in exe.map(np.array([i, i + 1]) for i in range(4))]
    assert found == [[[2.0 * i, 2 * i + 1], [2.0 * i + 2, 2 * i + 3]] for i in range(4)]


@both_engines
@pytest.mark.parametrize("in_flight", COUNTS)
def test_items_are_taken_as_they_are_needed(in_flight: int, engine: str) -> None:
    taken = 0

    def items() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield np.full((1, 3), taken, np.float32)

    results = doubling(engine).map(items(), in_flight)
    assert taken == 0
    for i in range(1, 30):
        assert next(results).tolist() == [[2.0 * i] * 3]
        assert i <= taken <= i + in_flight
    results.close()  # type: ignore[attr-defined]
    assert next(results, None) is None


@both_engines
@pytest.mark.parametrize("in_flight", COUNTS)
@pytest.mark.parametrize("place", [0, 1, 5])
def test_errors_come_at_their_place(place: int, in_flight: int, engine: str) -> None:
    exe = doubling(engine)
    good = [np.full((2, 3), i, np.float32) for i in range(8)]

    def failing() -> Iterator[Any]:
        yield from good[:place]
        raise KeyError("the user's own")

    wrong = [*good[:place], np.ones((5, 3), np.float32), *good]
    for items, kind in ((wrong, tp.TripyShapeError), (failing(), KeyError)):
        results = exe.map(items, in_flight)
        assert [next(results).tolist() for _ in range(place)] == [
            (x * 2).tolist() for x in good[:place]
        ]
        with pytest.raises(kind):
            next(results)
        assert next(results, None) is None
    assert exe(good[1]).tolist() == [[2.0] * 3] * 2


def test_errors_point_at_the_users_line() -> None:
    with pytest.raises(tp.TripyTypeError, match="has another dtype") as caught:
        list(doubling().map([np.ones((2, 3), np.int32)]))
    assert "test_mapping.py" in str(caught.value)


@both_engines
def test_memory_may_be_used_again_and_results_are_owned(engine: str) -> None:
    buffer = np.empty((4, 3), np.float32)

    def items() -> Iterator[Any]:
        for i in range(50):
            buffer[:] = i
            yield buffer

    results = list(doubling(engine).map(items(), 4))
    assert [r.tolist() for r in results] == [[[2.0 * i] * 3] * 4 for i in range(50)]


@both_engines
def test_what_is_left_early_stops(engine: str, rng: Rng) -> None:
    exe = doubling(engine)
    x = numbers(rng, 4, 3)
    for _ in range(20):
        for result in exe.map([x] * 10, 3):
            assert np.array_equal(result.numpy(), x * 2)
            break
        gc.collect()
    abandoned = exe.map([x] * 10)
    next(abandoned)
    del abandoned, exe
    gc.collect()
    unused = doubling(engine).map([x])
    del unused


def test_one_executable_is_mapped_in_many_threads(rng: Rng, in_threads: InThreads) -> None:
    exe = doubling()
    data = [numbers(rng, 1 + i % 4, 3) for i in range(8)]

    def work(index: int) -> None:
        for result in exe.map([data[index]] * 50, 1 + index % 3):
            assert np.array_equal(result.numpy(), data[index] * 2)

    in_threads(8, work)


def test_a_program_of_streams_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "_cores", lambda threads: 4)
    exe = doubling()
    x = np.ones((1, 3), np.float32)
    list(exe.map([x], 1))
    assert exe._streams is None
    made = []
    for _ in range(2):
        list(exe.map([x], 3))
        made.append(exe._streams)
    assert made[0] is made[1] is not None
    assert made[0][0] == 3
    list(exe.map([x], 99))
    assert exe._streams is not None
    assert exe._streams[0] == 4


def test_cores_are_those_of_the_setting() -> None:
    assert mapping._cores(3) == 3
    assert mapping._cores(None) >= 1
    with tp.config.override(num_threads=1):
        exe = doubling()
    assert [r.tolist() for r in exe.map([np.ones((1, 3), np.float32)] * 3, 2)] == [[[2.0] * 3]] * 3
    assert exe._streams is None


def test_sums_that_cores_share_agree_to_rounding(rng: Rng) -> None:
    info = tp.InputInfo((20000, 16), tp.float32)
    exe = tp.compile(lambda x: tp.transpose(x, 0, 1) @ x, args=[info])
    x = numbers(rng, 20000, 16)
    exact = x.astype(np.float64).T @ x
    for result in exe.map([x] * 3):
        assert np.abs(result.numpy() - exact).max() < 1e-5 * np.abs(exact).max()


# Progress ---------------------------------------------------------------------------------------


def shown(terminal: Terminal) -> None:
    until(lambda: "mapping" in terminal.getvalue())


def lines() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "tripy progress"]


@both_engines
def test_callback_counts_results(engine: str) -> None:
    seen: list[tuple[int, int | None]] = []
    items = [np.full((1, 3), i, np.float32) for i in range(5)]
    results = doubling(engine).map(items, 3, progress=lambda *counts: seen.append(counts))
    assert seen == []
    for i, result in enumerate(results, 1):
        assert result.tolist() == [[2.0 * (i - 1)] * 3]
        assert seen == [(n, 5) for n in range(1, i + 1)]
    seen.clear()
    list(doubling(engine).map(iter(items), progress=lambda *counts: seen.append(counts)))
    assert seen == [(n, None) for n in range(1, 6)]


@pytest.mark.parametrize("kind", [TypeError, NotImplementedError])
def test_lengths_that_only_raise_are_unknown(kind: type[Exception]) -> None:
    class Rows:
        def __len__(self) -> int:
            raise kind

        def __iter__(self) -> Iterator[Any]:
            return iter([np.ones((1, 3), np.float32)])

    seen: list[Any] = []
    list(doubling().map(Rows(), progress=lambda *counts: seen.append(counts)))
    assert seen == [(1, None)]


def test_errors_of_the_callback_end_the_iteration() -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 2:
            raise KeyError("mine")

    results = doubling().map([np.ones((1, 3), np.float32)] * 5, progress=stop)
    next(results)
    with pytest.raises(KeyError, match="mine"):
        next(results)
    assert next(results, None) is None


@pytest.mark.parametrize("wrong", [None, 1, "yes", lambda: None, lambda a: None, int])
def test_progress_that_is_no_such_thing_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(tp.TripyTypeError, match="progress must be") as caught:
        doubling().map([], progress=wrong)
    assert "test_mapping.py" in str(caught.value)


def test_line_counts_and_goes(terminal: Terminal) -> None:
    x = np.ones((1, 3), np.float32)
    results = doubling().map([x] * 40, progress=True)
    assert lines() == []
    for _ in range(10):
        next(results)
    until(lambda: "10 of 40" in terminal.getvalue())
    line = r"\r[|/\\-] mapping: \[#{5}\.{15}\] 25 %, 10 of 40, \d+\.\d/s, \d+\.\d s *\r"
    assert re.search(line, terminal.getvalue())
    assert len(terminal.screen()) < 80
    assert len(list(results)) == 30
    assert "\n" not in terminal.getvalue()
    assert terminal.screen() == ""
    assert lines() == []


@linux
@forks
def test_forked_processes_leave_the_line_alone(terminal: Terminal) -> None:
    x = np.ones((1, 3), np.float32)
    results = doubling("reference").map([x] * 3, progress=True)
    next(results)
    shown(terminal)
    assert in_fork(lambda: results.close() is None and terminal.screen() != "") == 0  # type: ignore[attr-defined]
    assert len(list(results)) == 2
    assert terminal.screen() == ""


def test_line_without_a_length(terminal: Terminal) -> None:
    x = np.ones((1, 3), np.float32)
    results = doubling().map(iter([x] * 3), progress=True)
    next(results)
    until(lambda: "mapping: 1, " in terminal.getvalue())
    assert len(list(results)) == 2
    assert "[#" not in terminal.getvalue()


@pytest.mark.parametrize("end", ["error", "close", "del"])
def test_line_goes_however_the_iteration_ends(terminal: Terminal, end: str) -> None:
    good, wrong = np.ones((1, 3), np.float32), np.ones((5, 3), np.float32)
    for _ in range(2):  # the second one may write again
        terminal.seek(0)
        terminal.truncate()
        results = doubling().map([good, wrong], progress=True)
        next(results)
        shown(terminal)
        if end == "error":
            with pytest.raises(tp.TripyShapeError):
                next(results)
        elif end == "close":
            results.close()  # type: ignore[attr-defined]
        del results
        gc.collect()
        assert terminal.screen() == ""
        assert lines() == []


def test_nothing_is_shown_unless_asked_or_without_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [np.ones((1, 3), np.float32)] * 3
    for result in (results := doubling().map(items)):
        assert lines() == []
        assert result.shape == (1, 3)
    assert next(results, None) is None
    plain = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=plain))
    for _ in doubling().map(items, progress=True):
        assert lines() == []
    assert "mapping" not in plain.getvalue() + terminal.getvalue()


def test_only_one_line_is_shown(terminal: Terminal) -> None:
    items = [np.ones((1, 3), np.float32)] * 3
    for _ in doubling().map(items, progress=True):
        for _ in doubling().map(items, progress=True):
            assert len(lines()) == 1
    assert lines() == []
    assert terminal.screen() == ""
