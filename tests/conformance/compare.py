"""Wide arithmetic, correct rounding, and what counts as the right result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from .cases import FLOATING, NUMPY, Array, Case, Scale, integer_range

#: Significant bits and exponent of the smallest positive value.
GRIDS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149), "float8": (4, -9)}
FLOAT64_RTOL = 1e-12


def wide(x: Array, dtype: str) -> Array:
    """float64 for floats, Python ints for integers, bool as it is: nothing is lost."""
    if dtype == "bool":
        return x
    kind = np.float64 if dtype in FLOATING else np.int64
    return np.asarray(x.astype(kind), np.float64 if dtype in FLOATING else object)


def largest(dtype: str) -> float:
    return float(ml_dtypes.finfo(NUMPY[dtype]).max)


def round_to(x: Any, dtype: str) -> Array:
    """The nearest values of a floating dtype, ties to even, as float64."""
    x = np.asarray(x, np.float64)
    if dtype not in GRIDS:
        return np.asarray(x)
    bits, smallest = GRIDS[dtype]
    quantum = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - bits, smallest))
    rounded = np.rint(x / quantum) * quantum
    limit = largest(dtype)
    over = limit if dtype == "float8" else math.inf
    return np.asarray(np.where(np.abs(rounded) > limit, np.copysign(over, x), rounded))


def round_integer(value: int, dtype: str) -> float:
    """The nearest value of a floating dtype to a Python int."""
    bits = 53 if dtype == "float64" else GRIDS[dtype][0]
    shift = max(0, abs(value).bit_length() - bits)
    return float(round_to(float(round(Fraction(value, 1 << shift)) << shift), dtype))


def wrap(value: Any, dtype: str) -> int:
    low, high = integer_range(dtype)
    return (int(value) - low) % (high - low + 1) + low


def wrapped(x: Any, dtype: str) -> Array:
    """Python ints modulo 2^bits."""
    values = np.asarray(x, object)
    flat = np.array([wrap(v, dtype) for v in values.ravel()], object)
    return flat.reshape(values.shape)


# --- judging ---------------------------------------------------------------------------------


def _tolerance(case: Case, wanted: Array, inputs: Sequence[Array], dtype: str, free: bool) -> Array:
    if case.exact or dtype == "float8":
        return np.zeros(wanted.shape)
    scale = case.engine_scale or case.scale if free else case.scale
    size = np.asarray(_magnitude(scale, case, wanted, inputs), np.float64)
    rtol = FLOAT64_RTOL if dtype == "float64" else case.rtol
    step = float(ml_dtypes.finfo(NUMPY[dtype]).eps)
    between = (case.roundings - 1) * step / 2
    if free and dtype == "bfloat16":  # OpenVINO truncates where shapes are dynamic
        between += step
    tolerance = (rtol * math.sqrt(case.terms) + between) * np.abs(size)
    return np.where(np.isfinite(tolerance) & np.isfinite(wanted), tolerance, 0.0)


def _magnitude(scale: Scale, case: Case, wanted: Array, inputs: Sequence[Array]) -> Any:
    if callable(scale):
        return scale(*inputs)
    return wanted if scale == "result" else case.oracle(*map(np.abs, inputs))


def _right_floats(
    case: Case, got: Array, wanted: Array, inputs: Sequence[Array], dtype: str, free: bool
) -> Array:
    tolerance = _tolerance(case, wanted, inputs, dtype, free)
    low, high = round_to(wanted - tolerance, dtype), round_to(wanted + tolerance, dtype)
    right = (low <= got) & (got <= high) | (np.isnan(got) & np.isnan(wanted))
    if free:
        tiny = float(ml_dtypes.finfo(NUMPY[dtype]).smallest_normal)
        right |= (np.abs(wanted) < 2 * tiny) & (np.abs(got) < tiny)
        if case.survives:
            operands = np.concatenate([np.ravel(x) for x in inputs if x.dtype == np.float64])
            right |= np.isnan(wanted) & np.isin(got, operands)
    return right


def _right(
    case: Case, got: Array, inputs: Sequence[Array], dtype: str, part: int | None, free: bool
) -> tuple[Array, Any]:
    with np.errstate(all="ignore"):
        wanted = case.oracle(*inputs)
        wanted = np.asarray(wanted if part is None else wanted[part])
        if wanted.shape != got.shape:
            return np.array(False), f"shape {wanted.shape}"
        if dtype == "bool":
            return np.asarray(got == wanted.astype(bool)), wanted
        if dtype not in FLOATING:
            wanted = wrapped(wanted, dtype)
            return np.asarray(wide(got, dtype) == wanted, bool), wanted
        wanted = wanted.astype(np.float64)
        return _right_floats(case, wide(got, dtype), wanted, inputs, dtype, free), wanted


def _flushed(x: Array, dtype: str) -> Array:
    if x.dtype != np.float64 or dtype not in FLOATING:
        return x
    tiny = float(ml_dtypes.finfo(NUMPY[dtype]).smallest_normal)
    return np.where(np.abs(x) < tiny, np.copysign(0.0, x), x)


def _unsigned_zeros(x: Array, dtype: str) -> Array:
    return x + 0.0 if x.dtype == np.float64 else x


def _kept(x: Array, dtype: str) -> Array:
    return x


def _variants(inputs: Sequence[Array], dtype: str) -> Iterator[list[Array]]:
    """The inputs as an engine may see each: without subnormals, without the sign of zero."""
    for changes in itertools.product((_kept, _flushed), repeat=len(inputs)):
        changed = [change(x, dtype) for change, x in zip(changes, inputs, strict=True)]
        yield changed
        yield [_unsigned_zeros(x, dtype) for x in changed]


def difference(
    case: Case, got: Array, inputs: Sequence[Array], dtype: str, part: int | None, free: bool
) -> str | None:
    """Say how a result is wrong, None if it is right; ``free`` grants the freedoms of engines."""
    kinds = [spec.dtype or dtype for spec in case.inputs]
    wides = [wide(x, kind) for x, kind in zip(inputs, kinds, strict=True)]
    out = case.out or dtype
    if got.dtype != NUMPY[out]:
        return f"dtype {got.dtype} instead of {out}"
    right, wanted = _right(case, got, wides, out, part, free)
    if isinstance(wanted, str):
        return f"shape {got.shape} instead of {wanted}"
    for variant in _variants(wides, dtype) if free and case.has_special else ():
        right |= right.all() or _right(case, got, variant, out, part, free)[0]
    if right.all():
        return None
    where = tuple(int(i) for i in np.argwhere(~right)[0])
    count = int((~right).sum())
    shown = _operands(wides, got.shape, where)
    values = f"{got[where]!r} instead of {wanted[where]!r}"
    return f"{count} of {got.size} wrong: {values} at {where}{shown}"


def _operands(inputs: Sequence[Array], shape: tuple[int, ...], where: tuple[int, ...]) -> str:
    """The operands of one element, where shapes show which they are."""
    try:
        found = [np.broadcast_to(x, shape)[where] for x in inputs]
    except ValueError:
        return ""
    return f" of {', '.join(map(repr, found))}"
