"""Mistakes with ``Executable.map``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

x = np.ones(2, np.float32)


@functools.cache
def double() -> tp.Executable:
    return tp.compile(lambda x: x * 2.0, args=[tp.InputInfo((2,), tp.float32)])


@mistake(tp.TripyValueError, "0")
def map_with_nothing_in_flight() -> Any:
    return double().map([x], in_flight=0)


@mistake(tp.TripyTypeError, "lambda share: None")
def map_with_another_callback() -> Any:
    return double().map([x], progress=lambda share: None)


@mistake(tp.TripyTypeError, "1.5")
def map_with_half_a_call() -> Any:
    return double().map([x], in_flight=1.5)  # type: ignore[arg-type]


@mistake(tp.TripyTypeError, "7")
def map_of_a_number() -> Any:
    return double().map(7)


@mistake(tp.TripyShapeError, "list(double().map([x, np.ones(3, np.float32)]))")
def map_of_a_wrong_item() -> Any:
    return list(double().map([x, np.ones(3, np.float32)]))
