"""Fully connected layer."""

from __future__ import annotations

from tripy import dtypes
from tripy.dtypes import FLOATS, dtype
from tripy.nn.module import (
    Module,
    check_float,
    check_input_dtype,
    check_sizes,
    default_parameter,
)
from tripy.ops.linear import matmul
from tripy.ops.movement import transpose
from tripy.ops.registry import shape_error
from tripy.signature import public
from tripy.tensor import Tensor


class Linear(Module):
    """Applies y = x·Wᵀ + b over the last dim.

    Args:
        in_features: size of the last dim of the input.
        out_features: size of the last dim of the result.
        bias: whether a bias is added.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.

    Attributes:
        weight: Parameter of shape (out_features, in_features).
        bias: Parameter of shape (out_features,), or None.
        dtype: dtype of the parameters.

    Raises:
        TripyTypeError: for another dtype.
        TripyValueError: for sizes below 1.
        TripyShapeError: when called with another last size.

    Example:
        >>> tp.Linear(3, 2)(tp.ones((1, 3)))
        tensor(
            [[3.0000, 13.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))
    """

    _frozen = ("dtype",)
    weight: Tensor
    bias: Tensor | None

    @public("Linear")
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: dtype = dtypes.float32,
    ) -> None:
        inputs, outputs = check_sizes(in_features=in_features, out_features=out_features)
        check_float(dtype)
        self.dtype = dtype
        self.weight = default_parameter((outputs, inputs), dtype)
        self.bias = default_parameter((outputs,), dtype) if bias else None

    @public("Linear", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Return x·Wᵀ + b; ``input`` has rank 1 or more and in_features as its last size."""
        check_input_dtype(self, input, self.weight)
        sizes, features = input._value.shape, self.weight._value.shape[1]
        if not sizes or (isinstance(sizes[-1], int) and sizes[-1] != features):
            raise shape_error(
                f"the last size of the input must be {features}.",
                input._value,
                expected=f"shape (…, {features})",
                fix=f"build the Linear with in_features={sizes[-1]}"
                if sizes
                else f"pass a vector of {features} elements, or a batch of them",
                argument="input",
            )
        result = matmul(input, transpose(self.weight, 0, 1))
        return result if self.bias is None else result + self.bias
