"""Kinds of programs that engines got wrong: strided windows, views, sizes that become 0, means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator
Function = Callable[[tp.Tensor], tp.Tensor]
F32 = np.float32


def normal(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape, F32)


def check(function: Function, info: Any, inputs: list[Any]) -> None:
    """Compare calls in their order with the reference engine."""
    infos = [tp.InputInfo(info, tp.float32)]
    reference = tp.compile(function, args=infos, engine="reference")
    program = tp.compile(function, args=infos, engine="openvino")
    for x in inputs:
        want, got = reference(x).numpy(), program(x).numpy()
        np.testing.assert_allclose(got, want, 1e-4, 1e-5, err_msg=str(x.shape))


# Convolutions with a stride that leave one column.

#: Input, weight, stride, padding, dilation, groups.
WINDOWS: list[Any] = [
    ((2, 1, 6, 4), (1, 1, 3, 4), (1, 3), ((0, 0), (0, 0)), (1, 1), 1),
    ((1, 1, 5, 4), (2, 1, 3, 3), (2, 3), ((1, 1), (0, 1)), (1, 1), 1),
    ((1, 1, 5, 5), (2, 1, 3, 4), (1, 3), ((0, 0), (0, 0)), (1, 1), 1),
    ((1, 2, 5, 2), (2, 2, 3, 5), (1, 4), ((0, 0), (3, 3)), (1, 1), 1),
    ((1, 1, 4, 2), (2, 1, 1, 2), (1, 9), ((0, 0), (3, 0)), (1, 1), 1),
    ((2, 3, 7), (4, 3, 3), (3,), ((1, 0),), (3,), 1),
    ((1, 4, 6, 4), (4, 1, 3, 4), (1, 3), ((0, 0), (0, 0)), (1, 1), 4),
    ((1, 4, 6, 5), (8, 2, 3, 4), (1, 2), ((0, 0), (0, 0)), (1, 1), 2),
    ((1, 1, 3, 4, 5), (2, 1, 2, 2, 5), (1, 1, 2), ((0, 0),) * 3, (1, 1, 1), 1),
]


@pytest.mark.parametrize(("x", "weight", "stride", "padding", "dilation", "groups"), WINDOWS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_strided_convolution_with_one_column(
    rng: Rng,
    x: Any,
    weight: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    dynamic: bool,
) -> None:
    kernel = tp.Tensor(normal(rng, *weight))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    info = (*x[:-1], (x[-1], x[-1] + 1, 20)) if dynamic else x
    more = [x, (*x[:-1], x[-1] + 12), x] if dynamic else [x]
    inputs = [normal(rng, *shape) for shape in more]
    check(lambda given: tp.conv(given, kernel, **options), info, inputs)


# Elements taken from a part of a tensor.

VIEWS: dict[str, Function] = {
    "columns": lambda x: x[:, :, :7],
    "rows": lambda x: x[:, :3],
    "both": lambda x: x[:, :3, :5],
    "one of each": lambda x: x[:1, :2],
    "behind the first": lambda x: x[:, 1:, 2:],
    "every second": lambda x: x[:, :, ::2],
    "backwards": lambda x: x[:, ::-1],
    "transposed": lambda x: tp.transpose(x, 1, 2)[:, :3],
    "no operation between": lambda x: tp.reshape(x[:, :3, :5], (-1, 3, 5)),
    "split": lambda x: tp.split(x, 2, 2)[0],
}
ORDERS: dict[str, Function] = {
    "sort": lambda x: tp.sort(x, 1),
    "sort of all": lambda x: tp.sort(x, -1, descending=True),
    "argsort": lambda x: tp.argsort(x, 1),
    "topk": lambda x: tp.topk(x, 2, 2)[0],
    "take_along_dim": lambda x: tp.take_along_dim(x, 1, tp.argsort(x, 1)),
    "flip": lambda x: tp.flip(x, 1),
    "cumsum": lambda x: tp.cumsum(x, 1),
    "gather": lambda x: tp.gather(x, 1, tp.Tensor([1, 0])),
}


PAIRS = [("sort", name) for name in VIEWS] + [(name, "both") for name in ORDERS if name != "sort"]


@pytest.mark.parametrize(("order", "view"), PAIRS)
def test_elements_of_a_part(rng: Rng, order: str, view: str) -> None:
    def program(x: tp.Tensor) -> tp.Tensor:
        return ORDERS[order](VIEWS[view](x))

    x = normal(rng, 1, 4, 8)
    check(program, x.shape, [x])
    check(program, ((1, 1, 4), (4, 4, 64), (8, 8, 64)), [x, normal(rng, 2, 6, 10), x])


# A norm that leaves one of several channels, and a part of its result.


@pytest.mark.parametrize("part", [np.s_[:, :, 1:], np.s_[..., :3], np.s_[:1], np.s_[:, 0]], ids=str)
@pytest.mark.parametrize("sides", [6, (3, 6, 12)], ids=["static", "dynamic"])
def test_a_part_of_a_norm_of_one_dynamic_channel(rng: Rng, part: Any, sides: Any) -> None:
    norm = tp.GroupNorm(1, 1)
    norm.weight, norm.bias = tp.Tensor([2.0]), tp.Tensor([0.5])
    inputs = [normal(rng, 2, 1, 6, 6) for _ in range(2)]
    check(lambda x: norm(x)[part], (2, (1, 1, 4), sides, sides), inputs)


# Sizes that become 0.

ROWS = normal(np.random.default_rng(0), 4, 3, 2)


def columns(x: tp.Tensor) -> tp.Tensor:
    return tp.transpose(x, 1, 2)


EMPTIED: dict[str, Function] = {
    "sum": lambda x: tp.sum(x, 1) + 1,
    "prod": lambda x: tp.prod(x, 1),
    "mean": lambda x: tp.mean(x, 1),
    "var": lambda x: tp.var(x, 1),
    "any": lambda x: tp.any(x > 0, 1),
    "cumsum": lambda x: tp.cumsum(x, 1),
    "cumprod": lambda x: tp.cumprod(x, 2),
    "softmax": lambda x: tp.softmax(x, 1),
    "inner size": lambda x: columns(x) @ x,
    "attention": lambda x: tp.softmax(tp.ones((2, 4, 3)) @ columns(x), 2) @ x,
    "concatenate": lambda x: tp.concatenate([x, tp.ones((2, 1, 3)), x], 1),
    "pad": lambda x: tp.pad(x, ((0, 0), (1, 2), (0, 0)), value=2.0),
    "sort": lambda x: tp.sort(x, 1),
    "resize": lambda x: tp.resize(x, scales=(1, 2, 1), mode="nearest"),
    "conv": lambda x: tp.conv(columns(x), tp.Tensor(ROWS), tp.ones((4,)), padding=((1, 1),)),
    "conv with a stride": lambda x: tp.conv(
        columns(x), tp.Tensor(ROWS), stride=(2,), padding=((2, 1),)
    ),
    "maxpool": lambda x: tp.maxpool(columns(x), (2,), stride=(1,), padding=((1, 1),)),
    "avgpool": lambda x: tp.avgpool(columns(x), (2,), stride=(1,), padding=((1, 1),)),
    "avgpool of cells": lambda x: tp.avgpool(
        columns(x), (3,), stride=(2,), padding=((1, 2),), count_include_pad=False
    ),
    "maxpool of integers": lambda x: tp.maxpool(
        tp.cast(columns(x), tp.int32), (2,), stride=(1,), padding=((1, 1),)
    ),
    "int8": lambda x: tp.dequantize(tp.quantize(x, 0.1, tp.int8), 0.1, tp.float32),
}


@pytest.mark.parametrize("function", EMPTIED.values(), ids=list(EMPTIED))
def test_sizes_that_become_0(rng: Rng, function: Function) -> None:
    def inside(x: tp.Tensor) -> tp.Tensor:
        y = function(tp.relu(x)[:, 1:] * 1.5)
        return tp.cast(y, tp.float32)

    inputs = [normal(rng, 2, size, 3) for size in (4, 1, 4, 1)]
    check(inside, (2, (1, 3, 8), 3), inputs)


def test_a_mean_of_bfloat16_over_nothing(rng: Rng) -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        return tp.mean(tp.cast(x, tp.bfloat16)[:, 1:], 1)

    program = tp.compile(function, args=[tp.InputInfo((2, (1, 3, 8)), tp.float32)])
    assert np.isnan(program(normal(rng, 2, 1)).tolist()).all()


def test_calls_in_flight_with_sizes_that_become_0(rng: Rng) -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        return tp.mean(x[1:], 0)

    program = tp.compile(function, args=[tp.InputInfo(((1, 2, 8), 3), tp.float32)])
    inputs = [normal(rng, size, 3) for size in (3, 1, 2, 1)]
    for x, result in zip(inputs, program.map(inputs), strict=True):
        got = result.numpy()
        np.testing.assert_allclose(got, function(tp.Tensor(x)).numpy(), 1e-5, 1e-6)


# Means over dims whose sizes vary.


def test_means_are_not_biased() -> None:
    mean = tp.compile(lambda x: tp.mean(x, 1), args=[tp.InputInfo((1, (1, 8, 64)), tp.float32)])
    assert [mean(np.zeros((1, n), F32)).tolist() for n in range(1, 65)] == [[0.0]] * 64


@pytest.mark.parametrize(("scale", "eps"), [(1e-2, 1e-5), (1e-3, 1e-5), (1e-4, 1e-8)])
def test_norms_of_small_numbers(rng: Rng, scale: float, eps: float) -> None:
    norm = tp.InstanceNorm(3, eps=eps)
    norm.weight, norm.bias = tp.ones((3,)), tp.zeros((3,))
    size = (1, 8, 64)
    program = tp.compile(norm, args=[tp.InputInfo((2, 3, size, size), tp.float32)])
    x = normal(rng, 2, 3, 5, 6) * F32(scale)
    wide = x.astype(np.float64)
    centered = wide - wide.mean((2, 3), keepdims=True)
    want = centered / np.sqrt(wide.var((2, 3), keepdims=True) + eps)
    np.testing.assert_allclose(program(x).numpy(), want, 1e-4, 1e-5)
