"""Mistakes with functions that are made of others."""

from __future__ import annotations

from typing import Any

import tripy as tp
from mistakes import mistake

vector = tp.Tensor([1, 2, 3])
matrix = tp.ones((2, 3)).eval()
flags = tp.Tensor([True, False, True])


@mistake(tp.TripyValueError, "tp.clip(matrix)")
def clip_without_limits() -> Any:
    return tp.clip(matrix)


@mistake(tp.TripyShapeError, "tp.ones((4, 2, 3))")
def clip_to_a_larger_limit() -> Any:
    return tp.clip(matrix, tp.ones((4, 2, 3)))


@mistake(tp.TripyTypeError, "0.5")
def clip_of_integers_to_a_float() -> Any:
    return tp.clip(vector, max=0.5)


@mistake(tp.TripyTypeError, "0.0")
def integers_filled_with_a_float() -> Any:
    return tp.masked_fill(vector, flags, 0.0)


@mistake(tp.TripyTypeError, "vector")
def mask_of_integers() -> Any:
    return tp.masked_fill(matrix, vector, 0.0)


@mistake(tp.TripyShapeError, "tp.Tensor([True, False])")
def mask_that_does_not_fit() -> Any:
    return tp.masked_fill(matrix, tp.Tensor([True, False]), 0.0)


@mistake(tp.TripyTypeError, "vector")
def logical_and_of_integers() -> Any:
    return tp.logical_and(vector, flags)


@mistake(tp.TripyValueError, "0")
def softplus_without_sharpness() -> Any:
    return tp.softplus(matrix, beta=0)


@mistake(tp.TripyTypeError, "vector")
def variance_of_integers() -> Any:
    return tp.var(vector)


@mistake(tp.TripyShapeError, "vector")
def triangle_of_a_vector() -> Any:
    return tp.tril(vector)


@mistake(tp.TripyValueError, "-3")
def negative_number_of_values() -> Any:
    return tp.linspace(0, 1, -3)


@mistake(tp.TripyShapeError, "tp.ones((2, 2, 2))")
def diagonal_of_a_cube() -> Any:
    return tp.diag(tp.ones((2, 2, 2)))


@mistake(tp.TripyValueError, "0")
def one_hot_without_classes() -> Any:
    return tp.one_hot(vector, 0)


@mistake(tp.TripyTypeError, "matrix")
def one_hot_of_floats() -> Any:
    return tp.one_hot(matrix, 3)


@mistake(tp.TripyShapeError, "matrix")
def grid_of_a_matrix() -> Any:
    return tp.meshgrid(vector, matrix)


@mistake(tp.TripyValueError, '"yx"')
def unknown_indexing() -> Any:
    return tp.meshgrid(vector, indexing="yx")


@mistake(tp.TripyShapeError, "(1, 2)")
def more_shifts_than_dims() -> Any:
    return tp.roll(matrix, (1, 2), 0)


@mistake(tp.TripyValueError, "-1")
def repeated_a_negative_number_of_times() -> Any:
    return tp.repeat(vector, -1, 0)


@mistake(tp.TripyIndexError, "2")
def flipped_along_a_missing_dim() -> Any:
    return tp.flip(matrix, 2)


@mistake(tp.TripyShapeError, "tp.ones((3, 2, 2))")
def channels_that_do_not_divide() -> Any:
    return tp.pixel_shuffle(tp.ones((3, 2, 2)), 2)


@mistake(tp.TripyValueError, "0")
def upscaled_by_nothing() -> Any:
    return tp.pixel_shuffle(tp.ones((4, 2, 2)), 0)
