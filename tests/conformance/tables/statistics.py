"""Variance, norms and log-sum-exp."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special as functions  # type: ignore[import-untyped]

import tripy as tp

from ..cases import FLOATS, Array, Case, Row, case, row, t
from .reduce import EMPTY, INFINITE, NANS, axes, on, reductions


def moment(correction: float = 1, root: bool = False) -> Callable[..., Array]:
    def oracle(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
        count = x.size / max(1, np.sum(x, axis=axis).size)
        centred = x - np.sum(x, axis=axis, keepdims=True) / np.float64(count)
        total = np.sum(centred**2, axis=axis, keepdims=keepdims)
        result = total / np.float64(max(0, count - correction))
        return np.asarray(np.sqrt(result) if root else result)

    return oracle


def corrected(name: str, correction: float) -> Case:
    function, oracle = getattr(tp, name), moment(correction, name == "std")
    return case(
        lambda x: function(x, dim=-1, correction=correction),
        t(2, 4),
        oracle=lambda x: oracle(x, axis=-1),
        label=f"correction={correction}",
        terms=4,
    )


def spread_of(name: str, oracle: Callable[..., Any]) -> Row:
    shifts = case(lambda x: getattr(tp, name)(x + 1000, 0), t(6, 2), label="far from 0",
                  oracle=lambda x: oracle(x + 1000, axis=0), dtypes=("float32", "float64"),
                  rtol=1e-4)  # fmt: skip
    more = [corrected(name, c) for c in (0, 1, 2.5)]
    return reductions(name, oracle, FLOATS, *more, shifts, on(name, oracle, NANS))


def vector_norm(order: float) -> Callable[..., Array]:
    def oracle(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
        size = np.abs(x)
        if math.isinf(order):
            extreme = np.max if order > 0 else np.min
            return np.asarray(extreme(size, axis=axis, keepdims=keepdims))
        powers = (x != 0) if order == 0 else size**order
        total = np.sum(powers, axis=axis, keepdims=keepdims, dtype=float)
        return np.asarray(total if order == 0 else total ** (1 / order))

    return oracle


def of_order(order: float, dim: Any) -> Case:
    return case(
        lambda x: tp.norm(x, order, dim),
        t(2, 3, 4, values="nonzero"),
        oracle=lambda x: vector_norm(order)(x, axis=axes(dim)),
        label=f"ord={order} dim={dim}",
        terms=24,
    )


def plain_norm(name: str, function: Any) -> list[Case]:
    """The entries of the table of reductions, with norm's other order of parameters."""
    cases = []
    for shape, dim, keepdim in [((), None, False), ((5,), 0, True), ((2, 3, 4), (0, -1), False),
                                ((2, 1, 3, 1, 2), (-5, 2), True), *EMPTY]:  # fmt: skip
        cases.append(
            case(
                lambda x, d=dim, k=keepdim: function(x, dim=d, keepdim=k),
                t(*shape),
                oracle=lambda x, d=dim, k=keepdim: vector_norm(2)(x, axes(d), k),
                label=f"dim={dim} keepdim={keepdim}",
                terms=max(1, math.prod(shape)),
            )
        )
    return cases


ORDERS = (1, 2, 3, 0.5, -1, 0, math.inf, -math.inf)
NORM = row(
    "norm",
    FLOATS,
    [
        *plain_norm("norm", tp.norm),
        *(of_order(order, dim) for order in ORDERS for dim in (None, 1)),
    ],
    ("input",),
    rtol=2e-6,
)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    if axis == ():
        return x
    if not x.size:
        return np.log(np.sum(x, axis=axis, keepdims=keepdims))
    return np.asarray(functions.logsumexp(x, axis=axis, keepdims=keepdims))


LARGE = (900.0, 901.0, 0.0, -800.0, -801.0, -802)
LOGSUMEXP = reductions(
    "logsumexp",
    logsumexp,
    FLOATS,
    case(lambda x: tp.logsumexp(x, 1), t(2, 3, values=LARGE), label="large", grows=False,
         oracle=lambda x: logsumexp(x, axis=1)),
    on("logsumexp", logsumexp, NANS),
    on("logsumexp", logsumexp, INFINITE),
    scale=lambda x: 1 + np.abs(x[np.isfinite(x)]).max(initial=0),
)  # fmt: skip

ROWS: list[Row] = [spread_of("var", moment()), spread_of("std", moment(root=True)), NORM, LOGSUMEXP]
