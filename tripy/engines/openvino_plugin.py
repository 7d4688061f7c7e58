"""The OpenVINO row of plugins, which calls the function that the user registered for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openvino as ov

from tripy import errors, shapes
from tripy.engines import openvino_forks as forks
from tripy.engines.openvino_nodes import DTYPES, Attrs, Check, Context, Inputs, Row, Shape
from tripy.graph import shape_text
from tripy.ops.plugin import Plugin, find, keywords


def _plugin(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> ov.Output:
    """One result; the lowering runs once for all results of a call."""
    record, count = find(attrs["plugin"]), len(attrs["results"])
    key = (record.name, attrs["settings"], *map(id, inputs))
    if key not in ctx.made:
        ctx.made[key] = _lowered(record, inputs, attrs)
    nodes = ctx.made[key]
    if len(nodes) != count:
        raise _wrong_node(record, f"{len(nodes)} nodes", f"{count} nodes")
    return _checked(record, nodes[attrs["output"]], out_shape, dtype)


def _lowered(record: Plugin, inputs: Inputs, attrs: Attrs) -> list[ov.Output]:
    try:
        return _outputs(record.lowerings["openvino"](*inputs, **keywords(attrs["settings"])))
    except Exception as problem:
        raise errors.error(
            errors.TripyRuntimeError,
            f"the OpenVINO lowering of the plugin {record.name!r} failed.",
            received=" ".join(str(problem).split())[:500] or errors.brief(problem),
            expected="OpenVINO nodes",
            fix="correct the lowering; the cause above has its traceback",
        ) from problem


def _outputs(made: Any) -> list[ov.Output]:
    nodes = made if isinstance(made, (list, tuple)) else [made]
    flat = [node.outputs() if isinstance(node, ov.Node) else [node] for node in nodes]
    return [output for outputs in flat for output in outputs if isinstance(output, ov.Output)]


def _checked(record: Plugin, node: ov.Output, shape: Shape, dtype: str) -> ov.Output:
    if node.get_element_type() != DTYPES[dtype]:
        received = f"element type {node.get_element_type().get_type_name()}"
        expected = f"element type {DTYPES[dtype].get_type_name()}"
        raise _wrong_node(record, received, expected)
    sizes = [ov.Dimension(*shapes.bounds(size)) for size in shape]
    if not node.get_partial_shape().compatible(ov.PartialShape(sizes)):
        received = f"shape {node.get_partial_shape()}"
        raise _wrong_node(record, received, f"shape {shape_text(shape)}")
    return node


def _wrong_node(record: Plugin, received: str, expected: str) -> errors.TripyRuntimeError:
    return errors.error(
        errors.TripyRuntimeError,
        f"the OpenVINO lowering of {record.name!r} did not return what its shape rule says.",
        received=received,
        expected=expected,
        fix="correct the lowering",
    )


def _check(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    if forks.lost:
        return "a plugin cannot run in a process that was forked after OpenVINO ran"
    if "openvino" in find(attrs["plugin"]).lowerings:
        return None
    return f"the plugin {attrs['plugin']!r} has no lowering for 'openvino'"


ROWS: dict[str, Row] = {"plugin": _plugin}
CHECKS: dict[str, Check] = {"plugin": _check}
