"""What is computed of quantized values, and quantized again, where a step may be missed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.engines import openvino
from tripy.engines import openvino_processor as processor
from tripy.engines.openvino import core

Rng = np.random.Generator
FLOAT = tp.float32
SHAPE = (1, 16, 12, 12)
STEP = 0.0803  # of what is quantized at the end


def there_and_back(x: tp.Tensor, scale: float) -> tp.Tensor:
    return tp.dequantize(tp.quantize(x, scale, tp.int8), scale, tp.float32)


class Layer(tp.Module):
    """A convolution of quantized values by quantized weights."""

    def __init__(self, rng: Rng) -> None:
        weight = np.clip(rng.standard_normal((16, 16, 3, 3)) * 30, -127, 127)
        self.weight = tp.cast(tp.Tensor(weight.astype(np.float32)), tp.int8).eval()
        self.scale = tp.Tensor(rng.uniform(0.002, 0.006, 16).astype(np.float32))
        self.bias = tp.Tensor(rng.standard_normal(16).astype(np.float32))

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        weight = tp.dequantize(self.weight, self.scale, tp.float32, 0)
        return tp.conv(there_and_back(x, 0.021), weight, self.bias, padding=((1, 1), (1, 1)))


Operand = Callable[[Layer, tp.Tensor], tp.Tensor]
OPERANDS: dict[str, Operand] = {
    "grid": lambda layer, x: there_and_back(x, 0.037),
    "relu": lambda layer, x: tp.relu(there_and_back(x, 0.037)),
    "pool": lambda layer, x: tp.maxpool(there_and_back(x, 0.037), (3, 3), 1, 1),
    "product": lambda layer, x: layer(x),
    "quantized product": lambda layer, x: there_and_back(tp.relu(layer(x)), 0.05),
    "float": lambda layer, x: x * 1.7,
    "NaN": lambda layer, x: x / (x - x),
}
JOINS: dict[str, Callable[[tp.Tensor, tp.Tensor], tp.Tensor]] = {
    "+": lambda a, b: a + b,
    "relu(+)": lambda a, b: tp.relu(a + b),
    "limits": lambda a, b: tp.minimum(tp.maximum(a, -0.71), 1.33) + b,
    "mean": lambda a, b: a + tp.mean(b, (2, 3), keepdim=True),
    "relu6": lambda a, b: tp.relu6(a * 3.0) + b * 0.0,
    "gelu": lambda a, b: tp.gelu(a) + b,
    "silu": lambda a, b: tp.relu6(tp.silu(a)) + b,
    "gates": lambda a, b: tp.tanh(a) * tp.sigmoid(a) + b,
    "softmax": lambda a, b: tp.softmax(a * b, 1) * 9.0,
}


@pytest.mark.parametrize("is_quantized", [False, True])
@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("second", OPERANDS)
@pytest.mark.parametrize("first", [name for name in OPERANDS if name != "NaN"])
def test_sums(first: str, second: str, join: str, is_quantized: bool, rng: Rng) -> None:
    layers = [Layer(rng), Layer(rng)]

    def function(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
        total = JOINS[join](OPERANDS[first](layers[0], x), OPERANDS[second](layers[1], y))
        return tp.quantize(total, STEP, tp.int8) if is_quantized else total

    infos = [tp.InputInfo(SHAPE, tp.float32)] * 2
    inputs = [rng.standard_normal(SHAPE).astype(np.float32) for _ in infos]
    results = [
        tp.compile(function, args=infos, engine=engine)(*inputs).numpy().astype(np.float64)
        for engine in ("openvino", "reference")
    ]
    same = (results[0] == results[1]) | (np.isnan(results[0]) & np.isnan(results[1]))
    difference = np.abs(np.subtract(*results, where=~same, out=np.zeros(results[0].shape)))
    if is_quantized:
        assert difference.max() <= 1
        assert (difference > 0).mean() < (0.3 if "product" in first + second else 0.01)
    else:
        may_flip = "quantized product" in (first, second)  # what is rounded inside
        assert not (difference > 1e-4).mean() > (0.01 if may_flip else 0)


# The largest integers, whose products in pairs are beyond 16 bits.
LARGEST: dict[str, tuple[tuple[int, ...], Callable[[Any, Any], Any], tuple[int, ...]]] = {
    "conv": ((1, 8, 6, 6), tp.conv, (8, 8, 3, 3)),
    "1x1": ((2, 16, 5, 5), tp.conv, (8, 16, 1, 1)),
    "groups": ((1, 8, 6, 6), lambda x, w: tp.conv(x, w, groups=2), (4, 4, 3, 3)),
    "depthwise": ((1, 8, 6, 6), lambda x, w: tp.conv(x, w, groups=8), (8, 1, 3, 3)),
    "1-D": ((1, 8, 9), tp.conv, (8, 8, 3)),
    "3-D": ((1, 8, 4, 4, 4), tp.conv, (8, 8, 2, 2, 2)),
    "transposed": ((1, 8, 6, 6), tp.conv_transpose, (8, 8, 2, 2)),
    "linear": ((3, 64), lambda x, w: x @ tp.transpose(w, 0, 1), (16, 64)),
    "rank 3": ((2, 3, 64), lambda x, w: x @ tp.transpose(w, 0, 1), (16, 64)),
    "two inputs": ((1, 64, 64), lambda x, w: x @ there_and_back(x, 1.0), (1,)),
}


@pytest.mark.parametrize("is_positive", [False, True])
@pytest.mark.parametrize("name", LARGEST)
def test_sums_of_the_largest_products(name: str, is_positive: bool, rng: Rng) -> None:
    shape, product, weights = LARGEST[name]
    weight = tp.Tensor(rng.choice(np.array([-128, 127, 127], np.int8), weights))

    def function(x: tp.Tensor) -> tp.Tensor:
        grid = there_and_back(x, 1.0)
        return product(tp.relu(grid) if is_positive else grid, tp.dequantize(weight, 1.0, FLOAT))

    x = rng.choice(np.array([-128, 127, 127], np.float32), shape)
    infos = [tp.InputInfo(shape, FLOAT)]
    wanted = tp.compile(function, args=infos, engine="reference")(x).numpy()
    assert np.abs(wanted).max() > 2**15
    result = tp.compile(function, args=infos, engine="openvino")(x).numpy()
    np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize(
    ("machine", "line", "exact"),
    [
        ("x86_64", "flags\t: fpu avx2", False),
        ("x86_64", "flags\t: fpu avx2 avx_vnni", True),
        ("AMD64", "flags\t: fpu avx512f avx512_vnni", True),
        ("aarch64", "Features\t: fp asimd", True),
    ],
)
def test_processors_that_add_bytes_exactly(
    machine: str, line: str, exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\n")
    monkeypatch.setattr(processor, "_SYSTEM", path)
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    assert processor.adds_bytes_exactly.__wrapped__() is exact


def test_processors_that_the_system_does_not_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = processor.adds_bytes_exactly()
    monkeypatch.setattr(processor, "_SYSTEM", tmp_path / "nothing")
    assert processor.adds_bytes_exactly.__wrapped__() is expected


# Integers whose products do not overflow 16 bits, and scales that are powers of two: with them
# integer kernels are exact on every processor, and may be tried where they are not used.


@pytest.fixture
def with_integer_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "adds_bytes_exactly", lambda: True)


def even(rng: Rng, *shape: int) -> tp.Tensor:
    return tp.Tensor((rng.integers(-31, 32, shape) * 2).astype(np.int8))


def powers(rng: Rng, *shape: int) -> tp.Tensor:
    return tp.Tensor((2.0 ** rng.integers(-8, -5, shape)).astype(np.float32))


def numbers(rng: Rng, *shape: int) -> Any:
    return (rng.integers(-512, 512, shape) / 64).astype(np.float32)


def weights(rng: Rng, *shape: int) -> tp.Tensor:
    """Dequantized with one scale for each size of the first dim."""
    return tp.dequantize(even(rng, *shape), powers(rng, shape[0]), FLOAT, 0)


def conv_of_grid(rng: Rng) -> Callable[[tp.Tensor], tp.Tensor]:
    weight = weights(rng, 8, 8, 1, 1)
    return lambda x: tp.conv(there_and_back(x, 0.0625), weight)


def linear_of_grid(rng: Rng) -> Callable[[tp.Tensor], tp.Tensor]:
    weight = weights(rng, 8, 8)
    return lambda x: there_and_back(x, 0.0625) @ tp.transpose(weight, 0, 1)


PRODUCTS = {"conv": conv_of_grid, "linear": linear_of_grid}
ROWS = tp.Tensor(np.float32([0.25, 0.5] * 4))
#: What may follow a product.
FOLLOWS: dict[str, Callable[[Any], Any]] = {
    "maxpool": lambda y: tp.maxpool(y, (2, 2), 2),
    "sum, maxpool": lambda y: tp.maxpool(y + tp.relu(y), (2, 2), 2),
    "relu, maxpool": lambda y: tp.maxpool(tp.relu(y + 0.5), (2, 2), 2),
    "avgpool": lambda y: tp.avgpool(y, (2, 2), 2),
    "quantized rows": lambda y: tp.quantize(y, ROWS, tp.int8, 2),
    "quantized channels": lambda y: tp.quantize(y, ROWS, tp.int8, 1),
    "quantized columns": lambda y: tp.quantize(tp.relu(y), ROWS, tp.int8, 3),
    "twice": lambda y: (y, tp.quantize(y, 0.25, tp.int8)),
    "sum with itself": lambda y: y + tp.relu(y),
    "two kinds": lambda y: (tp.permute(y + 1.0, (0, 2, 3, 1)), tp.max(y, 1)),
    "slice": lambda y: (y[:, 1:3], there_and_back(y, 0.25)),
    "concat": lambda y: there_and_back(tp.concatenate([y, y * 0.5], 1), 0.25),
}


@pytest.mark.usefixtures("with_integer_kernels")
@pytest.mark.parametrize("batch", [2, (1, 2, 4)], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", FOLLOWS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_what_follows_a_product(product: str, name: str, batch: Any, rng: Rng) -> None:
    made = PRODUCTS[product](rng)
    assert_exact(lambda x: FOLLOWS[name](made(x)), [batch, 8, 8, 8], numbers(rng, 2, 8, 8, 8))


def assert_exact(function: Callable[[Any], Any], shape: Any, x: Any) -> None:
    infos = [tp.InputInfo(shape, FLOAT)]
    results = [
        tp.compile(function, args=infos, engine=engine)(x) for engine in ("openvino", "reference")
    ]
    pairs = [result if isinstance(result, tuple | list) else [result] for result in results]
    for got, wanted in zip(*pairs, strict=True):
        wanted = wanted.numpy().astype(np.float64)
        limit = 1e-6 * np.abs(wanted).max()
        np.testing.assert_allclose(got.numpy().astype(np.float64), wanted, rtol=0, atol=limit)


FACTORS = tp.Tensor(2.0 ** np.float32([[-1], [0], [1], [-1], [0], [1], [0], [-1]]))
#: Floats by factors of channels, reduced; the plugin reduced the factors by a wrong dim.
REDUCED: dict[str, Callable[[Any], Any]] = {
    "mean": lambda x: tp.mean(x * FACTORS + FACTORS, 2),
    "of a product": lambda x: tp.mean(x * FACTORS, 2, keepdim=True),
    "sum": lambda x: tp.sum((x - FACTORS) / FACTORS, 2) / 8,
    "max": lambda x: tp.max(x * FACTORS, 2),
    "permuted": lambda x: tp.mean(tp.permute(x * FACTORS, (2, 0, 1)), 0),
    "avgpool": lambda x: tp.avgpool(x * FACTORS + 0.5, (2,), (2,), ((1, 1),)),
    "relu": lambda x: tp.relu(tp.mean(tp.relu(x * FACTORS), 2)),
}


@pytest.mark.usefixtures("with_integer_kernels")
@pytest.mark.parametrize("name", REDUCED)
def test_scaled_floats_are_reduced_and_quantized(name: str, rng: Rng) -> None:
    x = numbers(rng, 2, 8, 8)
    assert_exact(lambda x: tp.quantize(REDUCED[name](x), 0.0625, tp.int8), [(1, 2, 4), 8, 8], x)
    assert_exact(lambda x: tp.quantize(REDUCED[name](x), 0.0625, tp.int8), x.shape, x)


@pytest.mark.usefixtures("with_integer_kernels")
@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_grids_are_joined_and_quantized(scale: float, rng: Rng) -> None:
    weight = weights(rng, 8, 8, 3, 3)

    def function(x: tp.Tensor) -> tp.Tensor:
        joined = tp.concatenate([there_and_back(x, 0.25), there_and_back(x, scale)], 3)
        return tp.conv(there_and_back(joined, 0.25), weight)

    assert_exact(function, [2, 8, 5, 5], numbers(rng, 2, 8, 5, 5))


# Limits in steps of the grid, or None -> the operations of the graph that limit.
LIMITS: list[tuple[float | None, float | None, list[str]]] = [
    (0.0, 127.0, ["relu"]),
    (0.0, 126.6, ["relu"]),
    (0.0, 126.4, ["maximum", "minimum"]),
    (-128.0, 300.0, []),
    (-127.4, 200.0, ["maximum"]),
    (None, 126.6, []),
    (-0.4, None, ["maximum"]),
    (3.0, 2.0, ["maximum", "minimum"]),
    (140.0, 130.0, ["maximum"]),
]


@pytest.mark.parametrize(("low", "high", "left"), LIMITS)
@pytest.mark.parametrize("engine", ["openvino", "reference"])
def test_limits_that_quantizing_has_itself(
    engine: str, low: float | None, high: float | None, left: list[str], rng: Rng
) -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        if low is not None:
            x = tp.maximum(x, low * STEP)
        if high is not None:
            x = tp.minimum(high * STEP, x)
        return tp.quantize(x, STEP, tp.int8)

    x = (rng.uniform(-150, 150, 5000) * STEP).astype(np.float32)
    x[:2] = np.inf, -np.inf
    exe = tp.compile(function, args=[tp.InputInfo((5000,), tp.float32)], engine=engine)
    found = [name for name in ("relu", "maximum", "minimum") if f"= {name}(" in str(exe.graph)]
    assert found == left
    with tp.config.override(eager_threshold=None):
        assert np.array_equal(exe(x).numpy(), function(tp.Tensor(x)).numpy())


def test_integer_kernels_give_integers(rng: Rng) -> None:
    """Nothing is computed between one convolution and the next one."""
    known = "INT8" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if not known or not processor.adds_bytes_exactly():
        pytest.skip("the CPU has no integer kernels that are exact")
    net = tp.Sequential(Layer(rng), Layer(rng))
    exe = tp.compile(net, args=[tp.InputInfo(SHAPE, tp.float32)], engine="openvino")
    program: Any = exe._program
    nodes = program._compiled.get_runtime_model().get_ordered_ops()
    steps = [node.get_rt_info()["layerType"].astype(str) for node in nodes]
    first, last = (i for i, step in enumerate(steps) if step == "Convolution")
    assert not {"Eltwise", "FakeQuantize", "Subgraph"} & set(steps[first + 1 : last])


def test_products_that_may_be_nan_are_quantized_as_zeros(rng: Rng) -> None:
    def function(x: tp.Tensor, weight: tp.Tensor) -> tp.Tensor:
        total = tp.conv(there_and_back(x, 0.037), weight)
        return tp.quantize(total, STEP, tp.int8)

    x = rng.standard_normal((1, 4, 5, 5)).astype(np.float32)
    weight = rng.standard_normal((3, 4, 1, 1)).astype(np.float32)
    weight[1] = np.nan
    infos = [tp.InputInfo(array.shape, tp.float32) for array in (x, weight)]
    result = tp.compile(function, args=infos, engine="openvino")(x, weight).numpy()
    expected = tp.compile(function, args=infos, engine="reference")(x, weight).numpy()
    assert (expected[:, 1] == 0).all()
    assert np.abs(result.astype(int) - expected.astype(int)).max() <= 1
    assert (result[:, 1] == 0).all()
