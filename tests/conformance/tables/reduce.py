"""Reductions and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import (
    ALL,
    BOOL,
    FLOATS,
    INTEGERS,
    NUMERIC,
    Array,
    Case,
    Row,
    Shape,
    case,
    row,
    special,
    spread,
    t,
)

#: Shape, dim, keepdim.
REDUCTIONS: tuple[tuple[Shape, Any, bool], ...] = (
    ((), None, False),
    ((), (), True),
    ((5,), 0, False),
    ((2, 3), None, True),
    ((2, 3), -1, False),
    ((2, 3, 4), (0, -1), False),
    ((2, 3, 4), [1], True),
    ((2, 1, 3, 2), (1, 3), False),
    ((2, 1, 3, 1, 2), (-5, 2), True),
    ((2, 3), (), False),
    ((2, 0, 3), 0, False),
    ((1, 1), (0, 1), False),
)
#: Nothing to reduce: only for what has a neutral element.
EMPTY: tuple[tuple[Shape, Any, bool], ...] = (
    ((0,), 0, False),
    ((3, 0), -1, False),
    ((0, 2), None, True),
    ((2, 0, 3), (1, 2), False),
)


def axes(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def reduced(
    name: str, oracle: Callable[..., Any], shape: Shape, dim: Any, keepdim: bool, **options: Any
) -> Case:
    function, values = getattr(tp, name), options.pop("values", "any")

    def expected(x: Array) -> Any:
        if x.dtype == object and axes(dim) == ():  # NumPy leaves the elements as they are
            return x
        return oracle(x, axis=axes(dim), keepdims=keepdim)

    return case(
        lambda x: function(x, dim, keepdim),
        t(*shape, values=values),
        oracle=expected,
        label=f"dim={dim} keepdim={keepdim}",
        terms=max(1, math.prod(shape)),
        **options,
    )


def reductions(
    name: str,
    oracle: Callable[..., Any],
    accepts: tuple[str, ...],
    *more: Case,
    empty: tuple[str, ...] = ALL,
    values: str = "any",
    **options: Any,
) -> Row:
    """``empty`` are the dtypes for which reducing nothing is defined."""
    cases = [reduced(name, oracle, *entry, values=values) for entry in REDUCTIONS]
    cases += [reduced(name, oracle, *entry, dtypes=empty) for entry in EMPTY]
    default = case(getattr(tp, name), t(2, 3, values=values), oracle=oracle, terms=6)
    return row(name, accepts, [*cases, default, *more], ("input",), **options)


def along(name: str, oracle: Callable[..., Any], shape: Shape, dim: Any, keepdim: bool) -> Case:
    function = getattr(tp, name)
    return case(
        lambda x: function(x, dim=dim, keepdim=keepdim),
        t(*shape, values="small"),
        oracle=lambda x: oracle(x, axis=dim, keepdims=keepdim),
        label=f"dim={dim} keepdim={keepdim}",
    )


POSITIONS: tuple[tuple[Shape, Any, bool], ...] = (
    ((), None, False),
    ((7,), 0, False),
    ((3, 4), None, False),
    ((3, 4), None, True),
    ((3, 4), -2, True),
    ((2, 3, 4), 1, False),
    ((2, 0, 3), 2, False),
    ((2, 1, 3, 2), -1, False),
    ((2, 1, 3, 1, 2), 2, True),
)


def positions(name: str, oracle: Callable[..., Any]) -> Row:
    cases = spread(along(name, oracle, *entry) for entry in POSITIONS)
    extremes = case(getattr(tp, name), special(), oracle=oracle, label="special", grows=False,
                    dtypes=INTEGERS + BOOL)  # fmt: skip
    values = (1.0, np.nan, 9.0, -9.0, np.nan, 2)
    nan = case(lambda x: getattr(tp, name)(x, 0), t(6, values=values), label="NaN", grows=False,
               oracle=lambda x: oracle(x, axis=0), dtypes=FLOATS)  # fmt: skip
    return row(name, NUMERIC, [*cases, extremes, nan], ("input",), out="int32")


def normalised(name: str, oracle: Callable[..., Any], scale: Any) -> Row:
    function = getattr(tp, name)
    shapes: tuple[tuple[Shape, Any], ...] = (
        ((), None), ((5,), 0), ((2, 3), None), ((2, 3), -1), ((2, 3, 4), 1), ((0,), 0),
        ((3, 0), 0), ((2, 1, 3, 2), -4), ((2, 1, 3, 1, 2), 2),
    )  # fmt: skip
    cases = [
        case(
            lambda x, d=dim: function(x, dim=d),
            t(*shape),
            oracle=lambda x, d=dim: oracle(x, d),
            label=f"dim={dim}",
            torch=None if dim is None else in_torch(name, dim=dim),
        )
        for shape, dim in shapes
    ]
    values = (900.0, 901.0, 0.0, -800.0, -801.0, -802)
    large = case(lambda x: function(x, 1), t(2, 3, values=values), label="large", grows=False,
                 oracle=lambda x: oracle(x, 1))  # fmt: skip
    default = case(function, t(2, 3), oracle=oracle)
    return row(name, FLOATS, [*cases, large, default], ("input",), scale=scale, rtol=2e-6)


def in_torch(name: str, dim: int) -> Callable[..., Any]:
    def run(x: Any) -> Any:
        from torch.nn import functional

        return getattr(functional, name)(x, dim=dim)

    return run


NANS = (1.0, np.nan, 3.0, -1.0, 0.5, 2.0)
INFINITE = (np.inf, 1.0, -np.inf, np.inf, 2.0, 3.0)


def on(name: str, oracle: Callable[..., Any], values: Any, **options: Any) -> Case:
    return case(lambda x: getattr(tp, name)(x, 1), t(3, 2, values=values),
                oracle=lambda x: oracle(x, axis=1), label="special", grows=False,
                dtypes=FLOATS, **options)  # fmt: skip


def wrapping(name: str, oracle: Callable[..., Any]) -> Case:
    """All extreme values of an integer dtype together."""
    return case(getattr(tp, name), special(), oracle=oracle, dtypes=INTEGERS, grows=False)


ROWS: list[Row] = [
    reductions("sum", np.sum, NUMERIC, wrapping("sum", np.sum), on("sum", np.sum, NANS),
               on("sum", np.sum, INFINITE), scale="absolute"),
    reductions("prod", np.prod, NUMERIC, wrapping("prod", np.prod), values="near one"),
    reductions("mean", oracles.mean, NUMERIC, wrapping("mean", oracles.mean),
               on("mean", oracles.mean, NANS), empty=FLOATS, scale="absolute"),
    reductions("max", np.max, NUMERIC, wrapping("max", np.max), on("max", np.max, NANS),
               on("max", np.max, INFINITE), empty=(), exact=True, survives=True),
    reductions("min", np.min, NUMERIC, wrapping("min", np.min), on("min", np.min, NANS),
               on("min", np.min, INFINITE), empty=(), exact=True, survives=True),
    reductions("all", np.all, BOOL),
    reductions("any", np.any, BOOL),
    positions("argmax", np.argmax),
    positions("argmin", np.argmin),
    normalised("softmax", oracles.softmax, "result"),
    normalised("log_softmax", oracles.log_softmax, lambda x: 1 + np.abs(x).max(initial=0)),
]  # fmt: skip
