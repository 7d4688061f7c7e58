"""Convolution and pooling over the last M dims of (N, C, D1 … DM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import errors, shapes
from tripy.dtypes import FLOATS, NUMERIC
from tripy.graph import Node, Type, Value, volume
from tripy.ops.registry import apply, primitive, same_dtypes, shape_error
from tripy.shapes import Shape, Size
from tripy.signature import is_integer, public
from tripy.tensor import Tensor

Pairs = tuple[tuple[Size, Size], ...]

# --- forms of kernel arguments ---------------------------------------------------------------


def window_ints(
    value: Any, count: int, argument: str, default: int = 1, minimum: int = 1
) -> tuple[int, ...]:
    """Return one int per spatial dim of an int, a sequence of ints, or None."""
    if value is None:
        return (default,) * count
    items = (value,) * count if is_integer(value) else value
    if not isinstance(items, (list, tuple)) or not all(is_integer(item) for item in items):
        raise errors.error(
            errors.TripyTypeError,
            f"{argument} must be an int, or one int per spatial dim.",
            received=f"{value!r} of type {type(value).__name__}",
            expected=f"{count} ints >= {minimum}, or one for all dims",
            argument=argument,
        )
    _check_length(items, count, argument)
    result = tuple(int(item) for item in items)
    for i, item in enumerate(result):
        if item < minimum:
            raise _out_of_range(argument, item, minimum, (argument, i))
    return result


def _out_of_range(
    name: str, value: int, minimum: int, argument: errors.ArgumentPath
) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        f"{name} must be at least {minimum} in every dim.",
        received=f"{name} {value}",
        expected=f"integers >= {minimum}",
        argument=argument,
    )


def _check_length(items: Sequence[Any], count: int, argument: str) -> None:
    if len(items) != count:
        raise errors.error(
            errors.TripyShapeError,
            f"{argument} has {len(items)} entries for {count} spatial dims.",
            received=f"{argument}={items!r}",
            expected=f"{count} entries, one per dim of the kernel",
            argument=argument,
        )


def normalise_padding(padding: Any, count: int) -> Pairs | str:
    """Return (before, after) pairs, or ``"same"``, of any accepted form of padding."""
    if padding is None or padding == "valid":
        return ((0, 0),) * count
    if isinstance(padding, str):
        if padding != "same":
            raise errors.error(
                errors.TripyValueError,
                f"there is no padding {padding!r}.",
                expected='"same", "valid", ints or pairs of ints',
                argument="padding",
            )
        return "same"
    items = (padding,) * count if is_integer(padding) else padding
    pairs = _as_pairs(items)
    if pairs is None:
        raise errors.error(
            errors.TripyTypeError,
            "padding is neither ints nor pairs of ints.",
            received=repr(padding),
            expected=f'an int, {count} ints, {count} (before, after) pairs, "same" or "valid"',
            argument="padding",
        )
    _check_length(pairs, count, "padding")
    for i, pair in enumerate(pairs):
        for amount in pair:
            if amount < 0:
                raise _out_of_range("padding", amount, 0, ("padding", i))
    return pairs


def _as_pairs(items: Any) -> tuple[tuple[int, int], ...] | None:
    if not isinstance(items, (list, tuple)):
        return None
    if all(is_integer(item) for item in items):
        return tuple((int(item), int(item)) for item in items)
    is_pair = [
        isinstance(item, (list, tuple)) and len(item) == 2 and all(map(is_integer, item))
        for item in items
    ]
    return tuple((int(a), int(b)) for a, b in items) if all(is_pair) else None


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
                argument="groups",
            )
    return count


def _same_padding(sizes: Shape, kernel: Any, stride: Any, dilation: Any) -> Pairs:
    """Return the padding that gives ceil(size / stride) outputs, the larger half at the end."""
    pairs = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation):
        outputs = shapes.floordiv(size + s - 1, s)
        total = shapes.maximum((outputs - 1) * s + d * (k - 1) + 1 - size, 0)
        before = shapes.floordiv(total, 2)
        pairs.append((before, total - before))
    return tuple(pairs)


# --- shape rules -----------------------------------------------------------------------------


def _channels_first(input: Value, count: int) -> None:
    if len(input.shape) != count + 2:
        names = ", ".join(f"D{i}" for i in range(count))
        raise shape_error(
            f"the input has rank {len(input.shape)}, but a kernel of {count} dims needs "
            f"rank {count + 2}.",
            input,
            expected=f"shape (N, C, {names})",
            fix="add a batch dim with tp.unsqueeze(input, 0)"
            if len(input.shape) == count + 1
            else None,
            argument="input",
        )


def _check_channels(input: Value, channels: Size, weight: Value) -> None:
    message = "the input's channels must fit the weight"
    if not shapes.holds(input.shape[1], "==", channels, message):
        raise shape_error(
            f"the input has {input.shape[1]} channels, but the weight takes {channels}.",
            input,
            weight,
            expected=f"input.shape[1] == {channels}",
            argument="input",
        )


def _check_bias(bias: Value | None, channels: Size) -> None:
    if bias is not None and bias.shape != (channels,):
        raise shape_error(
            "the bias needs one element per output channel.",
            bias,
            expected=f"shape ({channels},)",
            argument="bias",
        )


def _spatial(sizes: list[Size], input: Value, what: str) -> Shape:
    for d, size in enumerate(sizes):
        if not shapes.holds(1, "<=", size, f"{what} gives no output in spatial dim {d}"):
            raise shape_error(
                f"the {what} is larger than the padded input in spatial dim {d}.",
                input,
                expected="at least one output element in every spatial dim",
                fix="pad more, or use a smaller kernel or dilation",
                argument="input",
            )
    return tuple(sizes)


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
    _channels_first(input, count)
    _check_channels(input, weight.shape[1] * groups, weight)
    _check_bias(bias, weight.shape[0])
    spatial = zip(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    sizes = [
        shapes.floordiv(size + p0 + p1 - d * (k - 1) - 1, s) + 1
        for size, k, s, (p0, p1), d in spatial
    ]
    return input.dtype, (input.shape[0], weight.shape[0], *_spatial(sizes, input, "kernel"))


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
    _channels_first(input, len(stride))
    _check_channels(input, weight.shape[0], weight)
    channels = weight.shape[1] * groups
    _check_bias(bias, channels)
    spatial = zip(input.shape[2:], weight.shape[2:], stride, padding, dilation, output_padding)
    sizes = [
        (size - 1) * s - p0 - p1 + d * (k - 1) + extra + 1
        for size, k, s, (p0, p1), d, extra in spatial
    ]
    return input.dtype, (input.shape[0], channels, *_spatial(sizes, input, "padding"))


def _pool_size(size: Size, k: int, s: int, p0: Size, p1: Size, ceil_mode: bool) -> Size:
    span = size + p0 + p1 - k
    if not ceil_mode:
        return shapes.floordiv(span, s) + 1
    outputs = shapes.floordiv(span + s - 1, s) + 1
    # The last window must start inside the input or the padding before it.
    return shapes.minimum(outputs, shapes.floordiv(size + p0 - 1, s) + 1)


def _pool_type(
    input: Value,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Pairs,
    ceil_mode: bool,
    count_include_pad: bool = True,
) -> Type:
    _channels_first(input, len(kernel))
    spatial = zip(input.shape[2:], kernel, stride, padding)
    sizes = [_pool_size(n, k, s, p0, p1, ceil_mode) for n, k, s, (p0, p1) in spatial]
    return input.dtype, (*input.shape[:2], *_spatial(sizes, input, "window"))


def _conv_work(node: Node) -> float:
    weight = node.inputs[1].shape
    return 2 * volume(node.shape) * volume(weight[1:])


def _conv_transpose_work(node: Node) -> float:
    return 2 * volume(node.inputs[0].shape) * volume(node.inputs[1].shape[1:])


def _pool_work(node: Node) -> float:
    return volume(node.shape) * volume(node.attributes["kernel"])


primitive("conv", _conv_type, _conv_work)
primitive("conv_transpose", _conv_transpose_type, _conv_transpose_work)
primitive("maxpool", _pool_type, _pool_work)
primitive("avgpool", _pool_type, _pool_work)

# --- public functions ------------------------------------------------------------------------


def _kernel_of(weight: Tensor) -> Shape:
    if weight.rank < 3:
        raise shape_error(
            "a convolution weight has two channel dims and at least one spatial dim.",
            weight._value,
            expected="rank 3 or more",
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
        _channels_first(input._value, count)
        amounts = _same_padding(input._value.shape[2:], kernel, steps, spacing)
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


def window_arguments(
    kernel_dims: Sequence[int], stride: Any, padding: Any, name: str
) -> tuple[tuple[int, ...], tuple[int, ...], Pairs | str]:
    """Return kernel, stride and padding of a pooling window in their normal forms."""
    count = len(kernel_dims)
    if not 1 <= count <= 3:
        raise errors.error(
            errors.TripyShapeError,
            f"{name} works on 1 to 3 spatial dims, not {count}.",
            received=f"kernel_dims={tuple(kernel_dims)}",
            argument="kernel_dims",
        )
    kernel = window_ints(kernel_dims, count, "kernel_dims")
    amounts = normalise_padding(padding, count)
    for k, pair in zip(kernel, amounts if isinstance(amounts, tuple) else ()):
        if any(isinstance(amount, int) and amount >= k for amount in pair):
            raise errors.error(
                errors.TripyValueError,
                "the padding of a pooling window must be smaller than the window.",
                received=f"padding {pair} with kernel {k}",
                argument="padding",
            )
    return kernel, window_ints(stride, count, "stride"), amounts


def _window(
    input: Tensor, kernel_dims: Sequence[int], stride: Any, padding: Any, name: str
) -> dict[str, Any]:
    kernel, steps, amounts = window_arguments(kernel_dims, stride, padding, name)
    if isinstance(amounts, str):
        _channels_first(input._value, len(kernel))
        amounts = _same_padding(input._value.shape[2:], kernel, steps, (1,) * len(kernel))
    return {"kernel": kernel, "stride": steps, "padding": amounts}


@public(input=NUMERIC)
def maxpool(
    input: Tensor,
    kernel_dims: Sequence[int],
    stride: Any = None,
    padding: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the maximum of every window; padding cells never win.

    Args:
        input: tensor of shape (N, C, D1 … DM), M from 1 to 3, of any numeric dtype.
        kernel_dims: M window sizes.
        stride: step of the window, an int or M ints; None is 1.
        padding: cells around the input in the forms of :func:`conv`, smaller than the window.
        ceil_mode: whether a last, partly filled window counts.

    Returns:
        A tensor of the same dtype with spatial sizes floor((D + before + after - k) / stride) + 1,
        or ceil with ``ceil_mode``.

    Raises:
        TripyShapeError: when ranks or lengths do not fit, or nothing would come out.
        TripyTypeError: for other dtypes, or arguments of another form.
        TripyValueError: for windows or strides below 1, or bad padding.

    Example:
        >>> tp.maxpool(tp.reshape(tp.arange(4), (1, 1, 4)), (2,), stride=2).tolist()
        [[[1.0, 3.0]]]
    """
    window = _window(input, kernel_dims, stride, padding, "maxpool")
    return apply("maxpool", input, **window, ceil_mode=ceil_mode)


@public(input=NUMERIC)
def avgpool(
    input: Tensor,
    kernel_dims: Sequence[int],
    stride: Any = None,
    padding: Any = None,
    count_include_pad: bool = True,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the mean of every window.

    Args:
        input: tensor of shape (N, C, D1 … DM), M from 1 to 3, of any numeric dtype.
        kernel_dims: M window sizes.
        stride: step of the window, an int or M ints; None is 1.
        padding: zeros around the input in the forms of :func:`conv`, smaller than the window.
        count_include_pad: whether padding cells count in the divisor.
        ceil_mode: whether a last, partly filled window counts.

    Returns:
        A tensor of the same dtype with the sizes of :func:`maxpool`; integers floor-divide the
        exact sum.

    Raises:
        TripyShapeError: when ranks or lengths do not fit, or nothing would come out.
        TripyTypeError: for other dtypes, or arguments of another form.
        TripyValueError: for windows or strides below 1, or bad padding.

    Example:
        >>> tp.avgpool(tp.reshape(tp.arange(4), (1, 1, 4)), (2,), padding=1).tolist()
        [[[0.0, 0.5, 1.5, 2.5, 1.5]]]
    """
    window = _window(input, kernel_dims, stride, padding, "avgpool")
    return apply(
        "avgpool", input, **window, ceil_mode=ceil_mode, count_include_pad=count_include_pad
    )
