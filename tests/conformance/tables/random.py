"""Random numbers: shape and dtype come from the first input, the seed from the second."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from ..cases import FLOATS, INTEGERS, Array, Case, Row, Spec, case, row, spread, t

WORD = 1 << 32
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
SHAPES = ((2, 3), (), (0, 3), (7,), (1, 2, 1, 3, 2))
SHORT = ("float32", "float16", "bfloat16")


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32 of 20 rounds on Python ints, as its authors define it."""
    keys = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    a, b = ((c + k) % WORD for c, k in zip(counter, key, strict=True))
    for number in range(20):
        a, distance = (a + b) % WORD, ROTATIONS[number % 8]
        b = ((b << distance) | (b >> (32 - distance))) % WORD ^ a
        if number % 4 == 3:
            group = number // 4 + 1
            a = (a + keys[group % 3]) % WORD
            b = (b + keys[(group + 1) % 3] + group) % WORD
    return a, b


def words(seed: int, count: int) -> list[tuple[int, int]]:
    """The words of the first counters; a negative seed stands for its two's complement."""
    return [threefry(divmod(seed % WORD**2, WORD), divmod(i, WORD)) for i in range(count)]


def unit(seed: int, count: int, dtype: str) -> Array:
    if dtype != "float64":
        return np.array([(a >> 8) / 2**24 for a, _ in words(seed, count)])
    return np.array([(a * WORD + b >> 11) / 2**53 for a, b in words(seed, count)])


def standard_normal(seed: int, count: int) -> Array:
    pairs = words(seed, count)
    radius = [math.sqrt(-2 * math.log(((a >> 8) + 1) / 2**24)) for a, _ in pairs]
    return np.array(
        [r * math.cos(2 * math.pi * (b >> 8) / 2**24) for r, (_, b) in zip(radius, pairs)]
    )


def integers(seed: int, count: int, low: int, high: int) -> Array:
    return np.array([low + (a * (high - low) >> 32) for a, _ in words(seed, count)], object)


def drawn(
    run: Callable[..., Any],
    oracle: Callable[[int, int], Any],
    *shape: int,
    seed: Spec = Spec((), "any", "int32"),  # noqa: B008 - it never changes
    **options: Any,
) -> Case:
    """A case: ``run`` gets sizes, dtype and seed, ``oracle`` seed and number of elements."""

    def wanted(x: Array, s: Array) -> Array:
        return np.reshape(oracle(int(s), x.size), x.shape)

    return case(lambda x, s: run(x.shape, dtype=x.dtype, seed=s), t(*shape), seed,
                oracle=wanted, **options)  # fmt: skip


def uniform_cases(dtype: str, dtypes: tuple[str, ...]) -> list[Case]:
    def scaled(seed: int, count: int) -> Array:
        return np.asarray(-1.25 + 3.75 * unit(seed, count, dtype))

    def fixed(sizes: Any, dtype: Any, seed: Any) -> Any:
        return tp.random.uniform(sizes, dtype=dtype, seed=2**64 - 2)

    def between(sizes: Any, dtype: Any, seed: Any) -> Any:
        return tp.random.uniform(sizes, -1.25, 2.5, dtype, seed=seed)

    def plain(seed: int, count: int) -> Array:
        return unit(seed, count, dtype)

    cases = [
        *(drawn(tp.random.uniform, plain, *shape, dtypes=dtypes, exact=True) for shape in SHAPES),
        drawn(fixed, lambda s, n: unit(-2, n, dtype), 4, 5, dtypes=dtypes, exact=True),
        drawn(between, scaled, 5, 3, dtypes=dtypes, scale=lambda x, s: 2.5),
        drawn(tp.random.uniform, plain, 6, dtypes=dtypes, exact=True, modes=REFERENCE,
              seed=Spec((), (-(2**40) - 3,), "int64")),
    ]  # fmt: skip
    return spread(cases)


REFERENCE = ("eager", "eager compiled", "reference static", "reference dynamic")
UNIFORM = row(
    "random.uniform",
    FLOATS,
    [*uniform_cases("float32", SHORT), *uniform_cases("float64", FLOATS[3:])],
)


def _shifted_normal(sizes: Any, dtype: Any, seed: Any) -> Any:
    return tp.random.normal(sizes, -3, std=0.5, dtype=dtype, seed=seed)


NORMAL = row(
    "random.normal",
    FLOATS,
    [
        *spread(drawn(tp.random.normal, standard_normal, *shape) for shape in SHAPES),
        drawn(_shifted_normal, lambda s, n: -3 + 0.5 * standard_normal(s, n), 5, 3),
    ],
    scale=lambda x, s: 5.0,  # the radius, which the cosine may make small
)


def _between(low: int, high: int, *shape: int, **options: Any) -> Case:
    def run(sizes: Any, dtype: Any, seed: Any) -> Any:
        return tp.random.randint(sizes, low, high, dtype, seed=seed)

    return drawn(run, lambda s, n: integers(s, n, low, high), *shape, exact=True, **options)


WIDE = INTEGERS[3:]
RANDINT = row(
    "random.randint",
    INTEGERS,
    [
        *spread(_between(0, 100, *shape) for shape in SHAPES),
        _between(7, 8, 3),
        _between(1, 65, 4, 3),
        _between(-128, 128, 5, 4, dtypes=("int8", "int16", *WIDE)),
        _between(0, 256, 9, dtypes=("uint8",)),
        _between(-(2**15), 2**15, 9, dtypes=("int16",)),
        _between(-(2**31), 2**31, 9, dtypes=WIDE),
        _between(-5, 2**31 - 4, 9, dtypes=WIDE),
        _between(2 - 2**31, 2**31 - 3, 9, dtypes=WIDE),
        _between(2**40, 2**40 + 2**32, 9, dtypes=("int64",)),
        _between(2**63 - 2**31 - 1, 2**63, 9, dtypes=("int64",)),
    ],
)

ROWS: list[Row] = [UNIFORM, NORMAL, RANDINT]
