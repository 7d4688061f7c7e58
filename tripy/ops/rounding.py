"""Signs, rounding, tests for NaN and infinity, and logical not; shape kept."""

from __future__ import annotations

import math

from tripy.dtypes import BOOL, INTEGERS, NUMERIC
from tripy.ops.elementwise import where
from tripy.ops.operands import pair_of
from tripy.ops.registry import apply
from tripy.signature import public
from tripy.tensor import Tensor


def _rounded(name: str, input: Tensor) -> Tensor:
    return input if input.dtype in INTEGERS else apply(name, input)


@public(input=NUMERIC)
def sign(input: Tensor) -> Tensor:
    """Return -1, 0 or 1 by the sign of every element; NaN stays.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.sign(tp.Tensor([-2, 0, 3]))
        tensor([-1, 0, 1], dtype=int32, loc=cpu:0, shape=(3,))
    """
    return apply("sign", input)


@public(input=NUMERIC)
def floor(input: Tensor) -> Tensor:
    """Return the largest whole number not above every element; integers stay.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.floor(tp.Tensor([1.5, -1.5]))
        tensor([1.0000, -2.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return _rounded("floor", input)


@public(input=NUMERIC)
def ceil(input: Tensor) -> Tensor:
    """Return the smallest whole number not below every element; integers stay.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.ceil(tp.Tensor([1.5, -1.5]))
        tensor([2.0000, -1.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return _rounded("ceil", input)


@public(input=NUMERIC)
def round(input: Tensor) -> Tensor:
    """Return the nearest whole number, half to even, of every element; integers stay.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.round(tp.Tensor([0.5, 1.5, 2.6]))
        tensor([0.0000, 2.0000, 3.0000], dtype=float32, loc=cpu:0, shape=(3,))
    """
    return _rounded("round", input)


@public(input=NUMERIC)
def trunc(input: Tensor) -> Tensor:
    """Return every element without its fraction; integers stay.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.trunc(tp.Tensor([1.5, -1.5]))
        tensor([1.0000, -1.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    if input.dtype in INTEGERS:
        return input
    return where(input < 0.0, apply("ceil", input), apply("floor", input))


@public(input=NUMERIC)
def isnan(input: Tensor) -> Tensor:
    """Return where elements are NaN; False for integers.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A bool tensor of the same shape.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.isnan(tp.Tensor([1.0, float("nan")]))
        tensor([False, True], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return apply("invert", apply("eq", input, input))


@public(input=NUMERIC)
def isinf(input: Tensor) -> Tensor:
    """Return where elements are infinite; False for integers.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A bool tensor of the same shape.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.isinf(tp.Tensor([1.0, float("inf")]))
        tensor([False, True], dtype=bool, loc=cpu:0, shape=(2,))
    """
    if input.dtype in INTEGERS:
        return apply("invert", apply("eq", input, input))
    return apply("eq", *pair_of(apply("abs", input), math.inf))


@public(input=NUMERIC)
def isfinite(input: Tensor) -> Tensor:
    """Return where elements are neither NaN nor infinite; True for integers.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A bool tensor of the same shape.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.isfinite(tp.Tensor([1.0, float("inf")]))
        tensor([True, False], dtype=bool, loc=cpu:0, shape=(2,))
    """
    if input.dtype in INTEGERS:
        return apply("eq", input, input)
    return apply("abs", input) < math.inf


@public(input=BOOL)
def logical_not(input: Tensor) -> Tensor:
    """Return the negation of every element.

    Args:
        input: bool tensor of any shape.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.logical_not(tp.Tensor([True, False]))
        tensor([False, True], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return apply("invert", input)
