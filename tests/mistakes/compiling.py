"""Mistakes when compiling, describing inputs and calling executables."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

batch = tp.NamedDimension("batch", 1, 2, 4)
matrix = tp.ones((2, 3)).eval()
info = tp.InputInfo((2,), tp.float32)
varying = tp.InputInfo(((2, 3, 4),), tp.float32)


@functools.cache
def double() -> tp.Executable:
    return tp.compile(lambda x: x * 2.0, args=[tp.InputInfo((batch, 3), tp.float32)])


@functools.cache
def total() -> tp.Executable:
    infos = [tp.InputInfo((batch, 3), tp.float32), tp.InputInfo((batch,), tp.float32)]
    return tp.compile(lambda x, weights: tp.sum(x) * tp.sum(weights), args=infos)


def add_members(pair: dict[str, tp.Tensor]) -> tp.Tensor:
    return pair["left"] + pair["right"]


@functools.cache
def nested() -> tp.Executable:
    return tp.compile(add_members, args=[{"left": info, "right": info}])


@functools.cache
def count() -> tp.Executable:
    return tp.compile(lambda n: tp.ones((n,)), args=[tp.DimensionInputInfo((1, 2, 4))])


def absolute(x: tp.Tensor) -> tp.Tensor:
    if tp.sum(x) > 0.0:
        return x
    return -x


def rows(x: tp.Tensor) -> list[tp.Tensor]:
    return [row * 2.0 for row in x]


def repeated(x: tp.Tensor) -> list[tp.Tensor]:
    return [x for _ in range(x.shape[0])]


def fails(x: tp.Tensor) -> Any:
    return x + tp.ones((5,))


def open_sum(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
    return tp.relu(x) + y


def halves(x: tp.Tensor) -> tp.Tensor:
    return tp.reshape(
        x,
        (2, -1),
    )


@mistake(tp.TripyTypeError, '"wide"')
def size_as_a_string() -> Any:
    return tp.InputInfo((3, "wide"), tp.float32)


@mistake(tp.TripyValueError, "(3, 2, 1)")
def bounds_out_of_order() -> Any:
    return tp.InputInfo(((3, 2, 1), 3), tp.float32)


@mistake(tp.TripyValueError, "(1, 2)")
def two_bounds() -> Any:
    return tp.DimensionInputInfo((1, 2))


@mistake(tp.TripyTypeError, "2.5")
def float_bounds() -> Any:
    return tp.InputInfo(((1, 2.5, 3),), tp.float32)


@mistake(tp.TripyValueError, "-1")
def unknown_size_as_minus_one() -> Any:
    return tp.InputInfo((-1, 3), tp.float32)


@mistake(tp.TripyTypeError, '"float32"')
def described_dtype_as_a_string() -> Any:
    return tp.InputInfo((2,), "float32")


@mistake(tp.TripyTypeError, "tp.InputInfo((2, 3))")
def description_without_a_dtype() -> Any:
    return tp.InputInfo((2, 3))


@mistake(tp.TripyTypeError, "4")
def bounds_as_a_number() -> Any:
    return tp.DimensionInputInfo(4)


@mistake(tp.TripyValueError, "2")
def named_bounds_out_of_order() -> Any:
    return tp.NamedDimension("batch", 2, 1, 4)


@mistake(tp.TripyTypeError, "tp.relu(matrix)")
def compiling_a_result() -> Any:
    return tp.compile(tp.relu(matrix))


@mistake(tp.TripyValueError, '"tensorrt"')
def unknown_engine() -> Any:
    return tp.compile(tp.relu, args=[info], engine="tensorrt")


@mistake(tp.TripyDeviceError, '"gpu:0"')
def absent_device_for_compiling() -> Any:
    return tp.compile(tp.relu, args=[info], device="gpu:0")


@mistake(tp.TripyValueError, '"int8"')
def unknown_precision() -> Any:
    return tp.compile(tp.relu, args=[info], precision="int8")


@mistake(tp.TripyUnsupportedError, '"reference"')
def precision_that_the_engine_lacks() -> Any:
    return tp.compile(tp.relu, args=[info], engine="reference", precision="bfloat16")


@mistake(tp.TripyUnsupportedError, '"tf32"')
def precision_that_no_engine_has() -> Any:
    return tp.compile(tp.relu, args=[info], precision="tf32")


@mistake(tp.TripyUnsupportedError, '"openvino"')
def dtype_that_the_engine_lacks() -> Any:
    wide = tp.InputInfo((2,), tp.float64)
    return tp.compile(lambda x: tp.exp(x) + 1.0, args=[wide], engine="openvino")


@mistake(tp.TripyValueError, "9")
def optimisation_level_out_of_range() -> Any:
    return tp.compile(tp.relu, 9, args=[info])


@mistake(tp.TripyTypeError, "[info]")
def argument_not_given() -> Any:
    return tp.compile(lambda x, y: x + y, args=[info])


@mistake(tp.TripyTypeError, "[info]")
def argument_that_does_not_exist() -> Any:
    return tp.compile(lambda x: x, args=[info], kwargs={"axis": 0})


@mistake(tp.TripyTypeError, "info")
def description_outside_a_list() -> Any:
    return tp.compile(tp.relu, args=info)


@mistake(tp.TripyTypeError, "lambda x: x.dtype.name")
def returning_no_tensor() -> Any:
    return tp.compile(lambda x: x.dtype.name, args=[info])


@mistake(tp.TripyTypeError, "lambda x: [x, np.ones(2)]")
def returning_an_array() -> Any:
    return tp.compile(lambda x: [x, np.ones(2)], args=[info])


@mistake(tp.TripyTypeError, "{0: info}")
def numbers_as_keys() -> Any:
    return tp.compile(lambda x: x[0], args=[{0: info}])


@mistake(tp.TripyValueError, "infos")
def one_name_with_two_bounds() -> Any:
    other = tp.NamedDimension("batch", 1, 2, 8)
    infos = [tp.InputInfo((d,), tp.float32) for d in (batch, other)]
    return tp.compile(lambda x, y: tp.sum(x) + tp.sum(y), args=infos)


@mistake(tp.TripyValueError, "[info, info]")
def two_inputs_of_one_name() -> Any:
    return tp.compile(lambda args0, *args: args0 + args[0], args=[info, info])


@mistake(tp.TripyCompileError, "tp.sum(x) > 0.0")
def branch_on_a_traced_tensor() -> Any:
    return tp.compile(absolute, args=[info])


@mistake(tp.TripyCompileError, "x.item()")
def item_of_a_traced_tensor() -> Any:
    return tp.compile(lambda x: x * x.item(), args=[tp.InputInfo((1,), tp.float32)])


@mistake(tp.TripyCompileError, "np.asarray(x)")
def array_of_a_traced_tensor() -> Any:
    return tp.compile(lambda x: x + np.asarray(x), args=[info])


@mistake(tp.TripyCompileError, "tp.allclose(x, x)")
def comparing_traced_tensors() -> Any:
    return tp.compile(lambda x: x if tp.allclose(x, x) else -x, args=[info])


@mistake(tp.TripyCompileError, "x")
def loop_over_a_dynamic_dim() -> Any:
    return tp.compile(rows, args=[varying])


@mistake(tp.TripyCompileError, "range(x.shape[0])")
def range_of_a_dynamic_size() -> Any:
    return tp.compile(repeated, args=[varying])


@mistake(tp.TripyCompileError, "x > 0.0")
def mask_in_a_compiled_function() -> Any:
    return tp.compile(lambda x: x[x > 0.0], args=[info])


@mistake(tp.TripyCompileError, "double()(x)")
def executable_in_a_compiled_function() -> Any:
    return tp.compile(lambda x: double()(x), args=[tp.InputInfo((2, 3), tp.float32)])


@mistake(tp.TripyCompileError, "inner")
def compiling_inside_a_compiled_function() -> Any:
    def outer(x: tp.Tensor) -> tp.Tensor:
        inner = lambda y: y + x  # noqa: E731
        return tp.compile(inner, args=[info])(tp.ones((2,)))

    return tp.compile(outer, args=[info])


@mistake(tp.TripyShapeError, "tp.ones((5,))")
def sizes_that_can_never_fit() -> Any:
    return tp.compile(fails, args=[varying])


@mistake(tp.TripyTypeError, "total()(matrix)")
def input_missing() -> Any:
    return total()(matrix)


@mistake(tp.TripyTypeError, "matrix")
def too_many_inputs() -> Any:
    x = tp.ones((1, 3))
    return double()(x, matrix)


@mistake(tp.TripyTypeError, "input=matrix")
def unknown_input() -> Any:
    return double()(input=matrix)


@mistake(tp.TripyTypeError, "matrix")
def input_given_twice() -> Any:
    return double()(matrix, x=matrix)


@mistake(tp.TripyTypeError, "None")
def none_as_an_input() -> Any:
    return double()(None)


@mistake(tp.TripyTypeError, "[[1.0, 2.0, 3.0]]")
def list_as_an_input() -> Any:
    return double()([[1.0, 2.0, 3.0]])


@mistake(tp.TripyTypeError, "np.ones((2, 3))")
def input_of_another_dtype() -> Any:
    return double()(np.ones((2, 3)))


@mistake(tp.TripyTypeError, "np.ones((2, 3), complex)")
def complex_input() -> Any:
    return double()(np.ones((2, 3), complex))


@mistake(tp.TripyShapeError, "tp.ones((3,))")
def input_of_another_rank() -> Any:
    return double()(tp.ones((3,)))


@mistake(tp.TripyShapeError, "tp.ones((5, 3))")
def input_beyond_its_bounds() -> Any:
    return double()(x=tp.ones((5, 3)))


@mistake(tp.TripyShapeError, "tp.ones((3,))")
def two_sizes_of_one_name() -> Any:
    return total()(matrix, tp.ones((3,)))


@mistake(tp.TripyShapeError, "9")
def size_beyond_its_bounds() -> Any:
    return count()(9)


@mistake(tp.TripyTypeError, "2.5")
def float_for_a_size() -> Any:
    return count()(2.5)


@mistake(tp.TripyTypeError, "{'left': matrix}")
def member_missing() -> Any:
    return nested()({'left': matrix})  # fmt: skip


@mistake(tp.TripyTypeError, '{"left": 1, "right": 2, "up": 3}')
def unknown_member_of_an_input() -> Any:
    return nested()({"left": 1, "right": 2, "up": 3})


@mistake(tp.TripyTypeError, "[matrix, matrix]")
def list_for_a_dict() -> Any:
    return nested()([matrix, matrix])


@mistake(tp.TripyShapeError, "matrix")
def member_of_another_rank() -> Any:
    return nested()({"left": tp.ones((2,)), "right": matrix})


@mistake(tp.TripyShapeError, "tp.relu(x) + y")
def condition_found_broken() -> Any:
    exe = tp.compile(open_sum, args=[varying, varying])
    return exe(tp.ones((2,)), tp.ones((3,)))


@mistake(tp.TripyShapeError, "tp.reshape(")
def condition_of_a_call_over_several_lines() -> Any:
    return tp.compile(halves, args=[varying])(tp.ones((3,)))
