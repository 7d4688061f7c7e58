"""Elementwise functions of several inputs beyond the operators."""

from __future__ import annotations

from typing import Any

from tripy import errors
from tripy.dtypes import ALL, BOOL, FLOATS, NUMERIC
from tripy.ops.elementwise import maximum, minimum
from tripy.ops.operands import adapt
from tripy.ops.registry import apply, same_dtypes, shape_error, stretches
from tripy.signature import public
from tripy.tensor import Tensor, TensorLike


@public(lhs=FLOATS, rhs=FLOATS)
def atan2(lhs: Tensor, rhs: Tensor) -> Tensor:
    """Return the angle of the point with y = lhs and x = rhs, in radians.

    Args:
        lhs: tensor of any shape; float16, bfloat16, float32 or float64.
        rhs: tensor of the same dtype, broadcasting with ``lhs``.

    Returns:
        A tensor of the broadcast shape.

    Raises:
        TripyShapeError: for shapes that do not broadcast.
        TripyTypeError: for other dtypes, or dtypes that differ.

    Example:
        >>> tp.atan2(tp.Tensor([1.0, 0.0]), tp.Tensor([1.0, -1.0]))
        tensor([0.7854, 3.1416], dtype=float32, loc=cpu:0, shape=(2,))
    """
    same_dtypes([lhs._value, rhs._value], ("lhs", "rhs"))
    return apply("atan2", lhs, rhs)


@public(input=NUMERIC)
def clip(input: Tensor, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """Limit every element to min … max; where min > max the result is max.

    Args:
        input: tensor of any shape and any numeric dtype.
        min: smallest value, a number or a tensor that broadcasts to the input; None is no limit.
        max: largest value, likewise.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyShapeError: for shapes that do not broadcast.
        TripyTypeError: for other dtypes, or dtypes that differ.
        TripyValueError: when both limits are None.

    Example:
        >>> tp.clip(tp.Tensor([-1.0, 0.5, 2.0]), 0.0, 1.0)
        tensor([0.0000, 0.5000, 1.0000], dtype=float32, loc=cpu:0, shape=(3,))
    """
    if min is None and max is None:
        raise errors.error(
            errors.TripyValueError,
            "clip needs at least one limit.",
            received="min=None, max=None",
            expected="a number or tensor for min, max, or both",
            fix="give min=…, max=…, or both; leave out the call where there is no limit",
            argument="min",
        )
    limited = input if min is None else maximum(input, _bound(input, min, "min"))
    return limited if max is None else minimum(limited, _bound(input, max, "max"))


def _bound(input: Tensor, bound: Any, argument: str) -> Tensor:
    """Return a limit as a tensor of the input's dtype that does not enlarge the input."""
    tensor = adapt(bound, input.dtype, input.device, argument)
    same_dtypes([input._value, tensor._value], ("input", argument))
    return _fitting(input, tensor, argument)


def _fitting(input: Tensor, tensor: Tensor, argument: str) -> Tensor:
    """Return a tensor that broadcasts to the input's shape and does not enlarge it."""
    sizes, given = input._value.shape, tensor._value.shape
    message = f"{argument} does not broadcast to the input's shape"
    if not stretches(given, sizes, message):
        raise shape_error(
            f"{message}.",
            input._value,
            tensor._value,
            expected="sizes that are those of the input, or 1",
            fix=f"reshape {argument} to such sizes, or expand the input first with tp.expand",
            argument=argument,
        )
    pairs = zip(reversed(given), reversed(sizes))
    fits = all(size in (1, wanted) for size, wanted in pairs)
    return tensor if fits else apply("expand", tensor, shape=sizes)


@public(input=ALL, mask=BOOL)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return the input with ``value`` where the mask is True.

    Args:
        input: tensor of any shape and dtype.
        mask: bool tensor that broadcasts to the input's shape.
        value: a number, which adapts to the input's dtype.

    Returns:
        A tensor of the input's shape and dtype.

    Raises:
        TripyShapeError: for a mask that would enlarge the input.
        TripyTypeError: for a mask that is not bool, or a value that does not adapt.

    Example:
        >>> tp.masked_fill(tp.Tensor([1, 2]), tp.Tensor([True, False]), 0)
        tensor([0, 2], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return apply(
        "where",
        _fitting(input, mask, "mask"),
        adapt(value, input.dtype, input.device, "value"),
        input,
    )


@public(lhs=BOOL, rhs=BOOL)
def logical_and(lhs: Tensor, rhs: Tensor) -> Tensor:
    """Return whether both elements are True.

    Args:
        lhs: bool tensor of any shape.
        rhs: bool tensor, broadcasting with ``lhs``.

    Returns:
        A bool tensor of the broadcast shape.

    Raises:
        TripyShapeError: for shapes that do not broadcast.
        TripyTypeError: for other dtypes; compare numbers with 0 first.

    Example:
        >>> tp.logical_and(tp.Tensor([True, False]), tp.Tensor([True, True]))
        tensor([True, False], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return apply("bit_and", lhs, rhs)


@public(lhs=BOOL, rhs=BOOL)
def logical_or(lhs: Tensor, rhs: Tensor) -> Tensor:
    """Return whether either element is True.

    Args:
        lhs: bool tensor of any shape.
        rhs: bool tensor, broadcasting with ``lhs``.

    Returns:
        A bool tensor of the broadcast shape.

    Raises:
        TripyShapeError: for shapes that do not broadcast.
        TripyTypeError: for other dtypes; compare numbers with 0 first.

    Example:
        >>> tp.logical_or(tp.Tensor([True, False]), tp.Tensor([False, False]))
        tensor([True, False], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return apply("bit_or", lhs, rhs)


@public(lhs=BOOL, rhs=BOOL)
def logical_xor(lhs: Tensor, rhs: Tensor) -> Tensor:
    """Return whether exactly one element is True.

    Args:
        lhs: bool tensor of any shape.
        rhs: bool tensor, broadcasting with ``lhs``.

    Returns:
        A bool tensor of the broadcast shape.

    Raises:
        TripyShapeError: for shapes that do not broadcast.
        TripyTypeError: for other dtypes; compare numbers with 0 first.

    Example:
        >>> tp.logical_xor(tp.Tensor([True, False]), tp.Tensor([True, True]))
        tensor([False, True], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return apply("bit_xor", lhs, rhs)
