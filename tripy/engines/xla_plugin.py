"""The XLA row of plugins, which calls the function that the user registered for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import numpy as jnp

from tripy.engines.lowerings import Lowering, listed
from tripy.engines.xla_types import Array, Attrs, Check, Context, DType, Inputs, Row, Shape
from tripy.graph import shape_text
from tripy.ops.plugin import find

_LOWERING = Lowering(
    "xla",
    "XLA",
    "JAX arrays",
    "correct the lowering, in which JAX's 64-bit types are on, or the shape rule",
)


def _plugin(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    """One result; what the results of a call share is computed once, since XLA merges it."""
    record, count = find(attrs["plugin"]), len(attrs["results"])
    results = _LOWERING.call(record, inputs, attrs, _arrays, ctx.source)
    if len(results) != count:
        raise _LOWERING.wrong(record, f"{len(results)} results", f"{count} results", ctx.source)
    result = results[attrs["output"]]
    if result.dtype != dtype:
        raise _LOWERING.wrong(record, f"dtype {result.dtype}", f"dtype {dtype}", ctx.source)
    if result.shape != shape:
        received, expected = (f"shape {shape_text(s)}" for s in (result.shape, shape))
        raise _LOWERING.wrong(record, received, expected, ctx.source)
    return result


def _arrays(made: Any) -> list[Array]:
    return [jnp.asarray(x) for x in listed(made)]


def _check(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Any]) -> str | None:
    return _LOWERING.lacking(attrs["plugin"])


ROWS: dict[str, Row] = {"plugin": _plugin}
CHECKS: dict[str, Check] = {"plugin": _check}
