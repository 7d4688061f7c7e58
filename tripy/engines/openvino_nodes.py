"""Node helpers of the OpenVINO rows, and their arithmetic.

What the CPU plugin does with int32 (2026.4): add, subtract, multiply, minimum, maximum, bitwise
operations, cumulative sums, products and TopK are exact; comparisons, division, sums, extremes and
matrix products go through float32, and so does whatever is fused with them. 8-bit arithmetic
saturates; conversions to int16 or float16 and back are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import openvino as ov
from openvino import Node, Output
from openvino import opset15 as op

from tripy.engines.openvino_processor import truncates_bfloat16

Attrs: TypeAlias = Mapping[str, Any]
Inputs: TypeAlias = Sequence[Output]
Shape: TypeAlias = tuple[Any, ...]
Unary: TypeAlias = "Callable[[Output], Output | Node]"
Binary: TypeAlias = "Callable[[Output, Output], Output | Node]"
Row: TypeAlias = "Callable[[Context, Inputs, Attrs, Shape, str], Output]"
Check: TypeAlias = Callable[[Sequence[str], Attrs, Sequence[Shape]], str | None]

DTYPES: dict[str, ov.Type] = {
    "float32": ov.Type.f32,
    "float16": ov.Type.f16,
    "bfloat16": ov.Type.bf16,
    "float64": ov.Type.f64,
    "float8": ov.Type.f8e4m3,
    "int4": ov.Type.i4,
    "int8": ov.Type.i8,
    "uint8": ov.Type.u8,
    "int16": ov.Type.i16,
    "int32": ov.Type.i32,
    "int64": ov.Type.i64,
    "bool": ov.Type.boolean,
}
F16, F32, I32, I64 = ov.Type.f16, ov.Type.f32, ov.Type.i32, ov.Type.i64
HALVES = (ov.Type.f16, ov.Type.bf16)
SMALL_INTEGERS = (ov.Type.i8, ov.Type.u8, ov.Type.i16)
LEAST_INT32 = -(2**31)
LARGEST_FLOAT = float(np.finfo(np.float32).max)
#: Bits, least and largest value.
INTEGER_LIMITS = {
    "int4": (4, -8, 7),
    "int8": (8, -128, 127),
    "uint8": (8, 0, 255),
    "int16": (16, -(2**15), 2**15 - 1),
    "int32": (32, LEAST_INT32, 2**31 - 1),
}
PACKED_CARRIER = {ov.Type.i4: I32, ov.Type.f8e4m3: F32}
#: Bits of an exponent that is not negative.
EXPONENT_BITS = {"int8": 7, "uint8": 8, "int16": 15, "int32": 31}


class Context(Protocol):
    """What a row may ask of the engine: sizes, which may be symbolic, as nodes."""

    made: dict[Any, list[Output]]  # nodes of plugins, by call

    def size(self, dim: Any) -> Output:
        """Rank-0 int64 node of one size."""

    def shape(self, dims: Sequence[Any]) -> Output:
        """Rank-1 int64 node of several sizes; a Constant if all are ints."""


def out(node: Node) -> Output:
    """The only output of `node`."""
    return node.output(0)


def element_type(x: Output | Node) -> ov.Type:
    return x.get_element_type()


def rank(x: Output) -> int:
    return int(x.get_partial_shape().rank.get_length())


def is_integer(x: Output) -> bool:
    return element_type(x) == I32 or element_type(x) in SMALL_INTEGERS


def is_bool(x: Output) -> bool:
    return bool(element_type(x) == ov.Type.boolean)


def const(value: Any, like: Output | Node | ov.Type) -> Output:
    """Constant of the element type `like`, or of that of the output `like`."""
    kind = like if isinstance(like, ov.Type) else element_type(like)
    return out(op.constant(value, kind))


def filled(ctx: Context, value: Any, shape: Shape, dtype: str) -> Output:
    """One value in every element of `shape`."""
    return out(op.broadcast(const(value, DTYPES[dtype]), ctx.shape(shape)))


def indices(values: Sequence[int] | np.ndarray[Any, Any]) -> Output:
    return out(op.constant(np.array(values, np.int64)))


def convert(x: Output, kind: ov.Type) -> Output:
    return x if element_type(x) == kind else out(op.convert(x, kind))


def wide_integers(x: Output) -> Output:
    """int32 for 8- and 16-bit integers; halves as they are where kernels round to them."""
    kind = element_type(x)
    if kind == ov.Type.bf16 and truncates_bfloat16():
        return convert(x, F32)
    return convert(x, I32) if kind in SMALL_INTEGERS else x


def wide(x: Output) -> Output:
    """The type to compute in: float32 for 16-bit floats, int32 for small integers."""
    return convert(x, F32) if element_type(x) in HALVES else wide_integers(x)


def wrapped(x: Output | Node, bits: int) -> Node:
    """int32 with the low bits of a signed type, in its range."""
    half, mask = const(2 ** (bits - 1), I32), const(2**bits - 1, I32)
    return op.subtract(op.bitwise_and(op.add(x, half), mask), half)


def narrow(x: Output | Node, dtype: str) -> Output:
    """`x` in the declared dtype; the conversion of integers wraps."""
    if dtype in ("int16", "int4") and element_type(x) == I32:
        # The plugin drops a conversion to int16 and back.
        x = wrapped(x, INTEGER_LIMITS[dtype][0])
    result = out(x) if isinstance(x, Node) else x
    if dtype == "bfloat16" and element_type(result) == F32 and truncates_bfloat16():
        result = rounded_to_bfloat16(result)
    return convert(result, DTYPES[dtype])


def as_int32(condition: Node | Output) -> Node:
    """0 or 1. Also keeps the plugin from fusing int32 arithmetic with float32 comparisons."""
    return op.convert(condition, I32)


def constant_value(x: Output) -> np.ndarray[Any, Any] | None:
    """The array behind a Constant, None for any other node."""
    node = x.get_node()
    return np.array(node.get_data()) if node.get_type_name() == "Constant" else None


def known_size(x: Output, dim: int) -> int | None:
    size = x.get_partial_shape()[dim]
    return None if size.is_dynamic else int(size.get_length())


def size_of(x: Output, dim: int) -> Output:
    """Size of one dim of `x` as a rank-0 int32 node."""
    known = known_size(x, dim)
    if known is not None:
        return const(known, I32)
    return out(op.gather(op.shape_of(x, "i32"), const(dim, I32), const(0, I32)))


def chosen(condition: Output | Node, lhs: Output, rhs: Output) -> Output:
    if is_bool(lhs):  # the plugin changes the type of a condition that is an operand, too
        other = op.logical_and(op.logical_not(condition), rhs)
        return out(op.logical_or(op.logical_and(condition, lhs), other))
    if element_type(lhs) != I32:
        return out(op.select(condition, lhs, rhs))
    # A Select that is fused with a comparison goes through float32.
    return out(op.add(rhs, op.multiply(as_int32(condition), op.subtract(lhs, rhs))))


def magnitude(x: Output | Node) -> Node:
    """|x|. The plugin drops Abs after the conversion of a rank-1 Constant, hence the maximum."""
    return op.maximum(x, op.subtract(const(0, x), x))


def barrier(x: Output | Node) -> Output:
    """`x`, NaN too. Quantized programs pull factors out of differences, but not past this."""
    least = op.convert(const(-math.inf, F32), element_type(x))  # no bfloat16 constant takes it
    return out(op.maximum(least, x))


def unfused(x: Output) -> Output:
    """`x`, by a kernel of its own."""
    make = op.bitwise_or if is_integer(x) else op.logical_or if is_bool(x) else op.maximum
    return out(make(x, x))


# Rounding to float16: the plugin computes float16 in float32 and drops the conversions between.


def on_grid(x: Output, bits: int, smallest: int) -> Node:
    """float32 values rounded to so many bits, and to a multiple of 2 ** smallest near zero."""
    spread = barrier(op.multiply(x, const(2.0 ** (24 - bits) + 1, F32)))
    normal = op.subtract(spread, op.subtract(spread, x))
    grid = op.multiply(x, const(2.0**-smallest, F32))
    tiny = op.multiply(op.round(grid, "half_to_even"), const(2.0**smallest, F32))
    return op.select(op.less(magnitude(x), const(2.0 ** (smallest + bits - 1), F32)), tiny, normal)


def rounded_to_half(x: Output) -> Output:
    """float32 values rounded to the nearest float16, as the conversion should do."""
    value, size = on_grid(x, 11, -24), magnitude(x)
    # Written so that NaN takes the finite branch and stays NaN.
    overflow = op.greater_equal(size, const(65520.0, F32))
    return out(op.select(overflow, op.multiply(op.sign(x), const(math.inf, F32)), value))


def settled(x: Output) -> Output:
    """The wide form of `x` for functions with steps, which see every rounding."""
    stored = x.get_node().get_type_name() in ("Parameter", "Constant")
    if element_type(x) == HALVES[0] and not stored:
        return rounded_to_half(convert(x, F32))
    return wide(x)


# Elementwise functions of one input.


def exp(x: Output) -> Node:
    # The plugin gives inf for NaN; this comparison, unlike IsNaN, is fused.
    return op.select(op.equal(x, x), op.exp(x), x)


def expm1(x: Output) -> Node:
    half = op.multiply(x, const(0.5, F32))
    near = op.multiply(op.multiply(op.sinh(half), op.exp(half)), const(2.0, F32))
    is_near = op.less(magnitude(x), const(1.0, F32))
    return op.select(is_near, near, op.subtract(exp(x), const(1.0, F32)))


def log1p(x: Output) -> Node:
    ratio = op.divide(x, op.add(x, const(2.0, F32)))
    near = op.multiply(op.atanh(ratio), const(2.0, F32))
    is_near = op.less(magnitude(x), const(0.5, F32))
    return op.select(is_near, near, op.log(op.add(x, const(1.0, F32))))


def relu(x: Output) -> Node:
    return op.maximum(x, const(0, x)) if is_integer(x) else op.relu(x)


def negative(x: Output) -> Node:
    return op.subtract(const(0, x), x) if is_integer(x) else op.negative(x)


def invert(x: Output) -> Node:
    return op.logical_not(x) if is_bool(x) else op.bitwise_not(x)


def gelu(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    form = {"none": "erf", "tanh": "tanh"}[attrs["approximate"]]
    return narrow(op.gelu(inputs[0], form), dtype)


# Elementwise functions of two inputs.


def equal_integers(lhs: Output, rhs: Output) -> Node:
    """Exact in int32: only the comparison with zero goes through float32."""
    return op.equal(op.bitwise_xor(lhs, rhs), const(0, I32))


def less_equal_integers(lhs: Output, rhs: Output) -> Node:
    return equal_integers(out(op.maximum(lhs, rhs)), rhs)


def less_integers(lhs: Output, rhs: Output) -> Node:
    return op.logical_not(less_equal_integers(rhs, lhs))


def compare(make: Callable[..., Node]) -> Binary:
    return lambda lhs, rhs: make(settled(lhs), settled(rhs))


def less_bools(lhs: Output, rhs: Output) -> Node:
    return op.logical_and(op.logical_not(lhs), rhs)


def less_equal_bools(lhs: Output, rhs: Output) -> Node:
    return op.logical_or(op.logical_not(lhs), rhs)


def divided_integers(lhs: Output, rhs: Output) -> tuple[Node, Node]:
    """Quotient and remainder toward minus infinity of int32, both 0 where `rhs` is 0."""
    zero = const(0, I32)
    by_zero = as_int32(op.equal(rhs, zero))
    divisor = op.add(rhs, by_zero)
    quotient, rest = zero, lhs
    # float32 quotients are short of bits; the second round divides what the first one left.
    for _ in range(2):
        ratio = op.divide(op.convert(rest, F32), op.convert(divisor, F32))
        part = op.convert(op.round(ratio, "half_to_even"), I32)
        quotient = op.add(quotient, part)
        rest = op.subtract(rest, op.multiply(part, divisor))
    apart = op.logical_xor(op.less(rest, zero), op.less(divisor, zero))
    below = as_int32(op.logical_and(apart, op.not_equal(rest, zero)))
    quotient = op.multiply(op.subtract(quotient, below), op.subtract(const(1, I32), by_zero))
    return quotient, op.add(rest, op.multiply(below, divisor))


def divided_small(lhs: Output, rhs: Output) -> tuple[Node, Node]:
    """Quotient and remainder of int32 from 0, or 1 for `rhs`, to 2^24."""
    ratio = op.divide(op.convert(lhs, F32), op.convert(rhs, F32))
    nearest = op.convert(op.round(ratio, "half_to_even"), I32)
    rest = op.subtract(lhs, op.multiply(nearest, rhs))
    above = as_int32(op.less(rest, const(0, I32)))
    return op.subtract(nearest, above), op.add(rest, op.multiply(above, rhs))


def halves_of(x: Output | Node) -> tuple[Node, Node]:
    """`x` as a sum of two floats of 12 bits each, whose products are exact."""
    spread = barrier(op.multiply(x, const(4097.0, F32)))
    high = op.subtract(spread, op.subtract(spread, x))
    return high, op.subtract(x, high)


def exact_product_error(lhs: Node, rhs: Output, product: Node) -> Node:
    """What float32 rounding removed from `product`."""
    (high, low), (top, rest) = halves_of(lhs), halves_of(rhs)
    error = op.subtract(op.multiply(high, top), product)
    for pair in ((high, rest), (low, top), (low, rest)):
        error = op.add(error, op.multiply(*pair))
    return error


def divided_floats(lhs: Output, rhs: Output) -> tuple[Node, Node]:
    """Quotient and remainder toward minus infinity; the remainder is not lost to rounding."""
    zero, one = const(0.0, F32), const(1.0, F32)
    endless = op.is_inf(rhs)
    large = op.multiply(op.sign(rhs), const(LARGEST_FLOAT, F32))
    divisor = out(op.select(endless, large, rhs))
    quotient = op.round(op.divide(lhs, divisor), "half_to_even")
    product = op.multiply(quotient, divisor)
    error = exact_product_error(quotient, divisor, product)
    rest = op.subtract(op.subtract(lhs, product), op.select(op.is_finite(error), error, zero))
    below = op.less(op.multiply(op.sign(rest), op.sign(divisor)), zero)
    quotient = op.subtract(quotient, op.select(below, one, zero))
    undefined = op.logical_and(op.is_nan(rest), op.not_equal(rhs, zero))
    rest = op.add(rest, op.select(below, op.select(endless, rhs, divisor), zero))
    return op.select(undefined, const(math.nan, F32), quotient), rest


def divided(
    make: Callable[[Output, Output], tuple[Any, Any]], part: int, lhs: Output, rhs: Output
) -> Any:
    return make(wide(lhs), wide(rhs))[part]


def in_float32(make: Binary) -> Binary:
    return lambda lhs, rhs: make(wide(lhs), wide(rhs))


def power_of_integers(base: Output, exponent: Output, bits: int) -> Node:
    """Repeated squaring; a negative exponent leaves something of 1 and -1 only."""
    one = const(1, I32)
    known = constant_value(exponent)
    if known is not None and known.size and known.min() >= 0:
        bits = int(known.max()).bit_length()
    result, square = one, base
    for bit in range(bits):
        square = op.multiply(square, square) if bit else square
        present = op.bitwise_and(op.bitwise_right_shift(exponent, const(bit, I32)), one)
        factor = op.add(one, op.multiply(present, op.subtract(square, one)))
        result = op.multiply(result, factor)
    vanishes = op.logical_and(op.less(exponent, const(0, I32)), op.not_equal(magnitude(base), one))
    return op.multiply(result, as_int32(op.logical_not(vanishes)))


def power(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    lhs, rhs = map(wide, inputs)
    if is_integer(lhs):
        return narrow(power_of_integers(lhs, rhs, EXPONENT_BITS[dtype]), dtype)
    return narrow(op.power(lhs, rhs), dtype)


def atan2(y: Output, x: Output) -> Node:
    zero, pi = const(0.0, F32), const(math.pi, F32)
    diagonal = op.logical_and(op.is_inf(y), op.is_inf(x))
    y = out(op.select(diagonal, op.sign(y), y))
    x = out(op.select(diagonal, op.sign(x), x))
    slope = op.divide(y, op.select(op.equal(x, zero), zero, x))
    slope = op.select(op.equal(y, zero), zero, slope)
    turn = op.select(op.less(y, zero), const(-math.pi, F32), pi)
    angle = op.add(op.atan(slope), op.select(op.less(x, zero), turn, zero))
    known = op.logical_not(op.logical_or(op.is_nan(x), op.is_nan(y)))
    return op.select(known, angle, op.add(x, y))


# Conversion.


def float_to_integer(x: Output, dtype: str) -> Output:
    """Truncates and saturates; the conversion itself wraps or does what the machine does."""
    bits, least, largest = INTEGER_LIMITS[dtype]
    x = out(op.select(op.is_nan(x), const(0.0, F32), x))
    # The largest float32 below the limit: the limit of int32 is not a float32.
    top = largest if bits < 32 else 2**31 - 128
    whole = out(op.convert(op.clamp(x, float(least), float(top)), I32))
    if bits == 32:
        beyond = as_int32(op.greater_equal(x, const(2.0**31, F32)))
        whole = out(op.add(whole, op.multiply(beyond, const(127, I32))))
    return narrow(whole, dtype)


def rounded_to_bfloat16(x: Output) -> Output:
    """float32 values rounded to the nearest bfloat16: conversions truncate in dynamic programs."""
    scaled = op.multiply(x, const(2.0**-32, F32))  # so that large values do not overflow
    small = op.less(magnitude(x), const(1.0, F32))
    value = op.select(small, x, scaled)
    spread = barrier(op.multiply(value, const(65537.0, F32)))
    nearest = op.subtract(spread, op.subtract(spread, value))
    grown = op.select(small, nearest, op.multiply(nearest, const(2.0**32, F32)))
    return out(op.select(op.is_finite(x), grown, x))


def rounded_to_float8(x: Output) -> Output:
    """float32 values rounded to the nearest float8: conversions round twice, through float16."""
    nearest = on_grid(out(op.clamp(x, -448.0, 448.0)), 4, -9)
    return out(op.select(op.is_nan(x), x, nearest))


_ROUNDED: dict[str, Callable[[Output], Output]] = {
    "float16": rounded_to_half,
    "bfloat16": rounded_to_bfloat16,
    "float8": rounded_to_float8,
}


def float_to_float(x: Output, dtype: str) -> Output:
    return convert(_ROUNDED[dtype](x) if dtype in _ROUNDED else x, DTYPES[dtype])


def cast(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x = inputs[0]
    kind = element_type(x)
    if kind == DTYPES[dtype]:
        return x
    x = convert(x, PACKED_CARRIER[kind]) if kind in PACKED_CARRIER else settled(x)
    if dtype == "bool":
        return out(op.not_equal(x, const(0, x)))
    if dtype in INTEGER_LIMITS:
        return float_to_integer(x, dtype) if element_type(x) == F32 else narrow(x, dtype)
    return float_to_float(convert(x, F32), dtype)
