"""Fully connected layer."""

from __future__ import annotations

from tripy import dtypes
from tripy.dtypes import FLOATS, dtype
from tripy.nn.module import check_float, check_input_dtype, check_sizes, default_parameter
from tripy.nn.quantization import QuantizedModule
from tripy.ops.linear import matmul
from tripy.ops.movement import transpose
from tripy.ops.registry import shape_error
from tripy.signature import public
from tripy.tensor import Tensor


class Linear(QuantizedModule):
    """Applies y = x·Wᵀ + b over the last dim.

    Args:
        in_features: size of the last dim of the input.
        out_features: size of the last dim of the result.
        bias: whether a bias is added.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        quant_dtype: dtype that the weight is quantized to: int8, int4, float8, or None.
        weight_quant_dim: dim of the weight that its scales, or blocks of them, run along.

    Attributes:
        weight: Parameter of shape (out_features, in_features).
        bias: Parameter of shape (out_features,), or None.
        dtype: dtype of the parameters.
        quant_dtype: dtype of the quantized weight, or None.
        weight_quant_dim: dim of the scales of the weight, or None.
        weight_scale: with ``quant_dtype``, Parameter to set before a call, of rank 0, a scale per
            element of ``weight_quant_dim``, or per block in the forms of :func:`tripy.quantize`.
        input_scale: with ``quant_dtype``, Parameter of rank 0, or None: inputs stay as they are.

    Raises:
        TripyTypeError: for another dtype.
        TripyValueError: for sizes below 1, a dim without ``quant_dtype``, or a call without scale.
        TripyIndexError: for a dim that the weight does not have.
        TripyShapeError: when called with another last size, or for a scale that does not fit.

    Example:
        >>> tp.Linear(3, 2)(tp.ones((1, 3)))
        tensor(
            [[3.0000, 13.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))

    Example: Quantized
        >>> linear = tp.Linear(3, 2, quant_dtype=tp.int8, weight_quant_dim=0)
        >>> linear.weight_scale = [0.5, 2.0]
        >>> linear.input_scale = 0.25
        >>> linear(tp.Tensor([[0.3, 1.0, -1.0]]))
        tensor(
            [[-1.0000, 2.0000]],
            dtype=float32, loc=cpu:0, shape=(1, 2))
    """

    _frozen = ("dtype", "quant_dtype", "weight_quant_dim")
    bias: Tensor | None

    @public("Linear")
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: dtype = dtypes.float32,
        quant_dtype: dtype | None = None,
        weight_quant_dim: int | None = None,
    ) -> None:
        inputs, outputs = check_sizes(in_features=in_features, out_features=out_features)
        check_float(dtype)
        self.dtype = dtype
        self.weight = default_parameter((outputs, inputs), dtype)
        self.bias = default_parameter((outputs,), dtype) if bias else None
        self._set_up_scales(quant_dtype, weight_quant_dim)

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
        weight = transpose(self._weight_as_used(), 0, 1)
        result = matmul(self._input_as_used(input), weight)
        return result if self.bias is None else result + self.bias
