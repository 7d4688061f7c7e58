"""Integers and sizes in XLA programs: squares that wrap, and tables beside dynamic sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

pytest.importorskip("jax")
Function = Callable[..., Any]


def twice(x: tp.Tensor) -> tp.Tensor:
    return tp.stack([x, x], 0)


#: What goes wrong where a square or a magnitude is taken for non-negative.
SQUARES: dict[str, Function] = {
    "abs of a square": lambda x: tp.abs(x * x),
    "square below 0": lambda x: x * x < 0,
    "0 up to a square": lambda x: x * x >= 0,
    "square divided": lambda x: (x * x) // 4 + (x * x) % 8,
    "negated square": lambda x: -(x * x) > 0,
    "square limited": lambda x: tp.maximum(x * x, 0) + tp.relu(x * x) + tp.sign(x * x),
    "power": lambda x: tp.abs(x**2) + (x**4) // 8,
    "square of a square": lambda x: (x * x) * (x * x) < 0,
    "written twice": lambda x: ((x + 1) * (x + 1)) // 4,
    "moved and back": lambda x: tp.abs(x * tp.flatten(tp.unsqueeze(x, 1))),
    "one element": lambda x: tp.abs(x[3:4] * x[3:4]),
    "after a cast": lambda x: tp.abs(tp.cast(x, tp.int8) * tp.cast(x, tp.int8)),
    "sum": lambda x: tp.sum(x * x, 0) < 0,
    "prod": lambda x: tp.abs(tp.prod(twice(x), 0)),
    "cumprod": lambda x: tp.abs(tp.cumprod(twice(x), 0)),
    "magnitude below 0": lambda x: tp.abs(x) < 0,
    "magnitude divided": lambda x: tp.abs(x) // 4 + tp.abs(tp.abs(x)),
    "product of magnitudes": lambda x: tp.abs(x) * tp.abs(x) < 0,
    "as a condition": lambda x: tp.where(x * x >= 0, x, x - 1),
}


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64"])
def test_squares_of_integers_wrap(kind: str, rng: np.random.Generator) -> None:
    limits = np.iinfo(kind)
    drawn = rng.integers(limits.min, limits.max, 9, endpoint=True, dtype=kind)
    x = np.array([0, -1, limits.max, limits.min, *drawn], kind)

    def function(x: tp.Tensor) -> list[Any]:
        return [square(x) for square in SQUARES.values()]

    args = [tp.InputInfo(x.shape, getattr(tp, kind))]
    expected = tp.compile(function, args=args, engine="reference")(x)
    received = tp.compile(function, args=args, engine="xla")(x)
    for name, got, wanted in zip(SQUARES, received, expected, strict=True):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy(), name)


table = tp.Parameter(np.random.default_rng(3).standard_normal((512, 130)).astype(np.float32))
past = tp.NamedDimension("past", 1, 2, 9)

#: Functions of a size that need no input, beside a table that is computed ahead of time.
OF_SIZES: dict[str, Function] = {
    "index": lambda n: tp.gather(table, 0, tp.arange(3, dtype=tp.int32) + n),
    "factor": lambda n: table * tp.cast(n, tp.float32),
    "range from a size": lambda n: tp.gather(table, 0, tp.arange(n, n + 4, dtype=tp.int32)),
    "window": lambda n: table[n : n + 4],
    "row": lambda n: table[n],
    "rows of a product": lambda n: (table + 1.0)[n : n + 2] * 2.0,
}


@pytest.mark.parametrize("name", OF_SIZES)
def test_sizes_beside_a_large_table(name: str) -> None:
    def function(x: tp.Tensor) -> Any:
        return tp.sum(x) + OF_SIZES[name](x.shape[0])

    args = [tp.InputInfo((past, 2), tp.float32)]
    program = tp.compile(function, args=args, engine="xla")
    expected = tp.compile(function, args=args, engine="reference")
    for size in (2, 5, 2, 9):
        x = np.full((size, 2), 0.5, np.float32)
        np.testing.assert_allclose(program(x).numpy(), expected(x).numpy(), 1e-6, 1e-5)
