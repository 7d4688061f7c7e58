"""Mistakes with random numbers."""

from __future__ import annotations

from typing import Any

import tripy as tp
from mistakes import mistake

vector = tp.Tensor([1, 2])
fraction = tp.Tensor(0.5)


@mistake(tp.TripyTypeError, "tp.random.uniform((2, 3))")
def random_numbers_without_a_seed() -> Any:
    return tp.random.uniform((2, 3))


@mistake(tp.TripyTypeError, "42")
def seed_by_position() -> Any:
    return tp.random.normal((2, 3), 0.0, 1.0, tp.float32, 42)


@mistake(tp.TripyTypeError, '"today"')
def seed_of_text() -> Any:
    return tp.random.uniform((2, 3), seed="today")


@mistake(tp.TripyTypeError, "1.5")
def seed_of_a_float() -> Any:
    return tp.random.uniform((2, 3), seed=1.5)


@mistake(tp.TripyTypeError, "fraction")
def seed_of_a_float_tensor() -> Any:
    return tp.random.normal((2, 3), seed=fraction)


@mistake(tp.TripyShapeError, "vector")
def seed_of_two_numbers() -> Any:
    return tp.random.normal((2, 3), seed=vector)


@mistake(tp.TripyValueError, "-1")
def seed_below_zero() -> Any:
    return tp.random.uniform((2, 3), seed=-1)


@mistake(tp.TripyValueError, "2**64")
def seed_beyond_64_bits() -> Any:
    return tp.random.randint((2, 3), 0, 10, seed=2**64)


@mistake(tp.TripyTypeError, "tp.int32")
def uniform_integers() -> Any:
    return tp.random.uniform((2, 3), 0, 10, tp.int32, seed=1)


@mistake(tp.TripyTypeError, "tp.int8")
def normal_integers() -> Any:
    return tp.random.normal((2, 3), dtype=tp.int8, seed=1)


@mistake(tp.TripyTypeError, "tp.float16")
def random_integers_of_a_float_dtype() -> Any:
    return tp.random.randint((2, 3), 0, 10, dtype=tp.float16, seed=1)


@mistake(tp.TripyTypeError, "0.5")
def random_integers_from_a_float() -> Any:
    return tp.random.randint((2, 3), 0.5, 10, seed=1)


@mistake(tp.TripyValueError, "1.0")
def uniform_bounds_in_the_wrong_order() -> Any:
    return tp.random.uniform((2, 3), 5.0, 1.0, seed=1)


@mistake(tp.TripyValueError, "-2")
def integer_bounds_in_the_wrong_order() -> Any:
    return tp.random.randint((2, 3), 3, -2, seed=1)


@mistake(tp.TripyValueError, "10")
def no_integer_between_the_bounds() -> Any:
    return tp.random.randint((2, 3), low=10, high=10, seed=1)


@mistake(tp.TripyValueError, "2**40")
def too_many_integers_between_the_bounds() -> Any:
    return tp.random.randint((2, 3), 0, 2**40, tp.int64, seed=1)


@mistake(tp.TripyValueError, "1000")
def bound_above_the_dtype() -> Any:
    return tp.random.randint((2, 3), 0, 1000, tp.uint8, seed=1)


@mistake(tp.TripyValueError, "-1")
def bound_below_the_dtype() -> Any:
    return tp.random.randint((2, 3), -1, 10, tp.uint8, seed=1)


@mistake(tp.TripyValueError, "-0.5")
def negative_standard_deviation() -> Any:
    return tp.random.normal((2, 3), std=-0.5, seed=1)


@mistake(tp.TripyValueError, "-3")
def random_numbers_of_a_negative_size() -> Any:
    return tp.random.normal((2, -3), seed=1)


@mistake(tp.TripyAttributeError, "tp.random.unifrom")
def misspelt_distribution() -> Any:
    return tp.random.unifrom((2, 3), seed=1)
