"""The same mistakes written in all the ways that Python allows."""

from __future__ import annotations

import functools
from typing import Any

import tripy as tp
from mistakes import mistake

matrix = tp.ones((2, 3)).eval()
vector = tp.Tensor([1, 2, 3])


class Network(tp.Module):
    def __init__(self) -> None:
        self.conv = tp.Conv(3, 4, (3, 3))

    def forward(self, image: tp.Tensor) -> tp.Tensor:
        doubled = image + image
        return tp.relu(self.conv(doubled))


@mistake(tp.TripyShapeError, "(4, 2)")
def positional() -> Any:
    return tp.reshape(matrix, (4, 2))


@mistake(tp.TripyShapeError, "(4, 2)")
def by_name() -> Any:
    return tp.reshape(shape=(4, 2), input=matrix)


@mistake(tp.TripyShapeError, "(4, 2)")
def as_a_method() -> Any:
    return matrix.reshape((4, 2))


@mistake(tp.TripyShapeError, "(4, 2)")
def as_a_method_by_name() -> Any:
    return (matrix + 1.0).reshape(shape=(4, 2))


@mistake(tp.TripyShapeError, "(4, 2)")
def in_a_chain_of_methods() -> Any:
    return matrix.cast(tp.float16).reshape((4, 2)).flatten().cast(tp.float32)


@mistake(tp.TripyShapeError, "shape")
def over_several_lines() -> Any:
    shape = (4, 2)
    return tp.relu(
        tp.reshape(
            matrix,
            shape,
        )
    )


@mistake(tp.TripyShapeError, "(4,")
def argument_over_several_lines() -> Any:
    # fmt: off
    return tp.reshape(matrix, (4,
                               2))
    # fmt: on


@mistake(tp.TripyShapeError, "(4, 2)")
def method_on_a_line_of_its_own() -> Any:
    return (
        matrix
        .cast(tp.float16)
        .reshape((4, 2))
    )  # fmt: skip


@mistake(tp.TripyShapeError, "shape")
def in_a_list_comprehension() -> Any:
    return [tp.reshape(matrix, shape) for shape in ((3, 2), (4, 2))]


@mistake(tp.TripyShapeError, "shape")
def in_a_generator() -> Any:
    return tuple(matrix.reshape(shape) for shape in ((3, 2), (4, 2)))


@mistake(tp.TripyShapeError, "shape")
def in_a_lambda() -> Any:
    reshaped = lambda shape: tp.reshape(matrix, shape)  # noqa: E731
    return reshaped((4, 2))


@mistake(tp.TripyShapeError, "tp.reshape(*arguments)")
def unpacked() -> Any:
    arguments = (matrix, (4, 2))
    return tp.reshape(*arguments)


@mistake(tp.TripyShapeError, "tp.reshape(matrix, **options)")
def unpacked_by_name() -> Any:
    options = {"shape": (4, 2)}
    return tp.reshape(matrix, **options)


@mistake(tp.TripyShapeError, "reshaped()")
def partial() -> Any:
    reshaped = functools.partial(tp.reshape, matrix, (4, 2))
    return reshaped()


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def operator() -> Any:
    return -matrix * 2.0 + tp.ones((2, 4))


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def operator_in_place() -> Any:
    result = matrix
    result += tp.ones((2, 4))
    return result


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def operator_over_several_lines() -> Any:
    return (
        matrix
        + tp.ones((2, 4))
        - matrix
    )  # fmt: skip


@mistake(tp.TripyTypeError, "0.5")
def comparison_in_a_condition() -> Any:
    return [vector] if vector >= 0.5 else []


@mistake(tp.TripyTypeError, "0.5")
def after_wide_characters() -> Any:
    return len("größe 幅 🙂"), vector + 0.5


@mistake(tp.TripyTypeError, "0.5")
def after_tabs() -> Any:
    return len("	 tab"), vector + 0.5


@mistake(tp.TripyTypeError, "0.5")
def in_an_f_string_beside_it() -> Any:
    return f"{len('a')}", vector + 0.5


@mistake(tp.TripyValueError, "matrix")
def in_a_while_loop() -> Any:
    while matrix:
        pass


@mistake(tp.TripyValueError, "tp.relu(matrix)")
def in_a_condition_that_is_a_call() -> Any:
    if tp.relu(matrix):
        return matrix
    return None


@mistake(tp.TripyTypeError, "tp.sum(matrix)")
def in_a_for_loop_over_a_call() -> Any:
    return [row for row in tp.sum(matrix)]  # noqa: C416


@mistake(tp.TripyTypeError, "tp.sum(matrix)")
def in_a_call_over_a_call() -> Any:
    return list(tp.sum(matrix))


@mistake(tp.TripyValueError, "matrix")
def in_an_assertion() -> Any:
    assert matrix


@mistake(tp.TripyValueError, "matrix")
def negated() -> Any:
    return not matrix


@mistake(tp.TripyTypeError, "matrix[0, 0]")
def in_a_for_loop() -> Any:
    for _ in matrix[0, 0]:
        pass


@mistake(tp.TripyShapeError, "doubled")
def inside_forward() -> Any:
    return Network()(tp.ones((1, 4, 8, 8)))


@mistake(tp.TripyShapeError, "doubled")
def inside_a_compiled_module() -> Any:
    return tp.compile(Network(), args=[tp.InputInfo(((1, 2, 4), 4, 8, 8), tp.float32)])


@mistake(tp.TripyShapeError, "(x.shape[0], 4)")
def inside_a_compiled_lambda() -> Any:
    described = tp.InputInfo(((1, 2, 4), 3), tp.float32)
    return tp.compile(lambda x: tp.relu(tp.reshape(x, (x.shape[0], 4))), args=[described])


@mistake(tp.TripyShapeError, "(4, 2)")
def with_all_information() -> Any:
    with tp.config.override(extra_error_information=["all"]):
        return wrapped(tp.Tensor([[1.0, 2.0, 3.0]]))


def wrapped(x: tp.Tensor) -> tp.Tensor:
    return tp.reshape(x * 2.0, (4, 2))


@mistake(tp.TripyTypeError, "None")
def constructor_with_all_information() -> Any:
    with tp.config.override(extra_error_information=["all"]):
        return tp.Conv(3, 4, kernel_dims=None)
