"""64-bit integers that only come in or go out: converted at the border of an OpenVINO program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

rng = np.random.default_rng(7)
table = tp.Parameter(rng.standard_normal((10, 4)).astype(np.float32))
n = tp.NamedDimension("n", 0, 4, 9)
Function = Callable[..., Any]

#: Functions of int64 vectors that run on OpenVINO all the same.
EXACT: dict[str, Function] = {
    "index": lambda x: tp.gather(table, 0, x),
    "index, moved first": lambda x: table[tp.unsqueeze(tp.concatenate([x, x[:0]], 0), 0)],
    "index of an index": lambda x: tp.gather(table, 0, tp.gather(tp.Tensor([3, 2**40, 1]), 0, x)),
    "index along a dim": lambda x: tp.take_along_dim(table, 0, tp.unsqueeze(x, 1)),
    "index made of int32": lambda x: tp.gather(table, 0, tp.cast(tp.cast(x, tp.int32), tp.int64)),
    "comparison": lambda x: (x != 0) & (x > -3) & (7 >= x),
    "cast": lambda x: tp.cast(x, tp.float32) * 0.5,
    "index and cast": lambda x: tp.gather(table, 0, x) * tp.unsqueeze(tp.cast(x, tp.float32), 1),
    "result": lambda x: tp.cast(tp.argmax(tp.gather(table, 0, x), 1), tp.int64),
    "results": lambda x: [tp.cast(tp.cast(x, tp.float32), tp.float64), x, tp.gather(table, 0, x)],
    "size": lambda x: tp.cast(x > 0, tp.float32) * tp.cast(x.shape[0], tp.float32),
}
#: Values that a conversion to int32 which wraps would change.
VALUES = np.array([1, -1, 2**32, 3, -(2**32) - 4, 2**63 - 1, -(2**63)])


def described(sizes: Any) -> list[tp.InputInfo]:
    return [tp.InputInfo((sizes,), tp.int64)]


@pytest.mark.parametrize("sizes", [len(VALUES), n], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", EXACT)
def test_results_are_those_of_the_reference_engine(name: str, sizes: Any) -> None:
    executable = tp.compile(EXACT[name], args=described(sizes), engine="openvino")
    expected = tp.compile(EXACT[name], args=described(sizes), engine="reference")
    for values in (VALUES, VALUES[::-1].copy(), VALUES[:0]):
        if sizes is n or len(values) == len(VALUES):
            pairs = zip(as_list(executable(values)), as_list(expected(values)), strict=True)
            for got, wanted in pairs:
                assert got.dtype is wanted.dtype
                np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def as_list(results: Any) -> list[tp.Tensor]:
    return results if isinstance(results, list) else [results]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tp.gather(table, 0, x + 1),
        lambda x: x > 2**40,
        lambda x: x == x[0],
        lambda x: tp.cast(tp.sum(x), tp.float32),
        lambda x: tp.concatenate([x, x + 1], 0) != 0,
    ],
)
def test_arithmetic_is_still_refused(function: Function) -> None:
    with pytest.raises(tp.TripyUnsupportedError, match="int64"):
        tp.compile(function, args=described(3), engine="openvino")


def test_inputs_are_not_changed() -> None:
    executable = tp.compile(EXACT["index"], args=described(len(VALUES)), engine="openvino")
    given = VALUES.copy()
    executable(given)
    np.testing.assert_array_equal(given, VALUES)


def test_float64_comes_in_and_goes_out_by_casts() -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        return tp.cast(tp.exp(tp.cast(x, tp.float32)), tp.float64)

    executable = tp.compile(function, args=[tp.InputInfo((5,), tp.float64)], engine="openvino")
    x = rng.standard_normal(5)
    result = executable(x)
    assert result.dtype is tp.float64
    np.testing.assert_allclose(result.numpy(), np.exp(x), rtol=1e-6)
