"""The ONNX form of elementwise primitives, conversions and ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tripy import dtypes
from tripy.graph import Node
from tripy.onnx.builder import Builder, Ref

#: Called with the builder, the node of the graph and its translated inputs.
Row: TypeAlias = "Callable[[Builder, Node, Sequence[Ref]], Ref]"
Formula: TypeAlias = "Callable[..., Ref]"

_WIDE = {
    **dict.fromkeys(("float16", "bfloat16"), "float32"),
    **dict.fromkeys(("int8", "uint8", "int16"), "int32"),
}
FLOATS = frozenset(kind.name for kind in (*dtypes.FLOATS, dtypes.float8))


def plain(op: str) -> Row:
    """The operation of that name, without attributes."""
    return lambda b, node, inputs: b.node(op, *inputs)


def widened(formula: Formula) -> Row:
    """A formula in float32 or int32 for shorter types, rounded once."""

    def row(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
        wide = [b.to(ref, _WIDE.get(ref.dtype, ref.dtype)) for ref in inputs]
        return b.to(formula(b, *wide), node.dtype.name)

    return row


def kinds(floats: Row, integers: Row | None = None, bools: Row | None = None) -> Row:
    """One row per kind of the first input's dtype."""

    def row(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
        kind = inputs[0].dtype
        chosen = bools if kind == "bool" else floats if kind in FLOATS else integers
        return (chosen or floats)(b, node, inputs)

    return row


# Elementwise ---------------------------------------------------------------------------------


def _small(b: Builder, x: Ref, limit: float) -> Ref:
    return b.node("Less", b.node("Abs", x), b.constant(limit, x.dtype))


def _expm1(b: Builder, x: Ref) -> Ref:
    half = b.node("Mul", x, b.constant(0.5, x.dtype))
    near = b.node("Mul", b.node("Sinh", half), b.node("Exp", half))
    near = b.node("Mul", near, b.constant(2, x.dtype))
    far = b.node("Sub", b.node("Exp", x), b.constant(1, x.dtype))
    return b.choose(_small(b, x, 1.0), near, far)


def _log1p(b: Builder, x: Ref) -> Ref:
    one, two = b.constant(1, x.dtype), b.constant(2, x.dtype)
    near = b.node("Mul", b.node("Atanh", b.node("Div", x, b.node("Add", x, two))), two)
    return b.choose(_small(b, x, 0.5), near, b.node("Log", b.node("Add", x, one)))


def _positive(b: Builder, x: Ref) -> Ref:
    return b.node("Max", x, b.constant(0, x.dtype))


def gelu(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    if b.opset >= 20:
        return b.node("Gelu", *inputs, approximate=node.attributes["approximate"])
    form = _gelu_tanh if node.attributes["approximate"] == "tanh" else _gelu_erf
    return widened(form)(b, node, inputs)


def _gelu_erf(b: Builder, x: Ref) -> Ref:
    return _half_of(b, x, b.node("Erf", b.node("Mul", x, b.constant(math.sqrt(0.5), x.dtype))))


def _gelu_tanh(b: Builder, x: Ref) -> Ref:
    cube = b.node("Mul", x, b.node("Mul", x, x))
    inner = b.node("Add", x, b.node("Mul", cube, b.constant(0.044715, x.dtype)))
    scaled = b.node("Mul", inner, b.constant(math.sqrt(2 / math.pi), x.dtype))
    return _half_of(b, x, b.node("Tanh", scaled))


def _half_of(b: Builder, x: Ref, curve: Ref) -> Ref:
    shifted = b.node("Add", curve, b.constant(1, x.dtype))
    return b.node("Mul", b.node("Mul", x, b.constant(0.5, x.dtype)), shifted)


def _apart(b: Builder, lhs: Ref, rhs: Ref) -> Ref:
    """Whether the signs differ."""
    zero = b.constant(0, lhs.dtype)
    return b.node("Xor", b.node("Less", lhs, zero), b.node("Less", rhs, zero))


def _float_parts(b: Builder, lhs: Ref, rhs: Ref) -> tuple[Ref, Ref]:
    """Remainder toward zero, and whether the one toward minus infinity is another."""
    rest = b.node("Mod", lhs, rhs, fmod=1)
    exact = b.node("Equal", rest, b.constant(0, rest.dtype))
    return rest, b.node("And", b.node("Not", exact), _apart(b, rest, rhs))


def _float_mod(b: Builder, lhs: Ref, rhs: Ref) -> Ref:
    rest, below = _float_parts(b, lhs, rhs)
    return b.choose(below, b.node("Add", rest, rhs), rest)


def _float_floordiv(b: Builder, lhs: Ref, rhs: Ref) -> Ref:
    rest, below = _float_parts(b, lhs, rhs)
    whole = b.node("Round", b.node("Div", b.node("Sub", lhs, rest), rhs))
    quotient = b.node("Sub", whole, b.to(below, lhs.dtype))
    by_zero = b.node("Equal", rhs, b.constant(0, rhs.dtype))
    return b.choose(by_zero, b.node("Div", lhs, rhs), quotient)


def _integer_division(part: str) -> Formula:
    """0 and -1 as divisors are set apart, because runtimes may stop at them."""

    def formula(b: Builder, lhs: Ref, rhs: Ref) -> Ref:
        zero, one = b.constant(0, lhs.dtype), b.constant(1, lhs.dtype)
        by_zero = b.node("Equal", rhs, zero)
        negated = b.node("Equal", rhs, b.constant(-1, lhs.dtype))
        divisor = b.choose(b.node("Or", by_zero, negated), one, rhs)
        if part == "mod":
            return b.choose(by_zero, zero, b.remainder(lhs, divisor))
        quotient = b.choose(negated, b.node("Neg", lhs), b.quotient(lhs, divisor))
        return b.choose(by_zero, zero, quotient)

    return formula


def _power_by(b: Builder, base: Ref, exponent: int) -> Ref:
    """A known exponent: exact, and wraps."""
    result, square = b.constant(1, base.dtype), base
    while exponent:
        if exponent & 1:
            result = b.node("Mul", result, square)
        exponent >>= 1
        square = b.node("Mul", square, square) if exponent else square
    return result


def _power(b: Builder, base: Ref, exponent: Ref) -> Ref:
    one, two = b.constant(1, base.dtype), b.constant(2, base.dtype)
    result, square, rest = one, base, exponent
    for _ in range(63 if base.dtype == "int64" else 31):
        factor = _if_odd(b, rest, square)
        result = b.node("Mul", result, factor)
        rest, square = b.node("Div", rest, two), b.node("Mul", square, square)
    zero = b.constant(0, base.dtype)
    is_unit = b.node("Equal", b.node("Mul", base, base), one)
    unit = b.choose(is_unit, _if_odd(b, exponent, base), zero)
    return b.choose(b.node("Less", exponent, zero), unit, result)


def _if_odd(b: Builder, exponent: Ref, factor: Ref) -> Ref:
    one, two = b.constant(1, factor.dtype), b.constant(2, factor.dtype)
    return b.choose(b.node("Equal", b.node("Mod", exponent, two), one), factor, one)


def integer_power(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    known = node.inputs[1].data
    if known is not None and known.size == 1 and known.item() >= 0:
        exponent = known.item()
        power = widened(lambda b, base: _power_by(b, base, exponent))(b, node, inputs[:1])
        return b.node("Expand", power, b.shape(node.shape)) if known.ndim else power
    return widened(_power)(b, node, inputs)


def _atan2(b: Builder, y: Ref, x: Ref) -> Ref:
    zero, turn = b.constant(0, x.dtype), b.constant(math.pi, x.dtype)
    endless = b.node("And", b.node("IsInf", y), b.node("IsInf", x))
    y, x = (b.choose(endless, b.node("Sign", v), v) for v in (y, x))
    divisor = b.choose(b.node("Equal", x, zero), zero, x)
    slope = b.choose(b.node("Equal", y, zero), zero, b.node("Div", y, divisor))
    half = b.choose(b.node("Less", y, zero), b.node("Neg", turn), turn)
    angle = b.node("Atan", slope)
    angle = b.node("Add", angle, b.choose(b.node("Less", x, zero), half, zero))
    unknown = b.node("Or", b.node("IsNaN", x), b.node("IsNaN", y))
    return b.choose(unknown, b.node("Add", x, y), angle)


# Conversion ----------------------------------------------------------------------------------


def converted(b: Builder, x: Ref, dtype: str) -> Ref:
    """The conversion of tripy: floats to integers truncate and saturate, NaN becomes 0."""
    if x.dtype not in FLOATS or dtype in FLOATS or dtype == "bool":
        return b.to(x, dtype)
    low, high = dtypes.integer_range(dtypes.BY_NAME[dtype])
    wide = b.to(x, "float64")
    known = b.choose(b.node("IsNaN", wide), b.constant(0, "float64"), wide)
    # The largest float64 below the limit of int64, which is no float64.
    top = float(high) if dtype != "int64" else float(2**63 - 1024)
    inside = b.node("Clip", known, b.constant(low, "float64"), b.constant(top, "float64"))
    if dtype != "int64":
        return b.to(b.to(inside, "int32"), dtype)
    beyond = b.node("Greater", wide, b.constant(top, "float64"))
    return b.choose(beyond, b.constant(high, "int64"), b.to(inside, "int64"))


def cast(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    return converted(b, inputs[0], node.dtype.name)


def arange(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    """Counted in int64; fractions in float64, rounded once."""
    start, step, count = node.attributes["start"], node.attributes["step"], node.shape[0]
    if not isinstance(start, float) and not isinstance(step, float):
        whole = b.node("Range", b.size(start), b.size(start + step * count), b.size(step))
        return converted(b, whole, node.dtype.name)
    positions = b.to(b.node("Range", b.size(0), b.size(count), b.size(1)), "float64")
    scaled = b.node("Mul", positions, _float(b, step))
    return converted(b, b.node("Add", scaled, _float(b, start)), node.dtype.name)


def _float(b: Builder, number: Any) -> Ref:
    is_plain = isinstance(number, (int, float))
    return b.constant(number, "float64") if is_plain else b.to(b.size(number), "float64")


def size(b: Builder, node: Node, inputs: Sequence[Ref]) -> Ref:
    return b.to(b.size(node.attributes["size"]), "int32")


#: Primitives that are one operation of ONNX.
PLAIN = {
    "neg": "Neg", "abs": "Abs", "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "erf": "Erf", "sigmoid": "Sigmoid", "add": "Add", "sub": "Sub", "mul": "Mul",
    "div": "Div", "maximum": "Max", "minimum": "Min", "eq": "Equal", "lt": "Less",
    "le": "LessOrEqual", "where": "Where",
}  # fmt: skip

ELEMENTWISE: dict[str, Row] = {
    **{name: plain(op) for name, op in PLAIN.items()},
    "relu": kinds(plain("Relu"), widened(_positive)),
    "expm1": widened(_expm1),
    "log1p": widened(_log1p),
    "gelu": gelu,
    "invert": kinds(plain("BitwiseNot"), bools=plain("Not")),
    "floordiv": kinds(widened(_float_floordiv), widened(_integer_division("floordiv"))),
    "mod": kinds(widened(_float_mod), widened(_integer_division("mod"))),
    "pow": kinds(plain("Pow"), integer_power),
    "atan2": widened(_atan2),
    "bit_and": kinds(plain("BitwiseAnd"), bools=plain("And")),
    "bit_or": kinds(plain("BitwiseOr"), bools=plain("Or")),
    "bit_xor": kinds(plain("BitwiseXor"), bools=plain("Xor")),
    "cast": cast,
    "arange": arange,
    "size": size,
}
