"""Pooling over the last M dims of (N, C, D1 … DM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import dtypes, errors, shapes
from tripy.dtypes import FLOATS, NUMERIC
from tripy.graph import Node, Type, Value, volume
from tripy.ops.create import arange
from tripy.ops.elementwise import cast, minimum, where
from tripy.ops.movement import unsqueeze
from tripy.ops.registry import apply, float_group, primitive, shape_error
from tripy.ops.window import (
    Pairs,
    channels_first,
    normalise_padding,
    same_padding,
    spatial_sizes,
    window_ints,
)
from tripy.shapes import Size
from tripy.signature import is_integer, public
from tripy.tensor import Tensor, make_size


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


def _check_spatial(input: Value, count: int, argument: str) -> None:
    if not 1 <= count <= 3 or len(input.shape) != count + 2:
        is_rank = argument == "input"
        raise shape_error(
            f"an input of rank {len(input.shape)} has no 1 to 3 spatial dims."
            if is_rank
            else f"output_size has {count} entries for an input of rank {len(input.shape)}.",
            input,
            expected="shape (N, C, D1 … DM) with M from 1 to 3, and an int or M ints",
            fix="add or merge dims with tp.reshape"
            if is_rank
            else "give one int per spatial dim, or one int for all",
            argument=argument,
        )
    for dim, size in enumerate(input.shape[2:], 2):
        if not shapes.holds(1, "<=", size, f"there is nothing to average in dim {dim}"):
            raise shape_error(
                f"dim {dim} is empty: there is no average of nothing.",
                input,
                expected="at least one element in every spatial dim",
                fix="leave out empty images",
                argument="input",
            )


def _window_means(x: Tensor, dim: int, count: int) -> Tensor:
    """Average ``count`` windows of nearly equal lengths along one dim."""
    size = x._value.shape[dim]
    whole, rest = make_size(shapes.floordiv(size, count)), make_size(shapes.mod(size, count))
    number = arange(count, dtype=dtypes.int32)
    first = number * whole + number * rest // count
    last = make_size(size) - first[::-1]  # the windows are symmetric
    longest = make_size(shapes.floordiv(size - 1, count) + 2)
    place = unsqueeze(first, 1) + arange(longest, dtype=dtypes.int32)
    cells = apply("gather", x, minimum(place, make_size(size) - 1), dim=dim)
    behind = (1,) * (x.rank - dim - 1)
    inside = place < unsqueeze(last, 1)
    inside = apply("reshape", inside, shape=(*inside._value.shape, *behind))
    total = apply("sum", where(inside, cells, 0), dims=(dim + 1,), keepdim=False)
    return total / apply("reshape", cast(last - first, x.dtype), shape=(count, *behind))


@public(input=FLOATS)
def adaptive_avgpool(input: Tensor, output_size: int | Sequence[int]) -> Tensor:
    """Return the means of windows that divide every spatial dim as evenly as can be.

    Window i of a dim of D elements covers floor(i * D / O) … ceil((i + 1) * D / O) - 1.

    Args:
        input: tensor of shape (N, C, D1 … DM), M from 1 to 3; a float dtype.
        output_size: the spatial sizes of the result, an int or M ints.

    Returns:
        A tensor of shape (N, C, O1 … OM) and the same dtype.

    Raises:
        TripyShapeError: for other ranks, or empty spatial dims.
        TripyTypeError: for other dtypes.
        TripyValueError: for output sizes below 1.

    Example:
        >>> tp.adaptive_avgpool(tp.reshape(tp.arange(5), (1, 1, 5)), 2).tolist()
        [[[1.0, 3.0]]]
    """
    value = input._value
    count = len(value.shape) - 2 if is_integer(output_size) else len(output_size)  # type: ignore[arg-type]
    _check_spatial(value, count, "input" if is_integer(output_size) else "output_size")
    spatial, wanted = value.shape[2:], window_ints(output_size, count, "output_size")
    changed = [dim for dim in range(count) if spatial[dim] != wanted[dim]]
    if all(wanted[dim] == 1 for dim in changed):
        dims = tuple(dim + 2 for dim in changed)
        return apply("mean", input, dims=dims, keepdim=True) if dims else input
    if all(isinstance(n, int) and n % wanted[d] == 0 for d, n in enumerate(spatial)):
        steps = tuple(n // w for n, w in zip(spatial, wanted))
        return avgpool(input, steps, steps)  # type: ignore[arg-type]
    result = cast(input, dtypes.float32) if float_group(input.dtype) else input
    for dim in changed:
        result = _window_means(result, dim + 2, wanted[dim])
    return cast(result, input.dtype)
