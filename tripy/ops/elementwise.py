"""Elementwise functions: arithmetic, comparison, rounding, activations, selection and casts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tripy import devices, dtypes, errors, shapes
from tripy.devices import device
from tripy.dtypes import ALL, BOOL, FLOATS, INTEGERS, NUMERIC, dtype
from tripy.graph import Type, Value
from tripy.ops.operands import PACKED_FIX, adapt_all, broadcast_values, dtype_family, pair_of
from tripy.ops.registry import (
    apply,
    describe,
    float_group,
    hook,
    moved,
    per_element,
    primitive,
    same,
)
from tripy.signature import public
from tripy.tensor import (
    DimensionSize,
    Tensor,
    TensorLike,
    make_size,
    number_kind,
    wrap,
)

# --- primitives ------------------------------------------------------------------------------


for _name in ("neg", "abs", "sign", "floor", "ceil", "round", "relu", "invert"):
    primitive(_name, same)
for _name in (
    "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "sigmoid",
):  # fmt: skip
    primitive(_name, same, per_element(10))
for _name in ("erf", "gelu"):
    primitive(_name, same, per_element(400))


def _arithmetic(lhs: Value, rhs: Value) -> Type:
    return lhs.dtype, broadcast_values(lhs, rhs)


def _comparison(lhs: Value, rhs: Value) -> Type:
    return dtypes.bool_, broadcast_values(lhs, rhs)


def _selection(condition: Value, input: Value, other: Value) -> Type:
    return input.dtype, broadcast_values(condition, input, other)


def _conversion(input: Value, dtype: dtype) -> Type:
    return dtype, input.shape


for _name in (
    "add", "sub", "mul", "div", "floordiv", "mod", "maximum", "minimum",
    "bit_and", "bit_or", "bit_xor",
):  # fmt: skip
    primitive(_name, _arithmetic)
primitive("pow", _arithmetic, per_element(10))
primitive("atan2", _arithmetic, per_element(10))
for _name in ("eq", "lt", "le"):
    primitive(_name, _comparison)
primitive("where", _selection)
primitive("cast", _conversion)


def _require(tensor: Tensor, accepted: Sequence[dtype], operation: str, fix: str | None) -> None:
    if tensor.dtype not in accepted:
        raise errors.error(
            errors.TripyTypeError,
            f"this {operation} is not defined for {tensor.dtype}.",
            received=describe(tensor._value),
            expected=errors.one_of(accepted),
            fix=fix or f"tp.cast(lhs, tp.{accepted[0]})",
            argument="lhs",
        )


def _operator(
    name: str,
    accepted: Sequence[dtype],
    boolean: str | None = None,
    fixes: dict[str, str] | None = None,
) -> Callable[[Any, Any], Tensor]:
    """Return the function behind a binary operator; ``boolean`` is its primitive for bool."""

    def operator(lhs: Any, rhs: Any) -> Tensor:
        first, second = pair_of(lhs, rhs)
        kind = first.dtype
        if boolean is not None and kind is dtypes.bool_:
            return apply(boolean, first, second)
        if kind not in accepted:
            _require(first, accepted, "operator", (fixes or {}).get(dtype_family(kind)))
        return apply(name, first, second)

    operator.__name__ = name
    return operator


_add = _operator("add", NUMERIC, "bit_or", PACKED_FIX)
_sub = _operator("sub", NUMERIC, None, {"bool": "use ^ for booleans", **PACKED_FIX})
_mul = _operator("mul", NUMERIC, "bit_and", PACKED_FIX)
_div = _operator(
    "div", FLOATS, None, {"integer": "use //, or tp.cast(lhs, tp.float32) first", **PACKED_FIX}
)
_pow_checked = _operator("pow", NUMERIC, None, PACKED_FIX)
_lt = _operator("lt", (*NUMERIC, *BOOL), None, PACKED_FIX)
_le = _operator("le", (*NUMERIC, *BOOL), None, PACKED_FIX)
_eq = _operator("eq", ALL)


def _ne(lhs: Any, rhs: Any) -> Tensor:
    return apply("invert", _eq(lhs, rhs))


def _divisor(name: str) -> Callable[[Any, Any], Tensor]:
    checked = _operator(name, NUMERIC, None, PACKED_FIX)

    def operator(lhs: Any, rhs: Any) -> Tensor:
        if type(rhs) is int and rhs == 0 and lhs.dtype in INTEGERS:
            raise errors.error(
                errors.TripyValueError,
                "integers cannot be divided by 0.",
                received="the divisor 0",
                expected="another divisor, or floats",
                fix="cast to tp.float32 first, where x / 0 is inf or NaN",
                argument="rhs",
            )
        return checked(lhs, rhs)

    return operator


def _pow(lhs: Any, rhs: Any) -> Tensor:
    if number_kind(rhs) is int and getattr(lhs, "dtype", None) in INTEGERS and int(rhs) < 0:
        raise errors.error(
            errors.TripyValueError,
            "an integer tensor cannot have a negative exponent.",
            received=f"the exponent {rhs}",
            expected="an exponent >= 0, or floats",
            fix="cast the tensor first: tp.cast(tensor, tp.float32)",
            argument="rhs",
        )
    return _pow_checked(lhs, rhs)


def _unary_operator(name: str, accepted: Sequence[dtype]) -> Callable[[Tensor], Tensor]:
    def operator(input: Tensor) -> Tensor:
        _require(input, accepted, "operator", None)
        return input if name == "pos" else apply(name, input)

    return operator


hook(
    add=_add, sub=_sub, mul=_mul, div=_div, pow=_pow, lt=_lt, le=_le, eq=_eq, ne=_ne,
    floordiv=_divisor("floordiv"), mod=_divisor("mod"),
    bit_and=_operator("bit_and", (*BOOL, *INTEGERS)),
    bit_or=_operator("bit_or", (*BOOL, *INTEGERS)),
    bit_xor=_operator("bit_xor", (*BOOL, *INTEGERS)),
    invert=_unary_operator("invert", (*BOOL, *INTEGERS)), pos=_unary_operator("pos", NUMERIC),
)  # fmt: skip

# --- public functions of several inputs ------------------------------------------------------


def _extreme(name: str, boolean: str, lhs: Any, rhs: Any) -> Tensor:
    sizes = [shapes.as_size(v) for v in (lhs, rhs)]
    if None not in sizes and any(isinstance(v, DimensionSize) for v in (lhs, rhs)):
        return make_size(getattr(shapes, name)(*sizes))
    first, second = pair_of(lhs, rhs)
    if first.dtype is dtypes.bool_:
        return apply(boolean, first, second)
    _require(first, (*NUMERIC, *BOOL), name, PACKED_FIX.get(dtype_family(first.dtype)))
    return apply(name, first, second)


@public()
def maximum(lhs: TensorLike, rhs: TensorLike) -> Tensor:
    """Return the larger element of two operands; NaN where either is NaN.

    Args:
        lhs: tensor or number; any numeric dtype or bool.
        rhs: tensor or number of the same dtype, broadcasting with ``lhs``.

    Returns:
        A tensor of the broadcast shape; for bool the logical or. Two sizes give a DimensionSize.

    Raises:
        TripyTypeError: for int4 and float8, or dtypes that differ.
        TripyShapeError: for shapes that do not broadcast.

    Example:
        >>> tp.maximum(tp.Tensor([1, 5]), 3)
        tensor([3, 5], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _extreme("maximum", "bit_or", lhs, rhs)


@public()
def minimum(lhs: TensorLike, rhs: TensorLike) -> Tensor:
    """Return the smaller element of two operands; NaN where either is NaN.

    Args:
        lhs: tensor or number; any numeric dtype or bool.
        rhs: tensor or number of the same dtype, broadcasting with ``lhs``.

    Returns:
        A tensor of the broadcast shape; for bool the logical and. Two sizes give a DimensionSize.

    Raises:
        TripyTypeError: for int4 and float8, or dtypes that differ.
        TripyShapeError: for shapes that do not broadcast.

    Example:
        >>> tp.minimum(tp.Tensor([1, 5]), 3)
        tensor([1, 3], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _extreme("minimum", "bit_and", lhs, rhs)


@public(condition=BOOL)
def where(condition: Tensor, input: TensorLike, other: TensorLike) -> Tensor:
    """Return ``input`` where the condition is True, else ``other``.

    Args:
        condition: bool tensor.
        input: tensor or number, of any dtype.
        other: tensor or number of the same dtype; all three broadcast.

    Returns:
        A tensor of the broadcast shape.

    Raises:
        TripyTypeError: for a condition that is not bool, or dtypes that differ.
        TripyShapeError: for shapes that do not broadcast.

    Example:
        >>> tp.where(tp.Tensor([True, False]), tp.Tensor([1.0, 2.0]), 0.0)
        tensor([1.0000, 0.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    first, second = adapt_all((input, other), ("input", "other"))
    return apply("where", condition, first, second)


@public()
def cast(input: TensorLike, dtype: dtype) -> Tensor:
    """Convert elements to another dtype.

    Floats become integers by truncation toward zero, saturating, with NaN as 0; integers wrap;
    anything becomes bool by comparing with 0; float8 saturates at ±448.

    Args:
        input: tensor or number of any dtype and shape.
        dtype: the dtype of the result.

    Returns:
        A tensor of the same shape; the same object if it has the dtype already.

    Raises:
        TripyTypeError: when ``dtype`` is no tripy data type.

    Example:
        >>> tp.cast(tp.Tensor([1.7, -1.7]), tp.int32)
        tensor([1, -1], dtype=int32, loc=cpu:0, shape=(2,))
    """
    tensor = input if isinstance(input, Tensor) else Tensor(input)
    if tensor.dtype is dtype:
        return tensor
    return apply("cast", tensor, dtype=dtype)


@public()
def copy(input: Tensor, device: device | str) -> Tensor:
    """Return a tensor of equal value on a device.

    Args:
        input: tensor of any dtype and shape.
        device: the device of the result.

    Returns:
        A tensor that is independent of the input. A copy to another device evaluates the input.

    Raises:
        TripyDeviceError: for a device that is not present.
        TripyCompileError: for another device than its own while a function is being compiled.

    Example:
        >>> tp.copy(tp.Tensor([1, 2]), "cpu").device
        cpu:0
    """
    place, value = devices.require(device), input._value
    if place == value.device:
        return wrap(value)
    if value.traced:
        raise errors.error(
            errors.TripyCompileError,
            f"nothing can be copied from {value.device} to {place} while a function is compiled.",
            received=f"device {place}",
            expected=f"the device of the Executable, {value.device}",
            fix="copy the results of the Executable",
            argument="device",
        )
    return wrap(moved(value, place))


def in_float32(function: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    """Compute a composite of float16 or bfloat16 in float32 and round once."""
    if float_group(input.dtype):
        return cast(function(cast(input, dtypes.float32)), input.dtype)
    return function(input)


hook(cast=cast, copy=copy, abs=_unary_operator("abs", NUMERIC), neg=_unary_operator("neg", NUMERIC))
