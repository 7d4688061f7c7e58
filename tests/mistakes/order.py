"""Mistakes with running sums, sorting and scatter."""

from __future__ import annotations

import functools
from typing import Any

import tripy as tp
from mistakes import mistake

vector = tp.Tensor([1, 2, 3])
matrix = tp.ones((2, 3)).eval()
scalar = tp.ones(()).eval()
flags = tp.Tensor([True, False])
index = tp.Tensor([[0, 1, 1]])
varying = tp.InputInfo(((2, 3, 9),), tp.float32)


@mistake(tp.TripyIndexError, "2")
def running_sum_along_a_missing_dim() -> Any:
    return tp.cumsum(matrix, 2)


@mistake(tp.TripyTypeError, "flags")
def running_product_of_bools() -> Any:
    return tp.cumprod(flags, 0)


@mistake(tp.TripyIndexError, "tp.sort(scalar)")
def sorting_one_number() -> Any:
    return tp.sort(scalar)


@mistake(tp.TripyValueError, "4")
def more_of_the_largest_than_there_are() -> Any:
    return tp.topk(matrix, 4)


@mistake(tp.TripyValueError, "-1")
def a_negative_number_of_the_largest() -> Any:
    return tp.topk(matrix, -1, dim=0)


@mistake(tp.TripyValueError, "0")
def none_of_one_number() -> Any:
    return tp.topk(scalar, k=0)


@mistake(tp.TripyTypeError, "2.0")
def a_float_number_of_the_largest() -> Any:
    return tp.topk(matrix, 2.0)


@functools.cache
def best_five() -> tp.Executable:
    return tp.compile(lambda x: tp.topk(x, 5)[0], args=[varying])


@mistake(tp.TripyShapeError, "tp.topk(x, 5)")
def fewer_elements_in_a_call_than_are_chosen() -> Any:
    return best_five()(tp.cast(vector, tp.float32).eval())


def distinct(x: tp.Tensor) -> Any:
    return tp.unique(x)


def places(x: tp.Tensor) -> Any:
    return tp.nonzero(x > 0.0)


@mistake(tp.TripyCompileError, "x")
def distinct_values_while_compiling() -> Any:
    return tp.compile(distinct, args=[varying])


@mistake(tp.TripyCompileError, "x > 0.0")
def places_of_values_while_compiling() -> Any:
    return tp.compile(places, args=[varying])


@mistake(tp.TripyValueError, '"sum"')
def scatter_with_an_unknown_reduction() -> Any:
    return tp.scatter(matrix, 1, index, 1.0, "sum")


@mistake(tp.TripyShapeError, "vector")
def scatter_with_an_index_of_lower_rank() -> Any:
    return tp.scatter(matrix, 1, vector, 1.0)


@mistake(tp.TripyShapeError, "index")
def scatter_with_too_large_an_index() -> Any:
    return tp.scatter(tp.ones((2, 2)), 0, index, 1.0)


@mistake(tp.TripyShapeError, "updates")
def scatter_of_updates_of_another_shape() -> Any:
    updates = tp.ones((1, 2))
    return tp.scatter(matrix, 1, index, updates)


@mistake(tp.TripyTypeError, "index")
def scatter_of_updates_of_another_dtype() -> Any:
    return tp.scatter(matrix, 1, index, index)


@mistake(tp.TripyTypeError, "matrix")
def scatter_with_a_float_index() -> Any:
    return tp.scatter(matrix, 1, matrix, 1.0)


@mistake(tp.TripyTypeError, "flags")
def scatter_that_adds_bools() -> Any:
    return tp.scatter(flags, 0, tp.Tensor([1]), True, "add")


@mistake(tp.TripyTypeError, "0.5")
def scatter_of_a_float_among_integers() -> Any:
    return tp.scatter(vector, 0, tp.Tensor([1]), 0.5)


@mistake(tp.TripyIndexError, "tp.scatter(vector, 0, tp.Tensor([0, 3]), 9)")
def scatter_outside_the_input() -> Any:
    return tp.scatter(vector, 0, tp.Tensor([0, 3]), 9).eval()
