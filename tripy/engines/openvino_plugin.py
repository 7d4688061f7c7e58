"""The OpenVINO row of plugins, which calls the function that the user registered for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openvino as ov

from tripy import shapes
from tripy.engines import openvino_forks as forks
from tripy.engines.lowerings import Lowering, listed
from tripy.engines.openvino_nodes import DTYPES, Attrs, Check, Context, Inputs, Row, Shape
from tripy.graph import shape_text
from tripy.ops.plugin import Plugin, find

_LOWERING = Lowering("openvino", "OpenVINO", "OpenVINO nodes")


def _plugin(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> ov.Output:
    """One result; the lowering runs once for all results of a call."""
    record, count = find(attrs["plugin"]), len(attrs["results"])
    key = (record.name, attrs["settings"], *map(id, inputs))
    if key not in ctx.made:
        ctx.made[key] = _LOWERING.call(record, inputs, attrs, _outputs)
    nodes = ctx.made[key]
    if len(nodes) != count:
        raise _LOWERING.wrong(record, f"{len(nodes)} nodes", f"{count} nodes")
    return _checked(record, nodes[attrs["output"]], out_shape, dtype)


def _outputs(made: Any) -> list[ov.Output]:
    flat = [node.outputs() if isinstance(node, ov.Node) else [node] for node in listed(made)]
    return [output for outputs in flat for output in outputs if isinstance(output, ov.Output)]


def _checked(record: Plugin, node: ov.Output, shape: Shape, dtype: str) -> ov.Output:
    if node.get_element_type() != DTYPES[dtype]:
        received = f"element type {node.get_element_type().get_type_name()}"
        expected = f"element type {DTYPES[dtype].get_type_name()}"
        raise _LOWERING.wrong(record, received, expected)
    sizes = [ov.Dimension(*shapes.bounds(size)) for size in shape]
    if not node.get_partial_shape().compatible(ov.PartialShape(sizes)):
        received = f"shape {node.get_partial_shape()}"
        raise _LOWERING.wrong(record, received, f"shape {shape_text(shape)}")
    return node


def _check(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    if forks.lost:
        return "a plugin cannot run in a process that was forked after OpenVINO ran"
    return _LOWERING.lacking(attrs["plugin"])


ROWS: dict[str, Row] = {"plugin": _plugin}
CHECKS: dict[str, Check] = {"plugin": _check}
