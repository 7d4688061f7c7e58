"""Indexing and indexed access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import ALL, BOOL, COMPILED, EAGER, INTEGERS, Case, Row, Shape, case, row, spread, t

S = slice
#: Shape and index; the same index must mean the same to NumPy, also for larger shapes.
BASIC: tuple[tuple[Shape, Any], ...] = (
    ((5,), 0),
    ((5,), -1),
    ((5,), np.int64(2)),
    ((5,), ()),
    ((), ()),
    ((), None),
    ((), ...),
    ((5,), S(None)),
    ((5,), S(1, 4)),
    ((5,), S(1, None, 2)),
    ((5,), S(None, None, -1)),
    ((5,), S(None, None, -2)),
    ((5,), S(3, 0, -1)),
    ((5,), S(3, None, -2)),
    ((5,), S(-2, -5, -1)),
    ((5,), S(-100, 100)),
    ((5,), S(100, -100, -3)),
    ((5,), S(4, 1)),
    ((5,), S(1, 4, -1)),
    ((5,), S(9, None)),
    ((5,), S(None, -1)),
    ((5,), S(-3, None)),
    ((0,), S(None, None, -1)),
    ((0,), S(1, 3)),
    ((1,), S(None, None, -1)),
    ((3, 4), 1),
    ((3, 4), (0, 1)),
    ((3, 4), (-1, S(None, None, 2))),
    ((3, 4), (S(1, None), -2)),
    ((3, 4), (..., 0)),
    ((3, 4), (0, ...)),
    ((3, 4), (S(2, None, -1), S(None, None, -3))),
    ((3, 4), (None, S(None), None, 1, None)),
    ((2, 3, 4), (..., None, 1)),
    ((2, 3, 4), (1, ..., S(-1, -4, -2))),
    ((2, 3, 4), (S(None), 0)),
    ((2, 0, 3), (0, S(None), 2)),
    ((2, 1, 3, 1, 2), (-1, ..., 0, S(None, None, -1))),
    ((2, 1, 3, 1, 2), (S(None), 0, S(0, 0))),
)
ARRAY = np.array([[1, 0], [-1, 2]])
#: NumPy's advanced indexing.
ADVANCED: tuple[tuple[Shape, Any], ...] = (
    ((5,), [0, 2, -1, 2]),
    ((5,), ARRAY),
    ((5,), []),
    ((3, 4), [2, 0]),
    ((3, 4), ([0, -1, 2], [1, 1, -4])),
    ((3, 4), (ARRAY, 1)),
    ((3, 4), (1, [0, 2])),
    ((3, 4), (-1, [0, -2])),
    ((3, 4), (S(None), [2, 0, 0])),
    ((3, 4), (..., [1])),
    ((3, 4), ([[0], [2]], [0, 3])),
    ((3, 4), (None, [1, 0])),
    ((2, 3, 4), ([0, 1], S(None), [1, -1])),
    ((2, 3, 4), ([0, 1], S(None, None, -1), 2)),
    ((2, 3, 4), (0, S(1, None), [3, 0, 1])),
    ((2, 3, 4), (S(None), [0, 2], [1, 3])),
    ((2, 3, 4), ([1, 0], None, [1, -1])),
    ((2, 3, 4), ([1, 0], [1, -1], S(None, 2))),
    ((2, 3, 4), (S(None), ARRAY)),
    ((2, 3, 4), (..., [0, 1], [2, 0])),
    ((2, 0, 3), ([0, 1, 1], S(None), [2, 0, 1])),
    ((2, 3, 2, 2, 3), (1, S(None), [0, 1], ..., [0, -1])),
)
#: Indices that mask: their shapes depend on values, so only eager code can use them.
MASKED: tuple[tuple[Shape, Any], ...] = (
    ((4,), [True, False, True, False]),
    ((4,), np.zeros(4, bool)),
    ((2, 3), np.array([[True, False, True], [False, True, True]])),
    ((2, 3), [False, True]),
    ((2, 3), (S(None), [True, False, True])),
    ((2, 3, 4), (np.array([[True, False, True], [True, True, False]]), S(1, 3))),
    ((2, 3, 4), (1, [True, False, True], [0, 2])),
    ((2, 3, 4), ([True, True], ..., [1, 2])),
    ((0, 2), np.zeros(0, bool)),
)


def as_numpy(index: Any) -> Any:
    """An empty list indexes with ints, as it does for NumPy beside other lists."""
    return np.array([], int) if isinstance(index, list) and not index else index


def indexed(shape: Shape, index: Any, **options: Any) -> Case:
    return case(lambda x: x[index], t(*shape), oracle=lambda x: x[as_numpy(index)],
                label=f"{index}", **options)  # fmt: skip


SIZED: list[Case] = [
    case(lambda x: x[x.shape[0] - 2], t(4, 2), oracle=lambda x: x[-2], label="size"),
    case(lambda x: x[: x.shape[1]], t(4, 2), oracle=lambda x: x[: x.shape[1]], label="sizes"),
    case(lambda x: x[x.shape[1] :, 0 : x.shape[1] - 1], t(4, 2), label="sizes",
         oracle=lambda x: x[x.shape[1] :, 0 : x.shape[1] - 1]),
    case(lambda x: x[x.shape[0] - 3 :], t(2, 2), oracle=lambda x: x[len(x) - 3 :], label="sizes"),
    case(lambda x: x[x.shape[0] - 1, [1, 0]], t(3, 2), label="size and list",
         oracle=lambda x: x[-1, [1, 0]]),
    case(lambda x: x[x.shape[0] - 1 :: -2], t(5), oracle=lambda x: x[::-2], label="sizes"),
]  # fmt: skip
ITERATED = case(lambda x: [*x, *reversed(list(x))], t(3, 2), many=True, modes=EAGER,
                oracle=lambda x: [*x, *x[::-1]], label="iteration", grows=False)  # fmt: skip


def by_tensor(
    run: Callable[..., Any], oracle: Callable[..., Any], shape: Shape, *indices: tuple[Shape, int]
) -> Case:
    """An input and index tensors, given as (shape, size of the dim they index)."""
    specs = [t(*s, values=f"index {size}", dtype="int32") for s, size in indices]
    return case(run, t(*shape), *specs, oracle=oracle)


def whole(x: Any, *indices: Any) -> tuple[Any, ...]:
    return tuple(i.astype(int) if isinstance(i, np.ndarray) else i for i in indices)


TENSORS = [
    by_tensor(lambda x, i: x[i], lambda x, i: x[whole(x, i)], (4, 2), ((3,), 4)),
    by_tensor(lambda x, i: x[i], lambda x, i: x[whole(x, i)], (4,), ((), 4)),
    by_tensor(lambda x, i: x[i], lambda x, i: x[whole(x, i)], (4, 2), ((2, 0), 4)),
    by_tensor(lambda x, i, j: x[i, j], lambda x, i, j: x[whole(x, i, j)], (4, 3),
              ((2, 1), 4), ((3,), 3)),
    by_tensor(lambda x, i, j: x[i, :, j], lambda x, i, j: x[whole(x, i, S(None), j)], (4, 2, 3),
              ((3,), 4), ((), 3)),
    by_tensor(lambda x, i: x[..., i], lambda x, i: x[whole(x, ..., i)], (2, 3, 4), ((2,), 4)),
]  # fmt: skip

INDEXING = row(
    "x[...]",
    ALL,
    [
        *spread(indexed(*entry) for entry in BASIC),
        *spread(indexed(*entry) for entry in ADVANCED),
        *(indexed(*entry, modes=EAGER) for entry in MASKED),
        *SIZED,
        *TENSORS,
        ITERATED,
    ],
    exact=True,
)

# gather and take_along_dim.

GATHERED: tuple[tuple[Shape, int, Shape], ...] = (
    ((4,), 0, ()),
    ((4,), -1, (3,)),
    ((4, 3), 0, (2, 2)),
    ((2, 3), 1, (4,)),
    ((2, 3), -1, (0,)),
    ((0, 3), 1, (2,)),
    ((2, 1, 3, 2), 2, (2, 1)),
    ((2, 1, 3, 1, 2), -3, ()),
)
TAKEN: tuple[tuple[Shape, int, Shape], ...] = (
    ((4,), 0, (3,)),
    ((2, 3), 1, (2, 4)),
    ((2, 3), 0, (5, 3)),
    ((2, 3), -1, (1, 2)),
    ((1, 3), 1, (4, 2)),
    ((2, 3, 4), 1, (2, 1, 4)),
    ((2, 3), 1, (2, 0)),
    ((2, 1, 3, 1, 2), 2, (1, 2, 4, 1, 2)),
)


def accesses(
    name: str, oracle: Callable[..., Any], table: tuple[tuple[Shape, int, Shape], ...]
) -> list[Row]:
    function = getattr(tp, name)

    def access(shape: Shape, dim: int, index: Shape, kind: str = "int32", **options: Any) -> Case:
        values = options.pop("values", f"index {shape[dim]}")
        return case(
            lambda x, i: function(x, dim, i),
            t(*shape, dtype=options.pop("data", "")),
            t(*index, values=values, dtype=kind),
            oracle=lambda x, i: oracle(x, i, dim),
            label=f"dim={dim}",
            **options,
        )

    by_data = [access(*entry) for entry in table]
    by_index = [access(*entry, "", data="float32", out="float32") for entry in table[:4]]
    outside = [
        access(*entry, "", data="float32", out="float32", values="any", modes=COMPILED)
        for entry in table[:4]
    ]
    return [
        row(name, ALL, by_data, ("input",), exact=True),
        row(f"{name} index", INTEGERS, [*by_index, *outside], ("index",), exact=True),
    ]


MASKS = row(
    "x[mask]",
    BOOL,
    [
        case(lambda m, x: x[m], t(4), t(4, 2, dtype="float32"), modes=EAGER, out="float32",
             oracle=lambda m, x: x[m], exact=True),
        case(lambda m, x: x[m], t(2, 3), t(2, 3, dtype="float32"), modes=EAGER, out="float32",
             oracle=lambda m, x: x[m], exact=True),
    ],
    computes=False,
    elsewhere=INTEGERS,
)  # fmt: skip
INDICES = row(
    "x[index]",
    INTEGERS,
    [
        case(lambda i, x: x[i], t(2, 2, values="index 4"), t(4, 2, dtype="float32"),
             oracle=lambda i, x: oracles.gather(x, i, 0), out="float32", exact=True),
        case(lambda i, x: x[1, i], t(3, values="index 4"), t(2, 4, dtype="float32"),
             oracle=lambda i, x: oracles.gather(x[1], i, 0), out="float32", exact=True),
        case(lambda i, j, x: x[i, j], t(3, values="index 4"), t(2, 1, values="index 3"),
             t(4, 3, dtype="float32"), out="float32", exact=True,
             oracle=lambda i, j, x: x[oracles.clamped(i, len(x)), oracles.clamped(j, x.shape[1])]),
        case(lambda i, x: x[:, i], t(3, values="any"), t(2, 4, dtype="float32"), modes=COMPILED,
             oracle=lambda i, x: oracles.gather(x, i, 1), out="float32", exact=True,
             label="outside"),
        case(lambda i, j, x: x[i, j], t(3, values="any"), t(2, 1, values="any"),
             t(4, 3, dtype="float32"), out="float32", exact=True, modes=COMPILED, label="outside",
             oracle=lambda i, j, x: x[oracles.clamped(i, len(x)), oracles.clamped(j, x.shape[1])]),
    ],
    elsewhere=BOOL,
)  # fmt: skip

ROWS: list[Row] = [
    INDEXING,
    MASKS,
    INDICES,
    *accesses("gather", oracles.gather, GATHERED),
    *accesses("take_along_dim", oracles.take_along, TAKEN),
]
