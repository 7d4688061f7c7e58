"""Normalisation layers."""

from __future__ import annotations

from tripy import dtypes
from tripy.dtypes import FLOATS, dtype
from tripy.graph import Type, Value
from tripy.nn.module import (
    Module,
    check_float,
    check_input_dtype,
    check_sizes,
    default_parameter,
)
from tripy.ops.registry import apply, primitive, shape_error
from tripy.signature import public
from tripy.tensor import Tensor


def _normalised(
    input: Value, weight: Value, bias: Value, mean: Value, variance: Value, *, eps: float
) -> Type:
    channels = weight.shape[0]
    if len(input.shape) < 2 or (isinstance(input.shape[1], int) and input.shape[1] != channels):
        raise shape_error(
            f"dim 1 of the input must have {channels} channels.",
            input,
            expected=f"shape (N, {channels}, …)",
            fix="move the channels to dim 1 with tp.permute, or build the module with another "
            "num_features",
            argument="input",
        )
    return input.dtype, input.shape


primitive("batchnorm", _normalised)


class BatchNorm(Module):
    """Normalises channels with stored statistics (inference only; Ioffe and Szegedy, 2015).

    Computes (x - running_mean) / √(running_var + eps)·weight + bias over dim 1.

    Args:
        num_features: number of channels.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        eps: added to the variance.

    Attributes:
        weight: Parameter of shape (num_features,).
        bias: Parameter of shape (num_features,).
        running_mean: Parameter of shape (num_features,).
        running_var: Parameter of shape (num_features,).
        num_features: number of channels.
        dtype: dtype of the parameters.
        eps: added to the variance.

    Raises:
        TripyShapeError: when called with rank below 2, or another number of channels.
        TripyTypeError: for another dtype.
        TripyValueError: for num_features below 1.

    Example:
        >>> norm = tp.BatchNorm(2, eps=0.0)
        >>> norm.running_var = [1.0, 4.0]
        >>> norm(tp.ones((1, 2)))
        tensor(
            [[0.0000, 1.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))
    """

    _frozen = ("num_features", "dtype", "eps")
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    @public("BatchNorm")
    def __init__(self, num_features: int, dtype: dtype = dtypes.float32, eps: float = 1e-5) -> None:
        (self.num_features,) = check_sizes(num_features=num_features)
        check_float(dtype)
        self.dtype = dtype
        self.eps = float(eps)
        for name in ("weight", "bias", "running_mean", "running_var"):
            setattr(self, name, default_parameter((self.num_features,), dtype))

    @public("BatchNorm", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Normalise an input of shape (N, num_features, …)."""
        check_input_dtype(self, input, self.weight)
        weights = (self.weight, self.bias, self.running_mean, self.running_var)
        return apply("batchnorm", input, *weights, eps=self.eps)
