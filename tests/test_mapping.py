"""``Executable.map``: order, laziness, errors in their place, ends, memory, threads."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy import mapping

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
