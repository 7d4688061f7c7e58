"""Sizes that cannot be: refused with the size before anything is allocated, and without a hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy import memory, shapes

Build = Callable[[], Any]
N = 2**20
vector = tp.ones((N,)).eval()
one = tp.ones((1,)).eval()

# What takes at least 2^40 elements, of little.
HUGE: dict[str, Build] = {
    "ones": lambda: tp.ones((N, N)),
    "full": lambda: tp.full((N, N), 2.0),
    "iota": lambda: tp.iota((N, N), 1),
    "arange": lambda: tp.arange(2**40),
    "eye": lambda: tp.eye(N, N),
    "linspace": lambda: tp.linspace(0.0, 1.0, 2**40),
    "expand": lambda: tp.expand(one, (2**40,)),
    "tile": lambda: tp.tile(vector, (N,)),
    "repeat": lambda: tp.repeat(vector, N, 0),
    "pad": lambda: tp.pad(one, [(2**39, 2**39)]),
    "concatenate": lambda: tp.concatenate([tp.ones((2**39,)), tp.ones((2**39,))], 0),
    "one_hot": lambda: tp.one_hot(tp.cast(vector, tp.int32), N),
    "resize": lambda: tp.resize(tp.ones((1, 1, 4, 4)), output_shape=(1, 1, N, N), mode="nearest"),
    "reshape": lambda: tp.reshape(tp.reshape(tp.ones((2**40,)), (N, N)), (-1,)),
    "outer": lambda: tp.outer(vector, vector),
    "broadcast": lambda: tp.reshape(vector, (N, 1)) + vector,
    "matmul": lambda: tp.reshape(vector, (N, 1)) @ tp.reshape(vector, (1, N)),
    "empty matmul": lambda: tp.ones((N, 0)) @ tp.ones((0, N)),
    "gather": lambda: tp.gather(tp.ones((1, N)), 0, tp.zeros((N,), tp.int32)),
    "conv_transpose": lambda: tp.conv_transpose(
        tp.ones((1, 1, 2, 2)), tp.ones((1, 1, 1, 1)), stride=N
    ),
    "uniform": lambda: tp.random.uniform((N, N), seed=1),
    "sum": lambda: tp.sum(tp.ones((N, N))),
    "parameter": lambda: tp.Linear(N, N).weight,
}


@pytest.fixture(autouse=True)
def _eight_gigabytes() -> Iterator[None]:
    """The same on every machine, and nothing large is allocated."""
    with tp.config.override(memory_limit="8GiB"):
        yield


def refused(action: Build) -> str:
    start = perf_counter()
    with pytest.raises(tp.TripyMemoryError) as caught:
        action()
    assert perf_counter() - start < 30  # JAX takes long to import
    return str(caught.value)


@pytest.mark.parametrize("name", HUGE)
def test_results_beyond_memory_are_refused_by_size(name: str) -> None:
    message = refused(lambda: HUGE[name]().eval())
    assert "TiB" in message
    assert "elements" in message
    assert "at most 8.0 GiB, config.memory_limit" in message
    assert Path(__file__).name in message


@pytest.mark.parametrize("name", [name for name in HUGE if name not in ("uniform", "sum")])
@pytest.mark.parametrize("engine", ["openvino", "xla", "reference"])
def test_compile_refuses_results_beyond_memory(name: str, engine: str) -> None:
    info = tp.InputInfo((1,), tp.float32)
    refused(lambda: tp.compile(lambda x: HUGE[name]() + x, args=[info], engine=engine))


def test_what_is_recorded_and_never_evaluated_is_no_error() -> None:
    assert tp.ones((N, N)).shape == (N, N)
    assert tp.sum(HUGE["expand"]()).shape == ()
    exe = tp.compile(lambda x: (HUGE["outer"](), x + 1.0)[1], args=[tp.InputInfo((1,), tp.float32)])
    assert exe(one).tolist() == [2.0]


@pytest.mark.parametrize("engine", ["openvino", "xla", "reference"])
def test_calls_with_sizes_that_need_too_much_are_refused(engine: str) -> None:
    dim = tp.NamedDimension("n", 1, 4, N)
    exe = tp.compile(
        lambda x: tp.outer(x, x), args=[tp.InputInfo((dim,), tp.float32)], engine=engine
    )
    message = refused(lambda: exe(vector))
    assert "shape (1048576, 1048576)" in message
    assert exe(np.ones(3, np.float32)).shape == (3, 3)
    refused(lambda: exe(vector))
    refused(lambda: list(exe.map([vector])))


@pytest.mark.parametrize("engine", ["openvino", "reference"])
def test_steps_between_input_and_result_count_too(engine: str) -> None:
    dim = tp.NamedDimension("n", 1, 4, N)
    exe = tp.compile(
        lambda x: tp.sum(tp.tile(x, (N,))), args=[tp.InputInfo((dim,), tp.float32)], engine=engine
    )
    refused(lambda: exe(vector))


def test_xla_needs_what_its_program_needs() -> None:
    """A product that is summed at once is never whole; one that is sorted is."""
    info = tp.InputInfo((2**16,), tp.float32)

    def summed(x: Any) -> Any:
        return tp.sum(tp.outer(x, x), 1)

    def ranked(x: Any) -> Any:
        return tp.sum(tp.sort(tp.outer(x, x), 1), 1)

    tp.compile(summed, args=[info], engine="xla")
    assert "the largest value" in refused(lambda: tp.compile(ranked, args=[info], engine="xla"))


def test_scores_of_an_attention_are_never_whole_in_openvino() -> None:
    info = tp.InputInfo((1, 1, 2**16, 8), tp.float32)
    attention = tp.scaled_dot_product_attention
    tp.compile(attention, args=[info] * 3, engine="openvino")
    refused(lambda: tp.compile(attention, args=[info] * 3, engine="reference"))


def test_the_limit_is_a_setting() -> None:
    with tp.config.override(memory_limit="16MiB"):
        assert "at most 16.0 MiB" in refused(lambda: tp.ones((2**23,)).eval())
        assert tp.ones((2**22,)).eval().shape == (2**22,)
    with tp.config.override(memory_limit="16MiB", eager_threshold=None):
        refused(lambda: tp.ones((2**23,)).eval())


def test_none_is_the_memory_of_the_machine() -> None:
    with tp.config.override(memory_limit=None):
        assert 2**28 < memory.limit() < 2**50
        assert "this machine's memory" in refused(lambda: tp.ones((2**30, 2**30)).eval())


def test_limits_of_control_groups_count(tmp_path: Path) -> None:
    for name, text in (("memory.max", "max"), ("a/memory.max", "5000"), ("a/b/memory.max", "7000")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9000\n")
    (tmp_path / "self").write_text("0::/a/b\n")
    assert sorted(memory._cgroup_limits(tmp_path, tmp_path / "self")) == [5000, 7000, 9000]
    assert list(memory._cgroup_limits(tmp_path / "none", tmp_path / "none")) == []


@pytest.mark.parametrize("size", [2**63, 2**70, 10**100])
def test_sizes_beyond_64_bits_are_refused(size: int) -> None:
    for build in (
        lambda: tp.ones((size, 0)),
        lambda: tp.InputInfo((size,), tp.float32),
        lambda: tp.InputInfo(((1, 2, size),), tp.float32),
        lambda: tp.NamedDimension("n", 1, 2, size),
    ):
        with pytest.raises(tp.TripyValueError, match="int64"):
            build()


def test_elements_beyond_any_number_are_refused() -> None:
    assert "2^" in refused(lambda: tp.ones((2**62,) * 40).eval())


# Formulas of sizes ------------------------------------------------------------------------------


def squared(a: Any, b: Any, c: Any) -> Any:
    for _ in range(40):
        a = a * a
    return a


def power(a: Any, b: Any, c: Any) -> Any:
    total = 1
    for _ in range(60):
        total = total * (a + b + c)
    return total


def squared_sum(a: Any, b: Any, c: Any) -> Any:
    total = a + b + c
    for _ in range(12):
        total = total * total
    return total


def nested(a: Any, b: Any, c: Any) -> Any:
    for _ in range(60):
        a = (a // 3) * (a % 5) + a // 7 + b
    return a


def deep(a: Any, b: Any, c: Any) -> Any:
    for _ in range(1000):
        a = (a + b) // 3 + c
    return a


def wide(a: Any, b: Any, c: Any) -> Any:
    for _ in range(5):
        a = a * 2**20
    return a


FORMULAS = (squared, power, squared_sum, nested, deep, wide)


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_that_explode_are_refused_at_once(formula: Callable[..., Any]) -> None:
    start = perf_counter()
    info = tp.InputInfo(((2, 3, 4), (2, 3, 5), (2, 3, 6)), tp.float32)
    with pytest.raises(tp.TripyValueError, match=r"grows too long|int64"):
        tp.compile(lambda x: x + tp.cast(formula(*x.shape), tp.float32), args=[info])
    assert perf_counter() - start < 1


def test_long_formulas_that_stay_short_enough_are_right() -> None:
    def sizes(*xs: Any) -> Any:
        total = 0
        for x in xs:
            total = (total + x.shape[0]) // 2 + x.shape[0] % 3
        return tp.concatenate(xs, 0) + tp.cast(total, tp.float32)

    infos = [tp.InputInfo(((1, 2, 9),), tp.float32) for _ in range(15)]
    exe = tp.compile(sizes, args=infos)
    lengths = [1 + n % 9 for n in range(15)]
    expected = 0
    for length in lengths:
        expected = (expected + length) // 2 + length % 3
    result = exe(*[np.zeros(length, np.float32) for length in lengths]).numpy()
    assert result.tolist() == [float(expected)] * sum(lengths)


def test_differences_of_long_formulas_are_undecided_not_refused() -> None:
    def long(name: str) -> shapes.Size:
        sizes = [shapes.symbol(f"{name}{n:04}", 1, 2, 3) for n in range(1200)]
        return shapes._polynomial(term for size in sizes for term in shapes._terms(size))

    total, other = long("a"), long("b")
    assert shapes.known_equal(total, other) is None
    assert shapes.known_less_equal(total, other) is None
    assert shapes.known_less_equal(total, 3600)


@pytest.mark.parametrize("engine", ["openvino", "reference", "xla"])
def test_sizes_as_elements_that_int32_cannot_hold_are_refused(engine: str) -> None:
    a, b = (tp.NamedDimension(name, 0, 2, 2**20) for name in "ab")
    exe = tp.compile(
        lambda x: tp.sum(x) + tp.cast(x.shape[0] * x.shape[1] * 3, tp.float32),
        args=[tp.InputInfo((a, b, (0, 1, 2)), tp.float32)],
        engine=engine,
    )
    assert exe(np.ones((2, 3, 2), np.float32)).item() == 30.0
    with pytest.raises(tp.TripyUnsupportedError, match="32 bits"):
        exe(np.ones((2**16, 2**15, 0), np.float32))
    assert exe(np.ones((2, 3, 2), np.float32)).item() == 30.0


def test_openvino_refuses_arithmetic_of_sizes_that_would_wrap() -> None:
    a, b = (tp.NamedDimension(name, 1, 2, 2**20) for name in "ab")

    def halves(x: Any) -> Any:
        return tp.arange(x.shape[0] * x.shape[1] // 2**17, dtype=tp.int32)

    info = tp.InputInfo((a, b, (0, 1, 1)), tp.float32)
    exe = tp.compile(lambda x: halves(x), args=[info], engine="openvino")
    assert exe(np.ones((2**10, 2**10, 0), np.float32)).tolist() == list(range(8))
    empty = np.ones((2**17, 2**15, 0), np.float32)
    with pytest.raises(tp.TripyUnsupportedError, match="32 bits"):
        exe(empty)
    other = tp.compile(lambda x: halves(x), args=[info], engine="reference")
    assert other(empty).shape == (2**15,)
