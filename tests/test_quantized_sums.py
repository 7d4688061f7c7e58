"""What is computed of quantized values, and quantized again, where a step may be missed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
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
