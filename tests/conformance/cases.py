"""What a row of the table is, and how the inputs of its cases are made."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]
Scale = str | Callable[..., Any]

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int8", "uint8", "int16", "int32", "int64")
SIGNED = ("int8", "int16", "int32", "int64")
NUMERIC = FLOATS + INTEGERS
PACKED = ("int4", "float8")
BOOL = ("bool",)
ALL = (*NUMERIC, *PACKED, *BOOL)
MATRIX = (*FLOATS, "int32", "int64")
FLOATING = (*FLOATS, "float8")
#: One dtype of each kind, for what does not depend on the others.
MAIN = ("float32", "float64", "int32", "int64", "uint8", "bool", "int4")

NUMPY: dict[str, np.dtype[Any]] = {
    **{name: np.dtype(name) for name in (*INTEGERS, "float16", "float32", "float64", "bool")},
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8": np.dtype(ml_dtypes.float8_e4m3fn),
    "int4": np.dtype(ml_dtypes.int4),
}
MODES = (
    "eager",
    "eager compiled",
    "reference static",
    "reference dynamic",
    "openvino static",
    "openvino dynamic",
    "xla static",
    "xla dynamic",
)
COMPILED = MODES[2:]
EAGER = MODES[:1]


@dataclass(frozen=True)
class Spec:
    """One input: its shape, what its elements are like and how it is described to compile."""

    shape: Shape
    values: str | tuple[float, ...] = "any"  # row of VALUES, or the elements themselves
    dtype: str = ""  # empty: the dtype that the case runs in
    constant: bool = False  # a Parameter that the function captures
    static: tuple[int, ...] = ()  # dims whose sizes are described as known in every mode
    name: str = ""  # name of dim 0 when it is dynamic; equal names are equal sizes


def t(*shape: int, values: Any = "any", **options: Any) -> Spec:
    return Spec(shape, values, **options)


def special(name: str = "special", *shape: int) -> Spec:
    """The special values of a dtype, as a vector or in a shape with one -1."""
    return Spec(shape or (-1,), name)


@dataclass(frozen=True)
class Case:
    """One application: ``run`` on tensors must give ``oracle`` on wide arrays.

    Wide arrays are float64, Python ints (object dtype) or bool.
    """

    run: Callable[..., Any]
    inputs: tuple[Spec, ...]
    oracle: Callable[..., Any]
    label: str = ""
    dtypes: tuple[str, ...] = ALL
    out: str = ""  # dtype of the result; empty: that of the case
    exact: bool = False  # no tolerance beyond the rounding of the result
    terms: int = 1  # elements that a sum has, which widen the tolerance by their root
    rtol: float = 1e-6  # of float32 arithmetic
    roundings: int = 1  # to the declared dtype, which halves show
    #: Magnitude that errors are relative to; "result", or "absolute" for the oracle of magnitudes.
    scale: Scale = "result"
    engine_scale: Scale = ""  # the same for engines other than the reference; empty: no difference
    many: bool = False  # returns several tensors
    grows: bool = True  # also runs with larger sizes
    modes: tuple[str, ...] = MODES
    survives: bool = False  # where the result is NaN another engine may give an operand
    has_special: bool = False  # zeros may lose their sign and subnormals may be flushed
    torch: Callable[..., Any] | None = None  # the same with torch tensors, a second oracle

    def __str__(self) -> str:
        sizes = " ".join(str(spec.shape) for spec in self.inputs)
        return f"{self.label} {sizes}".strip()


@dataclass(frozen=True)
class Row:
    """An operation: the dtypes that it accepts and the cases that it must pass."""

    name: str
    accepts: tuple[str, ...]
    cases: tuple[Case, ...]
    parameters: tuple[str, ...] = ()  # whose declared dtypes must be ``accepts``
    computes: bool = True  # whether an engine sees it
    elsewhere: tuple[str, ...] = ()  # dtypes that mean something else, in another row

    @property
    def public(self) -> str:
        return self.name.split()[0]

    def of(self, dtype: str) -> list[Case]:
        return [case for case in self.cases if dtype in case.dtypes]


def case(
    run: Callable[..., Any],
    *inputs: Spec,
    oracle: Callable[..., Any] | None = None,
    **options: Any,
) -> Case:
    """A case; without an oracle the same expression on arrays is one."""
    return Case(run, inputs, oracle or run, **options)


def spread(cases: Iterable[Case]) -> list[Case]:
    """Every third case in all its dtypes, the others in the main ones."""
    return [
        c if n % 3 == 0 else replace(c, dtypes=tuple(k for k in c.dtypes if k in MAIN))
        for n, c in enumerate(cases)
    ]


def row(
    name: str,
    accepts: tuple[str, ...],
    cases: Iterable[Case],
    parameters: tuple[str, ...] = (),
    computes: bool = True,
    elsewhere: tuple[str, ...] = (),
    **defaults: Any,
) -> Row:
    """A row; ``defaults`` are options of all its cases."""
    made = tuple(replace(c, **defaults) for c in cases)
    return Row(name, accepts, made, parameters, computes, elsewhere)


# --- elements --------------------------------------------------------------------------------

Maker = Callable[[Any, Shape, str], Any]
FLOAT_SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, np.inf, -np.inf, np.nan)
ROUNDED = (1.5, -1.5, 127.5, -128.5, 255.5, 300.0, 464.0, 465.0, 448.0, 2.0**31, -(2.0**31))
LARGE = (2.0**31 - 1, 2.0**53, 2.0**63, -(2.0**63), 2.0**64, 65519.0, 65520.0, -65520.0, 1e-3)


def integer_range(dtype: str) -> tuple[int, int]:
    info: Any = ml_dtypes.iinfo(NUMPY[dtype])
    return int(info.min), int(info.max)


def _float_extremes(dtype: str) -> list[float]:
    """Largest, smallest normal and subnormal values with both signs."""
    info: Any = ml_dtypes.finfo(NUMPY[dtype])
    most, tiny = float(info.max), float(info.smallest_normal)
    least = float(info.smallest_subnormal)
    return [most, -most, tiny, -tiny, least, -least, tiny - least]


def _integer_extremes(dtype: str) -> list[int]:
    low, high = integer_range(dtype)
    near = [-7, -1, 0, 1, 2, 3, 7]
    return [low, low + 1, *(n for n in near if low <= n <= high), high // 2, high - 1, high]


def _special(rng: Any, shape: Shape, dtype: str) -> Array:
    if dtype == "bool":
        return np.array([False, True])
    if dtype not in FLOATING:
        return np.array(_integer_extremes(dtype))
    return np.array([*FLOAT_SPECIAL, *_float_extremes(dtype)])


def _moderate(rng: Any, shape: Shape, dtype: str) -> Array:
    return np.array(FLOAT_SPECIAL) if dtype in FLOATING else _special(rng, shape, dtype)


def _below_infinity(rng: Any, shape: Shape, dtype: str) -> Array:
    values = _moderate(rng, shape, dtype)
    return np.asarray(values[values != np.inf])


def _convertible(rng: Any, shape: Shape, dtype: str) -> Array:
    values = _special(rng, shape, dtype)
    return np.append(values, [*ROUNDED, *LARGE]) if dtype in FLOATING else values


def _integers(low: int, high: int) -> Maker:
    def make(rng: Any, shape: Shape, dtype: str) -> Any:
        first, last = integer_range(dtype)
        return rng.integers(max(low, first), min(high, last), shape, np.int64, endpoint=True)

    return make


def _any_integer(rng: Any, shape: Shape, dtype: str) -> Any:
    """Two thirds are small, the others fill the whole range."""
    everything = _integers(-(2**63), 2**63 - 1)(rng, shape, dtype)
    return np.where(rng.random(shape) < 0.3, everything, _integers(-100, 100)(rng, shape, dtype))


def _signs(rng: Any, shape: Shape) -> Any:
    return rng.integers(0, 2, shape) * 2 - 1


#: What elements are like: how floats and how integers are made.
VALUES: dict[str, tuple[Maker, Maker]] = {
    "any": (lambda rng, shape, dtype: 3 * rng.standard_normal(shape), _any_integer),
    "positive": (lambda rng, shape, dtype: np.exp(rng.standard_normal(shape)), _integers(1, 99)),
    "near one": (lambda rng, shape, dtype: rng.uniform(0.5, 2, shape), _any_integer),
    "nonzero": (
        lambda rng, shape, dtype: _signs(rng, shape) * rng.uniform(0.5, 4, shape),
        _any_integer,
    ),
    "small": (lambda rng, shape, dtype: rng.integers(-4, 5, shape) / 2, _integers(-4, 4)),
    "fraction": (lambda rng, shape, dtype: rng.uniform(-1, 1, shape), _integers(0, 1)),
    "quadrants": (
        lambda rng, shape, dtype: np.array((1.0, -1.0, 0.5, -2.5, np.inf, -np.inf, np.nan)),
        _special,
    ),
    "count": (lambda rng, shape, dtype: rng.integers(0, 5, shape), _integers(0, 9)),
    "special": (_special, _special),
    "moderate": (_moderate, _moderate),
    "below infinity": (_below_infinity, _below_infinity),
    "convertible": (_convertible, _convertible),
}


def grown(spec: Spec) -> Shape:
    """Larger sizes that fit together wherever the given ones do."""
    sizes = enumerate(spec.shape)
    return tuple(n + 1 if n > 1 and at not in spec.static else n for at, n in sizes)


def elements(spec: Spec, dtype: str, rng: np.random.Generator, larger: bool = False) -> Array:
    """The elements of one input; ``larger`` asks for a grown shape."""
    dtype = spec.dtype or dtype
    shape = grown(spec) if larger else spec.shape
    if isinstance(spec.values, tuple):
        return np.array(spec.values).reshape(shape).astype(NUMPY[dtype])
    if spec.values.startswith("index"):
        size = int(spec.values.split()[1])
        made: Any = _integers(-size, size - 1)(rng, shape, dtype if dtype in INTEGERS else "int8")
    elif dtype == "bool" and -1 not in shape:
        made = rng.random(shape) < 0.5
    else:
        make = VALUES[spec.values][dtype not in FLOATING]
        made = np.reshape(make(rng, shape, dtype), shape)
    with np.errstate(all="ignore"):
        return np.asarray(made).astype(NUMPY[dtype])


def inputs_of(name: str, dtype: str, number: int, case: Case, larger: bool = False) -> list[Array]:
    """The inputs of a case, always the same ones."""
    arrays = []
    for place, spec in enumerate(case.inputs):
        grows = larger and case.grows and not spec.constant
        seed = zlib.crc32(f"{name} {dtype} {number} {place} {grows}".encode())
        arrays.append(elements(spec, dtype, np.random.default_rng(seed), grows))
    return arrays
