"""Functions that create tensors."""

from __future__ import annotations

import math
from typing import Any

from tripy import devices, dtypes, errors, shapes
from tripy.dtypes import ALL, dtype
from tripy.graph import Type
from tripy.ops.elementwise import cast
from tripy.ops.movement import expand, reshape, to_shape
from tripy.ops.operands import literal
from tripy.ops.registry import create, dim_index, hook, primitive, shape_error
from tripy.shapes import Dim, Size
from tripy.signature import public
from tripy.tensor import ShapeLike, Tensor, make_size, number_kind, numbers_to_array


def _arange_type(start: Any, step: Any, size: Size, dtype: dtype) -> Type:
    return dtype, (size,)


def _size_type(size: Size) -> Type:
    return dtypes.int32, ()


primitive("arange", _arange_type)
primitive("size", _size_type)


def _arange(start: Any, step: Any, size: Size, kind: dtype, place: devices.device) -> Tensor:
    return create("arange", place, start=start, step=step, size=size, dtype=kind)


def _bound(value: Any, argument: str) -> Any:
    size = shapes.as_size(value)
    if size is not None:
        return size
    if number_kind(value) is float and math.isfinite(value):
        return float(value)
    raise errors.error(
        errors.TripyTypeError,
        f"{argument} must be a number or a size.",
        received=errors.describe(value),
        expected="an int, a float or a tp.DimensionSize",
        fix="take the value of a tensor with tensor.item()",
        argument=argument,
        culprit=value,
    )


def _count(start: Any, stop: Any, step: Any) -> Size:
    if isinstance(step, Dim) or any(isinstance(v, float) for v in (start, stop, step)):
        if any(isinstance(v, Dim) for v in (start, stop, step)):
            raise errors.error(
                errors.TripyTypeError,
                "a range up to a dynamic size needs integer bounds and a step known now.",
                received=f"start={start}, stop={stop}, step={step}",
                expected="ints and sizes",
                fix="count with ints and scale: tp.arange(size) * 0.5",
            )
        count: int = math.ceil((stop - start) / step)
        return max(0, count)
    distance: Size = stop - start
    if step < 0:
        distance, step = -distance, -step
    return shapes.maximum(shapes.floordiv(distance + step - 1, step), 0)


@public()
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: dtype = dtypes.float32) -> Tensor:
    """Return evenly spaced numbers: start, start + step, … below stop.

    ``arange(stop)`` counts from 0, and ``arange(stop, dtype)`` is told apart by type.

    Args:
        start: first number, or DimensionSize.
        stop: end, not included.
        step: distance, negative and fractional ones too.
        dtype: data type of the result.

    Returns:
        A tensor of shape (max(0, ceil((stop - start) / step)),).

    Raises:
        TripyTypeError: for a bound that is no number.
        TripyValueError: for step 0.

    Example:
        >>> tp.arange(2, 8, 2)
        tensor([2.0000, 4.0000, 6.0000], dtype=float32, loc=cpu:0, shape=(3,))
    """
    if isinstance(stop, type(dtypes.float32)) and stop in ALL:
        stop, dtype = None, stop
    if stop is None:
        start, stop = 0, start
    bounds = [_bound(v, n) for v, n in ((start, "start"), (stop, "stop"), (step, "step"))]
    if bounds[2] == 0:
        raise errors.error(
            errors.TripyValueError,
            "the step of a range cannot be 0.",
            received="step 0",
            expected="a number other than 0",
            fix="use tp.full for equal numbers",
            argument="step",
        )
    size = _count(*bounds)
    return _arange(bounds[0], bounds[2], size, dtype, devices.default_device())


@public()
def iota(shape: ShapeLike, dim: int = 0, dtype: dtype = dtypes.float32) -> Tensor:
    """Return a tensor in which every element is its index along a dim.

    Args:
        shape: sizes of the result; at least rank 1.
        dim: the dim along which numbers grow.
        dtype: data type of the result.

    Returns:
        A tensor of the given shape.

    Raises:
        TripyIndexError: for a dim that does not exist, also for rank 0.
        TripyValueError: for a negative size.

    Example:
        >>> tp.iota((2, 2), 1).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    sizes = to_shape(shape)
    return _iota(sizes, dim_index(dim, len(sizes)), dtype, devices.default_device())


def _iota(sizes: shapes.Shape, at: int, kind: dtype, place: devices.device) -> Tensor:
    numbers = _arange(0, 1, sizes[at], kind, place)
    column = reshape(numbers, _symbolic((sizes[at], *(1,) * (len(sizes) - at - 1))))
    return expand(column, _symbolic(sizes))


def _symbolic(sizes: shapes.Shape) -> Any:
    """Pass sizes that may be symbolic to a public function."""
    return tuple(s if isinstance(s, int) else make_size(s) for s in sizes)


@public(input=ALL)
def iota_like(input: Tensor, dim: int = 0, dtype: dtype | None = None) -> Tensor:
    """Return :func:`iota` of the shape of another tensor.

    Args:
        input: tensor whose shape, and device, are taken.
        dim: the dim along which numbers grow.
        dtype: data type of the result; None takes the input's.

    Returns:
        A tensor of the input's shape.

    Raises:
        TripyIndexError: for a dim that does not exist.

    Example:
        >>> tp.iota_like(tp.Tensor([5, 7, 9]))
        tensor([0, 1, 2], dtype=int32, loc=cpu:0, shape=(3,))
    """
    sizes = input._value.shape
    return _iota(sizes, dim_index(dim, len(sizes)), dtype or input.dtype, input.device)


def _full(sizes: shapes.Shape, value: Any, kind: dtype, place: devices.device) -> Tensor:
    if isinstance(value, Tensor):
        if value.rank:
            raise shape_error(
                "the value must be one number.",
                value._value,
                expected="a number or a rank-0 tensor",
                fix="use tp.expand for other tensors",
                argument="value",
            )
        scalar = cast(value, kind)
    else:
        number = number_kind(value)
        if number is None:
            raise errors.error(
                errors.TripyTypeError,
                "the value must be a number.",
                received=errors.describe(value),
                expected="a number or a rank-0 tensor",
                fix="pass a number such as 1.0",
                argument="value",
            )
        scalar = literal(numbers_to_array([value], number, kind).reshape(()), kind, place)
    return expand(scalar, _symbolic(sizes)) if sizes else scalar


@public()
def full(shape: ShapeLike, value: Any, dtype: dtype = dtypes.float32) -> Tensor:
    """Return a tensor filled with one value.

    Args:
        shape: sizes of the result.
        value: a number or a rank-0 tensor, cast to ``dtype``.
        dtype: data type of the result (float32 even for an int value).

    Returns:
        A tensor of the given shape.

    Raises:
        TripyShapeError: for a value of higher rank.
        TripyTypeError: for a value that is no number.
        TripyValueError: for a negative size, or an int that does not fit the dtype.

    Example:
        >>> tp.full((2,), 3)
        tensor([3.0000, 3.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return _full(to_shape(shape), value, dtype, devices.default_device())


@public(input=ALL)
def full_like(input: Tensor, value: Any, dtype: dtype | None = None) -> Tensor:
    """Return :func:`full` of the shape of another tensor.

    Args:
        input: tensor whose shape, and device, are taken.
        value: a number or a rank-0 tensor.
        dtype: data type of the result; None takes the input's.

    Returns:
        A tensor of the input's shape.

    Raises:
        TripyShapeError: for a value of higher rank.
        TripyTypeError: for a value that is no number.
        TripyValueError: for an int that does not fit the dtype.

    Example:
        >>> tp.full_like(tp.Tensor([1, 2]), 7)
        tensor([7, 7], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _full(input._value.shape, value, dtype or input.dtype, input.device)


@public()
def ones(shape: ShapeLike, dtype: dtype = dtypes.float32) -> Tensor:
    """Return a tensor of ones.

    Args:
        shape: sizes of the result.
        dtype: data type of the result.

    Returns:
        A tensor of the given shape.

    Raises:
        TripyValueError: for a negative size.

    Example:
        >>> tp.ones((2,), tp.int32)
        tensor([1, 1], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _full(to_shape(shape), 1, dtype, devices.default_device())


@public()
def zeros(shape: ShapeLike, dtype: dtype = dtypes.float32) -> Tensor:
    """Return a tensor of zeros.

    Args:
        shape: sizes of the result.
        dtype: data type of the result.

    Returns:
        A tensor of the given shape.

    Raises:
        TripyValueError: for a negative size.

    Example:
        >>> tp.zeros((2,), tp.bool)
        tensor([False, False], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return _full(to_shape(shape), 0, dtype, devices.default_device())


@public(input=ALL)
def ones_like(input: Tensor, dtype: dtype | None = None) -> Tensor:
    """Return ones of the shape of another tensor.

    Args:
        input: tensor whose shape, and device, are taken.
        dtype: data type of the result; None takes the input's.

    Returns:
        A tensor of the input's shape.

    Raises:
        TripyTypeError: when ``input`` is no tensor.

    Example:
        >>> tp.ones_like(tp.Tensor([5, 7]))
        tensor([1, 1], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _full(input._value.shape, 1, dtype or input.dtype, input.device)


@public(input=ALL)
def zeros_like(input: Tensor, dtype: dtype | None = None) -> Tensor:
    """Return zeros of the shape of another tensor.

    Args:
        input: tensor whose shape, and device, are taken.
        dtype: data type of the result; None takes the input's.

    Returns:
        A tensor of the input's shape.

    Raises:
        TripyTypeError: when ``input`` is no tensor.

    Example:
        >>> tp.zeros_like(tp.Tensor([5, 7]))
        tensor([0, 0], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _full(input._value.shape, 0, dtype or input.dtype, input.device)


def _size_tensor(size: Dim) -> Tensor:
    return create("size", devices.CPU, size=size)


hook(size=_size_tensor)
