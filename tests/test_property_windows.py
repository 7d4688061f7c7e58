"""Convolution and pooling with random parameters, against their definitions in float64."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tripy as tp

Array = np.ndarray[Any, np.dtype[Any]]
ENGINES = ("reference", "openvino")


class Windows(NamedTuple):
    """What a convolution or a pooling slides over."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    seed: int

    @property
    def result(self) -> tuple[int, ...]:
        rows = zip(self.sizes, self.kernel, self.stride, self.padding, self.dilation)
        return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in rows)


@st.composite
def windows(draw: Any, most_dilation: int = 3) -> Windows:
    rank = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, most_dilation)) for _ in range(rank))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    padding = tuple(
        (draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel
    )  # pooling allows no more
    least = (max(1, d * (k - 1) + 1 - sum(p)) for k, d, p in zip(kernel, dilation, padding))
    sizes = tuple(n + draw(st.integers(0, 4)) for n in least)
    return Windows(sizes, kernel, stride, padding, dilation, draw(st.integers(0, 2**16)))


def padded(x: Array, w: Windows, value: float) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *w.padding], constant_values=value)


def gathered(x: Array, w: Windows) -> Array:
    """The cells under each kernel place: (places, N, C, *result)."""
    cells = []
    for place in itertools.product(*map(range, w.kernel)):
        starts = [i * d for i, d in zip(place, w.dilation)]
        ranges = [slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, w.result, w.stride)]
        cells.append(x[(slice(None), slice(None), *ranges)])
    return np.stack(cells)


def convolved(x: Array, weight: Array, w: Windows, groups: int) -> Array:
    cells = gathered(padded(x, w, 0), w)
    kernel = weight.reshape(*weight.shape[:2], -1)
    inputs, outputs = x.shape[1] // groups, weight.shape[0] // groups
    parts = [
        np.einsum("pnc...,ocp->no...", cells[:, :, g * inputs : (g + 1) * inputs],
                  kernel[g * outputs : (g + 1) * outputs])
        for g in range(groups)
    ]  # fmt: skip
    return np.concatenate(parts, 1)


def run(function: Any, inputs: list[Array], engine: str) -> Array:
    infos = [tp.InputInfo(x.shape, tp.float32) for x in inputs]
    return tp.compile(function, args=infos, engine=engine)(*inputs).numpy()


def close(got: Array, expected: Array) -> None:
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


steady = settings(max_examples=25, derandomize=True, deadline=None, database=None)


@pytest.mark.parametrize("engine", ENGINES)
@steady
@given(windows(), st.sampled_from([1, 2, 3]), st.integers(1, 2), st.integers(1, 2))
def test_convolution_is_its_definition(
    engine: str, w: Windows, groups: int, inputs: int, outputs: int
) -> None:
    rng = np.random.default_rng(w.seed)
    x = rng.standard_normal((2, groups * inputs, *w.sizes)).astype(np.float32)
    weight = rng.standard_normal((groups * outputs, inputs, *w.kernel)).astype(np.float32)
    options = {"stride": w.stride, "padding": w.padding, "dilation": w.dilation, "groups": groups}
    got = run(lambda x, k: tp.conv(x, k, **options), [x, weight], engine)
    close(got, convolved(x.astype(float), weight.astype(float), w, groups))


@pytest.mark.parametrize("engine", ENGINES)
@steady
@given(windows(), st.integers(1, 2))
def test_transposed_convolution_is_the_adjoint(engine: str, w: Windows, groups: int) -> None:
    """⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩ for every x and y."""
    rng = np.random.default_rng(w.seed)
    rest = [
        (n + sum(p) - d * (k - 1) - 1) % s
        for n, k, s, p, d in zip(w.sizes, w.kernel, w.stride, w.padding, w.dilation)
    ]
    if any(r >= max(s, d) for r, s, d in zip(rest, w.stride, w.dilation)):
        return
    x = rng.standard_normal((1, 2 * groups, *w.sizes)).astype(np.float32)
    weight = rng.standard_normal((groups, 2, *w.kernel)).astype(np.float32)
    y = rng.standard_normal((1, groups, *w.result)).astype(np.float32)
    options = {"stride": w.stride, "padding": w.padding, "dilation": w.dilation, "groups": groups}
    back = run(
        lambda y, k: tp.conv_transpose(y, k, output_padding=rest, **options), [y, weight], engine
    )
    assert back.shape == x.shape
    forth = convolved(x.astype(float), weight.astype(float), w, groups)
    sizes = np.abs(forth * y).sum() + 1
    assert abs((forth * y).sum() - (x.astype(float) * back).sum()) < 1e-5 * sizes


@pytest.mark.parametrize("engine", ENGINES)
@steady
@given(windows(most_dilation=1))
def test_pooling_is_its_definition(engine: str, w: Windows) -> None:
    rng = np.random.default_rng(w.seed)
    x = rng.standard_normal((2, 3, *w.sizes)).astype(np.float32)
    options = {"kernel_dims": w.kernel, "stride": w.stride, "padding": w.padding}
    largest = gathered(padded(x, w, -np.inf), w).max(0)
    close(run(lambda x: tp.maxpool(x, **options), [x], engine), largest)
    total = gathered(padded(x.astype(float), w, 0), w).sum(0)
    real = gathered(padded(np.ones(x.shape), w, 0), w).sum(0)
    close(run(lambda x: tp.avgpool(x, **options), [x], engine), total / np.prod(w.kernel))
    close(
        run(lambda x: tp.avgpool(x, count_include_pad=False, **options), [x], engine), total / real
    )
