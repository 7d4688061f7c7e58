"""Elementwise functions of one input; shape and dtype kept."""

from __future__ import annotations

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
