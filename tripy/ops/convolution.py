"""Convolution and its transpose over the last M dims of (N, C, D1 … DM)."""

from __future__ import annotations

import math
from typing import Any

from tripy import errors, shapes
from tripy.dtypes import FLOATS
from tripy.graph import Node, Type, Value, volume
from tripy.ops.registry import apply, primitive, same_dtypes, shape_error
from tripy.ops.window import (
    Pairs,
    channels_first,
    normalise_padding,
    same_padding,
    spatial_sizes,
    window_ints,
)
from tripy.shapes import Shape, Size
from tripy.signature import public
from tripy.tensor import Tensor

# --- shape rules -----------------------------------------------------------------------------


def check_groups(groups: int | None, in_channels: Size, out_channels: Size) -> int:
    """Return the number of groups; it must divide both channel counts."""
    count = 1 if groups is None else int(groups)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if count < 1 or (isinstance(channels, int) and channels % count):
            raise errors.error(
                errors.TripyValueError,
                f"groups={count} does not divide {name}={channels}."
                if count >= 1
                else "groups must be at least 1.",
                received=f"groups={count}, in_channels={in_channels}, out_channels={out_channels}",
                expected="groups >= 1 that divides both channel counts",
                fix=_groups_fix(in_channels, out_channels),
                argument="groups",
            )
    return count


def _groups_fix(in_channels: Size, out_channels: Size) -> str:
    if not isinstance(in_channels, int) or not isinstance(out_channels, int):
        return "leave it out for one group"
    largest = math.gcd(in_channels, out_channels)
    divisors = [str(n) for n in range(1, min(largest, 1024) + 1) if largest % n == 0]
    return f"use groups={' or '.join(divisors[:4])}"


def _check_channels(input: Value, channels: Size, weight: Value) -> None:
    message = "the input's channels must fit the weight"
    if not shapes.holds(input.shape[1], "==", channels, message):
        raise shape_error(
            f"the input has {input.shape[1]} channels, but the weight takes {channels}.",
            input,
            weight,
            expected=f"input.shape[1] == {channels}",
            fix="pass an input of shape (N, C, …), or build the weight for other channels",
            argument="input",
        )


def _check_bias(bias: Value | None, channels: Size) -> None:
    if bias is not None and bias.shape != (channels,):
        raise shape_error(
            "the bias needs one element per output channel.",
            bias,
            expected=f"shape ({channels},)",
            fix="reshape the bias, or leave it out",
            argument="bias",
        )


def _conv_type(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int,
) -> Type:
    given = [v for v in (input, weight, bias) if v is not None]
    same_dtypes(given, ("input", "weight", "bias"))
    count = len(stride)
    channels_first(input, count)
    _check_channels(input, weight.shape[1] * groups, weight)
    _check_bias(bias, weight.shape[0])
    spatial = zip(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    sizes = [
        shapes.floordiv(size + p0 + p1 - d * (k - 1) - 1, s) + 1
        for size, k, s, (p0, p1), d in spatial
    ]
    return input.dtype, (input.shape[0], weight.shape[0], *spatial_sizes(sizes, input, "kernel"))


def _conv_transpose_type(
    input: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int,
    output_padding: tuple[int, ...],
) -> Type:
    given = [v for v in (input, weight, bias) if v is not None]
    same_dtypes(given, ("input", "weight", "bias"))
    channels_first(input, len(stride))
    _check_channels(input, weight.shape[0], weight)
    channels = weight.shape[1] * groups
    _check_bias(bias, channels)
    spatial = zip(input.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding)
    sizes = [
        (size - 1) * s - p0 - p1 + d * (k - 1) + extra + 1
        for size, k, s, (p0, p1), d, extra in spatial
    ]
    return input.dtype, (input.shape[0], channels, *spatial_sizes(sizes, input, "padding"))


_COPY = 16  # operations of a product in the time that NumPy needs to copy a cell for it


def flops(node: Node) -> float:
    """Return twice the products of a convolution."""
    is_transposed = node.primitive.name == "conv_transpose"
    cells = volume(node.inputs[0].shape if is_transposed else node.shape)
    return 2 * cells * volume(node.inputs[1].shape[1:])


def _work(node: Node) -> float:
    """Few channels per group share the copy of a cell: of the result, or transposed, the input."""
    groups: int = node.attributes["groups"]
    copies = _COPY * groups / max(volume(node.inputs[1].shape[:1]), 1)
    return max(flops(node) * (1 + copies), volume(node.shape))


primitive("conv", _conv_type, _work)
primitive("conv_transpose", _conv_transpose_type, _work)

# --- public functions ------------------------------------------------------------------------


def _kernel_of(weight: Tensor) -> Shape:
    if weight.rank < 3:
        raise shape_error(
            "a convolution weight has two channel dims and at least one spatial dim.",
            weight._value,
            expected="rank 3 or more",
            fix="write the weight as (out_channels, in_channels / groups, *kernel_dims)",
            argument="weight",
        )
    return weight._value.shape[2:]


def _bias_inputs(bias: Tensor | None) -> tuple[Tensor, ...]:
    return () if bias is None else (bias,)


@public(input=FLOATS, weight=FLOATS, bias=FLOATS)
def conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: Any = None,
    stride: Any = None,
    groups: int | None = None,
    dilation: Any = None,
) -> Tensor:
    """Cross-correlate the input with a kernel, as :class:`tripy.Conv` does with its parameters.

    Args:
        input: tensor of shape (N, C_in, D1 … DM); float16, bfloat16, float32 or float64.
        weight: tensor of shape (C_out, C_in / groups, K1 … KM) and the same dtype.
        bias: tensor of shape (C_out,) and the same dtype, or None.
        padding: zeros before and after each spatial dim: an int, M ints, M pairs, ``"same"`` or
            ``"valid"``; None is no padding.
        stride: step of the kernel, an int or M ints; None is 1.
        groups: number of groups that channels are divided into; None is 1.
        dilation: spacing of the kernel points, an int or M ints; None is 1.

    Returns:
        A tensor of shape (N, C_out, …) with spatial sizes
        floor((D + before + after - dilation·(K - 1) - 1) / stride) + 1.

    Raises:
        TripyShapeError: when ranks, channels or lengths do not fit, or nothing would come out.
        TripyTypeError: for other dtypes, dtypes that differ, or arguments of another form.
        TripyValueError: for strides or dilations below 1, negative padding, or bad groups.

    Example:
        >>> image = tp.reshape(tp.arange(4), (1, 1, 4))
        >>> tp.conv(image, tp.ones((1, 1, 2)))
        tensor(
            [[[1.0000, 3.0000, 5.0000]]],
            dtype=float32, loc=cpu:0, shape=(1, 1, 3))
    """
    kernel = _kernel_of(weight)
    count = len(kernel)
    channels = weight._value.shape
    number = check_groups(groups, channels[1] * (groups or 1), channels[0])
    steps = window_ints(stride, count, "stride")
    spacing = window_ints(dilation, count, "dilation")
    amounts = normalise_padding(padding, count)
    if isinstance(amounts, str):
        channels_first(input._value, count)
        amounts = same_padding(input._value.shape[2:], kernel, steps, spacing)
    return apply(
        "conv",
        input,
        weight,
        *_bias_inputs(bias),
        stride=steps,
        padding=amounts,
        dilation=spacing,
        groups=number,
    )


@public(input=FLOATS, weight=FLOATS, bias=FLOATS)
def conv_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: Any = None,
    stride: Any = None,
    groups: int | None = None,
    dilation: Any = None,
    output_padding: Any = None,
) -> Tensor:
    """Apply the transpose of a convolution, as :class:`tripy.ConvTranspose` does.

    Every input cell x adds input·weight[k] to output cell x·stride - before + k·dilation.

    Args:
        input: tensor of shape (N, C_in, D1 … DM); float16, bfloat16, float32 or float64.
        weight: tensor of shape (C_in, C_out / groups, K1 … KM) and the same dtype.
        bias: tensor of shape (C_out,) and the same dtype, or None.
        padding: cells cut off before and after each spatial dim, in the forms of :func:`conv`;
            ``"same"`` gives spatial sizes D·stride.
        stride: distance of input cells in the output, an int or M ints; None is 1.
        groups: number of groups that channels are divided into; None is 1.
        dilation: spacing of the kernel points, an int or M ints; None is 1.
        output_padding: cells added at the far end, an int or M ints, each smaller than
            max(stride, dilation); None is 0.

    Returns:
        A tensor of shape (N, C_out, …) with spatial sizes
        (D - 1)·stride - before - after + dilation·(K - 1) + output_padding + 1.

    Raises:
        TripyShapeError: when ranks, channels or lengths do not fit, or nothing would come out.
        TripyTypeError: for other dtypes, dtypes that differ, or arguments of another form.
        TripyValueError: for strides or dilations below 1, negative padding, bad groups, or too
            much output padding.

    Example:
        >>> image = tp.reshape(tp.arange(3), (1, 1, 3))
        >>> tp.conv_transpose(image, tp.ones((1, 1, 2)), stride=2).tolist()
        [[[0.0, 0.0, 1.0, 1.0, 2.0, 2.0]]]
    """
    kernel = _kernel_of(weight)
    count = len(kernel)
    channels = weight._value.shape
    number = check_groups(groups, channels[0], channels[1] * (groups or 1))
    steps = window_ints(stride, count, "stride")
    spacing = window_ints(dilation, count, "dilation")
    extra = check_output_padding(output_padding, steps, spacing)
    amounts = normalise_padding(padding, count)
    if isinstance(amounts, str):
        amounts = transposed_same_padding(kernel, steps, spacing, extra)
    return apply(
        "conv_transpose",
        input,
        weight,
        *_bias_inputs(bias),
        stride=steps,
        padding=amounts,
        dilation=spacing,
        groups=number,
        output_padding=extra,
    )


def check_output_padding(
    value: Any, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the output padding; each must be smaller than max(stride, dilation)."""
    extra = window_ints(value, len(stride), "output_padding", default=0, minimum=0)
    for amount, s, d in zip(extra, stride, dilation):
        if amount >= max(s, d):
            raise errors.error(
                errors.TripyValueError,
                "output_padding is too large.",
                received=f"output_padding {amount} with stride {s} and dilation {d}",
                expected="less than max(stride, dilation)",
                fix=f"use output_padding={max(s, d) - 1} or less",
                argument="output_padding",
            )
    return extra


def transposed_same_padding(kernel: Any, stride: Any, dilation: Any, extra: Any) -> Pairs:
    """Return the padding that gives spatial sizes D·stride."""
    pairs = []
    for k, s, d, e in zip(kernel, stride, dilation, extra):
        total = d * (k - 1) + 1 + e - s
        if isinstance(total, int) and total < 0:
            raise errors.error(
                errors.TripyValueError,
                '"same" padding would have to be negative.',
                received=f"kernel {k}, stride {s}, dilation {d}, output_padding {e}",
                expected="dilation * (kernel - 1) + 1 + output_padding >= stride",
                fix=f"use output_padding={e - total} or more",
                argument="padding",
            )
        pairs.append((shapes.floordiv(total, 2), total - shapes.floordiv(total, 2)))
    return tuple(pairs)
