"""Plugins, as an operation of the user would be written."""

from __future__ import annotations

from typing import Any

import numpy as np

import tripy as tp

from ..cases import ALL, MAIN, Array, Case, Row, case, row, t


@tp.register_plugin(
    "conformance::repeated",
    infer=lambda x, *, times: ((x.shape[0] * times, *x.shape[1:]), x.dtype),
    attrs={"times": int},
)
def repeated(x: Array, *, times: int = 2) -> Array:
    return np.concatenate([x] * times)


@repeated.lowering("openvino")
def _(x: Any, *, times: int) -> Any:
    from openvino import opset15 as op

    return op.concat([x] * times, 0)


@repeated.lowering("xla")
def _(x: Any, *, times: int) -> Any:
    import jax

    return jax.numpy.concatenate([x] * times)


@tp.register_plugin(
    "conformance::grown", infer=lambda x, y: [(x.shape, x.dtype), ((1, *x.shape), y.dtype)]
)
def grown(x: Array, y: Array) -> list[Array]:
    return [x, y[None]]


@grown.lowering("openvino")
def _(x: Any, y: Any) -> Any:
    from openvino import opset15 as op

    zero = op.constant(np.int64(0))
    return [x, op.unsqueeze(y, zero)]


@grown.lowering("xla")
def _(x: Any, y: Any) -> list[Any]:
    return [x, y[None]]


def doubled(*shape: int) -> Case:
    return case(
        lambda x: tp.plugin("conformance::repeated", [x]),
        t(*shape),
        oracle=lambda x: np.concatenate([x, x]),
    )


PLUGIN = row(
    "plugin",
    ALL,
    [
        *(doubled(*shape) for shape in ((3,), (2, 3), (0, 2), (1, 2, 0), (2, 1, 2, 1, 2))),
        case(
            lambda x: tp.plugin("conformance::repeated", (x * 2,), times=3) + 1,
            t(2, 2),
            oracle=lambda x: np.concatenate([x * 2] * 3) + 1,
            dtypes=("float32", "float16", "int32"),
            label="between operations",
        ),
        case(
            lambda x, y: tp.plugin("conformance::grown", [x, y]),
            t(2, 3, name="n"),
            t(2, 3, name="n"),
            oracle=lambda x, y: (x, y[None]),
            many=True,
            dtypes=MAIN,
        ),
        case(
            lambda x: tp.plugin("conformance::grown", [x, x])[1],
            t(),
            oracle=lambda x: x[None],
            dtypes=MAIN,
            label="one of two results",
        ),
    ],
)
ROWS: list[Row] = [PLUGIN]
