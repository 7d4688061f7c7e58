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
    what="Products of int8 are added in pairs of 16 bits on x86 without VNNI",
    instead="products of floats on such processors",
    where="tripy.engines.openvino_processor:adds_bytes_exactly",
    cpus=("avx2",),
)
def products_of_int8_saturate() -> bool:
    x = op.parameter([1, 64], F32)
    limits = [op.constant(F32(limit)) for limit in (0, 255, 0, 255)]
    weights = op.convert(op.constant(np.full((16, 64), 127, np.int8)), F32)
    scaled = op.multiply(weights, op.constant(np.ones((16, 1), F32)))
    product = op.matmul(op.fake_quantize(x, *limits, levels=256), scaled, False, True)
    (got,) = run(product, [x], [np.full((1, 64), 255, F32)])
    return bool((got == 255 * 127 * 64).all())
