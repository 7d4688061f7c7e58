"""Pooling over the last M dims of (N, C, D1 … DM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import errors, shapes
from tripy.dtypes import NUMERIC
from tripy.graph import Node, Type, Value, volume
from tripy.ops.registry import apply, primitive
from tripy.ops.window import (
    Pairs,
    channels_first,
    normalise_padding,
    same_padding,
    spatial_sizes,
    window_ints,
)
from tripy.shapes import Size
from tripy.signature import public
from tripy.tensor import Tensor


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
    channels_first(input, len(kernel))
    spatial = zip(input.shape[2:], kernel, stride, padding)
    sizes = [_pool_size(n, k, s, p0, p1, ceil_mode) for n, k, s, (p0, p1) in spatial]
    return input.dtype, (*input.shape[:2], *spatial_sizes(sizes, input, "window"))


def _pool_work(node: Node) -> float:
    return volume(node.shape) * volume(node.attributes["kernel"])


primitive("maxpool", _pool_type, _pool_work)
primitive("avgpool", _pool_type, _pool_work)


def window_arguments(
    kernel_dims: Sequence[int], stride: Any, padding: Any, name: str
) -> tuple[tuple[int, ...], tuple[int, ...], Pairs | str]:
    """Return kernel, stride and padding of a pooling window in their normal forms."""
    count = len(kernel_dims)
    if not 1 <= count <= 3:
        raise errors.error(
            errors.TripyShapeError,
            f"{name} works on 1 to 3 spatial dims, not {count}.",
            received=f"kernel_dims = {errors.brief(kernel_dims)}",
            expected="1, 2 or 3 window sizes",
            fix="merge dims with tp.reshape first",
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
                expected=f"less than {k} on each side",
                fix="use a larger window, or tp.pad before the pooling",
                argument="padding",
            )
    return kernel, window_ints(stride, count, "stride"), amounts


def _window(
    input: Tensor, kernel_dims: Sequence[int], stride: Any, padding: Any, name: str
) -> dict[str, Any]:
    kernel, steps, amounts = window_arguments(kernel_dims, stride, padding, name)
    if isinstance(amounts, str):
        channels_first(input._value, len(kernel))
        amounts = same_padding(input._value.shape[2:], kernel, steps, (1,) * len(kernel))
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
