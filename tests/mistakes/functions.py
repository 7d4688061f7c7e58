"""Mistakes with functions, operators and indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

vector = tp.Tensor([1, 2, 3])
matrix = tp.ones((2, 3)).eval()
flags = tp.Tensor([True, False])
image = tp.ones((1, 1, 4, 4)).eval()


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def shapes_that_do_not_broadcast() -> Any:
    return matrix + tp.ones((2, 4))


@mistake(tp.TripyTypeError, "matrix16")
def mixed_dtypes() -> Any:
    matrix16 = tp.ones((2, 3), tp.float16)
    return matrix * matrix16


@mistake(tp.TripyTypeError, "None")
def adding_none() -> Any:
    return matrix + None


@mistake(tp.TripyTypeError, '"1"')
def string_plus_tensor() -> Any:
    return "1" + matrix


@mistake(tp.TripyTypeError, "1.5")
def float_beside_integers() -> Any:
    return vector + 1.5


@mistake(tp.TripyTypeError, "1.5")
def integers_compared_with_a_float() -> Any:
    return vector > 1.5


@mistake(tp.TripyTypeError, "0.5")
def float_compared_with_integers() -> Any:
    return 0.5 <= vector


@mistake(tp.TripyTypeError, "2.5")
def float_equals_integers() -> Any:
    return 2.5 == vector


@mistake(tp.TripyTypeError, "1")
def number_beside_bools() -> Any:
    return flags * 1


@mistake(tp.TripyTypeError, "[0.5, 0.25, 0.125]")
def list_beside_integers() -> Any:
    return vector - [0.5, 0.25, 0.125]


@mistake(tp.TripyValueError, "300")
def number_too_large_for_the_dtype() -> Any:
    return tp.Tensor([1], dtype=tp.uint8) + 300


@mistake(tp.TripyTypeError, "flags")
def difference_of_bools() -> Any:
    return flags - flags


@mistake(tp.TripyTypeError, "vector")
def quotient_of_integers() -> Any:
    return vector / 2


@mistake(tp.TripyValueError, "0")
def integers_divided_by_zero() -> Any:
    return vector // 0


@mistake(tp.TripyValueError, "-1")
def negative_power_of_integers() -> Any:
    return vector**-1


@mistake(tp.TripyTypeError, "matrix")
def bits_of_floats() -> Any:
    return ~matrix


@mistake(tp.TripyShapeError, "matrix")
def product_of_unfit_matrices() -> Any:
    return tp.ones((4, 2)) @ tp.ones((2, 3)) @ matrix


@mistake(tp.TripyShapeError, "2.0")
def product_with_a_number() -> Any:
    return matrix @ 2.0


@mistake(tp.TripyTypeError, "small")
def product_of_small_integers() -> Any:
    small = tp.ones((2, 2), tp.int8)
    return tp.matmul(small, other=small)


@mistake(tp.TripyShapeError, "matrix")
def outer_of_a_matrix() -> Any:
    return tp.outer(matrix, vector)


@mistake(tp.TripyIndexError, "5")
def index_out_of_range() -> Any:
    return matrix[5]


@mistake(tp.TripyIndexError, "0, 0, 0")
def too_many_indices() -> Any:
    return matrix[0, 0, 0]


@mistake(tp.TripyTypeError, "1.0")
def float_as_an_index() -> Any:
    return matrix[1.0]


@mistake(tp.TripyTypeError, '"rows"')
def string_as_an_index() -> Any:
    return matrix["rows"]


@mistake(tp.TripyTypeError, "True")
def bool_as_an_index() -> Any:
    return matrix[True]


@mistake(tp.TripyValueError, "::0")
def slice_of_step_zero() -> Any:
    return matrix[::0]


@mistake(tp.TripyIndexError, "..., ...")
def two_ellipses() -> Any:
    return matrix[..., ...]


@mistake(tp.TripyShapeError, "tp.Tensor([True, False, True])")
def mask_of_another_size() -> Any:
    return matrix[tp.Tensor([True, False, True])]


@mistake(tp.TripyIndexError, "vector[[0, 7]]")
def list_index_out_of_range() -> Any:
    return vector[[0, 7]].eval()


@mistake(tp.TripyIndexError, "tp.gather(matrix, 0, vector)")
def gather_out_of_range() -> Any:
    picked = tp.gather(matrix, 0, vector)
    return picked.tolist()


@mistake(tp.TripyTypeError, "matrix")
def gather_with_floats() -> Any:
    return tp.gather(matrix, 0, matrix)


@mistake(tp.TripyShapeError, "(4, 2)")
def reshape_to_another_volume() -> Any:
    return matrix.reshape((4, 2))


@mistake(tp.TripyValueError, "(-1, -1)")
def two_inferred_sizes() -> Any:
    return tp.reshape(matrix, (-1, -1))


@mistake(tp.TripyValueError, "-3")
def negative_size() -> Any:
    return tp.reshape(matrix, (2, -3))


@mistake(tp.TripyTypeError, "3.0")
def float_size() -> Any:
    return tp.zeros((2, 3.0))


@mistake(tp.TripyTypeError, '"23"')
def string_as_a_shape() -> Any:
    return tp.ones("23")


@mistake(tp.TripyTypeError, "None")
def none_as_a_shape() -> Any:
    return tp.reshape(matrix, None)


@mistake(tp.TripyTypeError, "np.ones((2, 3))")
def array_for_a_tensor() -> Any:
    return tp.reshape(np.ones((2, 3)), (3, 2))


@mistake(tp.TripyTypeError, "None")
def none_for_a_tensor() -> Any:
    return tp.exp(None)


@mistake(tp.TripyTypeError, "np.ones((2, 3))")
def array_among_tensors() -> Any:
    return tp.concatenate([matrix, np.ones((2, 3))], 0)


@mistake(tp.TripyValueError, "[]")
def joining_nothing() -> Any:
    return tp.concatenate([], 0)


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def joining_unequal_sizes() -> Any:
    return tp.concatenate([matrix, tp.ones((2, 4))], dim=0)


@mistake(tp.TripyTypeError, "vector")
def joining_other_dtypes() -> Any:
    return tp.stack([tp.ones((3,)), vector])


@mistake(tp.TripyIndexError, "2")
def dim_out_of_range() -> Any:
    return tp.sum(matrix, 2)


@mistake(tp.TripyIndexError, "3")
def permutation_out_of_range() -> Any:
    return tp.permute(matrix, (0, 3))


@mistake(tp.TripyValueError, "(0, -2)")
def dim_given_twice() -> Any:
    return tp.max(matrix, dim=(0, -2))


@mistake(tp.TripyValueError, "(0, 0)")
def no_permutation() -> Any:
    return matrix.permute((0, 0))


@mistake(tp.TripyShapeError, "0")
def squeezing_a_larger_dim() -> Any:
    return matrix.squeeze(0)


@mistake(tp.TripyShapeError, "(4, 3)")
def expanding_a_larger_dim() -> Any:
    return tp.expand(matrix, (4, 3))


@mistake(tp.TripyShapeError, "[1, 1]")
def chunks_that_do_not_add_up() -> Any:
    return tp.split(matrix, [1, 1], dim=1)


@mistake(tp.TripyValueError, "0")
def no_chunks() -> Any:
    return tp.split(matrix, 0)


@mistake(tp.TripyShapeError, "[(1, 1)]")
def too_few_padded_dims() -> Any:
    return tp.pad(matrix, [(1, 1)])


@mistake(tp.TripyValueError, "(1, -1)")
def negative_padding() -> Any:
    return tp.pad(matrix, [(1, -1), (0, 0)])


@mistake(tp.TripyValueError, '"mirror"')
def unknown_padding_mode() -> Any:
    return tp.pad(matrix, [(1, 1), (0, 0)], mode="mirror")


@mistake(tp.TripyTypeError, "flags")
def sum_of_bools() -> Any:
    return tp.sum(flags)


@mistake(tp.TripyTypeError, "vector")
def all_of_integers() -> Any:
    return tp.all(vector)


@mistake(tp.TripyShapeError, "tp.ones((0, 3))")
def extreme_of_nothing() -> Any:
    return tp.argmax(tp.ones((0, 3)), dim=0)


@mistake(tp.TripyTypeError, "vector")
def exponential_of_integers() -> Any:
    return tp.exp(vector)


@mistake(tp.TripyValueError, '"fast"')
def unknown_option() -> Any:
    return tp.gelu(matrix, approximate="fast")


@mistake(tp.TripyTypeError, "matrix")
def condition_of_floats() -> Any:
    return tp.where(matrix, 1.0, 0.0)


@mistake(tp.TripyDeviceError, '"gpu"')
def copy_to_an_absent_device() -> Any:
    return tp.copy(matrix, "gpu")


@mistake(tp.TripyTypeError, '"1"')
def filling_with_a_string() -> Any:
    return tp.full((2,), "1")


@mistake(tp.TripyValueError, "300")
def filling_with_too_large_a_number() -> Any:
    return tp.full((2,), 300, dtype=tp.int8)


@mistake(tp.TripyValueError, "0")
def range_of_step_zero() -> Any:
    return tp.arange(0, 5, 0)


@mistake(tp.TripyIndexError, "0")
def iota_without_dims() -> Any:
    return tp.iota((), dim=0)


@mistake(tp.TripyValueError, "2")
def padding_as_large_as_the_window() -> Any:
    return tp.maxpool(image, (2, 2), padding=2)


@mistake(tp.TripyValueError, "0")
def empty_window() -> Any:
    return tp.avgpool(image, (2, 0))


@mistake(tp.TripyShapeError, "image")
def window_larger_than_the_image() -> Any:
    return tp.avgpool(image, (5, 5))


@mistake(tp.TripyShapeError, "tp.ones((3, 3))")
def weight_without_spatial_dims() -> Any:
    return tp.conv(image, tp.ones((3, 3)))


@mistake(tp.TripyTypeError, "True")
def bool_for_an_int() -> Any:
    return tp.unsqueeze(matrix, True)


@mistake(tp.TripyTypeError, "1")
def int_for_a_bool() -> Any:
    return tp.sum(matrix, keepdim=1)


@mistake(tp.TripyTypeError, "axis=0")
def unknown_keyword() -> Any:
    return tp.mean(matrix, axis=0)


@mistake(tp.TripyTypeError, "keepdims=True")
def misspelt_keyword() -> Any:
    return tp.mean(matrix, 0, keepdims=True)


@mistake(tp.TripyTypeError, "1")
def argument_given_twice() -> Any:
    return tp.softmax(matrix, 0, dim=1)


@mistake(tp.TripyTypeError, "2")
def too_many_arguments() -> Any:
    return tp.relu(matrix, 2)


@mistake(tp.TripyTypeError, "out=matrix")
def several_wrong_arguments() -> Any:
    return tp.sum(matrix, "0", keepdim=None, out=matrix)
