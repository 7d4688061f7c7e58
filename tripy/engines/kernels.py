"""NumPy bodies of all primitives: the definition of what every engine computes.

The caller silences floating-point warnings with one `np.errstate` around the whole graph. Results
may be views of inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from tripy.engines import (
    order_kernels,
    plugin_kernels,
    quantize_kernels,
    random_kernels,
    resize_kernels,
    window_kernels,
)
from tripy.engines.erf_kernels import erf, erfc
from tripy.engines.window_kernels import (
    ACCUMULATOR,
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    WIDE,
    Array,
    Attrs,
    Body,
    DType,
    Inputs,
    Shape,
    constant_pad,
    widened,
)

__all__ = ["BODIES", "Array", "Body", "cast"]

BOOL, INT4, INT64 = np.dtype(bool), np.dtype(ml_dtypes.int4), np.dtype(np.int64)
FLOAT8 = np.dtype(ml_dtypes.float8_e4m3fn)
FLOATS = frozenset([FLOAT16, BFLOAT16, FLOAT32, FLOAT64, FLOAT8])
#: Significant bits and exponent of the smallest positive value.
GRIDS = {BFLOAT16: (8, -133), FLOAT8: (4, -9)}
#: Types that float32 cannot hold exactly.
FINER = frozenset([FLOAT64, np.dtype(np.int32), INT64])


# Elementwise ---------------------------------------------------------------------------------
# The adapters call function(*inputs, **attrs).


def _native(function: Callable[..., Any]) -> Body:
    """NumPy's own function: exact, or rounded once also for the half-precision types."""

    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return np.asarray(function(*inputs, **attrs))

    return body


def _wide(function: Callable[..., Any]) -> Body:
    """Half-precision types are computed in float32 and rounded once."""

    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        if dtype not in WIDE:
            return np.asarray(function(*inputs, **attrs))
        return np.asarray(function(*widened(inputs), **attrs)).astype(dtype)

    return body


def _double(function: Callable[..., Any]) -> Body:
    """Computed in float64 and rounded once."""

    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        values = (x.astype(np.float64, copy=False) for x in inputs)
        return np.asarray(function(*values, **attrs)).astype(dtype, copy=False)

    return body


def _relu(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0))


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        # 0.5·(1 + tanh(y)) is sigmoid(2y) without its cancellation for negative y.
        twice = math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x)
        return np.asarray(x * _sigmoid(twice))
    # erfc(-z) is 1 + erf(z) without its cancellation for negative z.
    return np.asarray(0.5 * x * erfc(-math.sqrt(0.5) * x))


def _pow(base: Array, exponent: Array) -> Array:
    if base.dtype.kind != "i":
        return np.asarray(np.power(base, exponent))
    # Below zero only the bases 1 and -1 have an integer part: themselves or their square.
    unit = np.where(np.abs(base) == 1, base ** (exponent & 1), base.dtype.type(0))
    return np.where(exponent < 0, unit, np.power(base, np.maximum(exponent, 0)))


def _rows(
    adapter: Callable[[Callable[..., Any]], Body], functions: Mapping[str, Callable[..., Any]]
) -> dict[str, Body]:
    return {name: adapter(function) for name, function in functions.items()}


ELEMENTWISE: dict[str, Body] = {
    **_rows(
        _native,
        {
            "neg": np.negative,
            "abs": np.absolute,
            "sign": np.sign,
            "floor": np.floor,
            "ceil": np.ceil,
            "round": np.rint,
            "relu": _relu,
            "invert": np.invert,
            "add": np.add,
            "sub": np.subtract,
            "mul": np.multiply,
            "div": np.true_divide,
            "maximum": np.maximum,
            "minimum": np.minimum,
            "eq": np.equal,
            "lt": np.less,
            "le": np.less_equal,
            "bit_and": np.bitwise_and,
            "bit_or": np.bitwise_or,
            "bit_xor": np.bitwise_xor,
            "where": np.where,
        },
    ),
    **_rows(
        _wide,
        {
            "exp": np.exp,
            "log": np.log,
            "log1p": np.log1p,
            "expm1": np.expm1,
            "sqrt": np.sqrt,
            "sin": np.sin,
            "cos": np.cos,
            "tan": np.tan,
            "asin": np.arcsin,
            "acos": np.arccos,
            "atan": np.arctan,
            "sinh": np.sinh,
            "cosh": np.cosh,
            "tanh": np.tanh,
            "sigmoid": _sigmoid,
            "floordiv": np.floor_divide,
            "mod": np.remainder,
            "pow": _pow,
            "atan2": np.arctan2,
        },
    ),
    "erf": _double(erf),
    "gelu": _double(_gelu),
}


# Conversion ----------------------------------------------------------------------------------


def _float_to_integer(x: Array, dtype: DType) -> Array:
    """Truncate toward zero, saturate, NaN to 0."""
    x = x.astype(np.float64)
    low, high = (-8, 7) if dtype == INT4 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    inside = np.where(np.isnan(x), 0.0, np.clip(x, float(low), float(high)))
    if dtype != INT64:
        return np.asarray(inside.astype(dtype))
    # float(high) is 2^63 here, one too many, so the top is set as an integer.
    return np.where(x >= float(high), np.int64(high), inside.astype(np.int64))


def _to_grid(x: Array, dtype: DType) -> Array:
    """Round to the nearest value of `dtype` in float64: ml_dtypes itself goes through float32."""
    if x.dtype == INT64:  # float64 would round too: keep the lost low bits as one sticky bit
        sticky = (x >> 11 | ((x & 2047) != 0)) << 11
        x = np.where(np.abs(x) < 2**53, x, sticky)
    x = x.astype(np.float64)
    bits, smallest = GRIDS[dtype]
    quantum = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - bits, smallest))
    return np.asarray(np.rint(x / quantum) * quantum)


@np.errstate(all="ignore")  # also called for data that becomes a tensor
def cast(x: Array, dtype: DType) -> Array:
    """x in another dtype: the one place that knows the conversion rules."""
    if dtype == BOOL:
        return np.asarray(x != x.dtype.type(0))
    if x.dtype in FLOATS and dtype not in FLOATS:
        return _float_to_integer(x, dtype)
    inexact = dtype in GRIDS and x.dtype in FINER
    if dtype == FLOAT8:
        x = np.clip(x.astype(np.float64), -448.0, 448.0)
    if inexact:
        x = _to_grid(x, dtype)
    return np.asarray(x.astype(dtype, copy=False))


def _cast(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    return cast(inputs[0], dtype)


def _arange(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    return cast(attrs["start"] + np.arange(shape[0], dtype=np.int64) * attrs["step"], dtype)


def _size(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    return np.asarray(attrs["size"], dtype)


# Reductions ----------------------------------------------------------------------------------


def _select(function: np.ufunc) -> Body:
    """A reduction whose result is one of the inputs, or a bool."""

    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return np.asarray(function.reduce(inputs[0], axis=attrs["dims"], keepdims=attrs["keepdim"]))

    return body


def _accumulate(function: np.ufunc, average: bool = False) -> Body:
    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        (x,), dims = inputs, attrs["dims"]
        wide = ACCUMULATOR.get(dtype, dtype)
        total = np.asarray(function.reduce(x, axis=dims, dtype=wide, keepdims=attrs["keepdim"]))
        if average:
            total = np.asarray(total / math.prod(x.shape[dim] for dim in dims))
        return total.astype(dtype, copy=False)

    return body


def _position(function: Callable[..., Any]) -> Body:
    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        return np.asarray(function(inputs[0], axis=attrs["dim"], keepdims=attrs["keepdim"]), dtype)

    return body


def _softmax(x: Array, dim: int) -> Array:
    powers = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=dim, keepdims=True))


def _log_softmax(x: Array, dim: int) -> Array:
    x = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    return np.asarray(x - np.log(np.exp(x).sum(axis=dim, keepdims=True)))


REDUCTIONS: dict[str, Body] = {
    "sum": _accumulate(np.add),
    "prod": _accumulate(np.multiply),
    "mean": _accumulate(np.add, average=True),
    "max": _select(np.maximum),
    "min": _select(np.minimum),
    "all": _select(np.logical_and),
    "any": _select(np.logical_or),
    "argmax": _position(np.argmax),
    "argmin": _position(np.argmin),
    "softmax": _wide(_softmax),
    "log_softmax": _wide(_log_softmax),
}


# Movement ------------------------------------------------------------------------------------


def _reshape(x: Array, shape: Shape) -> Array:
    return x.reshape(shape)


def _permute(x: Array, perm: Shape) -> Array:
    return x.transpose(perm)


def _range(start: int, step: int, count: int) -> slice:
    """The slice of `count` elements; a stop before element 0 is written None."""
    stop = start + count * step
    return slice(start, stop if stop >= 0 else None, step) if count else slice(0, 0)


def _slice(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    index: tuple[Any, ...] = tuple(map(_range, attrs["starts"], attrs["steps"], shape))
    return inputs[0][(*index, ...)]


def _pad(x: Array, value: Array, low: Shape, high: Shape, mode: Any) -> Array:
    padding = list(zip(low, high, strict=True))
    if mode == "constant" or not padding:
        return constant_pad(x, padding, value)
    return np.pad(x, padding, mode)


def _concat(*inputs: Array, dim: int) -> Array:
    return np.concatenate(inputs, axis=dim)


MOVEMENT: dict[str, Body] = {
    **_rows(
        _native,
        {
            "reshape": _reshape,
            "permute": _permute,
            "expand": np.broadcast_to,
            "pad": _pad,
            "concat": _concat,
        },
    ),
    "slice": _slice,
}


# Products and indexed access -----------------------------------------------------------------


def _clamped(index: Array, size: int) -> Array:
    index = index.astype(np.int64)
    return np.clip(np.where(index < 0, index + size, index), 0, size - 1)


def _out_of_range(index: Array, size: int) -> IndexError:
    """Carries the first offending position, its value and the size."""
    outside = (index < -size) | (index >= size)
    position = tuple(map(int, np.argwhere(outside)[0]))
    return IndexError(position, int(index[position]), size)


def _indexed(function: Callable[[Array, Array, int], Array]) -> Body:
    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        (x, index), dim = inputs, attrs["dim"]
        if attrs.get("clamp", False):
            index = _clamped(index, x.shape[dim])
        try:
            return np.asarray(function(x, index, dim))
        except IndexError:
            raise _out_of_range(index, x.shape[dim]) from None

    return body


def _batchnorm(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, weight, bias, mean, variance = widened(inputs)
    channels = (-1,) + (1,) * (x.ndim - 2)
    scale = weight / np.sqrt(variance + variance.dtype.type(attrs["eps"]))
    shift = bias - mean * scale
    return cast(x * scale.reshape(channels) + shift.reshape(channels), dtype)


FAMILIES = (order_kernels, plugin_kernels, random_kernels, resize_kernels, window_kernels)
BODIES: dict[str, Body] = {
    "batchnorm": _batchnorm,
    **ELEMENTWISE,
    **REDUCTIONS,
    **MOVEMENT,
    **{name: body for family in FAMILIES for name, body in family.BODIES.items()},
    **quantize_kernels.bodies(cast),
    "cast": _cast,
    "arange": _arange,
    "size": _size,
    "matmul": _wide(np.matmul),
    "gather": _indexed(np.ndarray.take),
    "take_along_dim": _indexed(np.take_along_axis),
}
