"""``tp.random``: known answers, the same numbers everywhere, and whether they look random."""

from __future__ import annotations

import concurrent.futures
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conformance.tables.random import integers, standard_normal, threefry, unit
from scipy import stats  # type: ignore[import-untyped]

import tripy as tp
from tripy import evaluate
from tripy.engines import random_kernels

ENGINES = pytest.mark.parametrize("engine", ["reference", "openvino"])
SEEDS = (0, 1, 42, 2**31 - 1, 2**32, 2**63, 2**64 - 1)
#: key, counter and result, as the authors of the generator publish them.
ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


# The generator ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "counter", "result"), ANSWERS)
def test_threefry_gives_the_published_answers(key: Any, counter: Any, result: Any) -> None:
    assert threefry(key, counter) == result
    low = np.array([counter[1]], np.uint32)
    assert [int(word[0]) for word in random_kernels._rounds(key, counter[0], low)] == list(result)


def test_check_values_of_the_contract() -> None:
    uniform = tp.random.uniform(4, seed=42).numpy()
    assert str(uniform) == "[0.42672753 0.01501006 0.57414436 0.7298189 ]"
    normal = [1.2040926, -1.2509438, 0.98077667, 0.20612898]
    assert np.allclose(tp.random.normal(4, seed=42).numpy(), normal, rtol=1e-5, atol=1e-6)
    assert tp.random.randint(4, 0, 10, seed=42).tolist() == [4, 0, 5, 7]


def test_blocks_of_counters_join() -> None:
    count = 2 * random_kernels._BLOCK + 5
    drawn = tp.random.randint(count, -(2**31), 2**31, seed=7).numpy().view(np.uint32) ^ 2**31
    for i in (0, count // 2 - 3, random_kernels._BLOCK - 1, random_kernels._BLOCK, count - 1):
        assert drawn[i] == threefry((0, 7), (0, i))[0]


@pytest.mark.parametrize("span", [1, 2, 3, 10, 2**16 - 1, 2**16 + 1, 2**31 + 1, 2**32 - 1, 2**32])
def test_integers_of_any_span(span: int) -> None:
    for low in (0, -(2**31), 2**62 - 5):
        drawn = tp.random.randint(50, low, low + span, tp.int64, seed=span)
        assert drawn.tolist() == integers(span, 50, low, low + span).tolist()


def test_float64_numbers_have_53_bits() -> None:
    drawn = tp.random.uniform(2000, dtype=tp.float64, seed=3).numpy()
    assert np.array_equal(drawn, unit(3, 2000, "float64"))
    assert (drawn * 2**53 % 2 == 1).any()


# Seeds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_of_64_bits(seed: int) -> None:
    signed = seed - 2**64 if seed >= 2**63 else seed
    forms: list[Any] = [seed, np.uint64(seed), tp.Tensor(signed, tp.int64)]
    if -(2**31) <= signed < 2**31:
        forms += [tp.Tensor(signed, tp.int32), tp.DimensionSize(signed)]
    for form in forms:
        assert tp.random.uniform(5, seed=form).tolist() == unit(seed, 5, "float32").tolist()


def test_negative_seed_tensors_stand_for_their_pattern() -> None:
    for kind in (tp.int32, tp.int64):
        drawn = tp.random.randint(5, 0, 1000, seed=tp.Tensor(-3, kind))
        assert drawn.tolist() == integers(2**64 - 3, 5, 0, 1000).tolist()


def test_seeds_give_different_numbers() -> None:
    drawn = {tuple(tp.random.randint(4, 0, 2**31, seed=seed).tolist()) for seed in range(200)}
    assert len(drawn) == 200


@ENGINES
def test_a_compiled_function_draws_fresh_numbers_per_call(engine: str) -> None:
    def noisy(x: tp.Tensor, seed: tp.Tensor) -> tp.Tensor:
        return x + tp.random.uniform(x.shape, seed=seed)

    infos = [tp.InputInfo((3,), tp.float32), tp.InputInfo((), tp.int32)]
    run = tp.compile(noisy, args=infos, engine=engine)
    for seed in (1, 2, -1):
        wanted = unit(seed, 3, "float32").tolist()
        assert run(np.zeros(3, np.float32), np.int32(seed)).tolist() == wanted


def test_another_seed_builds_no_program() -> None:
    with tp.config.override(eager_threshold=0):
        tp.random.uniform((3, 7), seed=1).eval()
        programs = set(evaluate._programs)
        drawn = [tp.random.uniform((3, 7), seed=seed).tolist() for seed in range(2, 5)]
        assert set(evaluate._programs) == programs
    assert drawn[2] == unit(4, 21, "float32").reshape(3, 7).tolist()


# The same numbers everywhere --------------------------------------------------------------------


def draws(shape: Any, seed: Any) -> list[tp.Tensor]:
    """Several draws of one seed, which must not be mistaken for each other."""
    return [
        tp.random.uniform(shape, seed=seed),
        tp.random.uniform(shape, dtype=tp.bfloat16, seed=seed),
        tp.random.randint(shape, -(2**31), 2**31, seed=seed),
        tp.random.randint(shape, -7, 1000, tp.int16, seed=seed),
        tp.random.uniform(shape, -0.3, 0.7, seed=seed),
        tp.random.normal(shape, 2.0, 3.0, seed=seed),
    ]


@ENGINES
@pytest.mark.parametrize("fixed", [True, False], ids=["fixed seed", "seed as input"])
@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "static"])
def test_engines_agree(engine: str, fixed: bool, dynamic: bool) -> None:
    shapes = [(300, 250), (0, 4), (1, 1), (17, 3)] if dynamic else [(300, 250)]
    dims: list[Any] = [(0, 17, 300), (1, 4, 250)] if dynamic else [300, 250]
    infos = [tp.InputInfo(dims, tp.bool), tp.InputInfo((), tp.int32)]

    def function(x: tp.Tensor, seed: tp.Tensor) -> list[tp.Tensor]:
        return draws(x.shape, 2**64 - 5 if fixed else seed)

    run = tp.compile(function, args=infos, engine=engine)
    for shape in shapes:
        got = run(np.zeros(shape, bool), np.int32(-5))
        *exact, between, normal = zip(got, draws(shape, 2**64 - 5), strict=True)
        assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in exact)
        last_place = float(np.spacing(np.float32(0.7)))
        assert np.allclose(*(t.numpy() for t in between), rtol=0, atol=last_place)
        assert np.allclose(*(t.numpy() for t in normal), rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_lower_precision_rounds_the_numbers(precision: str) -> None:
    def function(seed: tp.Tensor) -> list[tp.Tensor]:
        return [tp.random.uniform(500, 1.0, 3.0, seed=seed), tp.random.normal(500, seed=seed)]

    infos = [tp.InputInfo((), tp.int32)]
    run = tp.compile(function, args=infos, engine="openvino", precision=precision)
    for got, wanted in zip(run(np.int32(8)), function(tp.Tensor(8)), strict=True):
        assert np.allclose(got.numpy(), wanted.numpy(), rtol=0.02, atol=0.05)


def test_an_exported_openvino_program_draws_the_same_numbers() -> None:
    from tripy.engines.openvino import core

    infos = [tp.InputInfo([(1, 2, 9)], tp.bool), tp.InputInfo((), tp.int32)]
    run = tp.compile(lambda x, s: draws(x.shape, s), args=infos, engine="openvino")
    inputs = [np.zeros(7, bool), np.array(-9, np.int32)]
    copy = core().import_model(run._program._compiled.export_model().getvalue(), "CPU")
    for got, wanted in zip(copy(inputs).values(), run(*inputs), strict=True):
        if wanted.dtype is not tp.bfloat16:
            assert np.array_equal(got, wanted.numpy())


def test_threads_share_a_program() -> None:
    infos = [tp.InputInfo([(1, 10, 9000)], tp.bool), tp.InputInfo((), tp.int32)]
    run = tp.compile(lambda x, s: tp.random.uniform(x.shape, seed=s), args=infos, engine="openvino")

    def drawn(seed: int) -> bool:
        wanted = tp.random.uniform(9000 - seed, seed=seed).numpy()
        return np.array_equal(run(np.zeros(9000 - seed, bool), np.int32(seed)).numpy(), wanted)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(drawn, range(40)))


FUNCTIONS: dict[str, Callable[[Any, Any], tp.Tensor]] = {
    "uniform": lambda shape, seed: tp.random.uniform(shape, seed=seed),
    "float64": lambda shape, seed: tp.random.uniform(shape, dtype=tp.float64, seed=seed),
    "normal": lambda shape, seed: tp.random.normal(shape, seed=seed),
    "randint": lambda shape, seed: tp.random.randint(shape, -5, 99, seed=seed),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elements_depend_on_their_index_only(name: str) -> None:
    draw = FUNCTIONS[name]
    flat = draw(60, 9).numpy()
    for shape in ((60,), (6, 10), (3, 4, 5), (1,) * 62 + (6, 10), (2, 3), 7, (), (5, 0)):
        got = draw(shape, 9).numpy()
        assert got.shape == ((shape,) if isinstance(shape, int) else shape)
        assert np.array_equal(got.ravel(), flat[: got.size])


def test_symbolic_sizes_are_sizes_inside_compile() -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        drawn = tp.random.uniform((x.shape[0] * 2, 3), seed=1)
        assert isinstance(drawn.shape[0], tp.DimensionSize)
        assert "shape=" in repr(drawn)
        with pytest.raises(tp.TripyCompileError):
            drawn.eval()
        return drawn

    run = tp.compile(function, args=[tp.InputInfo([(1, 2, 3)], tp.float32)])
    assert run(np.ones(3, np.float32)).tolist() == tp.random.uniform((6, 3), seed=1).tolist()


def test_openvino_refuses_more_elements_than_it_can_count() -> None:
    infos = [tp.InputInfo((), tp.int32)]
    with pytest.raises(tp.TripyUnsupportedError, match="counts at most 2147483647"):
        tp.compile(lambda s: tp.random.uniform(2**31, seed=s), args=infos, engine="openvino")


# Whether they look random -----------------------------------------------------------------------


COUNT = 50_000


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_uniform_numbers_are_uniform(seed: int) -> None:
    drawn = tp.random.uniform(COUNT, -2.0, 3.0, seed=seed).numpy()
    assert drawn.min() >= -2
    assert drawn.max() <= 3
    assert stats.kstest(drawn, stats.uniform(-2, 5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / COUNT**0.5


@pytest.mark.parametrize("kind", [tp.float32, tp.float64])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_normal_numbers_are_normal(seed: int, kind: tp.dtype) -> None:
    drawn = tp.random.normal(COUNT, 5.0, 2.0, kind, seed=seed).numpy().astype(np.float64)
    assert stats.kstest(drawn, stats.norm(5, 2).cdf).pvalue > 1e-3
    assert abs(drawn.mean() - 5) < 4 * 2 / COUNT**0.5
    assert abs(drawn.std() - 2) < 4 * 2 / (2 * COUNT) ** 0.5
    assert np.isfinite(drawn).all()


def test_normal_numbers_follow_their_formula() -> None:
    wide = tp.random.normal(3000, dtype=tp.float64, seed=5).numpy()
    assert np.allclose(wide, standard_normal(5, 3000), rtol=1e-12, atol=1e-13)
    short = tp.random.normal(3000, seed=5).numpy()
    assert np.allclose(short, wide, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("span", [2, 10, 100, 255])
def test_integers_are_equally_frequent(span: int) -> None:
    drawn = tp.random.randint(COUNT, -5, span - 5, seed=span).numpy()
    counts = np.bincount(drawn + 5)
    assert len(counts) == span
    assert stats.chisquare(counts).pvalue > 1e-3


# Bounds -----------------------------------------------------------------------------------------


def test_whole_ranges_of_the_dtypes() -> None:
    for kind in (tp.int8, tp.uint8, tp.int16):
        info = np.iinfo(kind.name)
        drawn = tp.random.randint(COUNT * 8, info.min, info.max + 1, kind, seed=1).numpy()
        assert drawn.dtype == info.dtype
        assert len(np.unique(drawn)) > 0.99 * (info.max - info.min)


def test_equal_bounds_give_that_number() -> None:
    assert tp.random.uniform(3, 2.5, 2.5, seed=1).tolist() == [2.5] * 3
    assert tp.random.normal(3, -1.5, 0.0, seed=1).tolist() == [-1.5] * 3
    assert tp.random.randint(3, 7, 8, seed=1).tolist() == [7] * 3


def test_endless_bounds_follow_ieee_754() -> None:
    assert np.isnan(tp.random.uniform(3, float("nan"), 1.0, seed=1).numpy()).all()
    assert np.isinf(tp.random.normal(3, float("inf"), seed=1).numpy()).all()
    with pytest.raises(tp.TripyTypeError, match="mean must be a number"):  # beyond any float
        tp.random.normal(3, 10**400, seed=1)


# The module -------------------------------------------------------------------------------------


def test_the_module_shows_three_functions() -> None:
    assert dir(tp.random) == ["normal", "randint", "uniform"]
    assert importlib.import_module("tripy.random") is tp.random
    assert "random" in tp.__all__


def test_the_seed_has_no_default_and_goes_by_name() -> None:
    for name in dir(tp.random):
        seed = inspect.signature(getattr(tp.random, name)).parameters["seed"]
        assert seed.kind is seed.KEYWORD_ONLY
        assert seed.default is seed.empty


def test_unknown_names_suggest_close_ones() -> None:
    with pytest.raises(tp.TripyAttributeError, match="did you mean 'randint'"):
        _ = tp.random.randin
    assert not hasattr(tp.random, "seed")
    assert not hasattr(tp.random, "Tensor")
