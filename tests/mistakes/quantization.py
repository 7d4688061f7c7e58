"""Mistakes with scales and quantized modules."""

from __future__ import annotations

from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

matrix = tp.Tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
image = tp.ones((1, 3, 8, 8)).eval()


def quantized(**options: Any) -> tp.Linear:
    linear = tp.Linear(2, 4, quant_dtype=tp.int8, **options)
    linear.weight_scale = tp.ones(linear.weight_scale.shape)
    return linear


@mistake(tp.TripyValueError, "0.0")
def zero_scale() -> Any:
    return tp.quantize(matrix, 0.0, tp.int8)


@mistake(tp.TripyValueError, "[1.0, -2.0]")
def negative_scale() -> Any:
    return tp.dequantize(tp.ones((4, 2), tp.int8), [1.0, -2.0], tp.float32, 1)


@mistake(tp.TripyValueError, "tp.quantize(matrix, computed, tp.int8)")
def scale_that_becomes_zero() -> Any:
    computed = tp.min(matrix)
    return tp.quantize(matrix, computed, tp.int8).eval()


@mistake(tp.TripyTypeError, "scale")
def scale_of_another_dtype() -> Any:
    scale = tp.ones((), tp.float16)
    return tp.quantize(matrix, scale, tp.int8)


@mistake(tp.TripyTypeError, "scale")
def scale_of_the_dtype_of_the_input() -> Any:
    scale = tp.Tensor(1, tp.int8)
    return tp.dequantize(tp.ones((2,), tp.int8), scale, tp.float32)


@mistake(tp.TripyTypeError, '"0.5"')
def scale_as_text() -> Any:
    return tp.quantize(matrix, "0.5", tp.int8)


@mistake(tp.TripyTypeError, "tp.int32")
def quantized_to_int32() -> Any:
    return tp.quantize(matrix, 0.5, tp.int32)


@mistake(tp.TripyTypeError, "tp.int8")
def dequantized_to_an_integer() -> Any:
    return tp.dequantize(tp.ones((2,), tp.int8), 0.5, tp.int8)


@mistake(tp.TripyTypeError, "matrix")
def dequantized_floats() -> Any:
    return tp.dequantize(matrix, 0.5, tp.float32)


@mistake(tp.TripyShapeError, "[1.0, 2.0]")
def channels_without_a_dim() -> Any:
    return tp.quantize(matrix, [1.0, 2.0], tp.int8)


@mistake(tp.TripyShapeError, "[1.0, 2.0]")
def channels_of_another_dim() -> Any:
    return tp.quantize(matrix, [1.0, 2.0], tp.int8, dim=0)


@mistake(tp.TripyShapeError, "0.5")
def one_scale_with_a_dim() -> Any:
    return tp.quantize(matrix, 0.5, tp.int8, dim=0)


@mistake(tp.TripyShapeError, "tp.ones((3, 2))")
def blocks_that_do_not_divide() -> Any:
    return tp.quantize(matrix, tp.ones((3, 2)), tp.int4)


@mistake(tp.TripyShapeError, "tp.ones((4, 1))")
def blocks_that_broadcast() -> Any:
    return tp.quantize(matrix, tp.ones((4, 1)), tp.int4, 0)


@mistake(tp.TripyTypeError, "tp.ones((2, 2))")
def blocks_of_float8() -> Any:
    return tp.quantize(matrix, tp.ones((2, 2)), tp.float8)


@mistake(tp.TripyIndexError, "2")
def channels_of_a_dim_that_is_missing() -> Any:
    return tp.quantize(matrix, [1.0, 2.0], tp.int8, 2)


@mistake(tp.TripyTypeError, "tp.quantize(matrix, 0.5, tp.int4)")
def arithmetic_with_quantized_values() -> Any:
    return tp.quantize(matrix, 0.5, tp.int4) * 2


@mistake(tp.TripyTypeError, "tp.int32")
def module_quantized_to_int32() -> Any:
    return tp.Linear(2, 3, quant_dtype=tp.int32)


@mistake(tp.TripyTypeError, '"int8"')
def quant_dtype_as_text() -> Any:
    return tp.Conv(3, 4, (3, 3), quant_dtype="int8")


@mistake(tp.TripyValueError, "0")
def dim_without_quant_dtype() -> Any:
    return tp.Conv(3, 4, (3, 3), weight_quant_dim=0)


@mistake(tp.TripyIndexError, "2")
def dim_that_the_weight_lacks() -> Any:
    return tp.Embedding(3, 4, quant_dtype=tp.int8, weight_quant_dim=2)


@mistake(tp.TripyValueError, "tp.Conv(3, 4, (3, 3), quant_dtype=tp.int8)(image)")
def call_before_the_scale_is_set() -> Any:
    return tp.Conv(3, 4, (3, 3), quant_dtype=tp.int8)(image)


@mistake(tp.TripyShapeError, "[0.5, 0.5, 0.5]")
def weight_scale_of_another_length() -> Any:
    quantized(weight_quant_dim=0).weight_scale = [0.5, 0.5, 0.5]


@mistake(tp.TripyShapeError, "[0.5]")
def input_scale_of_rank_1() -> Any:
    quantized().input_scale = [0.5]


@mistake(tp.TripyTypeError, "tp.ones((), tp.float16)")
def input_scale_of_another_dtype() -> Any:
    quantized().input_scale = tp.ones((), tp.float16)


@mistake(tp.TripyValueError, "linear(tp.ones((1, 2)))")
def inputs_quantized_beside_scales_inside_the_sum() -> Any:
    linear = quantized(weight_quant_dim=1)
    linear.input_scale = 0.5
    return linear(tp.ones((1, 2)))


@mistake(tp.TripyAttributeError, "quantized().quant_dtype")
def quant_dtype_changed() -> Any:
    quantized().quant_dtype = tp.int4


@mistake(tp.TripyTypeError, "tp.Tensor([0.0])")
def embedding_of_floats() -> Any:
    return tp.Embedding(3, 4)(tp.Tensor([0.0]))


@mistake(tp.TripyIndexError, "tp.Embedding(3, 4)(tp.Tensor([3]))")
def embedding_out_of_range() -> Any:
    return tp.Embedding(3, 4)(tp.Tensor([3])).eval()


@mistake(tp.TripyValueError, "0")
def embedding_without_rows() -> Any:
    return tp.Embedding(0, 4)


@mistake(tp.TripyTypeError, "np.array([0.5], np.float32)")
def array_for_an_embedding() -> Any:
    return tp.Embedding(3, 4)(np.array([0.5], np.float32))
