"""Rows of the XLA engine for elementwise primitives.

float16 and bfloat16 go through float32 where one operation would round more than once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from jax import lax

from tripy.engines.window_kernels import WIDE
from tripy.engines.xla_cast import BFLOAT16, BOOL, FLOAT8, FLOAT16, FLOAT32, FLOATS, INT4, cast
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape

__all__ = ["ROWS", "in_bits", "stretched", "unpacked", "wide"]

Function = Callable[..., Array]
INT8 = np.dtype(np.int8)
#: Types to compare in instead of those that only store.
PLAIN = {INT4: INT8, FLOAT8: FLOAT32}
#: Bits of exponents and of fractions.
GRIDS = {FLOAT16: (5, 10), BFLOAT16: (8, 7), FLOAT32: (8, 23)}


def stretched(x: Array, shape: Shape) -> Array:
    """x broadcast to a shape."""
    if x.shape == shape:
        return x
    return lax.broadcast_in_dim(x, shape, range(len(shape) - x.ndim, len(shape)))


def unpacked(x: Array) -> Array:
    """int4, which accelerators pack, as int8."""
    return cast(x, INT8) if x.dtype == INT4 else x


def wide(x: Array) -> Array:
    """x in the type in which functions are computed."""
    return cast(x, WIDE.get(x.dtype, x.dtype))


# The adapters call function(*inputs, **attrs).


def _native(function: Function) -> Row:
    """Exact, or rounded once in every dtype."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return function(*(stretched(x, shape) for x in inputs), **attrs)

    return row


def _wide(function: Function) -> Row:
    """Computed in float32 or wider and rounded once."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return cast(function(*(stretched(wide(x), shape) for x in inputs), **attrs), dtype)

    return row


def _arithmetic(function: Function) -> Row:
    """The float16 instructions of CPUs take subnormals, which float16 needs, as zero."""
    native, through_float32 = _native(function), _wide(function)

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        chosen = through_float32 if ctx.platform == "cpu" else native
        return chosen(ctx, inputs, attrs, shape, dtype)

    return row


def _kinds(floats: Function, bools: Function) -> Function:
    """Another function for bool than for numbers."""

    def function(x: Array, *others: Array) -> Array:
        return (bools if x.dtype == BOOL else floats)(x, *others)

    return function


def _steps(function: Function) -> Function:
    """Rounding, which leaves integers as they are."""
    return lambda x: function(x) if x.dtype in FLOATS else x


# Formulas --------------------------------------------------------------------------------------


def _abs(x: Array) -> Array:
    """XLA takes its own magnitude of an integer for non-negative, which the least one's is not."""
    if x.dtype.kind in "ub":
        return x
    return lax.abs(x) if x.dtype in FLOATS else lax.select(lax.lt(x, _zero(x)), lax.neg(x), x)


def in_bits(function: Function) -> Function:
    """A product, of integers as bits: XLA takes signed squares of integers for non-negative."""

    def function_of_bits(*inputs: Array, **options: Any) -> Array:
        kind = inputs[0].dtype
        if kind.kind != "i":
            return function(*inputs, **options)
        bits = np.dtype(f"u{kind}")
        found = function(*(lax.bitcast_convert_type(x, bits) for x in inputs), **options)
        return lax.bitcast_convert_type(found, kind)

    return function_of_bits


product = in_bits(lax.mul)


def _relu(x: Array) -> Array:
    return lax.max(x, _zero(x))


def _eq(x: Array, y: Array) -> Array:
    x, y = (cast(v, PLAIN.get(v.dtype, v.dtype)) for v in (x, y))
    return lax.eq(x, y)


def _round(x: Array) -> Array:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def _asin(x: Array) -> Array:
    """Without the cancellation of 1 - x·x."""
    return lax.atan2(x, lax.sqrt((1 - x) * (1 + x)))


def _acos(x: Array) -> Array:
    return 2 * lax.atan2(lax.sqrt(1 - x), lax.sqrt(1 + x))


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        # 0.5·(1 + tanh(y)) is sigmoid(2y) without its cancellation for negative y.
        return x * lax.logistic(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x))
    # erfc(-z) is 1 + erf(z) without its cancellation for negative z.
    return 0.5 * x * lax.erfc(-math.sqrt(0.5) * x)


def _zero(x: Array) -> Array:
    return lax.full_like(x, 0)


def _one(x: Array) -> Array:
    return lax.full_like(x, 1)


def _opposed(rest: Array, divisor: Array) -> Array:
    """Where a remainder has not the sign of the divisor."""
    return lax.ne(rest, _zero(rest)) & lax.ne(
        lax.lt(rest, _zero(rest)), lax.lt(divisor, _zero(rest))
    )


def _remainder(x: Array, y: Array) -> Array:
    rest = lax.rem(x, y)
    return lax.select(_opposed(rest, y), lax.add(rest, y), rest)


def _quotient_of_integers(x: Array, y: Array) -> Array:
    quotient = lax.div(x, y)
    return lax.select(_opposed(lax.rem(x, y), y), quotient - 1, quotient)


def _quotient_of_floats(x: Array, y: Array) -> Array:
    rest = lax.rem(x, y)
    quotient = (x - rest) / y
    quotient = lax.select(_opposed(rest, y), quotient - 1, quotient)
    whole = lax.floor(quotient)  # the division may give a little less than a whole number
    whole = lax.select(quotient - whole > 0.5, whole + 1, whole)
    return lax.select(lax.eq(y, _zero(y)), x / y, whole)


def _division(floats: Function, integers: Function) -> Function:
    """Integers divided by 0 give 0."""

    def divided(x: Array, y: Array) -> Array:
        if x.dtype in FLOATS:
            return floats(x, y)
        by_zero = lax.eq(y, _zero(y))
        return lax.select(by_zero, _zero(x), integers(x, lax.select(by_zero, _one(y), y)))

    return divided


def _powers(base: Array, exponent: Array, shape: Shape) -> Array:
    """Square and multiply: one step for every bit that an exponent may have."""
    limits = np.iinfo(exponent.dtype)
    base = stretched(base, shape)
    result = _one(base)
    for bit in range(limits.bits - (limits.min < 0)):
        odd = lax.ne(exponent & exponent.dtype.type(1 << bit), _zero(exponent))
        result = lax.select(stretched(odd, shape), product(result, base), result)
        base = product(base, base)
    return result


def _pow_integers(base: Array, exponent: Array, shape: Shape) -> Array:
    powers = _powers(base, lax.max(exponent, _zero(exponent)), shape)
    if base.dtype.kind == "u":
        return powers
    # Below zero only the bases 1 and -1 have an integer part: themselves or their square.
    base, exponent = stretched(base, shape), stretched(exponent, shape)
    one = _one(base)
    unit = lax.select(lax.ne(exponent & one, _zero(base)), base, one)
    unit = lax.select(lax.eq(_abs(base), one), unit, _zero(base))
    return lax.select(lax.lt(exponent, _zero(exponent)), unit, powers)


def _pow(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    if dtype in FLOATS:
        base, exponent = (stretched(wide(x), shape) for x in inputs)
        return cast(lax.pow(base, exponent), dtype)
    return _pow_integers(inputs[0], inputs[1], shape)


_quotient = _arithmetic(lax.div)


# Rows of their own -----------------------------------------------------------------------------


def _tamed(x: Array, y: Array, shape: Shape) -> Inputs:
    """Both by one power of two, so that 1 / y is no subnormal: XLA multiplies by it."""
    huge = lax.gt(lax.abs(y), lax.full_like(y, ml_dtypes.finfo(y.dtype).max / 16))
    scale = lax.select(huge, lax.full_like(y, 2**-8), _one(y))
    return stretched(x, shape) * stretched(scale, shape), y * scale


def _div(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    if ctx.platform == "cpu" and inputs[1].shape != shape:
        inputs = _tamed(wide(inputs[0]), wide(inputs[1]), shape)
    return cast(_quotient(ctx, inputs, attrs, shape, inputs[0].dtype), dtype)


def _where(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    return cast(lax.select(*(stretched(unpacked(x), shape) for x in inputs)), dtype)


def _rounded(x: Array, dtype: DType) -> Array:
    """x at the precision of a narrower float: XLA may leave out casts to it and back."""
    x = wide(x)
    rounded = lax.reduce_precision(x, *GRIDS[dtype])
    tiny = x.dtype.type(ml_dtypes.finfo(dtype).smallest_normal)
    return lax.select(lax.lt(lax.abs(x), lax.full_like(x, tiny)), x, rounded)


def _cast(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    (x,) = inputs
    loses = x.dtype in FLOATS and x.dtype != dtype and x.dtype.itemsize >= dtype.itemsize
    return cast(_rounded(x, dtype) if loses and dtype in GRIDS else x, dtype)


def _batchnorm(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, weight, bias, mean, variance = map(wide, inputs)
    scale = weight / lax.sqrt(variance + variance.dtype.type(attrs["eps"]))
    shift = bias - mean * scale
    channels = (-1,) + (1,) * (x.ndim - 2)
    return cast(x * scale.reshape(channels) + shift.reshape(channels), dtype)


def _rows(adapter: Callable[[Function], Row], functions: Mapping[str, Function]) -> dict[str, Row]:
    return {name: adapter(function) for name, function in functions.items()}


ROWS: dict[str, Row] = {
    **_rows(
        _native,
        {
            "neg": lax.neg,
            "abs": _abs,
            "sign": lax.sign,
            "floor": _steps(lax.floor),
            "ceil": _steps(lax.ceil),
            "round": _steps(_round),
            "relu": _relu,
            "invert": lax.bitwise_not,
            "maximum": lax.max,
            "minimum": lax.min,
            "eq": _eq,
            "lt": lax.lt,
            "le": lax.le,
            "bit_and": lax.bitwise_and,
            "bit_or": lax.bitwise_or,
            "bit_xor": lax.bitwise_xor,
        },
    ),
    **_rows(
        _arithmetic,
        {
            "add": _kinds(lax.add, lax.bitwise_or),
            "sub": lax.sub,
            "mul": _kinds(product, lax.bitwise_and),
        },
    ),
    **_rows(
        _wide,
        {
            "exp": lax.exp,
            "log": lax.log,
            "log1p": lax.log1p,
            "expm1": lax.expm1,
            "sqrt": lax.sqrt,
            "sin": lax.sin,
            "cos": lax.cos,
            "tan": lax.tan,
            "asin": _asin,
            "acos": _acos,
            "atan": lax.atan,
            "sinh": lax.sinh,
            "cosh": lax.cosh,
            "tanh": lax.tanh,
            "sigmoid": lax.logistic,
            "erf": lax.erf,
            "gelu": _gelu,
            "floordiv": _division(_quotient_of_floats, _quotient_of_integers),
            "mod": _division(_remainder, _remainder),
            "atan2": lax.atan2,
        },
    ),
    "div": _div,
    "where": _where,
    "pow": _pow,
    "cast": _cast,
    "batchnorm": _batchnorm,
}
