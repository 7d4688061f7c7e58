"""Triangles, diagonals, grids, one-hot codes, and functions that repeat or reorder elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from ..cases import ALL, FLOATS, INTEGERS, Array, Case, Row, Shape, case, row, t
from .create import everywhere
from .movement import moved, movement


def triangle(name: str, kept: Callable[[Array, int], Array]) -> Row:
    function = getattr(tp, name)

    def cut(shape: Shape, diagonal: int) -> Case:
        def oracle(x: Array) -> Array:
            mask = kept(np.ones(x.shape, bool), diagonal)
            return np.where(mask, x, np.zeros((), x.dtype))

        return case(lambda x: function(x, diagonal), t(*shape), oracle=oracle,
                    label=f"diagonal={diagonal}")  # fmt: skip

    entries: list[tuple[Shape, int]] = [
        ((3, 3), 0), ((2, 4), 1), ((4, 2), -1), ((1, 1), 0), ((2, 3, 2), -9), ((2, 3, 4), 9),
        ((0, 3), 0), ((2, 1, 3, 2), 1), ((2, 1, 1, 3, 4), -1),
    ]  # fmt: skip
    return movement(name, *(cut(*entry) for entry in entries), parameters=("tensor",))


LINSPACE = row(
    "linspace",
    ALL,
    [
        *everywhere(lambda x, d: tp.linspace(-2, 2, 5, d), lambda x: np.linspace(-2, 2, 5), 2),
        *everywhere(lambda x, d: tp.linspace(3, 1, 1, d), lambda x: np.array([3.0]), 2),
        *everywhere(lambda x, d: tp.linspace(0, 1, 0, dtype=d), lambda x: np.zeros(0), 2),
        *everywhere(lambda x, d: tp.linspace(0.1, 0.7, 7, d), lambda x: np.linspace(0.1, 0.7, 7), 2,
                    dtypes=FLOATS),
    ],
    computes=False,
)  # fmt: skip
EYE = row(
    "eye",
    ALL,
    [
        *everywhere(lambda x, d: tp.eye(3, dtype=d), lambda x: np.eye(3), 2),
        *everywhere(lambda x, d: tp.eye(2, 4, d), lambda x: np.eye(2, 4), 2),
        *everywhere(lambda x, d: tp.eye(x.shape[0], x.shape[1], d), lambda x: np.eye(*x.shape),
                    3, 2),
        *everywhere(lambda x, d: tp.eye(x.shape[0], dtype=d), lambda x: np.eye(len(x)), 0),
    ],
)  # fmt: skip


def diagonal_of(x: Array, diagonal: int) -> Array:
    if x.ndim == 2:
        return np.diagonal(x, diagonal).copy()
    size = len(x) + abs(diagonal)
    made = np.zeros((size, size), x.dtype)
    made[np.arange(len(x)) + max(-diagonal, 0), np.arange(len(x)) + max(diagonal, 0)] = x
    return made


DIAG = movement(
    "diag",
    *(
        case(lambda x, d=d: tp.diag(x, d), t(*shape), oracle=lambda x, d=d: diagonal_of(x, d),
             label=f"diagonal={d}")
        for shape, d in [((3,), 0), ((2,), 2), ((2,), -1), ((0,), 0), ((0,), 1), ((3, 3), 0),
                         ((2, 4), 1), ((4, 2), -2), ((2, 3), 3), ((3, 2), -4), ((1, 1), 0)]
    ),
    parameters=("input",),
)  # fmt: skip


def codes(classes: int, dim: int) -> Callable[[Array], Array]:
    def oracle(x: Array) -> Array:
        at = dim % (x.ndim + 1)
        numbers = np.arange(classes).reshape(-1, *(1,) * (x.ndim - at))
        return (np.expand_dims(x, at) == numbers).astype(float)

    return oracle


ONE_HOT = row(
    "one_hot",
    INTEGERS,
    [
        *(case(lambda x, d=d: tp.one_hot(x, 5, d), t(*shape, values="count"), oracle=codes(5, d),
               label=f"dim={d}", out="float32")
          for shape, d in [((), -1), ((4,), -1), ((4,), 0), ((2, 3), 1), ((2, 0), -3),
                           ((2, 1, 3, 2), 2)]),
        case(lambda x: tp.one_hot(x, 3, dtype=tp.int8), t(9), oracle=codes(3, -1), out="int8",
             label="any"),
        case(lambda x: tp.one_hot(x, 1, dtype=tp.bool), t(3, values="count"), out="bool",
             oracle=lambda x: codes(1, -1)(x).astype(bool)),
    ],
    ("input",),
    exact=True,
)  # fmt: skip


def grid(indexing: str, *sizes: int) -> Case:
    return case(
        lambda *xs: tp.meshgrid(*xs, indexing=indexing),
        *(t(n) for n in sizes),
        oracle=lambda *xs: np.meshgrid(*xs, indexing=indexing),
        many=True,
        label=indexing,
    )


MESHGRID = movement("meshgrid", grid("ij", 2, 3), grid("xy", 2, 3), grid("ij", 4), grid("xy", 3),
                    grid("xy", 2, 1, 3), grid("ij", 2, 0, 3), parameters=("tensors",))  # fmt: skip


def repeated(shape: Shape, times: int, dim: int) -> Case:
    return moved(lambda x: tp.repeat(x, times, dim), lambda x: np.repeat(x, times, dim), *shape,
                 label=f"{times} times along {dim}")  # fmt: skip


REPEAT = movement(
    "repeat",
    *(repeated(*entry) for entry in [
        ((3,), 2, 0), ((2, 3), 3, -1), ((2, 3), 0, 0), ((2, 0), 2, 1), ((1, 2, 1), 1, 1),
        ((2, 1, 3, 2), 2, -2), ((2, 1, 3, 1, 2), 2, 0),
    ]),
    moved(lambda x: tp.repeat(x, x.shape[1], 0), lambda x: np.repeat(x, x.shape[1], 0), 2, 3),
)  # fmt: skip


def tiled(shape: Shape, reps: Any) -> Case:
    return moved(lambda x: tp.tile(x, reps), lambda x: np.tile(x, reps), *shape,
                 label=f"reps={reps}")  # fmt: skip


TILE = movement(
    "tile",
    *(tiled(*entry) for entry in [
        ((), 2), ((3,), 2), ((2, 3), 2), ((2, 3), (2, 2)), ((2,), (3, 1, 2)), ((2, 3), (1, 0)),
        ((2, 0), (2, 2)), ((2, 3), ()), ((2, 1, 3, 1, 2), (1, 2, 1, 3, 2)),
    ]),
)  # fmt: skip


def flipped(shape: Shape, dim: Any) -> Case:
    axis = tuple(dim) if isinstance(dim, list) else dim
    return moved(lambda x: tp.flip(x, dim), lambda x: np.flip(x, axis), *shape, label=f"dim={dim}")


FLIP = movement("flip", *(flipped(*entry) for entry in [
    ((), None), ((3,), 0), ((2, 3), None), ((2, 3), -1), ((2, 3, 4), [0, -1]), ((2, 0, 3), 1),
    ((2, 1, 3, 1, 2), (2, 4)), ((2, 3), ()),
]))  # fmt: skip


def rolled(shape: Shape, shifts: Any, dim: Any) -> Case:
    return moved(lambda x: tp.roll(x, shifts, dim), lambda x: np.roll(x, shifts, dim), *shape,
                 label=f"{shifts} along {dim}")  # fmt: skip


ROLL = movement("roll", *(rolled(*entry) for entry in [
    ((), 1, None), ((5,), 2, 0), ((5,), -7, 0), ((2, 3), 1, None), ((2, 3), (1, -1), (0, 1)),
    ((2, 0), 1, 1), ((3, 2), 0, 0), ((2, 1, 3, 1, 2), (4, 2), (2, -1)),
]))  # fmt: skip


def shuffled(factor: int) -> Callable[[Array], Array]:
    def oracle(x: Array) -> Array:
        *leading, channels, height, width = x.shape
        split = x.reshape(*leading, channels // factor**2, factor, factor, height, width)
        n = len(leading)
        mixed = split.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
        return mixed.reshape(*leading, channels // factor**2, height * factor, width * factor)

    return oracle


PIXEL_SHUFFLE = movement(
    "pixel_shuffle",
    *(
        case(lambda x, f=f: tp.pixel_shuffle(x, f), t(*shape, static=(len(shape) - 3,)),
             oracle=shuffled(f), label=f"factor={f}")
        for shape, f in [((4, 2, 3), 2), ((2, 8, 2, 1), 2), ((9, 1, 1), 3), ((3, 2, 2), 1),
                         ((4, 0, 2), 2), ((2, 1, 4, 3, 2), 2)]
    ),
)  # fmt: skip

ROWS: list[Row] = [
    triangle("tril", np.tril), triangle("triu", np.triu), LINSPACE, EYE, DIAG, ONE_HOT, MESHGRID,
    REPEAT, TILE, FLIP, ROLL, PIXEL_SHUFFLE,
]  # fmt: skip
