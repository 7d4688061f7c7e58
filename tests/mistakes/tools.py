"""Mistakes when profiling, checking and watching a compile."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

info = tp.InputInfo((2,), tp.float32)
x = np.ones(2, np.float32)


@functools.cache
def add() -> tp.Executable:
    return tp.compile(lambda left, right: left + right, args=[info, info])


@mistake(tp.TripyValueError, "0")
def profile_of_no_call() -> Any:
    return add().profile(x, x, repeat=0)


@mistake(tp.TripyTypeError, "2.5")
def profile_of_half_a_call() -> Any:
    return add().profile(x, x, repeat=2.5)


@mistake(tp.TripyShapeError, "tp.ones((3,))")
def profile_with_a_wrong_size() -> Any:
    return add().profile(x, tp.ones((3,)))


@mistake(tp.TripyTypeError, "add().profile(x)")
def profile_with_an_input_missing() -> Any:
    return add().profile(x)


@mistake(tp.TripyTypeError, "tp.ones((2,), tp.int32)")
def verify_with_a_wrong_dtype() -> Any:
    return add().verify(tp.ones((2,), tp.int32), x)


@mistake(tp.TripyTypeError, "lambda stage: None")
def progress_without_a_time() -> Any:
    return tp.compile(tp.relu, args=[info], progress=lambda stage: None)


@mistake(tp.TripyTypeError, "True")
def progress_as_a_switch() -> Any:
    return tp.compile(tp.relu, args=[info], progress=True)
