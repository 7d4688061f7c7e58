"""Elementwise functions: arithmetic, comparison, rounding, activations, selection and casts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tripy import devices, dtypes, errors, shapes
from tripy.devices import device
from tripy.dtypes import ALL, BOOL, FLOATS, INTEGERS, NUMERIC, dtype
from tripy.graph import Type, Value
from tripy.ops.registry import (
    apply,
    describe,
    float_group,
    hook,
    option,
    primitive,
    same,
    same_dtypes,
    shape_error,
)
from tripy.signature import public
from tripy.tensor import (
    DimensionSize,
    Tensor,
    TensorLike,
    make_size,
    number_kind,
    numbers_to_array,
    wrap,
)

# --- primitives ------------------------------------------------------------------------------

_TRANSCENDENTAL_WORK = 10


def _expensive(node: Any) -> float:
    return _TRANSCENDENTAL_WORK * float(np.prod([shapes.optimum(s) for s in node.shape]))


for _name in ("neg", "abs", "sign", "floor", "ceil", "round", "relu", "invert"):
    primitive(_name, same)
for _name in (
    "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "tanh", "erf", "sigmoid", "gelu",
):  # fmt: skip
    primitive(_name, same, _expensive)


def broadcast_values(*values: Value) -> shapes.Shape:
    """Return the shape that operands broadcast to; TripyShapeError where they do not."""
    result = shapes.broadcast(*[value.shape for value in values])
    if result is None:
        raise shape_error(
            "the shapes do not broadcast.",
            *values,
            expected="aligned from the last dim, sizes are equal or one of them is 1",
            argument="rhs",
        )
    return result


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
primitive("pow", _arithmetic, _expensive)
primitive("atan2", _arithmetic, _expensive)
for _name in ("eq", "lt", "le"):
    primitive(_name, _comparison)
primitive("where", _selection)
primitive("cast", _conversion)

# --- operands: tensors, Python values, sizes -------------------------------------------------

_RANK = {bool: 0, int: 1, float: 2}
_REFUSED = {("bool", int), ("bool", float), ("integer", float)}


def _literal(data: Any, kind: dtype, place: devices.device) -> Tensor:
    value = Value(kind, data.shape, place, data=data)
    value.literal = data.ndim == 0
    return wrap(value)


def _leaves(value: Any) -> tuple[list[Any], type | None]:
    """Return the numbers of a Python operand and their widest kind; None for array objects."""
    leaves = [value]
    while leaves and all(isinstance(leaf, (list, tuple)) for leaf in leaves):
        leaves = [leaf for item in leaves for leaf in item]
    kinds = [number_kind(leaf) for leaf in leaves]
    known = [kind for kind in kinds if kind is not None]
    if len(known) != len(kinds):
        return leaves, None
    return leaves, max(known, key=_RANK.__getitem__, default=float)


def adapt(value: Any, kind: dtype, place: devices.device, argument: str) -> Tensor:
    """Turn an operand beside a tensor of dtype ``kind`` into a tensor of that dtype."""
    if isinstance(value, DimensionSize):
        if isinstance(value._size, int):
            value = value._size
        elif kind is not dtypes.bool_:
            return cast(wrap(value._value), kind)
    if isinstance(value, Tensor):
        return value
    plain = type(value)
    leaves, widest = ([value], plain) if plain in _RANK else _leaves(value)
    if widest is None:
        return Tensor(value, device=place)
    family = "bool" if kind is dtypes.bool_ else "float" if kind in _FLOATING else "integer"
    if (family, widest) in _REFUSED:
        raise errors.error(
            errors.TripyTypeError,
            f"a Python {widest.__name__} does not adapt to a {kind} tensor.",
            received=f"{value!r} beside a tensor of dtype {kind}",
            fix=f"cast the tensor first: tp.cast(tensor, {_WIDER[widest]})",
            argument=argument,
        )
    if plain in _RANK:
        return _literal(_scalar(value, widest, kind, argument), kind, place)
    shape = np.shape(value) if not isinstance(value, (list, tuple)) else Tensor(value)._value.shape
    array = numbers_to_array(leaves, widest, kind).reshape(shape)
    return _literal(array, kind, place)


_FLOATING = (*FLOATS, dtypes.float8)
_WIDER = {int: "tp.int32", float: "tp.float32"}


def _scalar(value: Any, widest: type, kind: dtype, argument: str) -> Any:
    if widest is int and kind in (*INTEGERS, dtypes.int4):
        low, high = dtypes.integer_range(kind)
        if not low <= value <= high:
            raise errors.error(
                errors.TripyValueError,
                f"the integer {value} does not fit {kind}.",
                received=f"{value} beside a tensor of dtype {kind}",
                expected=f"{low} … {high}",
                fix="cast the tensor to a wider dtype, for example tp.cast(tensor, tp.int64)",
                argument=argument,
            )
    if kind is dtypes.float8:
        return numbers_to_array([value], widest, kind).reshape(())
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
    widest = max((number_kind(leaf) or float for leaf in found), key=_RANK.__getitem__)
    if widest is int and all(-(2**31) <= int(leaf) < 2**31 for leaf in found):
        return dtypes.int32
    return {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.float32}[widest]


def _plain(value: Any) -> Any:
    return 0 if isinstance(value, DimensionSize) else value


def _pair(lhs: Any, rhs: Any) -> list[Tensor]:
    left, right = type(lhs), type(rhs)
    if left is Tensor and right is Tensor:
        if lhs.dtype is not rhs.dtype:
            same_dtypes([lhs._value, rhs._value], ("lhs", "rhs"))
        return [lhs, rhs]
    if left is Tensor and right in _RANK:
        return [lhs, adapt(rhs, lhs.dtype, lhs.device, "rhs")]
    return adapt_all((lhs, rhs), ("lhs", "rhs"))


def _require(tensor: Tensor, accepted: Sequence[dtype], operation: str, fix: str | None) -> None:
    if tensor.dtype not in accepted:
        raise errors.error(
            errors.TripyTypeError,
            f"{operation} is not defined for {tensor.dtype}.",
            received=describe(tensor._value),
            expected="one of " + ", ".join(k.name for k in accepted),
            fix=fix,
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
        first, second = _pair(lhs, rhs)
        kind = first.dtype
        if boolean is not None and kind is dtypes.bool_:
            return apply(boolean, first, second)
        if kind not in accepted:
            _require(first, accepted, f"{name!r}", (fixes or {}).get(_family(kind)))
        return apply(name, first, second)

    operator.__name__ = name
    return operator


def _family(kind: dtype) -> str:
    if kind in INTEGERS:
        return "integer"
    return "packed" if kind in dtypes.PACKED else kind.name


_PACKED_FIX = {"packed": "dequantize it first: tp.dequantize(tensor, scale, tp.float32)"}
_add = _operator("add", NUMERIC, "bit_or", _PACKED_FIX)
_sub = _operator("sub", NUMERIC, None, {"bool": "use ^ for booleans", **_PACKED_FIX})
_mul = _operator("mul", NUMERIC, "bit_and", _PACKED_FIX)
_div = _operator(
    "div", FLOATS, None, {"integer": "use // , or cast to tp.float32 first", **_PACKED_FIX}
)
_pow_checked = _operator("pow", NUMERIC, None, _PACKED_FIX)
_lt = _operator("lt", (*NUMERIC, *BOOL), None, _PACKED_FIX)
_le = _operator("le", (*NUMERIC, *BOOL), None, _PACKED_FIX)
_eq = _operator("eq", ALL)


def _ne(lhs: Any, rhs: Any) -> Tensor:
    return apply("invert", _eq(lhs, rhs))


def _divisor(name: str) -> Callable[[Any, Any], Tensor]:
    checked = _operator(name, NUMERIC, None, _PACKED_FIX)

    def operator(lhs: Any, rhs: Any) -> Tensor:
        if type(rhs) is int and rhs == 0 and lhs.dtype in INTEGERS:
            raise errors.error(
                errors.TripyValueError, "integer division by 0.", received="0", argument="rhs"
            )
        return checked(lhs, rhs)

    return operator


def _pow(lhs: Any, rhs: Any) -> Tensor:
    if number_kind(rhs) is int and getattr(lhs, "dtype", None) in INTEGERS and int(rhs) < 0:
        raise errors.error(
            errors.TripyValueError,
            "an integer tensor cannot have a negative exponent.",
            received=f"exponent {rhs}",
            fix="cast the tensor to tp.float32 first",
            argument="rhs",
        )
    return _pow_checked(lhs, rhs)


def _unary_operator(name: str, accepted: Sequence[dtype]) -> Callable[[Tensor], Tensor]:
    def operator(input: Tensor) -> Tensor:
        _require(input, accepted, name, None)
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

# --- public functions of one input -----------------------------------------------------------


@public(input=FLOATS)
def exp(input: Tensor) -> Tensor:
    """Return e to the power of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.exp(tp.Tensor([0.0, 1.0]))
        tensor([1.0000, 2.7183], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("exp", input)


@public(input=FLOATS)
def log(input: Tensor) -> Tensor:
    """Return the natural logarithm of every element; NaN below 0, -inf at 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.log(tp.Tensor([1.0, 2.0]))
        tensor([0.0000, 0.6931], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("log", input)


@public(input=FLOATS)
def sqrt(input: Tensor) -> Tensor:
    """Return the square root of every element; NaN below 0.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sqrt(tp.Tensor([4.0, 2.0]))
        tensor([2.0000, 1.4142], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sqrt", input)


def in_float32(function: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    """Compute a composite of float16 or bfloat16 in float32 and round once."""
    if float_group(input.dtype):
        return cast(function(cast(input, dtypes.float32)), input.dtype)
    return function(input)


@public(input=FLOATS)
def rsqrt(input: Tensor) -> Tensor:
    """Return 1 / sqrt(x) of every element; inf at 0, NaN below.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.rsqrt(tp.Tensor([4.0, 16.0]))
        tensor([0.5000, 0.2500], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: 1.0 / apply("sqrt", x), input)


@public(input=FLOATS)
def sin(input: Tensor) -> Tensor:
    """Return the sine of every element, in radians.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sin(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.8415], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sin", input)


@public(input=FLOATS)
def cos(input: Tensor) -> Tensor:
    """Return the cosine of every element, in radians.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.cos(tp.Tensor([0.0, 1.0]))
        tensor([1.0000, 0.5403], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("cos", input)


@public(input=FLOATS)
def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.tanh(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.7616], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("tanh", input)


@public(input=FLOATS)
def erf(input: Tensor) -> Tensor:
    """Return the Gauss error function of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.erf(tp.Tensor([0.0, 1.0]))
        tensor([0.0000, 0.8427], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("erf", input)


@public(input=NUMERIC)
def abs(input: Tensor) -> Tensor:
    """Return the absolute value of every element; the most negative integer stays.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.abs(tp.Tensor([-2, 3]))
        tensor([2, 3], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return apply("abs", input)


@public(input=NUMERIC)
def neg(input: Tensor) -> Tensor:
    """Return the negated elements; integers wrap.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.neg(tp.Tensor([-2, 3]))
        tensor([2, -3], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return apply("neg", input)


@public(input=NUMERIC)
def relu(input: Tensor) -> Tensor:
    """Return max(x, 0) of every element.

    Args:
        input: tensor of any shape and any numeric dtype.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.relu(tp.Tensor([-1.0, 2.0]))
        tensor([0.0000, 2.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("relu", input)


@public(input=FLOATS)
def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + e^-x) of every element.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.sigmoid(tp.Tensor([0.0, 1.0]))
        tensor([0.5000, 0.7311], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("sigmoid", input)


@public(input=FLOATS)
def silu(input: Tensor) -> Tensor:
    """Return x * sigmoid(x) of every element (Hendrycks and Gimpel, 2016).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.silu(tp.Tensor([-1.0, 1.0]))
        tensor([-0.2689, 0.7311], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return in_float32(lambda x: x * apply("sigmoid", x), input)


@public(input=FLOATS)
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return the Gaussian error linear unit of every element (Hendrycks and Gimpel, 2016).

    ``"none"`` is 0.5·x·(1 + erf(x/√2)); ``"tanh"`` is 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        approximate: ``"none"`` or ``"tanh"``.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyTypeError: for other dtypes.
        TripyValueError: for another option.

    Example:
        >>> tp.gelu(tp.Tensor([-1.0, 1.0]))
        tensor([-0.1587, 0.8413], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return apply("gelu", input, approximate=option(approximate, ("none", "tanh"), "approximate"))


# --- public functions of several inputs ------------------------------------------------------


def _extreme(name: str, boolean: str, lhs: Any, rhs: Any) -> Tensor:
    sizes = [shapes.as_size(v) for v in (lhs, rhs)]
    if None not in sizes and any(isinstance(v, DimensionSize) for v in (lhs, rhs)):
        return make_size(getattr(shapes, name)(*sizes))
    first, second = _pair(lhs, rhs)
    if first.dtype is dtypes.bool_:
        return apply(boolean, first, second)
    _require(first, (*NUMERIC, *BOOL), name, _PACKED_FIX.get(_family(first.dtype)))
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
        A tensor that is independent of the input.

    Raises:
        TripyDeviceError: for a device that is not present.

    Example:
        >>> tp.copy(tp.Tensor([1, 2]), "cpu").device
        cpu:0
    """
    place = devices.require(device)
    if place != input.device:
        raise errors.error(
            errors.TripyDeviceError,
            f"nothing can be copied from {input.device} to {place} here.",
            argument="device",
        )
    return wrap(input._value)


hook(cast=cast, copy=copy, abs=_unary_operator("abs", NUMERIC), neg=_unary_operator("neg", NUMERIC))
