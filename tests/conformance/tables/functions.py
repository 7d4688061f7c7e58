"""The elementwise functions that are composites, and those of rounding and selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from ..cases import ALL, BOOL, FLOATS, NUMERIC, PACKED, Case, Row, case, row, special, t
from .elementwise import CONDITION, PAIRS, binary, curve, in_torch, unary


def softplus(x: Any) -> Any:
    return np.logaddexp(0, x)


def hardswish(x: Any) -> Any:
    return x * (np.clip(x + 3, 0, 6) / 6)


def leaky(slope: float) -> Callable[[Any], Any]:
    return lambda x: np.where(x >= 0, x, slope * x)


def elu(alpha: float) -> Callable[[Any], Any]:
    return lambda x: np.where(x > 0, x, alpha * np.expm1(x))


def near_zero(function: Callable[..., Any], oracle: Callable[..., Any]) -> Case:
    """log1p and expm1 are there for tiny elements."""
    values = (1e-7, -1e-7, 3e-4, -2e-3)
    return case(function, t(4, values=values), oracle=oracle, label="near 0", grows=False)


CURVES = [
    curve("log2", np.log2, "positive", scale=lambda x: np.abs(np.log2(np.abs(x))) + 1),
    curve("reciprocal", np.reciprocal, "nonzero"),
    curve("tan", np.tan, "small", specials="moderate"),
    curve("asin", np.arcsin, "fraction", specials="moderate"),
    curve("acos", np.arccos, "fraction", specials="moderate"),
    curve("atan", np.arctan),
    curve("sinh", np.sinh),
    curve("cosh", np.cosh),
    row("log1p", FLOATS, [
        *unary(tp.log1p, np.log1p, "positive", torch=in_torch("log1p")),
        near_zero(tp.log1p, np.log1p),
    ], ("input",)),
    row("expm1", FLOATS, [
        *unary(tp.expm1, np.expm1, torch=in_torch("expm1")),
        near_zero(tp.expm1, np.expm1),
    ], ("input",)),
]  # fmt: skip

ACTIVATIONS = [
    row("relu6", NUMERIC, unary(tp.relu6, lambda x: np.minimum(np.maximum(x, 0), 6)), ("input",),
        exact=True, survives=True),
    row("hardswish", FLOATS, unary(tp.hardswish, hardswish, specials="below infinity",
        torch=in_torch("hardswish")), ("input",)),
    row("mish", FLOATS, unary(tp.mish, lambda x: x * np.tanh(softplus(x)),
        specials="below infinity", torch=in_torch("mish")), ("input",)),
    row("leaky_relu", FLOATS, [
        *unary(tp.leaky_relu, leaky(0.01), torch=in_torch("leaky_relu")),
        *unary(lambda x: tp.leaky_relu(x, negative_slope=2), leaky(2)),
    ], ("input",)),
    row("elu", FLOATS, [
        *unary(tp.elu, elu(1), torch=in_torch("elu")),
        *unary(lambda x: tp.elu(x, 0.5), elu(0.5)),
    ], ("input",)),
    row("softplus", FLOATS, [
        *unary(tp.softplus, softplus, torch=in_torch("softplus")),
        *unary(lambda x: tp.softplus(x, 4), lambda x: softplus(4 * x) / 4, specials="moderate"),
    ], ("input",)),
]  # fmt: skip


def for_integers(function: Callable[[Any], Any], whole: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x: whole(x) if x.dtype == object else function(x)


def stepped(name: str, oracle: Callable[[Any], Any]) -> Row:
    """A function that leaves integers as they are."""
    cases = unary(getattr(tp, name), for_integers(oracle, lambda x: x))
    halves = case(getattr(tp, name), t(6, values=(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)), grows=False,
                  oracle=oracle, dtypes=FLOATS, label="halves")  # fmt: skip
    return row(name, NUMERIC, [*cases, halves], ("input",), exact=True)


def tested(name: str, oracle: Callable[[Any], Any], of_integers: bool) -> Row:
    def whole(x: Any) -> Any:
        return np.full(x.shape, of_integers)

    cases = unary(getattr(tp, name), for_integers(oracle, whole))
    return row(name, NUMERIC, cases, ("input",), out="bool")


ROUNDING = [
    row("sign", NUMERIC, unary(tp.sign, for_integers(np.sign, lambda x: (x > 0) * 1 - (x < 0) * 1)),
        ("input",), exact=True),
    row("square", NUMERIC, unary(tp.square, np.square), ("input",)),
    stepped("floor", np.floor),
    stepped("ceil", np.ceil),
    stepped("round", np.rint),
    stepped("trunc", np.trunc),
    tested("isnan", np.isnan, False),
    tested("isinf", np.isinf, False),
    tested("isfinite", np.isfinite, True),
    row("logical_not", BOOL, unary(tp.logical_not, np.logical_not), ("input",)),
]  # fmt: skip


def clipped(low: Any, high: Any) -> Callable[[Any], Any]:
    def oracle(x: Any) -> Any:
        raised = x if low is None else np.maximum(x, low)
        return raised if high is None else np.minimum(raised, high)

    return oracle


LIMITS = ((0, 3), (None, 2), (1, None), (3, 0))
CLIP = row(
    "clip",
    NUMERIC,
    [
        *(case(lambda x, a=a, b=b: tp.clip(x, a, b), t(2, 3, values="small"),
               oracle=clipped(a, b), label=f"{a} … {b}") for a, b in LIMITS),
        *(case(lambda x: tp.clip(x, 1, max=5), t(*shape), oracle=clipped(1, 5))
          for shape in ((), (0,), (2, 1, 3, 1, 2))),
        case(tp.clip, t(2, 3), t(3), t(2, 1), oracle=lambda x, a, b: clipped(a, b)(x),
             label="tensors"),
        case(lambda x: tp.clip(x, 0, 7), special(), oracle=clipped(0, 7), label="special",
             has_special=True),
        case(lambda x: tp.clip(x, -0.5, 1), t(5), oracle=clipped(-0.5, 1), dtypes=FLOATS),
    ],
    ("input",),
    exact=True,
    survives=True,
)  # fmt: skip


def logical(name: str, oracle: Callable[..., Any]) -> Row:
    return row(name, BOOL, binary(getattr(tp, name), oracle), ("lhs", "rhs"))


def filled(x: Any, mask: Any, value: Any) -> Any:
    return np.where(mask, np.array(value, x.dtype), x)


FITTING = [(a, b) for a, b in PAIRS if np.broadcast_shapes(a, b) == a]
MASKED_FILL = row(
    "masked_fill",
    ALL,
    [
        *(case(lambda x, m: tp.masked_fill(x, m, 1), t(*a), t(*b, **CONDITION),
               oracle=lambda x, m: filled(x, m, 1), dtypes=NUMERIC + PACKED) for a, b in FITTING),
        case(lambda x, m: tp.masked_fill(x, m, True), t(2, 3), t(3, **CONDITION),
             oracle=lambda x, m: filled(x, m, True)),
        case(lambda x, m: tp.masked_fill(x, m, float("-inf")), t(2, 3), t(2, 3, **CONDITION),
             oracle=lambda x, m: filled(x, m, -np.inf), dtypes=FLOATS, label="-inf"),
    ],
    ("input",),
    exact=True,
)  # fmt: skip

ROWS: list[Row] = [
    *CURVES,
    *ACTIVATIONS,
    *ROUNDING,
    row("atan2", FLOATS, binary(tp.atan2, np.arctan2, "nonzero", "nonzero", "quadrants"),
        ("lhs", "rhs")),
    CLIP,
    MASKED_FILL,
    logical("logical_and", np.logical_and),
    logical("logical_or", np.logical_or),
    logical("logical_xor", np.logical_xor),
]  # fmt: skip
