"""Elementwise functions of one input; shape and dtype kept."""

from __future__ import annotations

import math

from tripy.dtypes import FLOATS, NUMERIC
from tripy.ops.elementwise import in_float32
from tripy.ops.registry import apply
from tripy.signature import public
from tripy.tensor import Tensor


@public(input=FLOATS)
def exp(input: Tensor) -> Tensor:
    """Return e to the power of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.exp(tp.Tensor([0.0, 1.0]))
        tensor([1.0000, 2.7183], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("exp", input)


@public(input=FLOATS)
def log(input: Tensor) -> Tensor:
    """Return the natural logarithm of every element; NaN below 0, -inf at 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.log(tp.Tensor([1.0, 2.0]))
        tensor([0.0000, 0.6931], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("log", input)


@public(input=FLOATS)
def sqrt(input: Tensor) -> Tensor:
    """Return the square root of every element; NaN below 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sqrt(tp.Tensor([4.0, 2.0]))
        tensor([2.0000, 1.4142], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sqrt", input)


@public(input=FLOATS)
def rsqrt(input: Tensor) -> Tensor:
    """Return 1 / sqrt(x) of every element; inf at 0, NaN below.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.rsqrt(tp.Tensor([4.0, 16.0]))
        tensor([0.5000, 0.2500], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: 1.0 / apply("sqrt", x), input)


@public(input=FLOATS)
def sin(input: Tensor) -> Tensor:
    """Return the sine of every element, in radians.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sin(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.8415], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sin", input)


@public(input=FLOATS)
def cos(input: Tensor) -> Tensor:
    """Return the cosine of every element, in radians.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.cos(tp.Tensor([0.0, 1.0]))
        tensor([1.0000, 0.5403], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("cos", input)


@public(input=FLOATS)
def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.tanh(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.7616], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("tanh", input)


@public(input=FLOATS)
def erf(input: Tensor) -> Tensor:
    """Return the Gauss error function of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.erf(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.8427], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("erf", input)


@public(input=NUMERIC)
def abs(input: Tensor) -> Tensor:
    """Return the absolute value of every element; the most negative integer stays.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.abs(tp.Tensor([-2, 3]))
        tensor([2, 3], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return apply("abs", input)


@public(input=NUMERIC)
def neg(input: Tensor) -> Tensor:
    """Return the negated elements; integers wrap.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.neg(tp.Tensor([-2, 3]))
        tensor([2, -3], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return apply("neg", input)


_PER_LN2 = 1 / math.log(2)


@public(input=FLOATS)
def log2(input: Tensor) -> Tensor:
    """Return the base-2 logarithm of every element; NaN below 0, -inf at 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.log2(tp.Tensor([1.0, 8.0]))
        tensor([0.0000, 3.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: apply("log", x) * _PER_LN2, input)


@public(input=FLOATS)
def log1p(input: Tensor) -> Tensor:
    """Return log(1 + x) of every element, accurate near 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.log1p(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.6931], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("log1p", input)


@public(input=FLOATS)
def expm1(input: Tensor) -> Tensor:
    """Return e^x - 1 of every element, accurate near 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.expm1(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 1.7183], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("expm1", input)


@public(input=FLOATS)
def tan(input: Tensor) -> Tensor:
    """Return the tangent of every element, in radians.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.tan(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 1.5574], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("tan", input)


@public(input=FLOATS)
def asin(input: Tensor) -> Tensor:
    """Return the arc sine of every element, in radians; NaN outside -1 … 1.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.asin(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 1.5708], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("asin", input)


@public(input=FLOATS)
def acos(input: Tensor) -> Tensor:
    """Return the arc cosine of every element, in radians; NaN outside -1 … 1.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.acos(tp.Tensor([0.0, 1.0]))
        tensor([1.5708, 0.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("acos", input)


@public(input=FLOATS)
def atan(input: Tensor) -> Tensor:
    """Return the arc tangent of every element, in radians.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.atan(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.7854], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("atan", input)


@public(input=FLOATS)
def sinh(input: Tensor) -> Tensor:
    """Return the hyperbolic sine of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sinh(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 1.1752], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sinh", input)


@public(input=FLOATS)
def cosh(input: Tensor) -> Tensor:
    """Return the hyperbolic cosine of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.cosh(tp.Tensor([0.0, 1.0]))
        tensor([1.0000, 1.5431], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("cosh", input)


@public(input=FLOATS)
def reciprocal(input: Tensor) -> Tensor:
    """Return 1 / x of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.reciprocal(tp.Tensor([2.0, 4.0]))
        tensor([0.5000, 0.2500], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return 1.0 / input


@public(input=NUMERIC)
def square(input: Tensor) -> Tensor:
    """Return x·x of every element; integers wrap.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.square(tp.Tensor([2, -3]))
        tensor([4, 9], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return input * input
