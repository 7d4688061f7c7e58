"""Running sums and products, sorting, and scatter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import tripy as tp

from ..cases import (
    ALL,
    BOOL,
    COMPILED,
    EAGER,
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

ORDERED = (*NUMERIC, *BOOL)
LINES: tuple[tuple[Shape, int], ...] = (
    ((5,), 0),
    ((3, 4), -1),
    ((3, 4), 0),
    ((1,), -1),
    ((2, 1, 4), 1),
    ((0,), 0),
    ((2, 0, 3), 1),
    ((2, 0, 3), 2),
    ((2, 3, 2, 2), 1),
    ((2, 1, 3, 1, 2), -3),
)

# Running sums and products.


def scans(name: str, numpy: Any, values: str, scale: Any) -> Row:
    function = getattr(tp, name)

    def scan(shape: Shape, dim: int, **options: Any) -> Case:
        return case(
            lambda x: function(x, dim),
            options.pop("spec", t(*shape, values=values)),
            oracle=lambda x: numpy.accumulate(x, axis=dim),
            label=f"dim={dim}",
            terms=max(1, shape[dim]),
            **options,
        )

    extremes = scan((30,), 0, spec=special(), dtypes=INTEGERS, grows=False)
    numbers = (0.5, np.inf, 2.0, -np.inf, 1.0, np.nan)
    floats = scan((6,), 0, spec=t(6, values=numbers), dtypes=FLOATS, grows=False)
    small = (0.0, 2e4, 3e4, -2.0, 1e-4, 1e-4)
    zero = scan((6,), 0, spec=t(6, values=small), dtypes=("float32", "float64"), grows=False)
    plain = spread(scan(*entry) for entry in LINES)
    return row(name, NUMERIC, [*plain, extremes, floats, zero], ("input",), scale=scale, rtol=2e-6)


# Order.


def _positions(line: Array, descending: bool) -> list[int]:
    """Python's sort is stable in both directions; NaN is made larger than every number."""
    keys = [(bool(v != v), 0 if v != v else v) for v in line]
    return sorted(range(len(line)), key=keys.__getitem__, reverse=descending)


def argsorted(x: Array, dim: int = -1, descending: bool = False) -> Array:
    moved = np.moveaxis(x, dim, -1)
    out = np.zeros(moved.shape, int)
    for cell in np.ndindex(moved.shape[:-1]):
        out[cell] = _positions(moved[cell], descending)
    return np.moveaxis(out, -1, dim)


def ordered(x: Array, dim: int = -1, descending: bool = False) -> Array:
    return np.take_along_axis(x, argsorted(x, dim, descending), dim)


def best(x: Array, k: int, dim: int = -1, largest: bool = True) -> tuple[Array, Array]:
    index = argsorted(x, dim, largest).take(range(k), dim)
    return np.take_along_axis(x, index, dim), index


MIXED = (np.nan, 1.0, np.inf, -0.0, 3.0, np.nan, -np.inf, 0.0, 1.0, np.inf, 3.4e38, -2.0, 3.0)
#: So many that OpenVINO orders them in another way; most of them occur several times.
MANY = tuple(((n * 7919) % 61 - 30) / 2 for n in range(270))
MANY_FLOATS = (*MIXED, *MANY, *MIXED)


def sorts(name: str, oracle: Callable[..., Any], **options: Any) -> Row:
    function = getattr(tp, name)

    def one(spec: Any, dim: int, descending: bool, **more: Any) -> Case:
        return case(
            lambda x: function(x, dim, descending),
            spec,
            oracle=lambda x: oracle(x, dim, descending),
            label=f"dim={dim} descending={descending}",
            **more,
        )

    both = (False, True)
    lines = spread(one(t(*s, values="small"), d, n % 2 > 0) for n, (s, d) in enumerate(LINES))
    wide = spread(one(t(4, 5), 1, descending) for descending in both)
    edges = [one(special(), 0, d, dtypes=INTEGERS + BOOL, grows=False) for d in both]
    mixed = [
        one(t(13, values=MIXED), 0, d, dtypes=("float32", "float64", "bfloat16"), grows=False)
        for d in both
    ]
    many = [
        one(t(2, 135, values=MANY), 1, False, dtypes=("float32", "int32", "int8")),
        one(t(135, 2, values=MANY), 0, True, dtypes=("float16", "int16", "float64")),
        one(t(296, values=MANY_FLOATS), 0, False, dtypes=("float32", "float64", "bfloat16")),
        one(t(296, values=MANY_FLOATS), 0, True, dtypes=("float32",)),
        one(t(3, 150), 1, True, dtypes=("float32", "int32")),
    ]
    many = [replace(c, grows=False) for c in many]
    default = case(function, t(3, 4, values="small"), oracle=oracle)
    return row(name, ORDERED, [*lines, *wide, *edges, *mixed, *many, default], ("input",),
               exact=True, **options)  # fmt: skip


def chosen(shape: Shape, k: int, dim: int, largest: bool, **options: Any) -> Case:
    return case(
        lambda x: tp.topk(x, k, dim, largest)[options.get("part", 0)],
        options.get("spec", t(*shape, values="small")),
        oracle=lambda x: best(x, k, dim, largest)[options.get("part", 0)],
        label=f"k={k} dim={dim} largest={largest}",
        grows="spec" not in options,
    )


CHOSEN: tuple[tuple[Shape, int, int, bool], ...] = (
    ((5,), 2, -1, True),
    ((5,), 0, 0, True),
    ((3, 4), 3, 1, False),
    ((3, 4), 1, 0, True),
    ((0,), 0, 0, True),
    ((2, 0, 3), 2, -1, True),
    ((2, 5, 2, 3), 4, 1, False),
    ((2, 1, 3, 1, 2), 1, 2, False),
)


def topks() -> list[Row]:
    values = spread(chosen(*entry) for entry in CHOSEN)
    positions = spread(chosen(*entry, part=1) for entry in CHOSEN)
    mixed = t(13, values=MIXED)
    edges = [
        replace(
            chosen((13,), k, 0, largest, part=part, spec=mixed),
            dtypes=("float32", "float64"),
            out="int32" if part else "",
        )
        for k in (3, 7)
        for largest in (True, False)
        for part in (0, 1)
    ]
    scalar = case(lambda x: tp.topk(x, 1)[0], t(), oracle=lambda x: x, label="rank 0")
    sized = case(lambda x: tp.topk(x, x.shape[0] - 1)[0], t(4, 6, values="small"),
                 oracle=lambda x: best(x, len(x) - 1)[0], label="k of a shape")  # fmt: skip
    none = case(lambda x: tp.topk(x, x.shape[0] - 2)[0], t(2, 6, values="small"),
                oracle=lambda x: best(x, len(x) - 2)[0], label="k of a shape")  # fmt: skip
    zero = case(lambda x: tp.topk(x, 1)[1], t(), oracle=lambda x: np.array(0), label="rank 0")
    return [
        row("topk", NUMERIC, [*values, *edges, scalar, sized, none], ("input",), exact=True),
        row("topk indices", NUMERIC, [*positions, zero], ("input",), exact=True, out="int32"),
    ]


# What depends on which elements there are.


def _distinct(x: Array) -> tuple[Array, Array, Array, Array]:
    flat = list(x.ravel())
    kept = [n for n, v in enumerate(flat) if all(v != w for w in flat[:n])]
    kept.sort(key=lambda n: flat[n])
    values = np.array([flat[n] for n in kept], x.dtype)
    inverse: Any = [next(p for p, n in enumerate(kept) if flat[n] == v) for v in flat]
    counts: Any = [sum(bool(v == w) for w in flat) for v in values]
    index, inverse, counts = (np.array(part, int) for part in (kept, inverse, counts))
    return values, index, inverse.reshape(x.shape), counts


SMALL = [t(*s, values="small") for s in ((), (7,), (3, 4), (0,), (2, 0), (2, 3, 2, 1, 2))]


def distinct() -> list[Row]:
    plain = [case(tp.unique, s, oracle=lambda x: _distinct(x)[0]) for s in SMALL]
    flags = [
        case(lambda x, f=flags: tp.unique(x, **dict.fromkeys(f, True))[1:], spec, many=True,
             oracle=lambda x, p=parts: [_distinct(x)[n] for n in p], out="int32")
        for spec in SMALL
        for flags, parts in (
            (("return_index", "return_inverse", "return_counts"), (1, 2, 3)),
            (("return_counts",), (3,)),
            (("return_inverse",), (2,)),
        )
    ]  # fmt: skip
    places = [case(tp.nonzero, s, oracle=np.argwhere, out="int32") for s in SMALL]
    options = {"modes": EAGER, "exact": True, "computes": False}
    return [
        row("unique", ORDERED, [*plain, *flags], ("input",), **options),
        row("nonzero", ORDERED, places, ("input",), **options),
    ]


# Scatter.

SCATTERED: tuple[tuple[Shape, int, Shape], ...] = (
    ((6,), 0, (3,)),
    ((3, 5), 1, (2, 4)),
    ((3, 5), -1, (3, 5)),
    ((4, 3), 0, (2, 2)),
    ((2, 4, 3), 1, (2, 1, 3)),
    ((2, 3), 1, (2, 0)),
    ((2, 3), 1, (0, 2)),
    ((0, 3), 1, (0, 2)),
    ((2, 1, 5, 2), 2, (1, 1, 3, 2)),
    ((2, 1, 4, 1, 2), -3, (2, 1, 3, 1, 2)),
)
COMBINE: dict[str | None, Callable[[Any, Any], Any]] = {
    None: lambda old, new: new,
    "add": lambda old, new: old + new,
    "max": lambda old, new: np.nan if new != new else old if old > new else new,
    "min": lambda old, new: np.nan if new != new else old if old < new else new,
}


def scattered(x: Array, index: Array, updates: Any, dim: int, reduction: str | None) -> Array:
    out, size = x.copy(), x.shape[dim]
    updates = np.broadcast_to(np.asarray(updates, x.dtype), index.shape)
    for place in np.ndindex(index.shape):
        at = int(index[place])
        if -size <= at < size:
            target = list(place)
            target[dim] = at % size
            out[tuple(target)] = COMBINE[reduction](out[tuple(target)], updates[place])
    return out


def distinct_index(shape: Shape, size: int, dim: int, signed: bool) -> tuple[int, ...]:
    """Different targets along a dim, some of them counted from the end."""
    along = np.arange(shape[dim]) * (size - 1) % size
    column = [-1 if d == dim % len(shape) else 1 for d in range(len(shape))]
    index = np.broadcast_to(np.reshape(along, column), shape)
    return tuple(int(i) for i in np.where(index % 2 * signed, index - size, index).ravel())


def scatters() -> list[Row]:
    def one(shape: Shape, dim: int, index: Shape, reduction: str | None, **options: Any) -> Case:
        kind, given = options.pop("kind", "int32"), options.pop("values", None)
        places = given or distinct_index(index, shape[dim], dim, kind == "int32")
        data = options.pop("data", "")
        return case(
            lambda x, i, u: tp.scatter(x, dim, i, u, reduction),
            t(*shape, dtype=data),
            t(*index, values=places, dtype=kind),
            t(*index, dtype=data),
            oracle=lambda x, i, u: scattered(x, i, u, dim, reduction),
            label=f"dim={dim} reduction={reduction}",
            grows=isinstance(places, str),
            **options,
        )

    def repeated(shape: Shape, dim: int, index: Shape, reduction: str | None) -> Case:
        values = f"index {shape[dim]}" if shape[dim] else ()
        terms = 1 + math.prod(index)
        return one(shape, dim, index, reduction, values=values or (0.0,) * terms, terms=terms,
                   scale="absolute", survives=True, exact=reduction != "add")  # fmt: skip

    def number(reduction: str | None, kinds: tuple[str, ...]) -> Case:
        return case(
            lambda x, i: tp.scatter(x, 1, i, 1, reduction),
            t(3, 4),
            t(2, 3, values="index 4", dtype="int32"),
            oracle=lambda x, i: scattered(x, i, 1, 1, reduction),
            label=f"number {reduction}",
            dtypes=kinds,
        )

    numbers = [number(None, (*NUMERIC, "int4", "float8")), number("max", NUMERIC)]
    last = one((3, 4), 1, (2, 6), None, values="index 4", modes=("eager", *COMPILED[:2]))
    plain = spread(one(*entry, None) for entry in SCATTERED)
    by_index = [
        one(*entry, None, kind="", data="float32", out="float32") for entry in SCATTERED[:5]
    ]
    outside = [
        one((3, 4), 1, (2, 3), "add", kind="", data="float32", out="float32", values="any",
            modes=COMPILED),
        one((4, 3), 0, (3, 2), "max", kind="", data="float32", out="float32", values="any",
            modes=COMPILED),
        one((4,), 0, (4,), None, kind="", data="float32", out="float32", modes=COMPILED,
            values=(99.0, 4, 1, 100)),
    ]  # fmt: skip
    parts = {"add": SCATTERED, "max": SCATTERED[1::5], "min": SCATTERED[2::5]}
    combined = spread(repeated(*entry, r) for r, entries in parts.items() for entry in entries)
    return [
        row("scatter", ALL, [*plain, last, *numbers], ("input",), exact=True),
        row("scatter index", INTEGERS, [*by_index, *outside], ("index",), rtol=2e-6),
        row("scatter reduction", NUMERIC, combined, elsewhere=(*BOOL, "int4", "float8")),
    ]


ROWS: list[Row] = [
    scans("cumsum", np.add, "any", lambda x: np.abs(x).sum(initial=0)),
    scans("cumprod", np.multiply, "near one", "result"),
    sorts("sort", ordered),
    sorts("argsort", argsorted, out="int32"),
    *topks(),
    *distinct(),
    *scatters(),
]
