"""Elementwise functions and operators."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special as functions  # type: ignore[import-untyped]

import tripy as tp

from .. import oracles
from ..cases import (
    ALL,
    BOOL,
    COMPILED,
    EAGER,
    FLOATS,
    INTEGERS,
    NUMERIC,
    PACKED,
    SIGNED,
    Case,
    Row,
    Shape,
    case,
    row,
    special,
    spread,
    t,
)

SHAPES: tuple[Shape, ...] = ((), (5,), (0,), (2, 3), (3, 0, 2), (2, 1, 3, 2), (2, 1, 3, 1, 2))
#: Shapes that broadcast: same ranks, other ranks, sizes 1 and 0.
PAIRS: tuple[tuple[Shape, Shape], ...] = (
    ((), ()),
    ((4,), ()),
    ((), (2, 3)),
    ((2, 3), (3,)),
    ((2, 1, 3), (4, 1)),
    ((0,), (1,)),
    ((2, 0, 3), (3,)),
    ((1, 2, 1, 3, 1), (2, 2, 1, 2)),
    ((5,), (5,)),
)

# One input.


def unary(
    run: Callable[..., Any],
    oracle: Callable[..., Any],
    values: str = "any",
    specials: str = "special",
    **options: Any,
) -> list[Case]:
    cases = [case(run, t(*shape, values=values), oracle=oracle, **options) for shape in SHAPES]
    options |= {"label": "special", "has_special": True, "torch": None}
    return [*spread(cases), case(run, special(specials), oracle=oracle, **options)]


def in_torch(name: str, **options: Any) -> Callable[..., Any]:
    """A function of torch, or of torch.nn.functional."""

    def run(*tensors: Any) -> Any:
        import torch

        owner = torch if hasattr(torch, name) else torch.nn.functional
        return getattr(owner, name)(*tensors, **options)

    return run


def curve(name: str, oracle: Callable[..., Any], values: str = "any", **options: Any) -> Row:
    """A transcendental function."""
    cases = unary(getattr(tp, name), oracle, values, torch=in_torch(name), **options)
    return row(name, FLOATS, cases, ("input",))


def tanh_gelu(x: Any) -> Any:
    return tp.gelu(x, approximate="tanh")


FUNCTIONS = [
    curve("exp", np.exp),
    curve("log", np.log, "positive"),
    curve("sqrt", np.sqrt, "positive"),
    curve("rsqrt", lambda x: 1 / np.sqrt(x), "positive"),
    curve("sin", np.sin, specials="moderate"),
    curve("cos", np.cos, specials="moderate"),
    curve("tanh", np.tanh),
    curve("erf", functions.erf, engine_scale=lambda x: np.maximum(np.abs(functions.erf(x)), 0.5)),
    curve("sigmoid", functions.expit),
    curve("silu", oracles.silu),
    row(
        "gelu",
        FLOATS,
        [
            # OpenVINO's kernel gives NaN for +inf (ARCHITECTURE.md).
            *unary(tp.gelu, oracles.gelu, specials="below infinity", torch=in_torch("gelu")),
            case(
                tp.gelu,
                special("moderate"),
                oracle=oracles.gelu,
                label="infinity",
                modes=("eager", "reference static", "reference dynamic"),
                has_special=True,
            ),
            *unary(
                tanh_gelu,
                oracles.gelu_tanh,
                specials="moderate",
                torch=in_torch("gelu", approximate="tanh"),
            ),
        ],
        ("input",),
        engine_scale=np.abs,  # engines may lose 1 + erf(x) to cancellation
    ),
    row(
        "abs",
        NUMERIC,
        [*unary(tp.abs, np.abs), case(abs, t(2, 3), oracle=np.abs, label="operator")],
        ("input",),
        exact=True,
    ),
    row(
        "neg",
        NUMERIC,
        [*unary(tp.neg, np.negative), case(operator.neg, t(2, 3), label="operator")],
        ("input",),
        exact=True,
    ),
    row("relu", NUMERIC, unary(tp.relu, oracles.relu), ("input",), exact=True, survives=True),
    row("+x", NUMERIC, unary(operator.pos, lambda x: x), computes=False, exact=True),
    row("~", BOOL + INTEGERS, unary(operator.invert, oracles.invert)),
    row(
        "copy",
        ALL,
        [
            case(lambda x: tp.copy(x, x.device), t(2, 3), oracle=lambda x: x, exact=True),
            case(lambda x: x.copy(x.device), t(), oracle=lambda x: x, exact=True),
        ],
        computes=False,
    ),
]

# Two inputs.


def binary(
    run: Callable[..., Any],
    oracle: Callable[..., Any] | None = None,
    left: str = "any",
    right: str = "any",
    specials: str = "special",
    **options: Any,
) -> list[Case]:
    cases = [
        case(run, t(*a, values=left), t(*b, values=right), oracle=oracle, **options)
        for a, b in PAIRS
    ]
    column, line = special(specials, -1, 1), special(specials, 1, -1)
    options |= {"label": "special", "has_special": True, "grows": False}
    return [*spread(cases), case(run, column, line, oracle=oracle, **options)]


def beside(
    run: Callable[..., Any], number: Any, *, reflected: bool = True, **options: Any
) -> list[Case]:
    """A tensor beside a Python number, in both orders."""
    oracle, values = options.pop("oracle", run), options.pop("values", "small")
    forms = [
        case(
            lambda x: run(x, number),
            t(2, 3, values=values),
            oracle=lambda x: oracle(x, _alike(number, x)),
            label=f"x, {number}",
            **options,
        )
    ]
    if reflected:
        mirrored = case(
            lambda x: run(number, x),
            t(2, 3, values=values),
            oracle=lambda x: oracle(_alike(number, x), x),
            label=f"{number}, x",
            **options,
        )
        forms.append(mirrored)
    return forms


def _alike(number: Any, x: Any) -> Any:
    """A number as the oracle of ``x`` wants it: bools beside ints are ints."""
    return np.asarray(number, x.dtype)


def arithmetic(
    symbol: str,
    run: Callable[..., Any],
    accepts: tuple[str, ...],
    right: str = "any",
    **options: Any,
) -> Row:
    numbers = tuple(kind for kind in accepts if kind not in BOOL)
    cases = [
        *binary(run, right=right),
        *beside(run, 3, dtypes=numbers),
        *beside(run, True),
        *beside(run, 0.75, dtypes=FLOATS),
        case(lambda x: run(x, x.shape[0]), t(4, values="small"), oracle=_with_size(run),
             dtypes=numbers, label="x, size"),
    ]  # fmt: skip
    return row(symbol, accepts, cases, **options)


def _with_size(run: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda x: run(x, _alike(x.shape[0], x))


NEGATIVE_EXPONENTS = case(
    operator.pow,
    t(3, 5, values="small"),
    t(5, values=(-1, -2, -3, 0, -5)),
    oracle=oracles.power,
    dtypes=SIGNED,
    modes=COMPILED,
    label="negative exponents",
    grows=False,
)
POWERS = row(
    "**",
    NUMERIC,
    [
        *binary(operator.pow, oracles.power, "positive", "any", "moderate", dtypes=FLOATS),
        *binary(operator.pow, oracles.power, "any", "count", dtypes=INTEGERS)[:-1],
        case(operator.pow, special("special", -1, 1), t(6, values=(0, 1, 2, 3, 7, 100)),
             oracle=oracles.power, dtypes=INTEGERS, label="special", grows=False),
        case(operator.pow, t(4, values=(-2.0, -1.5, -1.0, -0.5)),
             t(5, 1, values=(-2, -1, 0, 3, 0.5)), oracle=oracles.power, dtypes=FLOATS,
             label="negative bases", grows=False),
        *beside(operator.pow, 3, oracle=oracles.power, values="count"),
        *beside(operator.pow, 2, oracle=oracles.power, reflected=False),
        NEGATIVE_EXPONENTS,
    ],
)  # fmt: skip

ARITHMETIC = [
    arithmetic("+", operator.add, NUMERIC + BOOL, exact=True),
    arithmetic("-", operator.sub, NUMERIC, exact=True),
    arithmetic("*", operator.mul, NUMERIC + BOOL, exact=True),
    arithmetic("/", operator.truediv, FLOATS, right="nonzero"),
    row(
        "//",
        NUMERIC,
        [
            *binary(operator.floordiv, oracles.floor_divide, "any", "nonzero", "moderate"),
            *beside(operator.floordiv, 3, oracle=oracles.floor_divide),
            *beside(operator.floordiv, 0.75, oracle=oracles.floor_divide, dtypes=FLOATS),
        ],
    ),
    row(
        "%",
        NUMERIC,
        [
            *binary(operator.mod, oracles.remainder, "any", "nonzero", "moderate"),
            *beside(operator.mod, 3, oracle=oracles.remainder),
            *beside(operator.mod, 0.75, oracle=oracles.remainder, dtypes=FLOATS),
        ],
        scale=lambda x, y=3: np.maximum(np.abs(x), np.abs(y)),
    ),
    POWERS,
]


def comparison(symbol: str, run: Callable[..., Any], accepts: tuple[str, ...]) -> Row:
    numbers = tuple(kind for kind in accepts if kind not in (*BOOL, *PACKED))
    cases = [
        *binary(run, left="small", right="small"),
        *beside(run, 1, dtypes=numbers),
        *beside(run, True, dtypes=BOOL),
        *beside(run, 0.5, dtypes=FLOATS),
    ]
    return row(symbol, accepts, cases, out="bool")


COMPARISONS = [
    comparison("<", operator.lt, NUMERIC + BOOL),
    comparison("<=", operator.le, NUMERIC + BOOL),
    comparison(">", operator.gt, NUMERIC + BOOL),
    comparison(">=", operator.ge, NUMERIC + BOOL),
    comparison("==", operator.eq, ALL),
    comparison("!=", operator.ne, ALL),
]


def bitwise(symbol: str, run: Callable[..., Any]) -> Row:
    cases = [
        *binary(run),
        *beside(run, 5, dtypes=INTEGERS, values="any"),
        *beside(run, True, dtypes=BOOL),
    ]
    return row(symbol, BOOL + INTEGERS, cases)


def extreme(name: str, oracle: Callable[..., Any]) -> Row:
    run = getattr(tp, name)
    cases = [
        *binary(run, oracle),
        *beside(run, 1, oracle=oracle, dtypes=NUMERIC),
        *beside(run, 0.5, oracle=oracle, dtypes=FLOATS),
    ]
    return row(name, NUMERIC + BOOL, cases, exact=True, survives=True)


# Selection and conversion.

TRIPLES: tuple[tuple[Shape, Shape, Shape], ...] = (
    ((), (), ()),
    ((3,), (3,), (3,)),
    ((2, 1), (3,), ()),
    ((3,), (2, 1, 1), (4, 1)),
    ((1,), (0,), (1,)),
    ((2, 1, 2, 1, 1), (2, 1), (3,)),
)
CONDITION: dict[str, Any] = {"dtype": "bool"}
SELECTION = row(
    "where",
    ALL,
    [
        *(
            case(tp.where, t(*c, **CONDITION), t(*a), t(*b), oracle=np.where)
            for c, a, b in TRIPLES
        ),
        case(tp.where, t(1, **CONDITION), special(), t(), oracle=np.where, label="special"),
        case(lambda c, x: tp.where(c, x, 1), t(2, 3, **CONDITION), t(3),
             oracle=lambda c, x: np.where(c, x, 1), dtypes=NUMERIC + PACKED, label="number"),
        case(lambda c, x: tp.where(c, True, x), t(2, 3, **CONDITION), t(3),
             oracle=lambda c, x: np.where(c, True, x), dtypes=BOOL, label="number"),
        case(lambda c: tp.where(c, 1.5, 2), t(2, 3, **CONDITION), out="float32",
             oracle=lambda c: np.where(c, 1.5, 2.0), dtypes=("float32",), label="two numbers"),
        case(lambda c: tp.where(c, 1, 2), t(2, 3, **CONDITION), out="int32",
             oracle=lambda c: np.where(c, 1, 2), dtypes=("int32",), label="two numbers"),
    ],
    exact=True,
)  # fmt: skip
CHOICE = row(
    "where condition",
    BOOL,
    [
        case(tp.where, t(3), t(2, 3, dtype="float32"), t(2, 1, dtype="float32"), oracle=np.where,
             out="float32", exact=True),
    ],
    ("condition",),
)  # fmt: skip


def _casts() -> list[Case]:
    cases = []
    for target in ALL:
        for source in ALL:
            conversion = _conversion(target)
            oracle = oracles.cast(source, target)
            options: dict[str, Any] = {"dtypes": (source,), "out": target, "exact": True}
            inputs = [special("convertible"), t(2, 3), t()]
            if source == target:
                inputs = inputs[:1]
            for spec in inputs:
                made = case(conversion, spec, oracle=oracle, label=f"to {target}", **options)
                cases.append(made)
    return cases


def _conversion(target: str) -> Callable[[Any], Any]:
    kind = next(k for k in vars(tp).values() if isinstance(k, tp.dtype) and k.name == target)
    return lambda x: tp.cast(x, kind)


CASTS = row("cast", ALL, _casts(), has_special=True)

# Python results.


def _truth(function: Callable[..., bool], **options: Any) -> Callable[..., Any]:
    return lambda x, y: tp.Tensor(function(x, y, **options))


VERDICTS = [
    row(
        "allclose",
        NUMERIC,
        [
            case(_truth(tp.allclose), t(3, values=(1, 2, 3)), t(3, values=last), label=str(last),
                 oracle=lambda x, y: np.array(bool((x == y).all())), modes=EAGER, out="bool")
            for last in ((1, 2, 3), (1, 2, 4))
        ],
        ("input", "other"),
        computes=False,
    ),
    row(
        "equal",
        ALL,
        [
            case(_truth(tp.equal), t(2, values=(1, 0)), t(*shape, values=last), label=str(last),
                 oracle=lambda x, y: np.array(np.array_equal(x, y)), modes=EAGER, out="bool")
            for shape, last in (((2,), (1, 0)), ((2,), (1, 1)), ((1, 2), (1, 0)))
        ],
        ("input", "other"),
        computes=False,
    ),
]  # fmt: skip

ROWS: list[Row] = [
    *FUNCTIONS,
    *ARITHMETIC,
    *COMPARISONS,
    bitwise("&", operator.and_),
    bitwise("|", operator.or_),
    bitwise("^", operator.xor),
    extreme("maximum", np.maximum),
    extreme("minimum", np.minimum),
    SELECTION,
    CHOICE,
    CASTS,
    *VERDICTS,
]
