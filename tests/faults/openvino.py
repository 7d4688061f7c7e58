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
    where="tripy.engines.openvino_processor:truncates_bfloat16",
    cpus=("vnni", "avx2"),
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
    cpus=("avx512", "vnni", "avx2"),
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


def integers(*numbers: int) -> Any:
    """A constant of rank 1."""
    return op.constant(np.int64(numbers))


def emptied() -> tuple[Any, Any]:
    """An input of shape (1, 2, n), and what is left of it without its first column."""
    x = op.parameter(ov.PartialShape([1, 2, ov.Dimension(1, 8)]), F32)
    return x, op.slice(x, integers(1), integers(9), integers(1), integers(2))


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A slice from 0 on is dropped before GatherElements, whatever it cuts off",
    instead="slices that start far before 0, which is clamped",
    where="tripy.engines.openvino_repairs:kept_slices",
)
def slice_before_gather_elements_is_dropped() -> bool:
    x = op.parameter([2, 3], F32)
    part = op.slice(x, integers(0), integers(2), integers(1), integers(1))
    places = op.constant(np.int32([[1, 1], [0, 0]]))
    given = random(2, 3)
    (got,) = run(op.gather_elements(part, places, 0), [x], [given])
    return bool((got == given[::-1, :2]).all())


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A strided convolution whose kernel leaves one column is wrong by 100 %",
    instead="a stride of 1, which has no effect there",
    where="tripy.engines.openvino_window:_without_stride",
    cpus=("avx512",),
)
def strided_convolution_with_one_column() -> bool:
    given, weight = random(2, 1, 6, 4), random(1, 1, 3, 4, seed=1)
    x = op.parameter(given.shape, F32)
    (got,) = run(op.convolution(x, weight, [1, 3], [0, 0], [0, 0], [1, 1]), [x], [given])
    rows = np.lib.stride_tricks.sliding_window_view(given[:, 0], 3, 1)
    return bool(np.allclose(got[:, 0, :, 0], np.einsum("nhwk,kw->nh", rows, weight[0, 0]), 1e-4))


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A convolution of padding around nothing gives what lies in memory",
    instead="a program for the sizes of the call, in which it is known to be 0",
    where="tripy.engines.openvino_sizes:misfits",
)
def convolution_of_nothing_is_garbage() -> bool:
    x, nothing = emptied()
    y = op.convolution(nothing, op.constant(np.ones((1, 2, 2), F32)), [1], [1], [1], [1])
    (got,) = run(op.add(y, op.constant(np.float32([[[1]]]))), [x], [random(1, 2, 1)])
    return bool((got == 1).all())


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Pooling of padding around nothing gives what lies in memory",
    instead="a program for the sizes of the call, in which it is known to be 0, -inf or NaN",
    where="tripy.engines.openvino_sizes:misfits",
)
def pool_of_nothing_is_garbage() -> bool:
    x, nothing = emptied()
    y = op.max_pool(nothing, [1], [1], [1], [1], [2], "floor").output(0)
    (got,) = run(y, [x], [random(1, 2, 1)])
    return bool((got <= np.finfo(F32).min).all())


@fault(
    engine="openvino",
    version="2026.4.1",
    what="The mean of nothing is 0",
    instead="a program for the sizes of the call, in which it is known to be NaN",
    where="tripy.engines.openvino_sizes:misfits",
)
def mean_of_nothing_is_zero() -> bool:
    x, nothing = emptied()
    (got,) = run(op.reduce_mean(nothing, integers(2), False), [x], [random(1, 2, 1)])
    return bool(np.isnan(got).all())


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A loop over slices without elements ends the process (SIGFPE)",
    instead="a program for the sizes of the call, in which there is no loop",
    where="tripy.engines.openvino_sizes:misfits",
)
def loop_over_nothing_ends_the_process() -> bool:
    x = op.parameter(ov.PartialShape([ov.Dimension(0, 8), 2]), F32)
    before, factor = (op.parameter([-1, 1], F32) for _ in range(2))
    product = op.result(op.multiply(before, factor))
    loop = op.tensor_iterator()
    loop.set_body(ov.Model([product], [before, factor]))
    first = op.slice(x, integers(0), integers(1), integers(1), integers(1))
    ones = op.broadcast(op.constant(F32(1)), op.shape_of(first))
    loop.set_merged_input(before, ones.output(0), product.output(0))
    loop.set_sliced_input(factor, x.output(0), 0, 1, 1, -1, 1)
    y = loop.get_concatenated_slices(product.output(0), 0, 1, 1, -1, 1)
    (got,) = run(y, [x], [np.zeros((0, 2), F32)])
    return bool(got.shape == (0, 2))


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A slice to a computed end, of a size that is known all the same, is not prepared",
    instead="numbers for the ends of slices, wherever they hold for all sizes",
    where="tripy.engines.openvino_window:_known_stop",
)
def slice_to_a_computed_end_is_not_prepared() -> bool:
    x = op.parameter([2, 1], F32)
    beside = op.parameter(ov.PartialShape([ov.Dimension(1, 4)]), F32)
    end = op.concat([integers(2), op.shape_of(beside)], 0)
    part = op.slice(op.relu(x), integers(1, 0), end, integers(1, 1), integers(0, 1))
    given = random(2, 1)
    (got,) = run(op.relu(part), [x, beside], [given, random(2)])
    return bool((got == np.maximum(given[1:], 0)).all())


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


def quantized(x: Any, step: float) -> Any:
    """Values on a grid of 256 steps."""
    limits = [op.constant(F32(limit)) for limit in (-128 * step, 127 * step) * 2]
    return op.fake_quantize(x, *limits, levels=256)


def int8_weights(*shape: int) -> Any:
    """Weights whose products do not overflow 16 bits, with one scale for each row."""
    values = np.random.default_rng(0).integers(-31, 32, shape, np.int8) * np.int8(2)
    scales = F32(2.0) ** -np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return op.multiply(op.convert(op.constant(values), F32), op.constant(scales.astype(F32)))


@fault(
    engine="openvino",
    version="2026.4.1",
    what="The scales of an int8 product with two uses count for one of them only",
    instead="a barrier behind such products, where sizes are dynamic",
    where="tripy.engines.openvino_quantize:Tracker",
)
def int8_product_used_twice() -> bool:
    x, given = op.parameter([-1, 4, 2, 2], F32), 3 * random(1, 4, 2, 2)
    ones = [[1, 1], [0, 0], [0, 0], [1, 1]]
    product = op.convolution(quantized(x, 0.25), int8_weights(4, 4, 1, 1), *ones)
    limits = [op.constant(F32(limit)) for limit in (-512, 508, -128, 127)]
    steps = op.convert(op.fake_quantize(product, *limits, levels=256), np.int8)
    plain, again = run([product, steps], [x], [given])
    return bool(np.abs(np.clip(plain / 4, -128, 127) - again).max() < 1)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="The scales of an int8 matrix product are moved behind a pooling, as those of channels",
    instead="a barrier between",
    where="tripy.engines.openvino_quantize:Tracker",
)
def int8_matrix_product_then_maxpool() -> bool:
    x = op.parameter([2, 3, 8, 6], F32)
    product = op.matmul(quantized(x, 0.25), int8_weights(4, 6), False, True)
    window = [[2, 2], [1, 1], [0, 0], [0, 0], [2, 2]]
    pooled = op.max_pool(product, *window).output(0)
    (got,) = run(pooled, [x], [random(2, 3, 8, 6)])
    return bool(got.shape == (2, 3, 4, 2))


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Factors of channels are moved behind a mean that is quantized, along the wrong dim",
    instead="a barrier between",
    where="tripy.engines.openvino_quantize:Tracker",
)
def scaled_mean_quantized() -> bool:
    x, given = op.parameter([2, 2, 4], F32), 8 * random(2, 2, 4)
    factors = F32([[0.5], [2]])
    scaled = op.multiply(x, op.constant(factors))
    mean = op.reduce_mean(scaled, op.constant(np.int64([2])), False)
    (got,) = run(quantized(mean, 0.25), [x], [given])
    return bool(np.abs(got - (given * factors).mean(2)).max() < 0.2)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="Attention that was first called with one key is wrong for more of them ever after",
    instead="calls with one key run on a copy that knows their sizes",
    where="tripy.engines.openvino_sizes:_keys",
    cpus=("amx", "vnni", "avx2"),
)
def attention_first_called_with_one_key() -> bool:
    x = op.parameter(ov.PartialShape([2, 4, ov.Dimension(1, 64), 16]), F32)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = ov.Model([op.result(attention(x))], [x])
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    request.infer([random(2, 4, 1, 16)])
    given = random(2, 4, 8, 16)
    request.infer([given])
    weights = np.exp(given @ given.swapaxes(2, 3))
    want = weights / weights.sum(-1, keepdims=True) @ given
    return np.allclose(request.get_output_tensor(0).data, want, 1e-3, 1e-3)


@fault(
    engine="openvino",
    version="2026.4.1",
    what="A dim of size 1 that is transposed before a reduction is not where it belongs",
    instead="reductions to such dims keep them all, in programs that transpose",
    where="tripy.engines.openvino_fusions:with_dims",
)
def reduction_of_transposed() -> bool:
    x, given = op.parameter([2, 3, 1], F32), random(2, 3, 1)
    moved = op.transpose(x, op.constant(np.int64([2, 1, 0])))
    (got,) = run(op.reduce_sum(moved, op.constant(np.int64([2])), False), [x], [given])
    return got.shape == (1, 3)
