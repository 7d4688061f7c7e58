"""Faults of OpenVINO's CPU plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from .table import fault

F32 = np.float32


def run(
    outputs: Any, parameters: Sequence[Any], inputs: Sequence[Any], **settings: Any
) -> list[Any]:
    """Compile a model for true float32 and return its results."""
    results = [op.result(x) for x in (outputs if isinstance(outputs, list) else [outputs])]
    options = {"INFERENCE_PRECISION_HINT": "f32", **settings}
    model = ov.Core().compile_model(ov.Model(results, list(parameters)), "CPU", options)
    request = model.create_infer_request()
    request.infer(list(inputs))
    return [request.get_output_tensor(n).data.copy() for n in range(len(results))]


def random(*shape: int, seed: int = 0) -> Any:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape, F32)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Integers that are summed go through float32",
    instead="the last of running sums, which are exact",
    where="tripy.engines.openvino_ops:sum_of_integers",
)
def sum_of_int32_is_rounded() -> bool:
    x = op.parameter([2], np.int32)
    given = np.array([2**24, 1], np.int32)
    (got,) = run(op.reduce_sum(x, op.constant(np.int64([0])), False), [x], [given])
    return bool(got == 2**24 + 1)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A program that was imported is exported so that it cannot be imported again",
    instead="the bytes that it was imported from, which are kept",
    where="tripy.engines.openvino:OpenVINOProgram",
)
def imported_programs_are_exported_wrong() -> bool:
    x = op.parameter([2, 4], F32)
    model = ov.Model([op.result(op.softmax(x, 1))], [x])
    exported = ov.Core().compile_model(model, "CPU").export_model().getvalue()
    again = ov.Core().import_model(exported, "CPU").export_model().getvalue()
    return bool(ov.Core().import_model(again, "CPU"))
