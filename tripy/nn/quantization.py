"""What modules with quantized weights share."""

from __future__ import annotations

from typing import Any

from tripy import dtypes, errors
from tripy.devices import default_device
from tripy.dtypes import QUANTIZED
from tripy.nn.module import Accepted, Module, Parameter, default_parameter
from tripy.ops.operands import adapt
from tripy.ops.quantize import dequantize, fitting, layout, quantize
from tripy.ops.registry import dim_index
from tripy.tensor import Tensor


class ScaleStateDictError(errors.TripyStateDictError, errors.TripyShapeError):
    """A state dict with a scale whose shape does not fit."""


class QuantizedModule(Module):
    """A module whose weight, and input if it has a scale, may be quantized.

    Attributes:
        quant_dtype: dtype of the quantized weight, or None.
        weight_quant_dim: dim of the scales of the weight, or None.
        weight_scale: with ``quant_dtype``, Parameter that must be set before a call.
        input_scale: with ``quant_dtype``, Parameter of rank 0, or None: inputs stay as they are.
    """

    _optional = ("weight_scale", "input_scale")
    #: The dim of the weight that the output channels are in; only their scales leave the sum.
    _output_dim = 0
    dtype: dtypes.dtype
    weight: Tensor
    quant_dtype: dtypes.dtype | None
    weight_quant_dim: int | None
    weight_scale: Tensor | None
    input_scale: Tensor | None

    def _set_up_scales(
        self, quant_dtype: dtypes.dtype | None, weight_quant_dim: int | None, has_input: bool = True
    ) -> None:
        """Add the scales after the other parameters."""
        shape = self.weight._value.shape
        _check_arguments(quant_dtype, weight_quant_dim)
        if weight_quant_dim is not None:
            dim_index(weight_quant_dim, len(shape), "weight_quant_dim")
        self.quant_dtype, self.weight_quant_dim = quant_dtype, weight_quant_dim
        if quant_dtype is None:
            return
        sizes: Any = () if weight_quant_dim is None else (shape[weight_quant_dim],)
        self.weight_scale = default_parameter(sizes, self.dtype)
        if has_input:
            self.input_scale = None

    @property
    def _dim(self) -> int | None:
        dim = self.weight_quant_dim
        return None if dim is None else dim % len(self.weight._value.shape)

    def _accepted(self, name: str, current: Tensor | None) -> Accepted:
        if name == "input_scale":
            fix = "give one number for all elements of the input"
            return Accepted(self.dtype, lambda shape: not shape, "()", fix, ScaleStateDictError)
        if name != "weight_scale":
            return super()._accepted(name, current)
        weight, dim = self.weight._value.shape, self._dim
        return Accepted(
            self.dtype,
            lambda shape: layout(weight, shape, dim) is not None,
            fitting(weight, dim),
            "reshape the scale, or build the module with another weight_quant_dim",
            ScaleStateDictError,
        )

    def _replacement(self, name: str, current: Tensor | None, value: Any) -> Tensor:
        if name in self._optional and not isinstance(value, Tensor):
            value = Parameter(adapt(value, self.dtype, default_device(), "value"))
        return super()._replacement(name, current, value)

    def _quantized_weight(self) -> tuple[Tensor, Tensor]:
        """Return the quantized weight and its scale."""
        scale = self.weight_scale
        if scale is None or scale._value.default:
            raise self._unset()
        assert self.quant_dtype is not None
        return quantize(self.weight, scale, self.quant_dtype, self.weight_quant_dim), scale

    def _weight_as_used(self) -> Tensor:
        """Return the weight, through its quantized form if it has one."""
        if self.quant_dtype is None:
            return self.weight
        weight, scale = self._quantized_weight()
        return dequantize(weight, scale, self.dtype, self.weight_quant_dim)

    def _input_as_used(self, input: Tensor) -> Tensor:
        """Return the input, through its quantized form if its scale is set."""
        if self.quant_dtype is None or self.input_scale is None:
            return input
        if self._dim not in (None, self._output_dim):
            raise self._inner_scales()
        quantized = quantize(input, self.input_scale, self.quant_dtype)
        return dequantize(quantized, self.input_scale, self.dtype)

    def _unset(self) -> errors.TripyValueError:
        name = f"{type(self).__name__}.weight_scale"
        return errors.error(
            errors.TripyValueError,
            f"the parameter {name} is not set.",
            received="no scale for the quantized weight",
            expected=str(self._accepted("weight_scale", None)),
            fix="assign a number or a tensor to weight_scale, or load a state dict that has it",
        )

    def _inner_scales(self) -> errors.TripyValueError:
        return errors.error(
            errors.TripyValueError,
            "quantized inputs need weight scales that do not vary inside the sums.",
            received=f"input_scale is set, and weight_quant_dim={self.weight_quant_dim}",
            expected=f"weight_quant_dim={self._output_dim} or None, or no input_scale",
            fix=f"build the {type(self).__name__} with weight_quant_dim={self._output_dim}, or "
            "assign None to input_scale",
        )


def _check_arguments(quant_dtype: dtypes.dtype | None, weight_quant_dim: int | None) -> None:
    if quant_dtype is not None and quant_dtype not in QUANTIZED:
        raise errors.error(
            errors.TripyTypeError,
            f"weights cannot be quantized to {quant_dtype}.",
            received=f"quant_dtype={quant_dtype}",
            expected=f"None, {errors.one_of(QUANTIZED)}",
            fix="use quant_dtype=tp.int8",
            argument="quant_dtype",
        )
    if quant_dtype is None and weight_quant_dim is not None:
        raise errors.error(
            errors.TripyValueError,
            "weight_quant_dim needs quant_dtype.",
            received=f"weight_quant_dim={weight_quant_dim}, quant_dtype=None",
            expected="both, or neither",
            fix="add quant_dtype=tp.int8, or leave out weight_quant_dim",
            argument="weight_quant_dim",
        )
