"""int64 arithmetic: in int32 where it is proved to fit, refused or exact everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

Function = Callable[..., Any]
length = tp.NamedDimension("n", 1, 4, 1000)
table = tp.Parameter(np.random.default_rng(5).standard_normal((64, 3)).astype(np.float32))


def long(x: Any) -> tp.Tensor:
    return tp.cast(x, tp.int64)


def number(value: int) -> tp.Tensor:
    return tp.Tensor(np.array(value, np.int64))


def counted(x: tp.Tensor) -> tp.Tensor:
    return tp.arange(x.shape[0], dtype=tp.int64)


#: Of a float32 vector x: what fits int32, and so runs on OpenVINO.
NARROW: dict[str, Function] = {
    "positions": lambda x: counted(x) + 1,
    "padded positions": lambda x: tp.cumsum(long(x > 0), 0) * long(x > 0) + 1,
    "count": lambda x: tp.sum(long(x > 0), 0) * 3 - 7,
    "argmax": lambda x: long(tp.argmax(x, 0)) * 1000,
    "topk": lambda x: long(tp.topk(x, 1)[1]) // 2 - 5 % (counted(x)[:1] + 1),
    "small integers": lambda x: long(tp.cast(x, tp.int16)) * long(tp.cast(x, tp.int8)),
    "squares of bytes": lambda x: long(tp.cast(x, tp.uint8)) ** 3,
    "limited": lambda x: tp.minimum(tp.maximum(long(x), -5), 9) * 100000000,
    "index": lambda x: tp.gather(table, 0, tp.clip(long(x * 1e12), 0, 63)),
    "chosen": lambda x: tp.where(x > 0, counted(x), counted(x) - 1) * -2,
    "joined": lambda x: tp.concatenate([counted(x), long(x > 0)], 0) * 1000,
    "as floats": lambda x: tp.cast(tp.abs(counted(x) - 3), tp.float32) * 0.5,
    "compared": lambda x: (counted(x) < 2) | (counted(x) == long(x > 0)),
    "to the limit": lambda x: long(x > 0) * (2**31 - 1),
    "size": lambda x: long(x.shape[0]) * 2 + counted(x),
}
#: What does not.
WIDE: dict[str, Function] = {
    "one beyond the limit": lambda x: long(x > 0) * number(2**31),
    "one below": lambda x: -long(x > 0) * (2**31 - 1) - 2,
    "positions": lambda x: counted(x) * (2**31 // 900),
    "then less": lambda x: (counted(x) * 2**30) // 2**30,
    "argmax": lambda x: long(tp.argmax(x, 0)) * (2**31 - 1),
    "mask": lambda x: long(x > 0) * 10**6 * 10**6,
    "sum": lambda x: tp.sum(long(tp.cast(x, tp.int16)) * 100, 0),
    "cumsum": lambda x: tp.cumsum(counted(x) * 10000, 0),
    "prod": lambda x: tp.prod(counted(x) + 1, 0),
    "float": lambda x: long(x * 1e12) + 1,
    "float, as float": lambda x: tp.cast(long(x * 1e12), tp.float32),
    "float, compared": lambda x: long(x * 1e12) < long(x * 1e11),
    "constants": lambda x: tp.gather(tp.Tensor([5, 2**40, 1]), 0, tp.cast(x > 0, tp.int32)),
    "joined": lambda x: tp.concatenate([counted(x), number(2**35)[None]], 0) // 2,
    "chosen": lambda x: tp.where(x > 0, number(2**40), 1),
    "magnitude": lambda x: tp.abs(tp.maximum(long(x * 1e12), -(2**31))),
}
CONSTANT = ("positions", "then less", "joined", "sum", "cumsum", "prod")  # or small, for one size
VALUES = np.array([3.7, -2.2, 0.0, 250.1, -1e5, 7e9, -1.5], np.float32)
SIZES = pytest.mark.parametrize("size", [len(VALUES), length], ids=["static", "dynamic"])


def compiled(function: Function, size: Any, engine: str | None) -> Any:
    return tp.compile(function, args=[tp.InputInfo([size], tp.float32)], engine=engine)


def assert_same(executable: Any, function: Function, size: Any) -> None:
    for values in (VALUES, VALUES[::-1].copy(), VALUES[:2]):
        if size is length or len(values) == len(VALUES):
            received, expected = executable(values), function(tp.Tensor(values))
            assert received.dtype is expected.dtype
            np.testing.assert_array_equal(received.numpy(), expected.numpy())


@SIZES
@pytest.mark.parametrize("name", NARROW)
def test_what_fits_runs_on_openvino(name: str, size: Any) -> None:
    assert_same(compiled(NARROW[name], size, "openvino"), NARROW[name], size)


@SIZES
@pytest.mark.parametrize("name", WIDE)
def test_what_may_not_fit_is_refused_and_exact_elsewhere(name: str, size: Any) -> None:
    if size is length or name not in CONSTANT:
        with pytest.raises(tp.TripyUnsupportedError, match="int64"):
            compiled(WIDE[name], size, "openvino")
    assert_same(compiled(WIDE[name], size, None), WIDE[name], size)
    with tp.config.override(eager_threshold=0):
        eager = WIDE[name](tp.Tensor(VALUES)).numpy()
    np.testing.assert_array_equal(eager, WIDE[name](tp.Tensor(VALUES)).numpy())


#: Steps of random programs: of two int64 vectors and a small number.
STEPS: list[Function] = [
    lambda a, b, k: a + b,
    lambda a, b, k: a - b * k,
    lambda a, b, k: a * k,
    lambda a, b, k: a * b,
    lambda a, b, k: a // (2 * k - 91),
    lambda a, b, k: a % (b + k),
    lambda a, b, k: tp.minimum(a, b) + tp.maximum(b, k),
    lambda a, b, k: tp.where(a < b, a, -b),
    lambda a, b, k: tp.abs(a) - tp.sign(b),
    lambda a, b, k: tp.cumsum(a, 0) - tp.sum(b, 0),
    lambda a, b, k: tp.minimum(tp.maximum(a, -k * 1000), k * 1000),
    lambda a, b, k: long(tp.argmax(a, 0)) + tp.max(b, 0) * k,
    lambda a, b, k: tp.concatenate([a[1:], b[:1]], 0),
    lambda a, b, k: tp.gather(a, 0, tp.minimum(tp.maximum(b, 0), 2)),
    lambda a, b, k: long(tp.cast(a, tp.float32) * 0.5),
]


def test_random_programs_are_exact_or_refused(rng: np.random.Generator) -> None:
    """The smallest and largest numbers that each start may have are among its elements."""
    narrow = 0
    for _ in range(80):
        steps = [(STEPS[s], int(k)) for s, k in rng.integers([0, 0], [len(STEPS), 90], (5, 2))]

        def function(x: tp.Tensor, steps: Any = steps) -> list[Any]:
            made = [long(tp.cast(x, tp.int8)), long(tp.cast(x, tp.uint8)), counted(x)]
            for step, k in steps:
                made.append(step(made[-1], made[-2], k) + tp.zeros(x.shape, tp.int64))
            return [made[-1], made[-2] < made[-3]]

        x = np.array([127, -128, 255, 0, *rng.integers(-300, 300, 4)], np.float32)
        expected = [t.numpy() for t in function(tp.Tensor(x))]
        try:
            program = tp.compile(function, args=[tp.InputInfo((8,), tp.float32)], engine="openvino")
        except tp.TripyUnsupportedError:
            continue
        narrow += 1
        for received, wanted in zip(program(x), expected, strict=True):
            np.testing.assert_array_equal(received.numpy(), wanted)
    assert narrow > 8
