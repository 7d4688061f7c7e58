"""Functions that create tensors; sizes come from an input, so that dynamic ones are met too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

from .. import oracles
from ..cases import ALL, FLOATING, FLOATS, NUMERIC, Array, Case, Row, case, row, t

DTYPES = {kind.name: kind for kind in vars(tp).values() if isinstance(kind, tp.dtype)}


def made(
    dtype: str,
    run: Callable[[Any, Any], Any],
    oracle: Callable[[Any], Any],
    *shape: int,
    **options: Any,
) -> Case:
    """A case of one dtype: ``run`` gets a bool input and the dtype, ``oracle`` the input."""

    def produced(x: Array) -> Array:
        values = np.asarray(oracle(x))
        if values.dtype.kind == "b":
            values = values.astype(object)
        source = "float64" if values.dtype.kind == "f" else "int64"
        wide = values if source == "float64" else values.astype(object)
        return oracles.cast(source, dtype)(wide)

    kind, options = DTYPES[dtype], {"dtypes": (dtype,), "exact": True, **options}
    return case(lambda x: run(x, kind), t(*shape, dtype="bool"), oracle=produced, **options)


def everywhere(
    run: Callable[[Any, Any], Any],
    oracle: Callable[[Any], Any],
    *shape: int,
    dtypes: tuple[str, ...] = ALL,
    **options: Any,
) -> list[Case]:
    return [made(dtype, run, oracle, *shape, **options) for dtype in dtypes]


ARANGE = row(
    "arange",
    ALL,
    [
        *everywhere(lambda x, d: tp.arange(x.shape[0], dtype=d), lambda x: np.arange(len(x)), 5),
        *everywhere(lambda x, d: tp.arange(x.shape[0], d), lambda x: np.arange(len(x)), 0),
        *everywhere(lambda x, d: tp.arange(6, -7, -3, d), lambda x: np.arange(6, -7, -3), 2),
        *everywhere(lambda x, d: tp.arange(3, 3, dtype=d), lambda x: np.arange(0), 2),
        *everywhere(lambda x, d: tp.arange(0.25, 2, 0.5, d), lambda x: np.arange(0.25, 2, 0.5), 2),
        *everywhere(
            lambda x, d: tp.arange(1, x.shape[0] * 2, 3, dtype=d),
            lambda x: np.arange(1, 2 * len(x), 3),
            4,
        ),
        *everywhere(
            lambda x, d: tp.arange(x.shape[1], 0 - x.shape[0] - 1, -2, dtype=d),
            lambda x: np.arange(x.shape[1], -x.shape[0] - 1, -2),
            2,
            3,
        ),
        *everywhere(
            lambda x, d: tp.arange(0, 1, 0.1, d), lambda x: np.arange(10) * 0.1, 2, dtypes=FLOATS
        ),
        *everywhere(
            lambda x, d: tp.arange(250, 259, dtype=d), lambda x: np.arange(250, 259), 2,
            dtypes=("uint8", "int8", "float16", "bfloat16", "float8", "int4"),
            label="beyond the range",
        ),
    ],
)  # fmt: skip


def _iota(shape: tuple[int, ...], dim: int) -> Array:
    return np.broadcast_to(
        np.arange(shape[dim]).reshape(-1, *(1,) * (len(shape) - dim % len(shape) - 1)), shape
    )


IOTA = row(
    "iota",
    ALL,
    [
        *everywhere(lambda x, d: tp.iota(x.shape, 0, d), lambda x: _iota(x.shape, 0), 3, 2),
        *everywhere(lambda x, d: tp.iota(x.shape, -1, d), lambda x: _iota(x.shape, -1), 2, 1, 4),
        *everywhere(lambda x, d: tp.iota((2, x.shape[0]), dtype=d),
                    lambda x: _iota((2, len(x)), 0), 0),
        *everywhere(lambda x, d: tp.iota(x.shape[0], dtype=d), lambda x: _iota((len(x),), 0), 4),
    ],
)  # fmt: skip
IOTA_LIKE = row(
    "iota_like",
    ALL,
    [
        case(tp.iota_like, t(3, 2), oracle=lambda x: _iota(x.shape, 0), out="", dtypes=NUMERIC),
        case(lambda x: tp.iota_like(x, -1), t(2, 1, 3), oracle=lambda x: _iota(x.shape, -1),
             dtypes=NUMERIC),
        case(lambda x: tp.iota_like(x, 1, dtype=tp.int32), t(2, 3), out="int32",
             oracle=lambda x: _iota(x.shape, 1)),
        case(lambda x: tp.iota_like(x, dtype=tp.int16), t(0), out="int16",
             oracle=lambda x: _iota(x.shape, 0)),
        case(tp.iota_like, t(2, 3), oracle=lambda x: _iota(x.shape, 0), dtypes=("int4", "float8")),
    ],
    ("input",),
    exact=True,
)  # fmt: skip

FULL = row(
    "full",
    ALL,
    [
        *everywhere(lambda x, d: tp.full(x.shape, 1, d), lambda x: np.ones(x.shape, int), 2, 3),
        *everywhere(lambda x, d: tp.full(x.shape, -2.75, dtype=d),
                    lambda x: np.full(x.shape, -2.75), 2, 1, 2),
        *everywhere(lambda x, d: tp.full((), True, d), lambda x: np.ones((), int), 1),
        *everywhere(lambda x, d: tp.full((x.shape[0], 0), 1, d), lambda x: np.ones((len(x), 0)), 3),
        *everywhere(lambda x, d: tp.full(x.shape[0] + 1, tp.Tensor(2.5), d),
                    lambda x: np.full(len(x) + 1, 2.5), 3),
        *everywhere(lambda x, d: tp.full(x.shape, x.shape[0], d),
                    lambda x: np.full(x.shape, len(x)), 3, 2),
        *everywhere(lambda x, d: tp.full((2,), float("nan"), d), lambda x: np.full(2, np.nan), 1),
        *everywhere(lambda x, d: tp.full((2,), 1e9, d), lambda x: np.full(2, 1e9), 1),
        *everywhere(lambda x, d: tp.full((2,), 10**6, d), lambda x: np.full(2, 10**6), 1,
                    dtypes=(*FLOATING, "int32", "int64")),
    ],
)  # fmt: skip


def constant(name: str, value: int) -> list[Row]:
    plain, like = getattr(tp, name), getattr(tp, f"{name}_like")
    cases = [
        *everywhere(lambda x, d: plain(x.shape, d), lambda x: np.full(x.shape, value), 2, 3),
        *everywhere(lambda x, d: plain((), dtype=d), lambda x: np.array(value), 2),
        *everywhere(lambda x, d: plain([x.shape[0] + x.shape[1]], d),
                    lambda x: np.full(sum(x.shape), value), 2, 3),
        *everywhere(lambda x, d: plain(x.shape, d), lambda x: np.full(x.shape, value), 0, 2, 1),
    ]  # fmt: skip
    likes = [
        case(like, t(*shape), oracle=lambda x: np.full(x.shape, value, x.dtype))
        for shape in ((), (3, 2), (0, 2), (2, 1, 2, 1, 2))
    ]
    other = case(lambda x: like(x, dtype=tp.float16), t(2, 3), out="float16",
                 oracle=lambda x: np.full(x.shape, float(value)))  # fmt: skip
    return [
        row(name, ALL, cases),
        row(f"{name}_like", ALL, [*likes, other], ("input",), exact=True),
    ]


FULL_LIKE = row(
    "full_like",
    ALL,
    [
        *(case(lambda x: tp.full_like(x, 1), t(*shape),
               oracle=lambda x: np.full(x.shape, 1, x.dtype)) for shape in ((), (2, 3), (3, 0))),
        case(lambda x: tp.full_like(x, 2.5, tp.float32), t(2, 3), out="float32",
             oracle=lambda x: np.full(x.shape, 2.5)),
        case(lambda x: tp.full_like(x, x[0, 0]), t(2, 3),
             oracle=lambda x: np.full(x.shape, x[0, 0], x.dtype), label="computed"),
        case(lambda x: tp.full_like(x, 2.5), t(2, 3), dtypes=FLOATING,
             oracle=lambda x: np.full(x.shape, 2.5)),
    ],
    ("input",),
    exact=True,
)  # fmt: skip

ROWS: list[Row] = [
    ARANGE,
    IOTA,
    IOTA_LIKE,
    FULL,
    FULL_LIKE,
    *constant("ones", 1),
    *constant("zeros", 0),
]
