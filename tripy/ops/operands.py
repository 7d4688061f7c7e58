"""Operands of elementwise operations: tensors, Python values and sizes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tripy import devices, dtypes, errors, shapes
from tripy.dtypes import FLOATS, INTEGERS, dtype
from tripy.graph import Value
from tripy.host import HOOKS, NUMBER_KINDS, number_kind, numbers_to_array, to_float
from tripy.ops.registry import same_dtypes, shape_error
from tripy.tensor import DimensionSize, Tensor, wrap

PACKED_FIX = {"packed": "tp.cast(lhs, tp.float32) first"}


def dtype_family(kind: dtype) -> str:
    """Return "integer", "packed", or the name of the dtype."""
    if kind in INTEGERS:
        return "integer"
    return "packed" if kind in dtypes.PACKED else kind.name


def broadcast_values(*values: Value) -> shapes.Shape:
    """Return the shape that operands broadcast to; TripyShapeError where they do not."""
    result = shapes.broadcast(*[value.shape for value in values])
    if result is None:
        raise shape_error(
            "the shapes do not broadcast.",
            *values,
            expected="aligned from the last dim, sizes are equal or one of them is 1",
            fix="reshape one operand with tp.reshape or tp.unsqueeze",
            argument="rhs",
        )
    return result


_REFUSED = {("bool", int), ("bool", float), ("integer", float)}


def literal(data: Any, kind: dtype, place: devices.device) -> Tensor:
    """Return the tensor of a number in the user's code."""
    value = Value(kind, data.shape, place, data=data)
    value.literal = data.ndim == 0
    return wrap(value)


def _leaves(value: Any) -> tuple[list[Any], type | None]:
    """Return the numbers of a Python operand and their widest kind; None for array objects."""
    leaves = [value]
    depth = 0
    while leaves and all(isinstance(leaf, (list, tuple)) for leaf in leaves):
        depth += 1
        if depth > shapes.MAX_RANK:  # a list may contain itself; making a tensor of it says so
            return leaves, None
        leaves = [leaf for item in leaves for leaf in item]
    kinds = [number_kind(leaf) for leaf in leaves]
    known = [kind for kind in kinds if kind is not None]
    if len(known) != len(kinds):
        return leaves, None
    return leaves, max(known, key=NUMBER_KINDS.__getitem__, default=float)


def adapt(value: Any, kind: dtype, place: devices.device, argument: str) -> Tensor:
    """Turn an operand beside a tensor of dtype ``kind`` into a tensor of that dtype."""
    if isinstance(value, DimensionSize):
        if isinstance(value._size, int):
            value = value._size
        elif kind is not dtypes.bool_:
            return HOOKS["cast"](wrap(value._value), kind)  # type: ignore[no-any-return]
    if isinstance(value, Tensor):
        return value
    plain: Any = type(value)
    if plain in NUMBER_KINDS and value:  # 0.0 and -0.0 are equal, but not the same
        return _number(value, plain, kind, place, argument)
    leaves, widest = ([value], plain) if plain in NUMBER_KINDS else _leaves(value)
    if widest is None:
        return Tensor(value, device=place)
    _check_kind(value, widest, kind, argument)
    if plain in NUMBER_KINDS:
        return literal(_scalar(value, widest, kind, argument), kind, place)
    shape = np.shape(value) if not isinstance(value, (list, tuple)) else Tensor(value)._value.shape
    array = numbers_to_array(leaves, widest, kind).reshape(shape)
    return literal(array, kind, place)


@functools.lru_cache(256)  # the same numbers come again and again
def _number(value: Any, plain: type, kind: dtype, place: devices.device, argument: str) -> Tensor:
    _check_kind(value, plain, kind, argument)
    return literal(_scalar(value, plain, kind, argument), kind, place)


def _check_kind(value: Any, widest: type, kind: dtype, argument: str) -> None:
    """Raise TripyTypeError where a Python number of a kind has no place in a dtype."""
    family = "bool" if kind is dtypes.bool_ else "float" if kind in _FLOATING else "integer"
    if (family, widest) in _REFUSED:
        raise errors.error(
            errors.TripyTypeError,
            f"a Python {widest.__name__} does not adapt to the dtype {kind}.",
            received=f"{errors.brief(value)} beside a tensor of dtype {kind}",
            expected="True or False" if family == "bool" else "an int",
            fix=f"cast the tensor first: tp.cast(tensor, {_WIDER[widest]})",
            argument=argument,
        )


_FLOATING = (*FLOATS, dtypes.float8)
_WIDER = {int: "tp.int32", float: "tp.float32"}


def _scalar(value: Any, widest: type, kind: dtype, argument: str) -> Any:
    if widest is int and kind in (*INTEGERS, dtypes.int4):
        low, high = dtypes.integer_range(kind)
        if not low <= value <= high:
            raise errors.error(
                errors.TripyValueError,
                f"an integer does not fit {kind}.",
                received=f"{errors.brief(value)} beside a tensor of dtype {kind}",
                expected=f"{low} … {high}",
                fix="cast the tensor to a wider dtype, for example tp.cast(tensor, tp.int64)",
                argument=argument,
            )
    if kind is dtypes.float8:
        return numbers_to_array([value], widest, kind).reshape(())
    if widest is int and kind in FLOATS:
        value = to_float(value)  # infinite where no float is as large
    with np.errstate(over="ignore"):
        return np.asarray(value, dtypes.to_numpy(kind))


def adapt_all(values: Sequence[Any], names: Sequence[str]) -> list[Tensor]:
    """Turn operands into tensors of one dtype (Python values adapt; tensors must agree)."""
    tensors = [v for v in values if isinstance(v, Tensor) and not isinstance(v, DimensionSize)] or [
        v for v in values if _leaves(v)[1] is None
    ]
    if tensors:
        first = tensors[0] if isinstance(tensors[0], Tensor) else Tensor(tensors[0])
        kind, place = first.dtype, first.device
    else:
        kind, place = _widest_python(values), devices.default_device()
    adapted = [adapt(v, kind, place, n) for v, n in zip(values, names)]
    same_dtypes([t._value for t in adapted], names)
    return adapted


def _widest_python(values: Sequence[Any]) -> dtype:
    found = [leaf for v in values for leaf in _leaves(_plain(v))[0]]
    widest = max((number_kind(leaf) or float for leaf in found), key=NUMBER_KINDS.__getitem__)
    if widest is int and all(-(2**31) <= int(leaf) < 2**31 for leaf in found):
        return dtypes.int32
    return {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.float32}[widest]


def _plain(value: Any) -> Any:
    return 0 if isinstance(value, DimensionSize) else value


def pair_of(lhs: Any, rhs: Any) -> list[Tensor]:
    """Turn the two operands of an operator into tensors of one dtype."""
    right = type(rhs)
    if isinstance(lhs, Tensor) and type(lhs) is not DimensionSize:
        if isinstance(rhs, Tensor) and right is not DimensionSize:
            if lhs.dtype is not rhs.dtype:
                same_dtypes([lhs._value, rhs._value], ("lhs", "rhs"))
            return [lhs, rhs]
        if right in NUMBER_KINDS:
            return [lhs, adapt(rhs, lhs.dtype, lhs.device, "rhs")]
    return adapt_all((lhs, rhs), ("lhs", "rhs"))
