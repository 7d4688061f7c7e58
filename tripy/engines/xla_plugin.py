"""The XLA row of plugins, which calls the function that the user registered for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import numpy as jnp

from tripy import errors
from tripy.engines.xla_types import Array, Attrs, Check, Context, DType, Inputs, Row, Shape
from tripy.graph import shape_text
from tripy.ops.plugin import Plugin, find, keywords


def _plugin(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    """One result; what the results of a call share is computed once, since XLA merges it."""
    record, count = find(attrs["plugin"]), len(attrs["results"])
    results = _lowered(record, inputs, attrs, ctx.source)
    if len(results) != count:
        raise _wrong_result(record, ctx.source, f"{len(results)} results", f"{count} results")
    result = results[attrs["output"]]
    if result.dtype != dtype:
        raise _wrong_result(record, ctx.source, f"dtype {result.dtype}", f"dtype {dtype}")
    if result.shape != shape:
        received, expected = (f"shape {shape_text(s)}" for s in (result.shape, shape))
        raise _wrong_result(record, ctx.source, received, expected)
    return result


def _lowered(record: Plugin, inputs: Inputs, attrs: Attrs, source: errors.Source) -> list[Array]:
    try:
        made: Any = record.lowerings["xla"](*inputs, **keywords(attrs["settings"]))
        return [jnp.asarray(x) for x in (made if isinstance(made, (list, tuple)) else [made])]
    except Exception as problem:
        raise errors.error(
            errors.TripyRuntimeError,
            f"the XLA lowering of the plugin {record.name!r} failed.",
            received=" ".join(str(problem).split())[:500] or errors.brief(problem),
            expected="JAX arrays",
            fix="correct the lowering; the cause above has its traceback",
            source=source,
        ) from problem


def _wrong_result(
    record: Plugin, source: errors.Source, received: str, expected: str
) -> errors.TripyRuntimeError:
    return errors.error(
        errors.TripyRuntimeError,
        f"the XLA lowering of {record.name!r} did not return what its shape rule says.",
        received=received,
        expected=expected,
        fix="correct the lowering, in which JAX's 64-bit types are on, or the shape rule",
        source=source,
    )


def _check(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Any]) -> str | None:
    if "xla" in find(attrs["plugin"]).lowerings:
        return None
    return f"the plugin {attrs['plugin']!r} has no lowering for 'xla'"


ROWS: dict[str, Row] = {"plugin": _plugin}
CHECKS: dict[str, Check] = {"plugin": _check}
