"""Matrix products."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import MATRIX, NUMERIC, Case, Row, Shape, case, row, special, t

PAIRS: tuple[tuple[Shape, Shape], ...] = (
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((1, 3), (3, 1)),
    ((5, 2, 3), (3, 4)),
    ((2, 1, 2, 3), (4, 3, 2)),
    ((1, 2, 1, 2, 3), (2, 1, 3, 3, 1)),
    ((3,), (2, 3, 4)),
    ((2, 2, 3), (3,)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((2, 0, 3), (3, 4)),
)


def product(run: Any, left: Shape, right: Shape, **options: Any) -> Case:
    static = (len(left) - 1,) if options else ()
    first, second = t(*left, static=static), t(*right, **options)
    return case(run, first, second, oracle=oracles.matmul, terms=max(1, left[-1]))


PRODUCTS = [
    *(product(tp.matmul, *pair) for pair in PAIRS),
    product(tp.matmul, (4, 3), (3, 5), constant=True),
    product(tp.matmul, (2, 300), (300, 3)),
]
LISTS = [
    case(lambda x: x @ [[1, 2], [3, 4]], t(3, 2), grows=False, label="list",
         oracle=lambda x: oracles.matmul(x, np.array([[1, 2], [3, 4]], x.dtype)), terms=2),
    case(lambda x: [1, 2] @ x, t(2, 3), grows=False, label="list",
         oracle=lambda x: oracles.matmul(np.array([1, 2], x.dtype), x), terms=2),
]  # fmt: skip
OUTER = [
    case(tp.outer, t(*a), t(*b), oracle=np.multiply.outer)
    for a, b in (((3,), (4,)), ((1,), (2,)), ((0,), (2,)))
]
VECTORS = case(tp.outer, special(), special(), oracle=np.multiply.outer, has_special=True)

# Equation, shapes.

SUMS: tuple[tuple[Any, ...], ...] = (
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,kj", (2, 3), (4, 3)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("bhqd,bhkd->bhqk", (2, 1, 3, 4), (2, 1, 2, 4)),
    ("bqhd,bkhd->bhqk", (1, 3, 2, 4), (1, 2, 2, 4)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)),
    ("...ij,jk->...ik", (2, 2, 3), (3, 2)),
    ("i...,...i", (3, 2), (2, 3)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ii", (3, 3)),
    ("iji->ji", (3, 2, 3)),
    ("iii", (2, 2, 2)),
    ("i,j->ij", (2,), (3,)),
    ("i,j->ji", (2,), (3,)),
    ("i,i->", (3,), (3,)),
    ("bi,bi->b", (2, 3), (2, 3)),
    ("ijk,jk->i", (2, 3, 4), (3, 4)),
    ("ij,jk->k", (2, 3), (3, 4)),
    ("a,b,c->cab", (2,), (3,), (2,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("ab,bc,ac->abc", (2, 3), (3, 4), (2, 4)),
    ("ij,ij,ij->j", (2, 3), (2, 3), (2, 3)),
    (" aB , Bc ", (2, 3), (3, 4)),
    ("->", ()),
    (",i->i", (), (3,)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("ij,ij->ij", (0, 3), (0, 3)),
)


def summed(equation: str, *operands: Shape) -> Case:
    return case(
        lambda *tensors: tp.einsum(equation, *tensors),
        *(t(*shape) for shape in operands),
        oracle=lambda *arrays: np.asarray(np.einsum(equation, *arrays)),
        label=equation,
        terms=16,
    )


ROWS: list[Row] = [
    row("matmul", MATRIX, PRODUCTS, scale="absolute"),
    row("@", MATRIX, [*(product(operator.matmul, *pair) for pair in PAIRS), *LISTS],
        scale="absolute"),
    row("einsum", MATRIX, [summed(*entry) for entry in SUMS], scale="absolute"),
    row("outer", NUMERIC, [*OUTER, VECTORS], ("vec1", "vec2"), exact=True),
]  # fmt: skip
