"""Convolution layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import dtypes
from tripy.dtypes import FLOATS, dtype
from tripy.nn.module import (
    check_float,
    check_input_dtype,
    check_sizes,
    default_parameter,
)
from tripy.nn.quantization import QuantizedModule
from tripy.ops.convolution import (
    check_groups,
    check_output_padding,
    conv,
    conv_transpose,
    transposed_same_padding,
)
from tripy.ops.registry import shape_error
from tripy.ops.window import Pairs, normalise_padding, window_ints
from tripy.signature import public
from tripy.tensor import Tensor


class _Convolution(QuantizedModule):
    """What Conv and ConvTranspose share: arguments, checks and attributes."""

    _frozen = (
        *("dtype", "padding", "stride", "groups", "dilation", "output_padding"),
        *("quant_dtype", "weight_quant_dim"),
    )
    padding: Pairs | str
    stride: tuple[int, ...]
    groups: int
    dilation: tuple[int, ...]
    bias: Tensor | None

    def _set_up(
        self,
        channels: tuple[int, int],
        kernel_dims: Sequence[int],
        padding: Any,
        stride: Any,
        groups: int | None,
        dilation: Any,
        dtype: dtype,
    ) -> tuple[int, ...]:
        check_sizes(in_channels=channels[0], out_channels=channels[1])
        check_float(dtype)
        count = len(kernel_dims)
        if not count:
            raise shape_error(
                "a kernel needs at least one dim.",
                received=f"kernel_dims = {kernel_dims!r}",
                expected="one int per spatial dim of the input",
                fix="write kernel_dims=(3, 3) for images, for example",
                argument="kernel_dims",
            )
        kernel = window_ints(kernel_dims, count, "kernel_dims")
        self.dtype = dtype
        self.padding = normalise_padding(padding, count)
        self.stride = window_ints(stride, count, "stride")
        self.groups = check_groups(groups, *channels)
        self.dilation = window_ints(dilation, count, "dilation")
        return kernel

    def _arguments(self) -> dict[str, Any]:
        return {
            "padding": self.padding,
            "stride": self.stride,
            "groups": self.groups,
            "dilation": self.dilation,
        }


class Conv(_Convolution):
    r"""Applies a convolution (cross-correlation) over the spatial dims of its input.

    With an input of shape (N, C_in, D_0, …, D_n) the result has shape (N, C_out, E_0, …, E_n):

        out(N_i, C_out_j) = bias(C_out_j) + Σ_k weight(C_out_j, k) ⋆ input(N_i, k)

    where ⋆ is cross-correlation (the kernel is not flipped), k runs over the input channels of
    the output channel's group, and

        E_k = floor((D_k + before_k + after_k - dilation_k·(kernel_k - 1) - 1) / stride_k) + 1.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_dims: spatial shape of the kernel, M ints for M = rank(input) - 2 >= 1.
        padding: zeros before and after each spatial dim: M (before, after) pairs, one int, M ints,
            ``"same"`` (the result has ceil(D / stride) elements per dim) or ``"valid"`` (none).
        stride: step of the kernel per spatial dim: M ints or one; 1 by default.
        groups: number of groups of channels; a group of output channels sees the input group of
            the same position only. Must divide both channel counts; 1 by default.
        dilation: spacing of the kernel points (à trous): x inserts x - 1 zeros between neighbours;
            M ints or one; 1 by default.
        bias: whether a bias is added to the result.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        quant_dtype: dtype that the weight is quantized to: int8, int4, float8, or None.
        weight_quant_dim: dim of the weight that its scales, or blocks of them, run along.

    Attributes:
        padding: tuple of M (before, after) pairs, or ``"same"``.
        stride: tuple of M ints.
        groups: number of groups.
        dilation: tuple of M ints.
        dtype: dtype of the parameters.
        bias: Parameter of shape (out_channels,), or None.
        weight: Parameter of shape (out_channels, in_channels / groups, \*kernel_dims).
        quant_dtype: dtype of the quantized weight, or None.
        weight_quant_dim: dim of the scales of the weight, or None.
        weight_scale: with ``quant_dtype``, Parameter to set before a call, of rank 0, a scale per
            element of ``weight_quant_dim``, or per block in the forms of :func:`tripy.quantize`.
        input_scale: with ``quant_dtype``, Parameter of rank 0, or None: inputs stay as they are.

    Raises:
        TripyShapeError: for lengths that are not M; when called with another rank or channel
            count, or when nothing would come out; for a scale that does not fit.
        TripyTypeError: for arguments of another form, or dtypes that differ.
        TripyIndexError: for a ``weight_quant_dim`` that the weight does not have.
        TripyValueError: for sizes, strides or dilations below 1, negative padding, groups that do
            not divide the channels, or ``weight_quant_dim`` without ``quant_dtype``; when called
            before ``weight_scale`` is set.

    Example: Plain
        >>> input = tp.reshape(tp.arange(16, dtype=tp.float32), (1, 1, 4, 4))
        >>> conv = tp.Conv(in_channels=1, out_channels=1, kernel_dims=(2, 2), dtype=tp.float32)
        >>> output = conv(input)
        >>> input
        tensor(
            [[[[0.0000, 1.0000, 2.0000, 3.0000],
               [4.0000, 5.0000, 6.0000, 7.0000],
               [8.0000, 9.0000, 10.0000, 11.0000],
               [12.0000, 13.0000, 14.0000, 15.0000]]]],
            dtype=float32, loc=cpu:0, shape=(1, 1, 4, 4))
        >>> conv.state_dict()
        {
            bias: tensor([0.0000], dtype=float32, loc=cpu:0, shape=(1,)),
            weight: tensor(
                [[[[0.0000, 1.0000],
                   [2.0000, 3.0000]]]],
                dtype=float32, loc=cpu:0, shape=(1, 1, 2, 2)),
        }
        >>> output
        tensor(
            [[[[24.0000, 30.0000, 36.0000],
               [48.0000, 54.0000, 60.0000],
               [72.0000, 78.0000, 84.0000]]]],
            dtype=float32, loc=cpu:0, shape=(1, 1, 3, 3))

    Example: Padding and stride
        >>> conv = tp.Conv(
        ...     1, 1, (3, 3), padding=((1, 1), (1, 1)), stride=(3, 1), bias=False, dtype=tp.float32
        ... )
        >>> conv.state_dict()
        {
            weight: tensor(
                [[[[0.0000, 1.0000, 2.0000],
                   [3.0000, 4.0000, 5.0000],
                   [6.0000, 7.0000, 8.0000]]]],
                dtype=float32, loc=cpu:0, shape=(1, 1, 3, 3)),
        }
        >>> conv(input)
        tensor(
            [[[[73.0000, 121.0000, 154.0000, 103.0000],
               [139.0000, 187.0000, 202.0000, 113.0000]]]],
            dtype=float32, loc=cpu:0, shape=(1, 1, 2, 4))

    Example: Depthwise convolution
        >>> input = tp.reshape(tp.arange(18, dtype=tp.float32), (1, 2, 3, 3))
        >>> conv = tp.Conv(2, 2, (3, 3), groups=2, bias=False, dtype=tp.float32)
        >>> conv.state_dict()
        {
            weight: tensor(
                [[[[0.0000, 1.0000, 2.0000],
                   [3.0000, 4.0000, 5.0000],
                   [6.0000, 7.0000, 8.0000]]],
        <BLANKLINE>
        <BLANKLINE>
                 [[[9.0000, 10.0000, 11.0000],
                   [12.0000, 13.0000, 14.0000],
                   [15.0000, 16.0000, 17.0000]]]],
                dtype=float32, loc=cpu:0, shape=(2, 1, 3, 3)),
        }
        >>> conv(input)
        tensor(
            [[[[204.0000]],
        <BLANKLINE>
              [[1581.0000]]]],
            dtype=float32, loc=cpu:0, shape=(1, 2, 1, 1))

    Example: Dilated convolution (à trous)
        >>> input = tp.reshape(tp.arange(9, dtype=tp.float32), (1, 1, 3, 3))
        >>> conv = tp.Conv(1, 1, (2, 2), dilation=(2, 2), bias=False, dtype=tp.float32)
        >>> conv.state_dict()
        {
            weight: tensor(
                [[[[0.0000, 1.0000],
                   [2.0000, 3.0000]]]],
                dtype=float32, loc=cpu:0, shape=(1, 1, 2, 2)),
        }
        >>> conv(input)
        tensor([[[[38.0000]]]], dtype=float32, loc=cpu:0, shape=(1, 1, 1, 1))
    """

    @public("Conv")
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_dims: Sequence[int],
        padding: Any = None,
        stride: Any = None,
        groups: int | None = None,
        dilation: Any = None,
        bias: bool = True,
        dtype: dtype = dtypes.float32,
        quant_dtype: dtype | None = None,
        weight_quant_dim: int | None = None,
    ) -> None:
        channels = (in_channels, out_channels)
        kernel = self._set_up(channels, kernel_dims, padding, stride, groups, dilation, dtype)
        self.bias = default_parameter((int(out_channels),), dtype) if bias else None
        shape = (int(out_channels), int(in_channels) // self.groups, *kernel)
        self.weight = default_parameter(shape, dtype)
        self._set_up_scales(quant_dtype, weight_quant_dim)

    @public("Conv", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of an input of shape (N, in_channels, D_0, …, D_n)."""
        check_input_dtype(self, input, self.weight)
        weight = self._weight_as_used()
        return conv(self._input_as_used(input), weight, self.bias, **self._arguments())


class ConvTranspose(_Convolution):
    r"""Applies a transposed convolution over the spatial dims of its input.

    Every input cell x adds input(n, c, x)·weight(c, o, k) to the output cell
    y = x·stride - before + k·dilation of the channels o of its group; the bias is added once.
    Output sizes are (D - 1)·stride - before - after + dilation·(kernel - 1) + output_padding + 1.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_dims: spatial shape of the kernel, M ints for M = rank(input) - 2 >= 1.
        padding: cells cut off before and after each spatial dim, in the forms of
            :class:`tripy.Conv`; ``"same"`` gives sizes D·stride.
        stride: distance of input cells in the output; M ints or one, 1 by default.
        groups: number of groups of channels; 1 by default.
        dilation: spacing of the kernel points; M ints or one, 1 by default.
        bias: whether a bias is added to the result.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        output_padding: cells added at the far end, M ints or one, each smaller than
            max(stride, dilation); 0 by default.
        quant_dtype: dtype that the weight is quantized to: int8, int4, float8, or None.
        weight_quant_dim: dim of the weight that its scales, or blocks of them, run along.

    Attributes:
        padding: tuple of M (before, after) pairs, or ``"same"``.
        stride: tuple of M ints.
        groups: number of groups.
        dilation: tuple of M ints.
        output_padding: tuple of M ints.
        dtype: dtype of the parameters.
        bias: Parameter of shape (out_channels,), or None.
        weight: Parameter of shape (in_channels, out_channels / groups, \*kernel_dims).
        quant_dtype: dtype of the quantized weight, or None.
        weight_quant_dim: dim of the scales of the weight, or None.
        weight_scale: with ``quant_dtype``, Parameter to set before a call, of rank 0, a scale per
            element of ``weight_quant_dim``, or per block in the forms of :func:`tripy.quantize`.
        input_scale: with ``quant_dtype``, Parameter of rank 0, or None: inputs stay as they are.

    Raises:
        TripyShapeError: for lengths that are not M; when called with another rank or channel
            count, or when nothing would come out; for a scale that does not fit.
        TripyTypeError: for arguments of another form, or dtypes that differ.
        TripyIndexError: for a ``weight_quant_dim`` that the weight does not have.
        TripyValueError: for sizes, strides or dilations below 1, negative padding, too much output
            padding, groups that do not divide the channels, or ``weight_quant_dim`` without
            ``quant_dtype``; when called before ``weight_scale`` is set.

    Example:
        >>> input = tp.reshape(tp.arange(4, dtype=tp.float32), (1, 1, 2, 2))
        >>> tp.ConvTranspose(1, 1, (2, 2), bias=False)(input)
        tensor(
            [[[[0.0000, 0.0000, 1.0000],
               [0.0000, 4.0000, 6.0000],
               [4.0000, 12.0000, 9.0000]]]],
            dtype=float32, loc=cpu:0, shape=(1, 1, 3, 3))
    """

    _output_dim = 1
    output_padding: tuple[int, ...]

    @public("ConvTranspose")
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_dims: Sequence[int],
        padding: Any = None,
        stride: Any = None,
        groups: int | None = None,
        dilation: Any = None,
        bias: bool = True,
        dtype: dtype = dtypes.float32,
        output_padding: Any = None,
        quant_dtype: dtype | None = None,
        weight_quant_dim: int | None = None,
    ) -> None:
        channels = (in_channels, out_channels)
        kernel = self._set_up(channels, kernel_dims, padding, stride, groups, dilation, dtype)
        self.output_padding = check_output_padding(output_padding, self.stride, self.dilation)
        if self.padding == "same":
            transposed_same_padding(kernel, self.stride, self.dilation, self.output_padding)
        self.bias = default_parameter((int(out_channels),), dtype) if bias else None
        shape = (int(in_channels), int(out_channels) // self.groups, *kernel)
        self.weight = default_parameter(shape, dtype)
        self._set_up_scales(quant_dtype, weight_quant_dim)

    @public("ConvTranspose", input=FLOATS)
    def forward(self, input: Tensor) -> Tensor:
        """Return the transposed convolution of an input of shape (N, in_channels, D_0, …)."""
        check_input_dtype(self, input, self.weight)
        weight, input = self._weight_as_used(), self._input_as_used(input)
        arguments = self._arguments() | {"output_padding": self.output_padding}
        return conv_transpose(input, weight, self.bias, **arguments)
