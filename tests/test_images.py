"""Resizing, adaptive pooling and einsum on random sizes and equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_bad_values import BAD

import tripy as tp

Draw = Callable[[st.SearchStrategy[Any]], Any]

# --- resize: torch and an interpolation of another kind --------------------------------------

SIZES = st.integers(1, 40)


@given(old=SIZES, new=SIZES, corners=st.booleans())
def test_linear_is_the_line_through_the_elements(old: int, new: int, corners: bool) -> None:
    x = np.random.default_rng(old * 100 + new).standard_normal(old)
    places = (np.arange(new) + 0.5) * old / new - 0.5
    if corners:
        places = np.linspace(0, old - 1, new)
    wanted = np.interp(places, np.arange(old), x)
    got = tp.resize(tp.Tensor(x), (new,), align_corners=corners).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-12)


@given(old=SIZES, new=SIZES, corners=st.booleans())
def test_cubic_is_that_of_torch(old: int, new: int, corners: bool) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(old * 100 + new).standard_normal((1, 1, old, 3))
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(x), (new, 5), mode="bicubic", align_corners=corners
    )
    got = tp.resize(tp.Tensor(x), (1, 1, new, 5), "cubic", corners).numpy()
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-10)


@given(old=st.integers(1, 2000), new=st.integers(1, 2000))
def test_nearest_counts_in_integers(old: int, new: int) -> None:
    got = tp.resize(tp.arange(old, dtype=tp.int32), (new,), "nearest").tolist()
    assert got == [i * old // new for i in range(new)]


EXAMPLES: dict[str, list[float]] = {
    "linear": [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3],
    "cubic": [-0.10546875, 0.19140625, 0.66796875, 1.296875,
              1.703125, 2.33203125, 2.80859375, 3.10546875],
    "nearest": [0, 0, 1, 1, 2, 2, 3, 3],
}  # fmt: skip


@pytest.mark.parametrize("mode", EXAMPLES)
@pytest.mark.parametrize("engine", ["reference", "openvino"])
def test_worked_examples(mode: str, engine: str) -> None:
    info = tp.InputInfo([(1, 4, 8)], tp.float32)
    double = tp.compile(lambda x: tp.resize(x, mode=mode, scales=[2]), args=[info], engine=engine)
    assert double(tp.arange(4)).tolist() == EXAMPLES[mode]


@pytest.mark.parametrize(
    ("size", "scale", "wanted"),
    [(10, 0.7, 7), (100, 0.29, 29), (9, 1 / 3, 3), (641, 480 / 641, 480), (7, np.float32(2), 14),
     (1000, math.pi, 3141), (3, 1.99999999, 5)],
)  # fmt: skip
def test_scales_round_down_what_was_written(size: int, scale: float, wanted: int) -> None:
    assert tp.resize(tp.ones((size,)), scales=(scale,)).shape == (wanted,)


def test_integers_round_half_to_even_and_saturate() -> None:
    x = tp.Tensor([0, 2, 4, 6], tp.uint8)
    assert tp.resize(x, (7,), align_corners=True).tolist() == [0, 1, 2, 3, 4, 5, 6]
    halves = tp.resize(tp.Tensor([0, 1, 2, 3], tp.int8), (7,), align_corners=True)
    assert halves.tolist() == [0, 0, 1, 2, 2, 2, 3]
    edge = tp.Tensor([0, 0, 255, 255], tp.uint8)
    assert tp.resize(edge, (8,), "cubic").tolist() == [0, 0, 0, 58, 197, 255, 255, 255]


def test_halves_are_rounded_once() -> None:
    x = np.random.default_rng(0).standard_normal((6, 7)).astype(np.float16)
    wanted = tp.resize(tp.Tensor(x.astype(np.float32)), (9, 5), "cubic").numpy()
    got = tp.resize(tp.Tensor(x), (9, 5), "cubic").numpy()
    assert np.array_equal(got, wanted.astype(np.float16))


def test_a_dim_may_stay_empty_but_not_vanish_at_run_time() -> None:
    info = tp.InputInfo([(0, 4, 8)], tp.float32)
    double = tp.compile(lambda x: tp.resize(x, scales=(2,)), args=[info])
    assert double(tp.ones((0,))).shape == (0,)
    fixed = tp.compile(lambda x: tp.resize(x, (3,)), args=[info])
    with pytest.raises(tp.TripyShapeError):
        fixed(tp.ones((0,)))


@pytest.mark.parametrize("value", BAD)
def test_bad_scales_give_tripy_exceptions(value: Any) -> None:
    try:
        tp.resize(tp.ones((2, 3)), scales=value)
    except tp.TripyException:
        return
    assert value is None or len(value) == 2


def test_a_resize_of_huge_dynamic_sizes_is_refused() -> None:
    info = tp.InputInfo([(1, 2, 50_000)], tp.float32)
    with pytest.raises(tp.TripyUnsupportedError, match="do not fit int32"):
        tp.compile(lambda x: tp.resize(x, (70_000,)), args=[info], engine="openvino")


# --- adaptive pooling ------------------------------------------------------------------------


@given(size=st.integers(1, 60), count=st.integers(1, 60), dynamic=st.booleans())
def test_adaptive_windows_are_those_of_torch(size: int, count: int, dynamic: bool) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(size).standard_normal((2, 1, size))
    wanted = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(x), count).numpy()

    def pool(x: Any) -> Any:
        return tp.adaptive_avgpool(x, count)

    if dynamic:
        info = tp.InputInfo((2, 1, (1, 30, 60)), tp.float64)
        pool = tp.compile(pool, args=[info], engine="reference")
    np.testing.assert_allclose(pool(tp.Tensor(x)).numpy(), wanted, atol=1e-12)


def test_even_windows_are_one_operation() -> None:
    for shape, wanted, name in (((1, 2, 6, 4), (3, 2), "avgpool"), ((1, 2, 5, 7), 1, "mean")):
        result = tp.adaptive_avgpool(tp.ones(shape), wanted)
        node = result._value.node
        assert node is not None
        assert node.primitive.name == name


# --- einsum ----------------------------------------------------------------------------------


@st.composite
def equations(draw: Draw) -> tuple[str, list[tuple[int, ...]]]:
    """An equation that NumPy takes too, and shapes for it."""
    sizes = dict(zip("abcdE", draw(st.lists(st.integers(1, 3), min_size=5, max_size=5))))
    parts = draw(st.lists(st.text("abcdE", max_size=3), min_size=1, max_size=3))
    dots = draw(st.booleans())
    terms, shapes = [], []
    for part in parts:
        shape = [sizes[letter] for letter in part]
        if dots:
            at = draw(st.integers(0, len(part)))
            part = f"{part[:at]}...{part[at:]}"
            shape[at:at] = draw(st.sampled_from([(), (1,), (2,), (2, 1), (3, 2), (1, 1)]))
        terms.append(part)
        shapes.append(tuple(shape))
    used = sorted(set("".join(parts)))
    kept = draw(st.permutations(used))[: draw(st.integers(0, len(used)))] if used else []
    output = draw(st.sampled_from([None, ("..." if dots else "") + "".join(kept)]))
    return ",".join(terms) + ("" if output is None else f"->{output}"), shapes


@given(equations(), st.sampled_from([tp.float64, tp.int64, tp.int32]))
def test_einsum_is_that_of_numpy(drawn: tuple[str, list[tuple[int, ...]]], kind: Any) -> None:
    equation, shapes = drawn
    rng = np.random.default_rng(len(equation))
    arrays = [rng.integers(-4, 5, shape) for shape in shapes]
    wanted = np.einsum(equation, *arrays)
    got = tp.einsum(equation, *(tp.cast(tp.Tensor(array), kind) for array in arrays))
    assert got.dtype is kind
    assert got.shape == wanted.shape
    assert np.array_equal(got.numpy(), wanted)


def operations(equation: str, *shapes: tuple[int, ...]) -> list[str]:
    """Primitives of an einsum, the last one first."""
    pending = [tp.einsum(equation, *(tp.Tensor(np.zeros(s, np.float32)) for s in shapes))._value]
    found = []
    while pending:
        node = pending.pop().node
        if node is not None:
            found.append(node.primitive.name)
            pending += node.inputs
    return found


@pytest.mark.parametrize(
    ("equation", "shapes", "wanted"),
    [
        ("ij,jk->ik", ((2, 3), (3, 4)), ["matmul"]),
        ("bij,bjk->bik", ((5, 2, 3), (5, 3, 4)), ["matmul"]),
        ("...ij,jk->...ik", ((5, 2, 3), (3, 4)), ["matmul"]),
        ("bhqd,bhkd->bhqk", ((1, 2, 3, 4), (1, 2, 5, 4)), ["matmul", "permute"]),
        ("ij,ij->ij", ((2, 3), (2, 3)), ["mul"]),
        ("ij->ij", ((2, 3),), []),
        ("ij->ji", ((2, 3),), ["permute"]),
        ("ij->i", ((2, 3),), ["sum"]),
    ],
)
def test_einsum_takes_no_needless_steps(equation: str, shapes: Any, wanted: list[str]) -> None:
    assert operations(equation, *shapes) == wanted


def test_einsum_rounds_halves_once() -> None:
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(s).astype(np.float16) for s in ((4, 5), (5, 6), (6, 3))]
    wanted = np.einsum("ij,jk,kl->il", *(a.astype(np.float32) for a in arrays), optimize=False)
    got = tp.einsum("ij,jk,kl->il", *map(tp.Tensor, arrays))
    assert got.dtype is tp.float16
    np.testing.assert_array_max_ulp(got.numpy(), wanted.astype(np.float16), 1)


def test_einsum_of_dynamic_sizes_checks_them_at_the_call() -> None:
    infos = [tp.InputInfo([(1, 3, 9), (1, 3, 9)], tp.float32) for _ in range(2)]
    product = tp.compile(lambda x, y: tp.einsum("ij,jk->ik", x, y), args=infos)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(product(x, x.T.copy()).numpy(), x @ x.T)
    with pytest.raises(tp.TripyShapeError):
        product(x, x)


@pytest.mark.parametrize("value", BAD)
def test_bad_arguments_of_einsum_give_tripy_exceptions(value: Any) -> None:
    x = tp.ones((2, 3))
    for arguments in ((value, x), ("ij,jk", x, value), ("ij,jk", value, x)):
        with pytest.raises(tp.TripyException):
            tp.einsum(*arguments)
