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


def int64(value: int) -> Any:
    """A constant of one int64."""
    return op.constant(np.int64([value]))


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
    (got,) = run(op.reduce_sum(x, int64(0), False), [x], [given])
    return bool(got == 2**24 + 1)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Without AVX-512, float32 is cut off to bfloat16 instead of rounded",
    instead="arithmetic in float32, rounded by hand",
    where="tripy.engines.openvino_nodes:truncates_bfloat16",
    cpus=("avx2",),
)
def bfloat16_is_cut_off() -> bool:
    bits = [random(20, seed=n).view(np.uint32) >> 16 for n in range(2)]
    x, y = (op.parameter([20], ov.Type.bf16) for _ in bits)
    given = [ov.Tensor(b.astype(np.uint16), ov.Shape([20]), ov.Type.bf16) for b in bits]
    (got,) = run(op.multiply(x, y), [x, y], given)
    result, a, b = ((b.astype(np.uint32) << 16).view(F32) for b in (got.view(np.uint16), *bits))
    return bool((abs(result - a * b) <= 2.0**-8 * abs(a * b)).all())


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A reduction of rank 3 adds one value per channel along the wrong dim",
    instead="its result has two uses, so that nothing is fused with it",
    where="tripy.engines.openvino_fusions:_is_reduction_apart",
    known="openvinotoolkit/openvino#23616",
)
def reduction_then_one_value_per_channel() -> bool:
    x, bias = op.parameter([2, 4, 9], F32), random(4)
    (got,) = run(op.reduce_sum(x, int64(2), False) + bias, [x], [random(2, 4, 9)])
    return np.allclose(got, random(2, 4, 9).sum(2) + bias, 1e-4, 1e-4)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A product whose columns are dynamic does not take a vector behind it",
    instead="its result has two uses, so that nothing is fused with it",
    where="tripy.engines.openvino_fusions:_is_product_apart",
)
def product_of_dynamic_columns_then_vector() -> bool:
    x, y = op.parameter([4, 5], F32), op.parameter(ov.PartialShape([-1, 5]), F32)
    given = random(4, 5), random(3, 5), random(3)
    (got,) = run(op.matmul(x, y, False, True) * given[2], [x, y], given[:2])
    return np.allclose(got, given[0] @ given[1].T * given[2], 1e-4, 1e-4)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A dynamic layer of rank 4 takes one value per head for one per feature",
    instead="its result has two uses, so that nothing is fused with it",
    where="tripy.engines.openvino_fusions:_is_product_apart",
)
def layer_of_rank_4_then_one_value_per_head() -> bool:
    x = op.parameter(ov.PartialShape([-1, 6, 4, 5]), F32)
    given, weight, heads = random(2, 6, 4, 5), random(6, 5), random(1, 6, 1, 1)
    (got,) = run(op.matmul(x, op.constant(weight), False, True) + heads, [x], [given])
    return np.allclose(got, given @ weight.T + heads, 1e-4, 1e-4)


def attention(x: Any) -> Any:
    """Attention of queries, keys and values that are the same."""
    scores = op.softmax(op.matmul(x, x, False, True), -1)
    return op.matmul(scores, x, False, False)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Attention of its own input, used twice, ends the process",
    instead="its result has two uses more, so that nothing is fused with it",
    where="tripy.engines.openvino_fusions:_is_attention_apart",
)
def attention_used_twice() -> bool:
    x = op.parameter([2, 4, 8, 16], F32)
    y = op.relu(x)
    result = attention(y)
    run([result + y, result], [x], [random(2, 4, 8, 16)])
    return True


@fault(
    engine="openvino",
    version="2026.4.1",
    what="What follows attention of heads of several blocks reads beyond its operand",
    instead="its result has two uses, so that nothing is fused with it",
    where="tripy.engines.openvino_fusions:_is_attention_apart",
)
def attention_of_wide_heads_then_one_value_per_query() -> bool:
    wrong = False
    for size in (96, 128, 192):  # which ones depends on the processor
        x = op.parameter(ov.PartialShape([1, 4, -1, size]), F32)
        gate = op.parameter(ov.PartialShape([-1, 1]), F32)
        given = random(1, 4, 6, size)
        got = run([attention(x) * gate, attention(op.relu(x))], [x, gate], [given, random(6, 1)])
        weights = np.exp(given @ given.swapaxes(2, 3))
        want = weights / weights.sum(-1, keepdims=True) @ given * random(6, 1)
        wrong = wrong or not np.allclose(got[0], want, 1e-3, 1e-3)
    return not wrong


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Attention whose scores have a lower rank than its values is refused",
    instead="the scores get the rank of the values",
    where="tripy.engines.openvino_ops:matmul",
)
def attention_with_scores_of_lower_rank() -> bool:
    q, v = op.parameter([4, 4], F32), op.parameter([2, 4, 5], F32)
    scores = op.softmax(op.matmul(q, q, False, True), -1)
    run(op.matmul(scores, v, False, False), [q, v], [random(4, 4), random(2, 4, 5)])
    return True


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Functions made of parts lose the rank that constants of one element give them",
    instead="such constants have rank 0, and what they are combined with gets the rank",
    where="tripy.engines.openvino_fusions:level",
)
def constants_of_one_element_and_higher_rank() -> bool:
    x, slope = op.parameter([3, 4], F32), op.constant(np.full((1, 1, 1, 1), 0.1, F32))
    (got,) = run(op.maximum(x, x * slope), [x], [random(3, 4)])
    return got.shape == (1, 1, 3, 4)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A selection whose condition is also an operand is refused",
    instead="logical operations where bool is selected",
    where="tripy.engines.openvino_nodes:chosen",
)
def selection_of_its_own_condition() -> bool:
    x, y = (op.parameter([3], np.bool_) for _ in range(2))
    given = np.array([True, False, True]), np.array([False, False, True])
    (got,) = run(op.select(x, x, y), [x, y], given)
    return np.array_equal(got, given[0] | given[1])


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
