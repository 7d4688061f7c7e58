"""Activation functions; shape and dtype kept."""

from __future__ import annotations

from tripy import errors
from tripy.dtypes import FLOATS, NUMERIC
from tripy.ops.elementwise import in_float32, minimum, where
from tripy.ops.registry import apply, option
from tripy.signature import public
from tripy.tensor import Tensor


@public(input=NUMERIC)
def relu(input: Tensor) -> Tensor:
    """Return max(x, 0) of every element.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.relu(tp.Tensor([-1.0, 2.0]))
        tensor([0.0000, 2.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("relu", input)


@public(input=FLOATS)
def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + e^-x) of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sigmoid(tp.Tensor([0.0, 1.0]))
        tensor([0.5000, 0.7311], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sigmoid", input)


@public(input=FLOATS)
def silu(input: Tensor) -> Tensor:
    """Return x * sigmoid(x) of every element (Hendrycks and Gimpel, 2016).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.silu(tp.Tensor([-1.0, 1.0]))
        tensor([-0.2689, 0.7311], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: x * apply("sigmoid", x), input)


@public(input=FLOATS)
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return the Gaussian error linear unit of every element (Hendrycks and Gimpel, 2016).

    ``"none"`` is 0.5·x·(1 + erf(x/√2)); ``"tanh"`` is 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        approximate: ``"none"`` or ``"tanh"``.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.
        TripyValueError: for another option.

    Example:
        >>> tp.gelu(tp.Tensor([-1.0, 1.0]))
        tensor([-0.1587, 0.8413], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("gelu", input, approximate=option(approximate, ("none", "tanh"), "approximate"))


def _softplus(x: Tensor, beta: float) -> Tensor:
    """max(z, 0) + log(1 + e^-|z|) is the same value for z = beta·x, and cannot overflow."""
    z = x * beta
    return (apply("relu", z) + apply("log1p", apply("exp", 0.0 - apply("abs", z)))) / beta


@public(input=NUMERIC)
def relu6(input: Tensor) -> Tensor:
    """Return min(max(x, 0), 6) of every element.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.relu6(tp.Tensor([-1.0, 3.0, 9.0]))
        tensor([0.0000, 3.0000, 6.0000], dtype=float32, loc=cpu:0, shape=(3,))
    """
    return minimum(apply("relu", input), 6)


@public(input=FLOATS)
def hardswish(input: Tensor) -> Tensor:
    """Return x·min(max(x + 3, 0), 6) / 6 of every element (Howard et al., 2019).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.hardswish(tp.Tensor([-1.0, 1.0]))
        tensor([-0.3333, 0.6667], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: x * (minimum(apply("relu", x + 3.0), 6.0) / 6.0), input)


@public(input=FLOATS)
def mish(input: Tensor) -> Tensor:
    """Return x·tanh(softplus(x)) of every element (Misra, 2019).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.mish(tp.Tensor([-1.0, 1.0]))
        tensor([-0.3034, 0.8651], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: x * apply("tanh", _softplus(x, 1.0)), input)


@public(input=FLOATS)
def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Return x where x >= 0, else negative_slope·x (Maas et al., 2013).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        negative_slope: factor below 0.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.leaky_relu(tp.Tensor([-1.0, 1.0]))
        tensor([-0.0100, 1.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: where(x >= 0.0, x, x * float(negative_slope)), input)


@public(input=FLOATS)
def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Return x where x > 0, else alpha·(e^x - 1) (Clevert et al., 2015).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        alpha: factor of the exponential part.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.elu(tp.Tensor([-1.0, 1.0]))
        tensor([-0.6321, 1.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: where(x > 0.0, x, apply("expm1", x) * float(alpha)), input)


@public(input=FLOATS)
def softplus(input: Tensor, beta: float = 1.0) -> Tensor:
    """Return log(1 + e^(beta·x)) / beta of every element, without overflow.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        beta: sharpness, above 0.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.
        TripyValueError: unless beta > 0.

    Example:
        >>> tp.softplus(tp.Tensor([-1.0, 1.0]))
        tensor([0.3133, 1.3133], dtype=float32, loc=cpu:0, shape=(2,))
    """
    if not beta > 0:
        raise errors.error(
            errors.TripyValueError,
            "beta must be above 0.",
            received=f"beta={beta}",
            expected="a number above 0",
            fix="beta=1.0 is the usual sharpness",
            argument="beta",
        )
    return in_float32(lambda x: _softplus(x, float(beta)), input)
