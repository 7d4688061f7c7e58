"""Resizing and adaptive pooling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import tripy as tp

from ..cases import ALL, FLOATS, Array, Case, Row, Shape, case, row, special, spread, t

Options = dict[str, Any]

# The definition, output by output.


def keys(d: float) -> float:
    a = -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def source(i: int, old: int, new: int, corners: bool) -> float:
    if corners:
        return i * (old - 1) / (new - 1) if new > 1 else 0.0
    return (i + 0.5) * old / new - 0.5


def weights(old: int, new: int, mode: str, corners: bool) -> Array:
    """Matrix (new, old) of what every element adds to every output."""
    matrix = np.zeros((new, old))
    for i in range(new):
        place = source(i, old, new, corners)
        if mode == "linear":
            place = min(max(place, 0.0), old - 1.0)
        first = math.floor(place)
        for at in range(first - 1, first + 3):
            distance = abs(place - at)
            weight = keys(distance) if mode == "cubic" else max(0.0, 1 - distance)
            matrix[i, min(max(at, 0), old - 1)] += weight
    return matrix


def resized(x: Array, shape: Shape, mode: str = "linear", corners: bool = False) -> Array:
    whole = x.dtype == object
    for dim, (old, new) in enumerate(zip(x.shape, shape, strict=True)):
        if mode == "nearest":
            x = np.take(x, [i * old // new for i in range(new)], dim)
        elif old != new:
            moved = np.moveaxis(x.astype(float), dim, -1)
            x = np.moveaxis(moved @ weights(old, new, mode, corners).T, -1, dim)
    return x if not whole or mode == "nearest" else np.rint(x).astype(int).astype(object)


def saturated(oracle: Callable[..., Array], dtype: str) -> Callable[..., Array]:
    info = np.iinfo(dtype)
    return lambda x: np.asarray(np.clip(oracle(x), info.min, info.max), object)


def in_torch(shape: Shape, mode: str, corners: bool) -> Callable[..., Any] | None:
    """Torch's own, for outputs (N, C, …); it names the modes by their number of dims."""
    names = {"linear": ("linear", "bilinear", "trilinear"), "cubic": (None, "bicubic", None)}
    name = names.get(mode, (None,) * 3)[len(shape) - 3] if 3 <= len(shape) <= 5 else None
    if name is None:
        return None

    def run(x: Any) -> Any:
        from torch.nn import functional

        return functional.interpolate(x, shape[2:], mode=name, align_corners=corners)

    return run


# Resizing: input and output sizes.

SIZES: tuple[tuple[Shape, Shape], ...] = (
    ((), ()),
    ((4,), (8,)),
    ((4,), (7,)),
    ((7,), (3,)),
    ((1,), (3,)),
    ((5,), (1,)),
    ((3, 5), (3, 11)),
    ((2, 1, 6), (2, 1, 9)),
    ((2, 4, 2), (5, 3, 2)),
    ((1, 2, 4, 3), (1, 2, 8, 6)),
    ((1, 2, 5, 7), (1, 2, 11, 4)),
    ((2, 1, 8, 8), (2, 1, 2, 4)),
    ((1, 1, 2, 3, 4), (1, 1, 4, 5, 8)),
    ((2, 2, 3, 2, 2), (3, 2, 2, 2, 4)),
    ((0, 3, 4), (0, 3, 8)),
)


def resizing(old: Shape, new: Shape, mode: str, corners: bool = False, **options: Any) -> Case:
    same = old[:2] == new[:2]
    options.setdefault("torch", in_torch(new, mode, corners) if same and 0 not in old else None)
    kept = tuple(dim for dim, size in enumerate(old) if size == new[dim])
    return case(
        lambda x: tp.resize(x, new, mode, corners),
        t(*old, static=kept),
        oracle=lambda x: resized(x, new, mode, corners),
        label=f"to {new} {mode}{' corners' * corners}",
        **options,
    )


def scaled(old: Shape, scales: tuple[float, ...], mode: str, **options: Any) -> Case:
    return case(
        lambda x: tp.resize(x, mode=mode, scales=scales),
        t(*old),
        oracle=lambda x: resized(x, growth(x.shape, scales), mode),
        label=f"by {scales} {mode}",
        **options,
    )


def growth(shape: Shape, scales: tuple[float, ...]) -> Shape:
    return tuple(math.floor(n * s + 1e-9) for n, s in zip(shape, scales, strict=True))


def doubled(mode: str, **options: Any) -> Case:
    """Sizes that are computed from those of the input."""
    return case(
        lambda x: tp.resize(x, (x.shape[0], x.shape[1], x.shape[2] * 2, x.shape[3] * 2), mode),
        t(1, 2, 3, 4),
        oracle=lambda x: resized(x, (*x.shape[:2], x.shape[2] * 2, x.shape[3] * 2), mode),
        label=f"doubled {mode}",
        **options,
    )


SCALES: tuple[tuple[Shape, tuple[float, ...]], ...] = (
    ((4,), (1.75,)),
    ((3, 10), (1, 0.7)),
    ((1, 2, 3, 4), (1, 1, 2, 2)),
    ((1, 1, 5, 4), (1, 1, 3, 0.5)),
)
#: Exact in float32, or without results halfway between integers, in both 8-bit types.
WHOLE: tuple[tuple[Shape, Shape], ...] = (
    ((4,), (8,)),
    ((6, 3), (12, 3)),
    ((5,), (3,)),
    ((1, 2, 3, 4), (1, 2, 6, 8)),
    ((1, 1, 4, 7), (1, 1, 4, 11)),
)
MANNERS = (("linear", False), ("cubic", False), ("linear", True), ("cubic", True))
NEAREST = [
    *spread(resizing(*sizes, "nearest", dtypes=ALL) for sizes in SIZES),
    *(scaled(*pair, "nearest", dtypes=("float32", "int8")) for pair in SCALES),
    doubled("nearest"),
    case(lambda x: tp.resize(x, (x.shape[0] * 3,), "nearest"), special(), has_special=True,
         oracle=lambda x: resized(x, (len(x) * 3,), "nearest"), label="special"),
]  # fmt: skip
INTERPOLATED = [
    *spread(resizing(*sizes, *MANNERS[n % 4], dtypes=FLOATS) for n, sizes in enumerate(SIZES)),
    *(resizing(*SIZES[n], *manner, dtypes=("float32",)) for n in (4, 5) for manner in MANNERS[2:]),
    *(scaled(*pair, "linear", dtypes=("float32",)) for pair in SCALES),
    doubled("linear", dtypes=FLOATS),
    doubled("cubic", dtypes=("float32",)),
]  # fmt: skip


def whole(dtype: str) -> list[Case]:
    cases = [resizing(*sizes, mode, dtypes=(dtype,), grows=False, torch=None)
             for sizes in WHOLE for mode in ("linear", "cubic")]  # fmt: skip
    return [replace(c, oracle=saturated(c.oracle, dtype)) for c in cases]


def largest(x: Array) -> Any:
    return np.abs(x).max(initial=0)


# Adaptive pooling: input, output sizes.

POOLS: tuple[tuple[Shape, int | Shape], ...] = (
    ((1, 1, 5), 2),
    ((2, 3, 6), (3,)),
    ((1, 2, 3), 5),
    ((1, 2, 4, 6), (2, 3)),
    ((2, 1, 5, 7), (3, 2)),
    ((1, 3, 4, 5), 1),
    ((1, 2, 4, 5), (1, 3)),
    ((1, 2, 4, 5), (4, 5)),
    ((1, 1, 3, 4, 5), (2, 2, 2)),
    ((0, 2, 4, 4), 2),
)


def averaged(x: Array, wanted: int | Shape) -> Array:
    counts = (wanted,) * (x.ndim - 2) if isinstance(wanted, int) else wanted
    for dim, count in enumerate(counts, 2):
        size = x.shape[dim]
        edges = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        means = [x.take(range(*edge), dim).mean(dim) for edge in edges]
        x = np.stack(means, dim)
    return x


def pooling(x: Shape, wanted: int | Shape) -> Case:
    def torch(tensor: Any) -> Any:
        from torch.nn import functional

        return getattr(functional, f"adaptive_avg_pool{len(x) - 2}d")(tensor, wanted)

    return case(
        lambda tensor: tp.adaptive_avgpool(tensor, wanted),
        t(*x, static=(0, 1, 2)[: len(x) - 1]),
        oracle=lambda array: averaged(array, wanted),
        label=str(wanted),
        torch=None if 0 in x else torch,
    )


WITH_INF = t(1, 1, 5, values=(1.0, np.inf, 2.0, 3.0, 5.0))
INFINITE = case(lambda x: tp.adaptive_avgpool(x, 3), WITH_INF,
                oracle=lambda x: averaged(x, 3), label="inf", grows=False)  # fmt: skip

ROWS: list[Row] = [
    row("resize", ALL, NEAREST, ("input",), exact=True),
    row("resize linear", (*FLOATS, "int8", "uint8"),
        [*INTERPOLATED, *whole("int8"), *whole("uint8")], scale=largest, terms=4),
    row("adaptive_avgpool", FLOATS, [*spread(pooling(*pair) for pair in POOLS), INFINITE],
        ("input",), scale="absolute", terms=4),
]  # fmt: skip
