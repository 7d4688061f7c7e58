"""Numbers that a narrower type, or a careless kernel, would get wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

BIG, TOP, LEAST = 2**40 + 1, 2**63 - 1, -(2**63)
INF, NAN = math.inf, math.nan
Function = Callable[..., tp.Tensor]


def eager(function: Function, inputs: list[tp.Tensor]) -> Any:
    return function(*inputs).tolist()


def eager_compiled(function: Function, inputs: list[tp.Tensor]) -> Any:
    with tp.config.override(eager_threshold=0):
        return function(*[tp.Tensor(x) for x in inputs]).tolist()


def compiled(function: Function, inputs: list[tp.Tensor]) -> Any:
    infos = [tp.InputInfo(x.shape, x.dtype) for x in inputs]
    return tp.compile(function, args=infos)(*inputs).tolist()


def dynamic(function: Function, inputs: list[tp.Tensor]) -> Any:
    infos = [tp.InputInfo([(min(n, 1), n, n + 2) for n in x.shape], x.dtype) for x in inputs]
    return tp.compile(function, args=infos)(*inputs).tolist()


MODES = pytest.mark.parametrize("run", [eager, eager_compiled, compiled, dynamic])
long, wide = tp.Tensor([BIG, -BIG, TOP, LEAST]), tp.Tensor([0.1, 1e300, 1 + 2**-52], tp.float64)


def typed(values: Any, kind: tp.dtype) -> tp.Tensor:
    return tp.Tensor(values, dtype=kind)


#: What is computed, its inputs and its exact result.
EXACT: dict[str, tuple[Function, list[tp.Tensor], Any]] = {
    "int64 +": (lambda x: x + 1, [long], [BIG + 1, 1 - BIG, LEAST, LEAST + 1]),
    "int64 *": (lambda x: x * 3, [typed([BIG, TOP], tp.int64)], [3 * BIG, TOP - 2]),
    "int64 //": (lambda x: x // 3, [long], [n // 3 for n in (BIG, -BIG, TOP, LEAST)]),
    "int64 %": (lambda x: x % 1000, [long], [n % 1000 for n in (BIG, -BIG, TOP, LEAST)]),
    "int64 ==": (lambda x: x == x + 1, [long], [False] * 4),
    "int64 <": (lambda x: x < x + 1, [long[:2]], [True, True]),
    "int64 sum": (lambda x: tp.sum(x, 0), [typed([BIG, BIG, 5], tp.int64)], 2 * BIG + 5),
    "int64 prod": (lambda x: tp.prod(x, 0), [typed([BIG, 3], tp.int64)], 3 * BIG),
    "int64 mean": (lambda x: tp.mean(x, 0), [typed([TOP, TOP, TOP - 3], tp.int64)], TOP - 1),
    "int64 max": (lambda x: tp.max(x, 0), [typed([TOP, TOP - 1], tp.int64)], TOP),
    "int64 argmax": (lambda x: tp.argmax(x, 0), [typed([TOP - 1, TOP], tp.int64)], 1),
    "int64 matmul": (lambda x: x @ x, [typed([2**31, 3], tp.int64)], 2**62 + 9),
    "int64 abs": (lambda x: tp.abs(x), [long], [BIG, BIG, TOP, LEAST]),
    "int64 where": (lambda x: tp.where(x > 0, x, -x), [long], [BIG, BIG, TOP, LEAST]),
    "int64 clip": (lambda x: tp.clip(x, -BIG, BIG), [long], [BIG, -BIG, BIG, -BIG]),
    "int64 index": (
        lambda x, i: tp.gather(x, 0, i),
        [typed([1.5, 2.5, 3.5], tp.float32), typed([2, -1, 0], tp.int64)],
        [3.5, 3.5, 1.5],
    ),
    "int64 element": (lambda x: x[2], [long], TOP),
    "int32 wraps": (lambda x: x + x, [typed([2**31 - 1, -(2**31)], tp.int32)], [-2, 0]),
    "int8 wraps": (lambda x: x * x, [typed([127, -128, 16], tp.int8)], [1, 0, 0]),
    "uint8 wraps": (lambda x: x - 1, [typed([0, 255], tp.uint8)], [255, 254]),
    "int16 sum wraps": (lambda x: tp.sum(x, 0), [typed([32767, 2], tp.int16)], -32767),
    "int32 beyond float32": (
        lambda x: tp.max(x - 1, 0),
        [typed([2**24 + 2, 2**24 + 1], tp.int32)],
        2**24 + 1,
    ),
    "int32 ==": (lambda x: x == 2**24, [typed([2**24, 2**24 + 1], tp.int32)], [True, False]),
    "float64 +": (lambda x: x + 1.0, [wide], [1.1, 1e300, 2.0 + 2**-52]),
    "float64 -": (lambda x: x - 1.0, [typed([1 + 2**-52], tp.float64)], [2**-52]),
    "float64 sum": (lambda x: tp.sum(x, 0), [typed([1.0, 2**-52], tp.float64)], 1 + 2**-52),
    "float64 exp": (lambda x: tp.exp(x), [typed([700.0], tp.float64)], [math.exp(700)]),
    "float64 cast": (lambda x: tp.cast(x, tp.int64), [typed([2.0**62], tp.float64)], [2**62]),
    "NaN compares": (lambda x: (x == x) | (x < x) | (x >= x), [typed([NAN], tp.float32)], [False]),
    "NaN differs": (lambda x: x != x, [typed([NAN, 1], tp.float32)], [True, False]),
    "first NaN": (lambda x: tp.argmax(x, 0), [typed([1, NAN, INF, NAN], tp.float32)], 1),
    "inf wins": (lambda x: tp.max(x, 0), [typed([-INF, INF, 3], tp.float32)], INF),
    "masked softmax": (lambda x: tp.softmax(x, 0), [typed([-INF, 0], tp.float32)], [0.0, 1.0]),
    "empty sum": (lambda x: tp.sum(x, 0), [tp.zeros((0,), tp.int32)], 0),
    "empty prod": (lambda x: tp.prod(x, 0), [tp.zeros((0,))], 1.0),
    "empty all": (lambda x: tp.all(x, 0), [tp.zeros((0,), tp.bool)], True),
    "empty any": (lambda x: tp.any(x, 0), [tp.zeros((0,), tp.bool)], False),
    "empty logsumexp": (lambda x: tp.logsumexp(x, 0), [tp.zeros((0,))], -INF),
    "empty norm": (lambda x: tp.norm(x, dim=0), [tp.zeros((0,))], 0.0),
}  # fmt: skip


@MODES
@pytest.mark.parametrize("name", EXACT)
def test_results_are_exact(name: str, run: Callable[..., Any]) -> None:
    function, inputs, expected = EXACT[name]
    assert run(function, inputs) == expected


#: Functions that NaN must come out of.
PROPAGATES: dict[str, Function] = {
    "max": lambda x: tp.max(x, 0),
    "min": lambda x: tp.min(x, 0),
    "sum": lambda x: tp.sum(x, 0),
    "mean": lambda x: tp.mean(x, 0),
    "var": lambda x: tp.var(x, 0),
    "logsumexp": lambda x: tp.logsumexp(x, 0),
    "relu": lambda x: tp.relu(x)[1],
    "clip": lambda x: tp.clip(x, 0.0, 1.0)[1],
    "maximum": lambda x: tp.maximum(x, 5.0)[1],
    "minimum": lambda x: tp.minimum(5.0, x)[1],
    "softmax": lambda x: tp.softmax(x, 0)[1],
}


@MODES
@pytest.mark.parametrize("name", PROPAGATES)
def test_nan_propagates(name: str, run: Callable[..., Any]) -> None:
    x = typed([0.25, NAN, 2.0], tp.float32)
    result = run(PROPAGATES[name], [x])
    engines_differ = name in ("clip", "relu", "maximum", "minimum", "max", "min")
    if run is eager or not engines_differ:  # another engine may let the other operand survive
        assert math.isnan(result)
    else:
        assert math.isnan(result) or result in (0.0, 0.25, 1.0, 2.0, 5.0)


@pytest.mark.parametrize("reduce", [tp.max, tp.min, tp.argmax, tp.argmin])
def test_extremes_of_nothing_are_errors(reduce: Function) -> None:
    with pytest.raises(tp.TripyShapeError, match="empty"):
        reduce(tp.zeros((2, 0)), 1)
    with pytest.raises(tp.TripyShapeError, match="empty"):
        tp.mean(tp.zeros((0,), tp.int32))


@pytest.mark.parametrize("statistic", [tp.mean, tp.var, tp.std])
def test_statistics_of_nothing_are_nan(statistic: Function) -> None:
    assert math.isnan(statistic(tp.zeros((0,))).item())


def test_indices_beyond_int32_do_not_wrap() -> None:
    x = typed([1.0, 2.0, 3.0], tp.float32)
    index = typed([2**32, -(2**32) - 2], tp.int64)  # 0 and -2, if only 32 bits were kept
    with pytest.raises(tp.TripyIndexError):
        tp.gather(x, 0, index).eval()
    assert compiled(lambda x, i: tp.gather(x, 0, i), [x, index]) == [3.0, 1.0]


def test_subnormals_and_signed_zeros_stay_in_eager_mode() -> None:
    tiny = np.float32(1e-45)
    x = tp.Tensor([tiny, np.float32(-0.0)])
    assert (x * 3.0).tolist() == [float(tiny * np.float32(3)), 0.0]
    assert math.copysign(1, (x * 1.0)[1].item()) == -1
    assert (1.0 / x)[1].item() == -INF


@pytest.mark.parametrize("kind", [tp.float16, tp.bfloat16])
def test_halves_accumulate_in_float32(kind: tp.dtype) -> None:
    x = tp.ones((3000,), kind)
    halfway = tp.mean(tp.concatenate([x, x * 3.0], 0))
    assert halfway.item() == 2.0
    assert tp.sum(x / 8.0).item() == np.float32(375).astype(tp.ones((), kind).numpy().dtype)


# Input channels, size of the kernel and stride of convolutions that oneDNN gets wrong where it uses
# AMX: a row of the kernel has some whole vectors of 64 bytes.
ROWS = [
    (8, (1, 8), 1),
    (4, (3, 16), 2),
    (2, (1, 32), 1),
    (24, (1, 4), 4),
    (6, (2, 2, 16), 1),
    (12, (8,), 1),
]
INT8_ROWS = [(16, (1, 8), 1), (32, (4, 4), 4), (8, (16,), 2), (4, (1, 2, 32), 1)]


def convolved(x: tp.Tensor, weight: tp.Tensor, stride: int) -> tp.Tensor:
    last = (1,) * (x.rank - 3) + (stride,)
    around = ((0, 0),) * (x.rank - 3) + ((0 if stride > 2 else 1,) * 2,)
    return tp.conv(x, weight, stride=last, padding=around)


def whole_numbers(rng: np.random.Generator, *shape: int) -> tp.Tensor:
    """Their products and sums are exact in every arithmetic."""
    return tp.Tensor(rng.integers(-8, 9, shape).astype(np.float32))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize(("channels", "kernel", "stride"), ROWS)
@pytest.mark.parametrize("is_constant", [True, False])
def test_rows_of_whole_vectors_are_convolved(
    channels: int,
    kernel: tuple[int, ...],
    stride: int,
    precision: str,
    is_constant: bool,
    rng: np.random.Generator,
) -> None:
    x = whole_numbers(rng, 2, channels, *(n + 25 for n in kernel))
    weight = whole_numbers(rng, 16, channels, *kernel)
    infos = [tp.InputInfo(tensor.shape, tp.float32) for tensor in (x, weight)]
    if is_constant:
        exe = tp.compile(
            lambda x: convolved(x, weight, stride), args=infos[:1], precision=precision
        )
        result = exe(x)
    else:
        exe = tp.compile(lambda x, w: convolved(x, w, stride), args=infos, precision=precision)
        result = exe(x, weight)
    expected = convolved(tp.cast(x, tp.float64), tp.cast(weight, tp.float64), stride)
    scale = np.abs(expected.numpy()).max()
    assert np.abs(result.numpy() - expected.numpy()).max() < 5e-3 * scale


@pytest.mark.parametrize("is_scaled_by_tap", [False, True])
@pytest.mark.parametrize(("channels", "kernel", "stride"), INT8_ROWS)
def test_rows_of_whole_vectors_of_int8_are_convolved(
    channels: int,
    kernel: tuple[int, ...],
    stride: int,
    is_scaled_by_tap: bool,
    rng: np.random.Generator,
) -> None:
    x = whole_numbers(rng, 2, channels, *(n + 25 for n in kernel))
    weight = whole_numbers(rng, 16, channels, *kernel)
    small = tp.cast(weight, tp.int8).eval()

    def function(x: tp.Tensor) -> tp.Tensor:
        x = tp.dequantize(tp.quantize(x, 1.0, tp.int8), 1.0, tp.float32)
        scale, dim = ([1.0] * kernel[-1], len(kernel) + 1) if is_scaled_by_tap else (1.0, None)
        return convolved(x, tp.dequantize(small, scale, tp.float32, dim), stride)

    exe = tp.compile(function, args=[tp.InputInfo(x.shape, tp.float32)])
    expected = convolved(tp.cast(x, tp.float64), tp.cast(weight, tp.float64), stride)
    assert exe(x).tolist() == expected.tolist()
