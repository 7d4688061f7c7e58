"""Mistakes with tensors, their attributes and conversions, devices, dtypes and settings."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

vector = tp.Tensor([1, 2, 3])
matrix = tp.ones((2, 3)).eval()
scalar = tp.ones(()).eval()


@mistake(tp.TripyTypeError, "None")
def tensor_of_none() -> Any:
    return tp.Tensor(None)


@mistake(tp.TripyTypeError, '"1.0"')
def tensor_of_a_string() -> Any:
    return tp.Tensor("1.0")


@mistake(tp.TripyTypeError, 'b"12"')
def tensor_of_bytes() -> Any:
    return tp.Tensor(b"12")


@mistake(tp.TripyTypeError, "2j")
def tensor_of_complex_numbers() -> Any:
    return tp.Tensor([1.0, 2j])


@mistake(tp.TripyTypeError, "None")
def tensor_with_none_inside() -> Any:
    return tp.Tensor([[1, 2], [3, None]])


@mistake(tp.TripyTypeError, "range(3)")
def tensor_of_a_range() -> Any:
    return tp.Tensor(range(3))


@mistake(tp.TripyTypeError, "{1, 2}")
def tensor_of_a_set() -> Any:
    return tp.Tensor({1, 2})


@mistake(tp.TripyTypeError, "vector")
def tensor_of_tensors() -> Any:
    return tp.Tensor([vector, vector])


@mistake(tp.TripyTypeError, "np.ones(2)")
def tensor_of_arrays() -> Any:
    return tp.Tensor([np.ones(2), np.ones(2)])


@mistake(tp.TripyShapeError, "[3]")
def ragged_lists() -> Any:
    return tp.Tensor([[1, 2], [3]])


@mistake(tp.TripyShapeError, "[]")
def ragged_with_an_empty_list() -> Any:
    return tp.Tensor([[1], []])


@mistake(tp.TripyShapeError, "[2, 3]")
def list_beside_a_number() -> Any:
    return tp.Tensor([1, [2, 3]])


@mistake(tp.TripyShapeError, "data")
def list_that_contains_itself() -> Any:
    data: list[Any] = []
    data.append(data)
    return tp.Tensor(data)


@mistake(tp.TripyTypeError, "np.ones(3, np.uint16)")
def unsigned_array() -> Any:
    return tp.Tensor(np.ones(3, np.uint16))


@mistake(tp.TripyTypeError, "np.ones(3, complex)")
def complex_array() -> Any:
    return tp.Tensor(np.ones(3, complex))


@mistake(tp.TripyTypeError, 'np.array(["a", "b"])')
def array_of_strings() -> Any:
    return tp.Tensor(np.array(["a", "b"]))


@mistake(tp.TripyTypeError, "np.array([None])")
def array_of_objects() -> Any:
    return tp.Tensor(np.array([None]))


@mistake(tp.TripyValueError, "2**63")
def integer_beyond_int64() -> Any:
    return tp.Tensor(2**63)


@mistake(tp.TripyValueError, "300")
def integer_beyond_its_dtype() -> Any:
    return tp.Tensor([1, 300], dtype=tp.int8)


@mistake(tp.TripyValueError, "10**5000")
def integer_of_too_many_digits() -> Any:
    return tp.Tensor([10**5000])


@mistake(tp.TripyTypeError, '"float32"')
def dtype_as_a_string() -> Any:
    return tp.Tensor([1], dtype="float32")


@mistake(tp.TripyTypeError, "np.float16")
def dtype_of_numpy() -> Any:
    return tp.ones((2,), dtype=np.float16)


@mistake(tp.TripyTypeError, "float")
def dtype_of_python() -> Any:
    return tp.cast(vector, float)


@mistake(tp.TripyTypeError, "tp.floating")
def group_of_dtypes() -> Any:
    return tp.Tensor([1], tp.floating)


@mistake(tp.TripyTypeError, "tp.float32(1.5)")
def calling_a_dtype() -> Any:
    return tp.float32(1.5)


@mistake(tp.TripyTypeError, "tp.Tensor()")
def no_data() -> Any:
    return tp.Tensor()


@mistake(tp.TripyTypeError, "7")
def name_that_is_no_string() -> Any:
    return tp.Tensor([1], name=7)


@mistake(tp.TripyTypeError, "7")
def naming_with_a_number() -> None:
    vector.name = 7


@mistake(tp.TripyAttributeError, "matrix.shape")
def assigning_the_shape() -> None:
    matrix.shape = (3, 2)


@mistake(tp.TripyAttributeError, "matrix.grad")
def assigning_an_unknown_attribute() -> None:
    matrix.grad = None


@mistake(tp.TripyTypeError, "matrix[0]")
def assigning_elements() -> None:
    matrix[0] = 1.0


@mistake(tp.TripyAttributeError, "matrix.shap")
def misspelt_attribute() -> Any:
    return matrix.shap


@mistake(tp.TripyAttributeError, "matrix.softmax")
def function_as_a_method() -> Any:
    return matrix.softmax(1)


@mistake(tp.TripyAttributeError, "tp.sofmax")
def misspelt_function() -> Any:
    return tp.sofmax(matrix)


@mistake(tp.TripyTypeError, "3")
def sizes_one_by_one() -> Any:
    return matrix.reshape(2, 3)


@mistake(tp.TripyTypeError, "0")
def item_with_an_index() -> Any:
    return vector.item(0)


@mistake(tp.TripyValueError, "vector")
def item_of_a_vector() -> Any:
    return vector.item()


@mistake(tp.TripyValueError, "matrix > 0.0")
def truth_of_a_matrix() -> Any:
    if matrix > 0.0:
        return matrix
    return None


@mistake(tp.TripyValueError, "matrix")
def int_of_a_matrix() -> Any:
    return int(matrix)


@mistake(tp.TripyValueError, "tp.ones((0,))")
def float_of_nothing() -> Any:
    return float(tp.ones((0,)))


@mistake(tp.TripyTypeError, "scalar")
def index_with_a_float_tensor() -> Any:
    return [1, 2, 3][scalar]


@mistake(tp.TripyTypeError, "scalar")
def length_of_a_scalar() -> Any:
    return len(scalar)


@mistake(tp.TripyTypeError, "scalar")
def loop_over_a_scalar() -> Any:
    return [element + 1.0 for element in scalar]


@mistake(tp.TripyShapeError, "vector.T")
def transpose_of_a_vector() -> Any:
    return vector.T


@mistake(tp.TripyTypeError, "tp.ones((2,), tp.float8)")
def dlpack_of_a_packed_type() -> Any:
    return np.from_dlpack(tp.ones((2,), tp.float8))


@mistake(tp.TripyTypeError, "pickle.dumps(vector)")
def pickling_a_tensor() -> Any:
    return pickle.dumps(vector)


@mistake(tp.TripyValueError, '"tpu"')
def unknown_device() -> Any:
    return tp.Tensor([1], device="tpu")


@mistake(tp.TripyValueError, '"gpu:-1"')
def negative_device() -> Any:
    return tp.device("gpu:-1")


@mistake(tp.TripyTypeError, "0")
def device_as_a_number() -> Any:
    return tp.device(0)


@mistake(tp.TripyValueError, '"tpu"')
def unknown_kind_of_devices() -> Any:
    return tp.devices("tpu")


@mistake(tp.TripyDeviceError, '"cpu:1"')
def absent_device() -> Any:
    return tp.Tensor([1], device="cpu:1")


@mistake(tp.TripyTypeError, "2.5")
def size_that_is_no_int() -> Any:
    return tp.DimensionSize(2.5)


@mistake(tp.TripyValueError, "2**40")
def size_beyond_int32() -> Any:
    return tp.DimensionSize(2**40)


@mistake(tp.TripyTypeError, "1.5")
def size_plus_a_float() -> Any:
    return tp.DimensionSize(4) + 1.5


@mistake(tp.TripyTypeError, "0.5")
def float_times_a_size() -> Any:
    return 0.5 * tp.DimensionSize(4)


@mistake(tp.TripyValueError, "0")
def size_divided_by_zero() -> Any:
    return tp.DimensionSize(4) // 0


@mistake(tp.TripyAttributeError, "tp.config.print_precison")
def misspelt_setting() -> Any:
    return tp.config.print_precison


@mistake(tp.TripyAttributeError, "tp.config.threads")
def unknown_setting() -> None:
    tp.config.threads = 2


@mistake(tp.TripyTypeError, '"4"')
def setting_of_another_type() -> None:
    tp.config.print_precision = "4"


@mistake(tp.TripyValueError, "num_threads=0")
def setting_out_of_range() -> None:
    with tp.config.override(num_threads=0):
        pass


@mistake(tp.TripyValueError, '"2 parsecs"')
def setting_that_cannot_be_read() -> None:
    tp.config.cache_size = "2 parsecs"
