"""Random numbers without hidden state: every element is a function of the seed and its index."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tripy import devices, dtypes, errors, shapes
from tripy.dtypes import FLOATS, INTEGERS, dtype
from tripy.graph import Type, Value
from tripy.host import numbers_to_array
from tripy.ops.elementwise import cast, maximum, minimum
from tripy.ops.movement import to_shape
from tripy.ops.registry import apply, check_result_dtype, per_element, primitive, shape_error
from tripy.ops.unary import cos, log, sqrt
from tripy.shapes import Shape, Size
from tripy.signature import KINDS, Kind, is_integer, public
from tripy.tensor import ShapeLike, Tensor, wrap

Seed = int | Tensor
KINDS["Seed"] = Kind(
    (int, Tensor),
    lambda value: isinstance(value, Tensor) or is_integer(value),
    "an int or a rank-0 tensor",
    lambda value: KINDS["int"].fix(value) or "write an int, such as seed=0",
)
_SEEDS = (dtypes.int32, dtypes.int64)
_WORD = 1 << 32
_MANTISSA = 24  # bits of a number in [0, 1)
_ROUNDS_WORK = 25


def _words_type(
    key_high: Value, key_low: Value, words: int, count: Size, span: int, dtype: dtype
) -> Type:
    return dtype, (words, count)


# Row w holds word w of every counter, scaled: (word * span) >> 32 as the bits of an int32, or
# that divided by the span as float32.
primitive("threefry", _words_type, per_element(_ROUNDS_WORK))


# --- the seed --------------------------------------------------------------------------------


def _key_word(word: int) -> Tensor:
    """Return 32 bits as int32; no literal, so that programs are not built anew for each seed."""
    data = np.array(word, np.uint32).view(np.int32)
    return wrap(Value(dtypes.int32, (), devices.default_device(), data=data))


def _key(seed: Seed) -> tuple[Tensor, Tensor]:
    """Return the high and the low half of the 64-bit pattern of a seed."""
    if not isinstance(seed, Tensor):
        high, low = divmod(_checked_seed(operator.index(seed)), _WORD)
        return _key_word(high), _key_word(low)
    if seed.rank:
        raise shape_error(
            "the seed must be one number.",
            seed._value,
            expected="an int or a rank-0 tensor",
            fix="take one element, for example seed[0]",
            argument="seed",
        )
    if seed.dtype is dtypes.int32:
        return minimum(maximum(seed, -1), 0), seed  # the sign, in every bit
    return cast(seed // _WORD, dtypes.int32), cast(seed, dtypes.int32)


def _checked_seed(seed: int) -> int:
    if 0 <= seed < 1 << 64:
        return seed
    raise errors.error(
        errors.TripyValueError,
        "the seed does not fit 64 bits without a sign.",
        received=f"seed={errors.brief(seed)}",
        expected="0 … 2**64 - 1",
        fix="write seed % 2**64",
        argument="seed",
    )


# --- numbers ---------------------------------------------------------------------------------


def _words(seed: Seed, sizes: Shape, words: int, span: int, kind: dtype) -> list[Tensor]:
    """Return words of the counters 0, 1, … in a shape, each scaled to the span."""
    key, count = _key(seed), shapes.product(sizes)
    drawn = apply("threefry", *key, words=words, count=count, span=span, dtype=kind)
    rows = [drawn] if words == 1 else [drawn[w] for w in range(words)]
    return [apply("reshape", row, shape=sizes) for row in rows]


def _units(seed: Seed, sizes: Shape, words: int) -> list[Tensor]:
    """Return multiples of 2^-24 in [0, 1)."""
    return _words(seed, sizes, words, 1 << _MANTISSA, dtypes.float32)


def _unsigned(word: Tensor) -> Tensor:
    return cast(word, dtypes.int64) & (_WORD - 1)


def _fine_unit(seed: Seed, sizes: Shape) -> Tensor:
    """Return multiples of 2^-53 in [0, 1)."""
    high, low = map(_unsigned, _words(seed, sizes, 2, _WORD, dtypes.int32))
    return cast(high * (1 << 21) + low // (1 << 11), dtypes.float64) * 2.0**-53


def _standard_normal(seed: Seed, sizes: Shape, kind: dtype) -> Tensor:
    """Return numbers of mean 0 and variance 1, by the transform of Box and Muller."""
    first, second = (cast(unit, kind) for unit in _units(seed, sizes, 2))
    radius = sqrt(log(first + 2.0**-_MANTISSA) * -2.0)
    return radius * cos(second * (2 * math.pi))


def _affine(numbers: Tensor, scale: float, shift: float) -> Tensor:
    """Return shift + scale * numbers without the steps that change nothing."""
    scaled = numbers if scale == 1 else numbers * scale
    return scaled if shift == 0 else scaled + shift


def _float(number: float) -> float:
    """Return a number as float64; ints that are too large become inf."""
    return float(numbers_to_array([number], float, dtypes.float64)[0])


# --- checks ----------------------------------------------------------------------------------


def _check_order(low: Any, high: Any) -> None:
    if high < low:
        raise errors.error(
            errors.TripyValueError,
            "high is less than low.",
            received=f"low={errors.brief(low)}, high={errors.brief(high)}",
            expected="low <= high",
            fix=f"swap them: low={errors.brief(high)}, high={errors.brief(low)}",
            argument="high",
        )


def _check_span(low: int, high: int) -> None:
    _check_order(low, high)
    if not 1 <= high - low <= _WORD:
        raise errors.error(
            errors.TripyValueError,
            "there is no integer to draw."
            if low == high
            else "there are too many integers between low and high.",
            received=f"low={low}, high={high}, which are {high - low} integers",
            expected="1 … 2**32 integers: high itself is not drawn",
            fix=f"write high={low + 1} for the one integer {low}"
            if low == high
            else "draw from a smaller range",
            argument="high",
        )


def _holds(kind: dtype, low: int, high: int) -> bool:
    least, most = dtypes.integer_range(kind)
    return least <= low and high - 1 <= most


def _check_bounds(low: int, high: int, kind: dtype) -> None:
    least, most = dtypes.integer_range(kind)
    wider = next((k for k in INTEGERS if _holds(k, low, high)), None)
    for name, value, last in (("low", low, most), ("high", high, most + 1)):
        if not least <= value <= last:
            raise errors.error(
                errors.TripyValueError,
                f"{name} is outside the range of {kind}.",
                received=f"{name}={errors.brief(value)}",
                expected=f"{least} … {last}",
                fix=f"write dtype=tp.{wider}" if wider else "use bounds that fit int64",
                argument=name,
            )


# --- public functions ------------------------------------------------------------------------


@public("tp.random.uniform", seed=_SEEDS)
def uniform(
    shape: ShapeLike,
    low: float = 0.0,
    high: float = 1.0,
    dtype: dtype = dtypes.float32,
    *,
    seed: Seed,
) -> Tensor:
    """Return random numbers that are equally likely everywhere between two bounds.

    The same seed gives the same numbers on every engine; element i, counted in row-major order,
    depends on nothing else.

    Args:
        shape: sizes of the result.
        low: smallest number.
        high: bound above; only rounding can reach it.
        dtype: data type of the result; float16, bfloat16, float32 or float64.
        seed: an int from 0 to 2**64 - 1, or a rank-0 tensor of int32 or int64.

    Returns:
        A tensor of the given shape.

    Raises:
        TripyTypeError: for other dtypes, or without a seed.
        TripyShapeError: for a seed of higher rank.
        TripyValueError: for high < low, a seed out of range or a negative size.

    Example:
        >>> tp.random.uniform((3,), seed=42)
        tensor([0.4267, 0.0150, 0.5741], dtype=float32, loc=cpu:0, shape=(3,))
    """
    sizes = to_shape(shape)
    check_result_dtype(dtype, FLOATS, "draw floats and cast, or use tp.random.randint")
    _check_order(low, high)
    bottom, top = _float(low), _float(high)
    is_fine = dtype is dtypes.float64
    numbers = _fine_unit(seed, sizes) if is_fine else _units(seed, sizes, 1)[0]
    return cast(_affine(numbers, top - bottom, bottom), dtype)


@public("tp.random.normal", seed=_SEEDS)
def normal(
    shape: ShapeLike,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: dtype = dtypes.float32,
    *,
    seed: Seed,
) -> Tensor:
    """Return normally distributed random numbers.

    Element i, counted in row-major order, depends only on the seed and i. Engines differ by the
    rounding of logarithm and cosine.

    Args:
        shape: sizes of the result.
        mean: mean of the distribution.
        std: its standard deviation.
        dtype: data type of the result; float16, bfloat16, float32 or float64.
        seed: an int from 0 to 2**64 - 1, or a rank-0 tensor of int32 or int64.

    Returns:
        A tensor of the given shape.

    Raises:
        TripyTypeError: for other dtypes, or without a seed.
        TripyShapeError: for a seed of higher rank.
        TripyValueError: for std < 0, a seed out of range or a negative size.

    Example:
        >>> tp.random.normal((3,), seed=42)
        tensor([1.2041, -1.2509, 0.9808], dtype=float32, loc=cpu:0, shape=(3,))
    """
    sizes = to_shape(shape)
    check_result_dtype(dtype, FLOATS, "draw floats and cast")
    if std < 0:
        raise errors.error(
            errors.TripyValueError,
            "a standard deviation is never negative.",
            received=f"std={errors.brief(std)}",
            expected="std >= 0",
            fix=f"write std={errors.brief(-std)}",
            argument="std",
        )
    wide = dtype if dtype is dtypes.float64 else dtypes.float32
    numbers = _standard_normal(seed, sizes, wide)
    return cast(_affine(numbers, _float(std), _float(mean)), dtype)


@public("tp.random.randint", seed=_SEEDS)
def randint(
    shape: ShapeLike,
    low: int,
    high: int,
    dtype: dtype = dtypes.int32,
    *,
    seed: Seed,
) -> Tensor:
    """Return random integers from low to high - 1.

    The same seed gives the same integers on every engine; element i, counted in row-major order,
    depends on nothing else.

    Args:
        shape: sizes of the result.
        low: smallest integer.
        high: one more than the largest integer.
        dtype: data type of the result; any integer type that holds all of them.
        seed: an int from 0 to 2**64 - 1, or a rank-0 tensor of int32 or int64.

    Returns:
        A tensor of the given shape.

    Raises:
        TripyTypeError: for other dtypes, or without a seed.
        TripyShapeError: for a seed of higher rank.
        TripyValueError: for bounds outside the dtype or not 1 … 2**32 apart, a seed out of range
            or a negative size.

    Example:
        >>> tp.random.randint((4,), 0, 10, seed=42)
        tensor([4, 0, 5, 7], dtype=int32, loc=cpu:0, shape=(4,))
    """
    sizes = to_shape(shape)
    check_result_dtype(dtype, INTEGERS, "draw integers and cast, or use tp.random.uniform")
    first, end = operator.index(low), operator.index(high)
    _check_span(first, end)
    _check_bounds(first, end, dtype)
    (steps,) = _words(seed, sizes, 1, end - first, dtypes.int32)
    if dtype is dtypes.int64:
        return _unsigned(steps) + first
    # The sum wraps into the range of int32, and every dtype holds what it should be.
    return cast(steps + first if first else steps, dtype)
