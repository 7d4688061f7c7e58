"""Activation functions; shape and dtype kept."""

from __future__ import annotations

from tripy.dtypes import FLOATS, NUMERIC
from tripy.ops.elementwise import in_float32
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
