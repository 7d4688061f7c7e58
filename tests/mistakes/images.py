"""Mistakes with resizing, adaptive pooling and einsum."""

from __future__ import annotations

from typing import Any

import tripy as tp
from mistakes import mistake

vector = tp.Tensor([1, 2, 3])
matrix = tp.ones((2, 3)).eval()
image = tp.ones((1, 1, 4, 4)).eval()


@mistake(tp.TripyTypeError, "tp.resize(image)")
def resizing_to_no_size() -> Any:
    return tp.resize(image)


@mistake(tp.TripyTypeError, "(1, 1, 2, 2)")
def resizing_to_a_size_by_a_scale() -> Any:
    return tp.resize(image, (1, 1, 8, 8), scales=(1, 1, 2, 2))


@mistake(tp.TripyTypeError, "1.5")
def scales_as_sizes() -> Any:
    return tp.resize(image, (1, 1, 1.5, 1.5))


@mistake(tp.TripyTypeError, '"double"')
def word_as_a_size() -> Any:
    return tp.resize(image, "double")


@mistake(tp.TripyShapeError, "(8, 8)")
def resizing_without_batch_and_channels() -> Any:
    return tp.resize(image, (8, 8))


@mistake(tp.TripyShapeError, "[2, 2]")
def scaling_without_batch_and_channels() -> Any:
    return tp.resize(image, scales=[2, 2])


@mistake(tp.TripyShapeError, "(1, 1, 0.2, 1)")
def scaling_to_nothing() -> Any:
    return tp.resize(image, scales=(1, 1, 0.2, 1))


@mistake(tp.TripyShapeError, "(2, 3)")
def resizing_nothing() -> Any:
    return tp.resize(tp.ones((0, 3)), (2, 3))


@mistake(tp.TripyValueError, "-1")
def resizing_to_a_negative_size() -> Any:
    return tp.resize(image, (1, 1, -1, 8))


@mistake(tp.TripyValueError, "-2")
def scaling_by_a_negative_number() -> Any:
    return tp.resize(image, scales=(1, 1, -2, 2))


@mistake(tp.TripyValueError, "3.14159265358979")
def fine_scale_of_a_dynamic_size() -> Any:
    def grow(x: Any) -> Any:
        return tp.resize(x, scales=(3.14159265358979,))

    return tp.compile(grow, args=[tp.InputInfo([(1, 2, 9)], tp.float32)])


@mistake(tp.TripyValueError, '"bilinear"')
def mode_of_another_library() -> Any:
    return tp.resize(image, (1, 1, 8, 8), mode="bilinear")


@mistake(tp.TripyValueError, "True")
def corners_of_nearest_elements() -> Any:
    return tp.resize(image, (1, 1, 8, 8), "nearest", align_corners=True)


@mistake(tp.TripyTypeError, "vector")
def integers_between_integers() -> Any:
    return tp.resize(vector, (6,))


@mistake(tp.TripyShapeError, "matrix")
def pooling_without_spatial_dims() -> Any:
    return tp.adaptive_avgpool(matrix, 1)


@mistake(tp.TripyShapeError, "(2,)")
def too_few_pooled_sizes() -> Any:
    return tp.adaptive_avgpool(image, (2,))


@mistake(tp.TripyShapeError, "tp.ones((1, 1, 0))")
def pooling_an_empty_image() -> Any:
    return tp.adaptive_avgpool(tp.ones((1, 1, 0)), 2)


@mistake(tp.TripyValueError, "0")
def pooling_to_nothing() -> Any:
    return tp.adaptive_avgpool(image, (2, 0))


@mistake(tp.TripyTypeError, '"2"')
def word_as_a_pooled_size() -> Any:
    return tp.adaptive_avgpool(image, "2")


@mistake(tp.TripyValueError, '"ij,jk>ik"')
def misspelt_arrow() -> Any:
    return tp.einsum("ij,jk>ik", matrix, matrix)


@mistake(tp.TripyValueError, '"i->j->k"')
def two_arrows() -> Any:
    return tp.einsum("i->j->k", vector)


@mistake(tp.TripyValueError, '"ij->ijk"')
def unknown_output_letter() -> Any:
    return tp.einsum("ij->ijk", matrix)


@mistake(tp.TripyValueError, '"ij->ii"')
def output_letter_twice() -> Any:
    return tp.einsum("ij->ii", matrix)


@mistake(tp.TripyValueError, '"...i->i"')
def output_without_dots() -> Any:
    return tp.einsum("...i->i", matrix)


@mistake(tp.TripyShapeError, '"ij,jk"')
def too_few_operands() -> Any:
    return tp.einsum("ij,jk", matrix)


@mistake(tp.TripyShapeError, "matrix")
def letters_for_another_rank() -> Any:
    return tp.einsum("ijk->k", matrix)


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def letters_of_two_sizes() -> Any:
    return tp.einsum("ij,jk", matrix, tp.ones((2, 4)))


@mistake(tp.TripyShapeError, '"i...,j..."')
def dots_that_do_not_broadcast() -> Any:
    return tp.einsum("i...,j...", matrix, tp.ones((2, 4)))


@mistake(tp.TripyTypeError, "vector")
def einsum_of_two_dtypes() -> Any:
    return tp.einsum("ij,j", matrix, vector)


@mistake(tp.TripyTypeError, "flags")
def einsum_of_bools() -> Any:
    flags = tp.Tensor([True, False])
    return tp.einsum("i,i", flags, flags)


@mistake(tp.TripyTypeError, "[1.0, 2.0, 3.0]")
def einsum_of_a_list() -> Any:
    return tp.einsum("ij,j", matrix, [1.0, 2.0, 3.0])
