"""The NumPy bodies against exact Python arithmetic and direct loops in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tripy  # noqa: F401 (registers the primitives)
from tripy.engines import kernels, window_kernels
from tripy.ops.registry import PRIMITIVES

Array = np.ndarray[Any, np.dtype[Any]]
Attrs = Mapping[str, Any]
Shape = Sequence[int]
pytestmark = pytest.mark.filterwarnings("error")

INTEGERS = {name: np.dtype(name) for name in ("int8", "uint8", "int16", "int32", "int64")}
HALVES = {"float16": np.dtype("f2"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
FLOATS = HALVES | {"float32": np.dtype("f4"), "float64": np.dtype("f8")}
PACKED = {"int4": np.dtype(ml_dtypes.int4), "float8": np.dtype(ml_dtypes.float8_e4m3fn)}
ALL = INTEGERS | FLOATS | PACKED | {"bool": np.dtype(bool)}
RANGES = {name: (int(np.iinfo(d).min), int(np.iinfo(d).max)) for name, d in INTEGERS.items()}
RANGES["int4"] = (-8, 7)
#: Significant bits, exponent of the smallest positive value, largest value.
GRIDS = {
    "float16": (11, -24, 65504.0),
    "bfloat16": (8, -133, (2 - 2**-7) * 2.0**127),
    "float32": (24, -149, (2 - 2**-23) * 2.0**127),
    "float64": (53, -1074, (2 - 2**-52) * 2.0**1023),
    "float8": (4, -9, 448.0),
}
EPS = {name: 2.0 ** (1 - bits) for name, (bits, _, _) in GRIDS.items()}
TINY = {name: 2.0**smallest for name, (_, smallest, _) in GRIDS.items()}


def run(name: str, inputs: Sequence[Array], shape: Shape, dtype: Any, /, **attrs: Any) -> Array:
    wanted = np.dtype(dtype)
    with np.errstate(all="ignore"):
        out = kernels.BODIES[name](inputs, attrs, tuple(shape), wanted)
    assert isinstance(out, np.ndarray)
    assert (out.dtype, out.shape) == (wanted, tuple(shape))
    return out


def like(name: str, *inputs: Array, dtype: Any = None, **attrs: Any) -> Array:
    """Run a broadcasting row; the result has the first input's dtype unless given."""
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    return run(name, inputs, shape, dtype or inputs[0].dtype, **attrs)


def wide(x: Array) -> Array:
    return x.astype(np.float64)


def wrap(value: int, name: str) -> int:
    low, high = RANGES[name]
    return (value - low) % (high - low + 1) + low


def sample(name: str, shape: Shape, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if name in RANGES:
        values = rng.integers(*RANGES[name], shape, np.int64, endpoint=True)
        return values.astype(ALL[name])
    normal = np.asarray(rng.standard_normal(shape))
    return (normal > 0 if name == "bool" else normal).astype(ALL[name])


def test_every_primitive_has_a_body() -> None:
    assert sorted(kernels.BODIES) == sorted(PRIMITIVES)


# Elementwise ---------------------------------------------------------------------------------

UNARY: dict[str, tuple[Callable[[float], float], float, float]] = {
    "exp": (math.exp, -9, 9), "expm1": (math.expm1, -3, 3), "sqrt": (math.sqrt, 0, 99),
    "log": (math.log, 1e-4, 60), "log1p": (math.log1p, -0.9, 3), "erf": (math.erf, -4, 4),
    "sin": (math.sin, -9, 9), "cos": (math.cos, -9, 9), "tan": (math.tan, -1.5, 1.5),
    "asin": (math.asin, -1, 1), "acos": (math.acos, -1, 1), "atan": (math.atan, -9, 9),
    "sinh": (math.sinh, -9, 9), "cosh": (math.cosh, -9, 9), "tanh": (math.tanh, -4, 4),
    "floor": (math.floor, -9, 9), "ceil": (math.ceil, -9, 9), "round": (round, -9, 9),
    "neg": (lambda x: -x, -9, 9), "abs": (abs, -9, 9), "relu": (lambda x: max(x, 0.0), -9, 9),
    "sign": (lambda x: math.copysign(1, x), -9, 9),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), -9, 9),
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_floats_match_the_math_module(name: str, dtype: str) -> None:
    function, low, high = UNARY[name]
    x = np.random.default_rng(1).uniform(low, high, 300).astype(FLOATS[dtype])
    expected = np.array([function(v) for v in wide(x).tolist()])
    # Halves are rounded once from float32; the others may be a few units in the last place off.
    limit = 0.501 if dtype in HALVES else 4
    slack = EPS[dtype] * (1e-7 if name in ("sin", "cos", "tan") else 1e-9)
    assert (
        np.abs(wide(like(name, x)) - expected) <= limit * EPS[dtype] * np.abs(expected) + slack
    ).all()


def test_rounding_goes_half_to_even_and_keeps_what_is_not_finite() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, np.inf, -np.inf, np.nan])
    for dtype in FLOATS.values():
        got = wide(like("round", x.astype(dtype)))
        np.testing.assert_array_equal(got, [-2, -2, 0, 0, 2, 2, np.inf, -np.inf, np.nan])


def test_erf_and_gelu_everywhere() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-7, 7, 9999), np.logspace(-300, 0, 999), [np.inf, -np.inf]])
    np.testing.assert_allclose(like("erf", x), special.erf(x), rtol=1e-15)
    x = np.linspace(-12, 12, 4801)
    got = like("gelu", x, approximate="none")
    np.testing.assert_allclose(got, x * special.ndtr(x), rtol=1e-14)
    single = x.astype("f4")
    assert (like("erf", single) == special.erf(wide(single)).astype("f4")).all()
    assert round(float(like("gelu", np.array(1.0), approximate="none")), 6) == 0.841345
    assert round(float(like("gelu", np.array(1.0), approximate="tanh")), 6) == 0.841192


def test_sigmoid_and_softmax_do_not_overflow() -> None:
    x = np.array([-1000, -90, 0, 90, 1000, np.nan, np.inf, -np.inf], "f4")
    expected = [0, np.exp(-90.0), 0.5, 1, 1, np.nan, 1, 0]
    np.testing.assert_allclose(like("sigmoid", x), expected, rtol=1e-6)
    x = np.array([[1e4, 1e4], [-2e4, -1e4]], "f4")
    assert like("softmax", x, dim=1).tolist() == [[0.5, 0.5], [0, 1]]
    got = like("log_softmax", x, dim=1)
    np.testing.assert_allclose(got, [[-math.log(2)] * 2, [-1e4, 0]], rtol=1e-6)


BINARY: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b if b else 0,
    "mod": lambda a, b: a % b if b else 0,
    "maximum": max,
    "minimum": min,
    "bit_and": lambda a, b: a & b,
    "bit_or": lambda a, b: a | b,
    "bit_xor": lambda a, b: a ^ b,
}


def integer_corners(name: str, seed: int) -> Array:
    low, high = RANGES[name]
    some = np.random.default_rng(seed).integers(low, high, 12, np.int64).tolist()
    small = [v for v in range(-7, 8) if low <= v <= high]
    return np.array([low, low + 1, high, high - 1, high // 2, *small, *some], INTEGERS[name])


def integer_power(base: int, exponent: int, name: str) -> int:
    if exponent >= 0:
        return wrap(pow(base, exponent, RANGES[name][1] - RANGES[name][0] + 1), name)
    return math.trunc(Fraction(base) ** (-1 - (-exponent + 1) % 2)) if base else 0


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_arithmetic_is_exact_and_wraps(dtype: str) -> None:
    left, right = integer_corners(dtype, 0)[:, None], integer_corners(dtype, 1)[None, :]
    pairs = list(itertools.product(left.ravel().tolist(), right.ravel().tolist()))
    for name, function in BINARY.items():
        expected = [wrap(function(a, b), dtype) for a, b in pairs]
        assert like(name, left, right).ravel().tolist() == expected, name
    expected = [integer_power(a, b, dtype) for a, b in pairs]
    assert like("pow", left, right).ravel().tolist() == expected
    for name, compare in {"eq": int.__eq__, "lt": int.__lt__, "le": int.__le__}.items():
        got = like(name, left, right, dtype=bool).ravel().tolist()
        assert got == [compare(a, b) for a, b in pairs]
    unary: dict[str, Callable[[int], int]] = {
        "neg": int.__neg__,
        "abs": abs,
        "invert": int.__invert__,
    }
    unary |= {"sign": lambda v: (v > 0) - (v < 0), "relu": lambda v: max(v, 0)}
    for name, single in unary.items():
        assert like(name, left).ravel().tolist() == [
            wrap(single(v), dtype) for v in left.ravel().tolist()
        ]


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_arithmetic_rounds_once(dtype: str) -> None:
    left, right = sample(dtype, (40, 1)), sample(dtype, (1, 30), 1)
    a, b = wide(left), wide(right)
    for name, exact in {"add": a + b, "sub": a - b, "mul": a * b, "div": a / b}.items():
        assert (like(name, left, right) == exact.astype(FLOATS[dtype])).all(), name
    limit = EPS[dtype] * (0.501 if dtype in HALVES else 4)
    angle = wide(like("atan2", left, right))
    np.testing.assert_allclose(angle, np.arctan2(a, b), rtol=limit)
    power = wide(like("pow", np.abs(left), right))
    np.testing.assert_allclose(power, np.abs(a) ** b, rtol=limit)


CORNERS = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -2.5, 7.0, -7.0, math.inf, -math.inf, math.nan]


def python_division(a: float, b: float) -> tuple[float, float]:
    if b:
        return a // b, a % b
    return (a * math.copysign(math.inf, b) if a else math.nan), math.nan


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_floordiv_mod_and_pow_follow_python(dtype: str) -> None:
    x = np.array(CORNERS, FLOATS[dtype])
    pairs = itertools.product(CORNERS, repeat=2)
    quotient, remainder = zip(*(python_division(a, b) for a, b in pairs), strict=True)
    for name, expected in {"floordiv": quotient, "mod": remainder}.items():
        got = wide(like(name, x[:, None], x[None, :])).ravel()
        np.testing.assert_array_equal(got, expected)
    bases, exponents = [0, -8, 1, math.nan, -2, -0.0], [0, 1 / 3, math.nan, 0, 3, -1]
    got = wide(like("pow", np.array(bases, x.dtype), np.array(exponents, x.dtype)))
    np.testing.assert_array_equal(got, [1, math.nan, 1, 1, -8, -math.inf])


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_rules(dtype: str) -> None:
    nan, expect = math.nan, np.testing.assert_array_equal
    x = np.array([1, nan, -2, nan, 5], FLOATS[dtype])
    y = np.array([nan, 3, 4, nan, -1], FLOATS[dtype])
    expect(wide(like("maximum", x, y)), [nan, nan, 4, nan, 5])
    expect(wide(like("minimum", x, y)), [nan, nan, -2, nan, -1])
    expect(wide(like("relu", x)), [1, nan, 0, nan, 5])
    expect(wide(like("sign", x)), [1, nan, -1, nan, 1])
    for name in ("eq", "lt", "le"):
        assert not like(name, x, np.full_like(x, nan), dtype=bool).any()
    for name in ("max", "min", "sum"):
        assert math.isnan(run(name, [x], (), x.dtype, dims=(0,), keepdim=False))
    for name in ("argmax", "argmin"):
        assert run(name, [x], (), "i4", dim=0, keepdim=False) == 1
    window = {"kernel": (2,), "stride": (1,), "padding": ((0, 0),), "ceil_mode": False}
    got = run("maxpool", [x.reshape(1, 1, 5)], (1, 1, 4), x.dtype, **window)
    assert np.isnan(wide(got)).all()


def test_bool_rows_and_where() -> None:
    a, b = np.array([[False], [True]]), np.array([False, True])
    table = {"bit_and": [0, 0, 0, 1], "bit_or": [0, 1, 1, 1], "bit_xor": [0, 1, 1, 0]}
    for name, expected in (table | {"lt": [0, 1, 0, 0], "le": [1, 1, 0, 1]}).items():
        assert like(name, a, b).ravel().tolist() == expected
    assert like("invert", b).tolist() == [True, False]
    for name, dtype in ALL.items():
        x, y, condition = (
            sample(name, (2, 1, 3)),
            sample(name, (4, 1), 1),
            sample("bool", (2, 4, 3)),
        )
        got = like("where", condition, x, y, dtype=dtype)
        for i, j, k in np.ndindex(2, 4, 3):
            assert got[i, j, k] == (x[i, 0, k] if condition[i, j, k] else y[j, 0])
        assert like("eq", x, np.broadcast_to(x, (2, 4, 3)), dtype=bool).all()
        assert like("where", condition[:0], x[:0], y, dtype=dtype).size == 0


def test_rank_0_and_empty_inputs_keep_shape_and_dtype() -> None:
    binary = ("add", "sub", "mul", "div", "floordiv", "mod", "pow", "maximum", "minimum", "atan2")
    for dtype, shape in itertools.product(FLOATS.values(), ((), (0,), (2, 0, 3))):
        x = np.full(shape, 0.5, dtype)
        for name in UNARY:
            like(name, x)
        for name in binary:
            like(name, x, np.full((1,) * x.ndim, 1, dtype))
        like("gelu", x, approximate="tanh")
        like("gelu", x, approximate="none")


# Casts ---------------------------------------------------------------------------------------


def nearest(value: float, name: str) -> float:
    """Round half to even on the target's grid with exact fractions."""
    bits, smallest, largest = GRIDS[name]
    limit = 448.0 if name == "float8" else math.inf
    if not math.isfinite(value):
        return value if math.isnan(value) else math.copysign(limit, value)
    exact = Fraction(value)
    above, below = abs(exact).numerator.bit_length(), exact.denominator.bit_length()
    exponent = above - below - (abs(exact) < Fraction(2) ** (above - below))
    quantum = Fraction(2) ** max(exponent - bits + 1, smallest)
    rounded = round(exact / quantum) * quantum
    return float(rounded) if abs(rounded) <= largest else math.copysign(limit, value)


def cast_value(value: Any, source: str, target: str) -> Any:
    if target == "bool":
        return value != 0
    if target in GRIDS:
        return nearest(value, target)
    if source not in GRIDS:
        return wrap(int(value), target)
    low, high = RANGES[target]
    return 0 if math.isnan(value) else math.trunc(min(max(value, low), high))


def cast_inputs(name: str) -> Array:
    rng = np.random.default_rng(5)
    if name == "bool":
        return np.array([False, True])
    if name in RANGES:
        low, high = RANGES[name]
        ties = [2**24 + 1, 2**30 + 2**22 + 1, 2**40 + 2**32 + 1, 2**62 + 2**54 + 1, 65519, 65520]
        fitting = [v for v in (*ties, *(-t for t in ties), 0, 1, -1, 5) if low <= v <= high]
        some = rng.integers(low, high, 60, np.int64, endpoint=True).tolist()
        return np.array([low, high, *fitting, *some], np.int64).astype(ALL[name])
    powers = [
        f * 2.0**e for e in (-140, -20, -9, 0, 3, 7, 15, 31, 62, 63, 64, 120) for f in (1, 1.5)
    ]
    halves = [1 + 2**-8 + 2**-40, 1 + 2**-4 + 2**-30, 1 + 2**-11 + 2**-45, 464, 464.1, 65520, 1e300]
    values = [0, 0.4, 0.99, 7.9, 127.5, 255.5, 2.0**63 - 1024, math.inf, *powers, *halves]
    values += (rng.standard_normal(60) * 100).tolist()
    with np.errstate(all="ignore"):
        return np.array([*values, *(-v for v in values), math.nan]).astype(ALL[name])


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("source", ALL)
def test_cast_follows_the_table(source: str, target: str) -> None:
    x = cast_inputs(source)
    plain = x.astype("f8" if source in GRIDS else "i8").tolist()
    out = like("cast", x, dtype=ALL[target])
    got = out.astype("f8" if target in GRIDS else "i8")
    expected = [cast_value(v, source, target) for v in plain]
    np.testing.assert_array_equal(got, np.array(expected, got.dtype))
    assert like("cast", x[:0].reshape(0, 3), dtype=ALL[target]).size == 0
    assert like("cast", np.asarray(x[1]), dtype=ALL[target])[()] == out[1]


@pytest.mark.parametrize("dtype", ALL)
def test_arange_and_size(dtype: str) -> None:
    for start, step, source in ((-3, 2, "int64"), (0.5, -0.25, "float64"), (9, 0, "int64")):
        got = wide(run("arange", [], (4,), ALL[dtype], start=start, step=step))
        expected = [cast_value(start + i * step, source, dtype) for i in range(4)]
        np.testing.assert_array_equal(got, np.array(expected, "f8"))
    assert run("arange", [], (0,), ALL[dtype], start=1, step=1).size == 0
    big = run("arange", [], (2,), "i8", start=2**62 + 1, step=2**61)
    assert big.tolist() == [2**62 + 1, 2**62 + 2**61 + 1]
    assert run("size", [], (), "i4", size=7) == 7


# Reductions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dims", [(), (0,), (1,), (0, 2), (0, 1, 2)])
def test_reductions(dims: tuple[int, ...], keepdim: bool) -> None:
    def both(name: str, x: Array) -> tuple[Array, Array]:
        exact = x if x.dtype == bool else x.astype("O") if x.dtype.kind in "iu" else wide(x)
        expected = np.asarray(getattr(np, name)(exact, axis=dims, keepdims=keepdim))
        return run(name, [x], expected.shape, x.dtype, dims=dims, keepdim=keepdim), expected

    for name in FLOATS:
        x = sample(name, (3, 4, 50))
        scale = np.sum(np.abs(wide(x)), axis=dims, keepdims=keepdim)
        for row in ("sum", "prod", "mean", "max", "min"):
            got, expected = both(row, x)
            noise = 1e-13 * (np.abs(expected) if row == "prod" else scale) + TINY[name]
            assert (
                np.abs(wide(got) - expected) <= 0.501 * EPS[name] * np.abs(expected) + noise
            ).all()
    for name, row in itertools.product(INTEGERS, ("sum", "prod", "max", "min")):
        got, expected = both(row, sample(name, (3, 4, 5)))
        assert got.ravel().tolist() == [wrap(v, name) for v in expected.ravel().tolist()]
    for row in ("all", "any"):
        got, expected = both(row, sample("bool", (3, 4, 2)))
        assert (got == expected).all()


def test_empty_reductions() -> None:
    neutral = {"sum": 0.0, "prod": 1.0, "mean": math.nan, "all": 1.0, "any": 0.0}
    for name, value in neutral.items():
        kinds = [np.dtype(bool)] if name in ("all", "any") else FLOATS.values()
        for dtype in kinds:
            got = run(name, [np.zeros((2, 0, 3), dtype)], (2, 3), dtype, dims=(1,), keepdim=False)
            np.testing.assert_array_equal(wide(got), np.full((2, 3), value))
    assert run("prod", [np.zeros(0, "i1")], (), "i1", dims=(0,), keepdim=False) == 1
    assert run("max", [np.zeros((0, 2), "f4")], (0,), "f4", dims=(1,), keepdim=False).size == 0
    for name, dim in itertools.product(("softmax", "log_softmax"), (0, 1)):
        assert like(name, np.zeros((2, 0), "f2"), dim=dim).size == 0


@pytest.mark.parametrize("dtype", FLOATS | INTEGERS)
def test_positions_and_softmax(dtype: str) -> None:
    x = sample(dtype, (3, 5, 4))
    x[1, 3] = x[1, 2]
    cases = itertools.product({"argmax": max, "argmin": min}.items(), range(3), (False, True))
    for (name, choose), dim, keepdim in cases:
        lines = np.moveaxis(x, dim, -1).reshape(-1, x.shape[dim]).tolist()
        shape = [1 if d == dim else n for d, n in enumerate(x.shape) if keepdim or d != dim]
        got = run(name, [x], shape, "i4", dim=dim, keepdim=keepdim)
        assert got.ravel().tolist() == [line.index(choose(line)) for line in lines]
    if dtype in FLOATS:
        expected = np.exp(wide(x)) / np.exp(wide(x)).sum(axis=1, keepdims=True)
        limit = EPS[dtype] * (0.51 if dtype in HALVES else 8)
        np.testing.assert_allclose(wide(like("softmax", x, dim=1)), expected, rtol=limit)
        noise = 5e-16 if dtype == "float64" else 5e-7
        got = wide(like("log_softmax", x, dim=1))
        np.testing.assert_allclose(got, np.log(expected), rtol=limit, atol=noise)


# Movement and indexed access -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ALL)
def test_movement_of_every_dtype(dtype: str) -> None:
    def check(name: str, inputs: Sequence[Array], expected: Array, **attrs: Any) -> None:
        got = run(name, inputs, expected.shape, ALL[dtype], **attrs)
        assert wide(got).tolist() == expected.tolist()

    x, value = sample(dtype, (2, 3, 4)), sample(dtype, ())
    plain = wide(x)
    check("reshape", [x], plain.reshape(4, 6), shape=(4, 6))
    check("permute", [x], plain.transpose(2, 0, 1), perm=(2, 0, 1))
    stretched = np.stack([plain[:, :1].repeat(3, axis=1)] * 5)
    check("expand", [x[:, :1]], stretched, shape=stretched.shape)
    check("concat", [x, x[:, :0], x[:, 1:]], np.concatenate([plain, plain[:, 1:]], 1), dim=1)
    for mode in ("constant", "reflect", "edge"):
        options: dict[str, Any] = {"constant_values": float(value)} if mode == "constant" else {}
        expected = np.pad(plain, ((1, 0), (0, 2), (3, 1)), mode, **options)
        check("pad", [x, value], expected, low=(1, 0, 3), high=(0, 2, 1), mode=mode)
    index = np.array([[2, -1], [0, -3]], "i1")
    check("gather", [x, index], plain[:, index], dim=1)
    check("gather", [x, index[0, 0]], plain[:, 2], dim=1)
    picks = np.array([[[3, -4, 0]], [[1, 1, -1]]])
    expected = np.array(
        [[row[p[0]] for row in block] for block, p in zip(plain, picks, strict=True)]
    )
    check("take_along_dim", [x, picks], expected, dim=2)
    check(
        "take_along_dim", [x[:, :1], picks.repeat(3, axis=1)], expected[:, :1].repeat(3, 1), dim=2
    )


def test_slices_are_those_of_python() -> None:
    members = [None, -6, -3, -1, 0, 2, 5, 7]
    for size, start, stop, step in itertools.product((0, 1, 5), members, members, (1, 2, -1, -3)):
        chosen, first = range(size)[start:stop:step], slice(start, stop, step).indices(size)[0]
        x = np.arange(2 * size).reshape(2, size)
        got = run("slice", [x], (2, len(chosen)), "i8", starts=(1, first), steps=(-1, step))
        assert got.tolist() == [[row * size + i for i in chosen] for row in (1, 0)]
    assert run("slice", [np.array(3.0)], (), "f8", starts=(), steps=()) == 3


@pytest.mark.parametrize("dtype", INTEGERS)
def test_out_of_range_indices(dtype: str) -> None:
    def fails(name: str, x: Array, index: Array, dim: int, **attrs: Any) -> Any:
        with pytest.raises(IndexError) as caught:
            run(name, [x, index], (), "f8", dim=dim, **attrs)
        return caught.value.args

    x, low = np.arange(12.0).reshape(3, 4), RANGES[dtype][0]
    index = np.array([[0, 2, 1, 1], [1, 100, 3, 0]], INTEGERS[dtype])
    far = np.array([[2, -1 if low else 2, 127, low]], INTEGERS[dtype])
    for name, shape in {"gather": (1, 4, 4), "take_along_dim": (1, 4)}.items():
        assert fails(name, x, index, 0) == ((1, 1), 100, 3)
        got = run(name, [x, far], shape, "f8", dim=0, clamp=True)
        assert (got == run(name, [x, np.array([[2, 2, 2, 0]])], shape, "f8", dim=0)).all()
    if low:
        assert fails("gather", x, np.array(-5, INTEGERS[dtype]), 1) == ((), -5, 4)
    assert fails("gather", x[:0], index, 0, clamp=True)[2] == 0


def test_matmul() -> None:
    for name, dtype in FLOATS.items():
        a, b = sample(name, (2, 1, 3, 70)), sample(name, (4, 70, 5), 1)
        expected, scale = wide(a) @ wide(b), np.abs(wide(a)) @ np.abs(wide(b))
        error = np.abs(wide(run("matmul", [a, b], (2, 4, 3, 5), dtype)) - expected)
        noise = 70 * EPS["float64" if name == "float64" else "float32"] * scale
        assert (error <= 0.5 * EPS[name] * np.abs(expected) + noise).all()
    for name in ("int32", "int64"):
        a, b = sample(name, (3, 4)), sample(name, (4, 2), 1)
        exact = (a.astype("O") @ b.astype("O")).ravel().tolist()
        got = run("matmul", [a, b], (3, 2), name).ravel().tolist()
        assert got == [wrap(v, name) for v in exact]
    assert not run("matmul", [np.ones((3, 0), "f2"), np.ones((0, 2), "f2")], (3, 2), "f2").any()


# Convolution and pooling ---------------------------------------------------------------------


def cell_at(position: Shape, tap: Shape, attrs: Attrs) -> tuple[int, ...]:
    dilation = attrs.get("dilation", (1,) * len(tap))
    geometry = zip(position, tap, attrs["stride"], dilation, attrs["padding"], strict=True)
    return tuple(p * s + t * d - low for p, t, s, d, (low, _) in geometry)


def inside(cell: Shape, ends: Shape) -> bool:
    return all(0 <= c < end for c, end in zip(cell, ends, strict=True))


def direct_conv(x: Array, w: Array, attrs: Attrs, shape: Shape) -> Array:
    out, per_group = np.zeros(shape), w.shape[0] // attrs["groups"]
    for n, o, *position in np.ndindex(*shape):
        for c, *tap in np.ndindex(*w.shape[1:]):
            cell = cell_at(position, tap, attrs)
            if inside(cell, x.shape[2:]):
                channel = o // per_group * w.shape[1] + c
                out[(n, o, *position)] += x[(n, channel, *cell)] * w[(o, c, *tap)]
    return out


def direct_transpose(x: Array, w: Array, attrs: Attrs, shape: Shape) -> Array:
    out, depth = np.zeros(shape), w.shape[0] // attrs["groups"]
    for n, c, *position in np.ndindex(*x.shape):
        for o, *tap in np.ndindex(*w.shape[1:]):
            cell = cell_at(position, tap, attrs)
            if inside(cell, shape[2:]):
                channel = c // depth * w.shape[1] + o
                out[(n, channel, *cell)] += x[(n, c, *position)] * w[(c, o, *tap)]
    return out


def conv_case(seed: int, transposed: bool) -> tuple[list[Array], dict[str, Any], tuple[int, ...]]:
    """A random legal convolution; seeds cover ranks 1 to 4, depthwise, batch 0 and no bias."""
    rng = np.random.default_rng(seed)
    rank, groups = 1 + seed % 4, (1, 2, 3)[seed % 3]
    inner, outer = (1, 1) if seed % 5 == 0 else rng.integers(1, 4, 2).tolist()
    kernel, stride, dilation = (rng.integers(1, top, rank).tolist() for top in (4, 5, 3))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    space = [e + int(rng.integers(0, 4 if rank < 3 else 2)) for e in extent]
    low = [int(rng.integers(0, e)) for e in extent]
    high = [int(rng.integers(0, e - a)) for e, a in zip(extent, low, strict=True)]
    padding = list(zip(low, high, strict=True))
    attrs: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    geometry = zip(space, extent, stride, low, high, strict=True)
    if transposed:
        extra = [int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True)]
        attrs["output_padding"] = extra
        grown = ((n - 1) * s - a - b + e for n, e, s, a, b in geometry)
        out = [n + more for n, more in zip(grown, extra, strict=True)]
    else:
        out = [(n + a + b - e) // s + 1 for n, e, s, a, b in geometry]
    weight = (groups * inner, outer, *kernel) if transposed else (groups * outer, inner, *kernel)
    batch = int(rng.integers(0, 3))
    shapes = [(batch, groups * inner, *space), weight, (groups * outer,)][: 2 + seed % 2]
    inputs = [rng.standard_normal(shape) for shape in shapes]
    return inputs, attrs | {"groups": groups}, (batch, groups * outer, *out)


@pytest.mark.parametrize("block_bytes", [1, 300, 1 << 20])
@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_convolutions_match_the_direct_loop(
    name: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_kernels, "BLOCK_BYTES", block_bytes)
    direct = direct_conv if name == "conv" else direct_transpose
    for seed, dtype in zip(range(24), itertools.cycle([*FLOATS, "float32"]), strict=False):
        inputs, attrs, shape = conv_case(seed + block_bytes, name == "conv_transpose")
        rounded = [v.astype(FLOATS[dtype]) for v in inputs]
        x, w, *bias = map(wide, rounded)
        offset = sum((b.reshape(-1, *[1] * len(shape[2:])) for b in bias), np.zeros(1))
        expected = direct(x, w, attrs, shape) + offset
        scale = direct(np.abs(x), np.abs(w), attrs, shape) + np.abs(offset)
        noise = 20 * EPS["float64" if dtype == "float64" else "float32"] * scale
        error = np.abs(wide(run(name, rounded, shape, FLOATS[dtype], **attrs)) - expected)
        assert (error <= 0.5 * EPS[dtype] * np.abs(expected) + noise).all(), (seed, attrs)


def test_worked_transposed_convolutions() -> None:
    def transpose(x: Array, stride: int, padding: int, extra: int, out: int) -> Any:
        rank = x.ndim - 2
        attrs: dict[str, Any] = {"stride": (stride,) * rank, "dilation": (1,) * rank, "groups": 1}
        attrs |= {"padding": ((padding,) * 2,) * rank, "output_padding": (extra,) * rank}
        return run("conv_transpose", [x, x], (1, 1, *[out] * rank), "f4", **attrs)[0, 0].tolist()

    square, line = np.arange(4, dtype="f4").reshape(1, 1, 2, 2), np.arange(3, dtype="f4")
    assert transpose(square, 1, 0, 0, 3) == [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
    far = [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    assert transpose(square, 2, 0, 0, 4) == far
    assert transpose(line.reshape(1, 1, 3), 2, 1, 1, 6) == [0, 0, 1, 2, 2, 4]


def pool_case(seed: int, symmetric: bool = False) -> tuple[Shape, dict[str, Any], tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    rank, ceil = 1 + seed % (3 if symmetric else 4), bool(seed % 2)
    kernel, stride = rng.integers(1, 5, rank).tolist(), rng.integers(1, 4, rank).tolist()
    padding = [tuple(rng.integers(0, k, 2).tolist()) for k in kernel]
    if symmetric:
        padding = [(min(low, k // 2),) * 2 for (low, _), k in zip(padding, kernel, strict=True)]
    space = [k + int(rng.integers(0, 6 if rank < 3 else 3)) for k in kernel]
    out = []
    for n, k, s, (low, high) in zip(space, kernel, stride, padding, strict=True):
        size = (n + low + high - k + (s - 1) * ceil) // s + 1
        out.append(size - (ceil and (size - 1) * s >= n + low))
    attrs = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
    lead = (int(rng.integers(0, 3)), 2)
    return (*lead, *space), attrs, (*lead, *out)


def direct_pool(x: Array, attrs: Attrs, shape: Shape, include: bool) -> list[tuple[Any, Any, int]]:
    """Largest value, sum and divisor of every window, in Python numbers."""
    number, rows = int if x.dtype.kind in "iu" else float, []
    ends = [n + high for n, (_, high) in zip(x.shape[2:], attrs["padding"], strict=True)]
    for n, c, *position in np.ndindex(*shape):
        window = [cell_at(position, tap, attrs) for tap in np.ndindex(*attrs["kernel"])]
        real = [number(x[(n, c, *cell)]) for cell in window if inside(cell, x.shape[2:])]
        reached = [cell for cell in window if all(map(int.__lt__, cell, ends))]
        rows.append((max(real), sum(real), len(reached if include else real)))
    return rows


@pytest.mark.parametrize("dtype", FLOATS | INTEGERS)
def test_pools_match_the_direct_loop(dtype: str) -> None:
    for seed in range(16):
        sizes, attrs, shape = pool_case(seed)
        x, include = sample(dtype, sizes, seed), seed % 3 > 0
        rows = direct_pool(x, attrs, shape, include)
        top = run("maxpool", [x], shape, ALL[dtype], **attrs).ravel().tolist()
        assert top == [row[0] for row in rows]
        mean = run("avgpool", [x], shape, ALL[dtype], count_include_pad=include, **attrs).ravel()
        if dtype in INTEGERS:
            assert mean.tolist() == [total // count for _, total, count in rows]
        else:
            expected = np.array([total / count for _, total, count in rows])
            slack = 1e-15 + TINY[dtype]
            np.testing.assert_allclose(wide(mean), expected, rtol=EPS[dtype], atol=slack)


def test_worked_average_pool_and_exact_int64() -> None:
    attrs = {"kernel": (2,), "stride": (1,), "padding": ((1, 1),), "ceil_mode": False}
    for include, last in ((True, 1.5), (False, 3)):
        x = np.arange(4.0).reshape(1, 1, 4)
        got = run("avgpool", [x], (1, 1, 5), "f8", count_include_pad=include, **attrs)
        assert got.ravel().tolist() == [0, 0.5, 1.5, 2.5, last]
    top = np.full((1, 1, 4), 2**63 - 1)
    got = run("avgpool", [top], (1, 1, 5), "i8", count_include_pad=True, **attrs)
    assert got.ravel().tolist() == [2**62 - 1, *[2**63 - 1] * 3, 2**62 - 1]
    assert (run("maxpool", [~top], (1, 1, 5), "i8", **attrs) == -(2**63)).all()


@pytest.mark.parametrize("seed", [1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14])
def test_convolutions_and_pools_match_torch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    functional, kind = torch.nn.functional, (np.float32, np.float64)[seed % 2]
    for name in ("conv", "conv_transpose"):
        inputs, attrs, shape = conv_case(seed, name == "conv_transpose")
        inputs = [v.astype(kind) for v in inputs]
        x, w, *bias = map(torch.from_numpy, inputs)
        options = {k: v for k, v in attrs.items() if k != "padding"}
        if name == "conv":
            x = functional.pad(x, [p for pair in reversed(attrs["padding"]) for p in pair])
        want = getattr(functional, f"{name}{x.ndim - 2}d")(
            x, w, bias[0] if bias else None, **options
        )
        if name == "conv_transpose":
            for axis, (low, _) in enumerate(attrs["padding"], start=2):
                want = want.narrow(axis, low, shape[axis])
        got = run(name, inputs, shape, kind, **attrs)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)
    sizes, attrs, shape = pool_case(seed, symmetric=True)
    data = np.random.default_rng(seed).standard_normal(sizes).astype(kind)
    options = {"padding": [low for low, _ in attrs["padding"]], "ceil_mode": attrs["ceil_mode"]}
    for name, extra in (("max", {}), ("avg", {"count_include_pad": bool(seed % 3)})):
        function = getattr(functional, f"{name}_pool{len(sizes) - 2}d")
        want = function(
            torch.from_numpy(data), attrs["kernel"], attrs["stride"], **options, **extra
        )
        got = run(f"{name}pool", [data], shape, kind, **attrs, **extra)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-7)
