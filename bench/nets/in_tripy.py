"""The vocabulary of `plans` in tripy, and tripy's contestant."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import tripy as tp

from .plans import Architecture, Layer, Plan, around
from .timing import Contestant


def _window_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of Conv and ConvTranspose."""
    found = {("kernel_dims" if key == "kernel" else key): value for key, value in options.items()}
    return {**found, "padding": tuple(map(around, options["padding"]))}


class AddParameter(tp.Module):
    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.weight = tp.Parameter(tp.zeros(shape, dtype=dtype))

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        return x + self.weight


class Scale(tp.Module):
    def __init__(self, size: int, dtype: Any) -> None:
        self.weight = tp.Parameter(tp.ones((size,), dtype=dtype))

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        return x * self.weight


def _layer(layer: Layer, dtype: Any) -> tp.Module:
    options = layer.options
    makers = {
        "conv": lambda: tp.Conv(**_window_options(options), dtype=dtype),
        "conv_transpose": lambda: tp.ConvTranspose(**_window_options(options), dtype=dtype),
        "batchnorm": lambda: tp.BatchNorm(options["channels"], dtype=dtype),
        "layernorm": lambda: tp.LayerNorm(options["size"], dtype=dtype),
        "linear": lambda: tp.Linear(**options, dtype=dtype),
        "embedding": lambda: tp.Embedding(options["words"], options["width"], dtype=dtype),
        "parameter": lambda: AddParameter(layer.weights["weight"][0], dtype),
        "scale": lambda: Scale(**options, dtype=dtype),
    }
    return makers[layer.kind]()


class Net(tp.Module):
    """A network; it is the vocabulary of its own architecture."""

    def __init__(self, architecture: Architecture, plan: Plan, dtype: Any) -> None:
        self.architecture = architecture
        self.layers = {name: _layer(layer, dtype) for name, layer in plan.layers.items()}

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        return self.architecture(self, x)

    def _apply(self, name: str, x: tp.Tensor, *_: Any, **__: Any) -> tp.Tensor:
        return self.layers[name](x)

    conv = conv_transpose = batchnorm = layernorm = linear = embedding = _apply
    add_parameter = scale_parameter = _apply

    def add(self, x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
        return x + y

    def relu(self, x: tp.Tensor) -> tp.Tensor:
        return tp.relu(x)

    def relu6(self, x: tp.Tensor) -> tp.Tensor:
        return tp.relu6(x)

    def gelu(self, x: tp.Tensor) -> tp.Tensor:
        return tp.gelu(x)

    def silu(self, x: tp.Tensor) -> tp.Tensor:
        return tp.silu(x)

    def sigmoid(self, x: tp.Tensor) -> tp.Tensor:
        return tp.sigmoid(x)

    def tanh(self, x: tp.Tensor) -> tp.Tensor:
        return tp.tanh(x)

    def gate(self, x: tp.Tensor, factors: tp.Tensor) -> tp.Tensor:
        return x * tp.reshape(factors, (*factors.shape, *[1] * (x.rank - 2)))

    def to_last(self, x: tp.Tensor) -> tp.Tensor:
        return tp.permute(x, (0, *range(2, x.rank), 1))

    def to_first(self, x: tp.Tensor) -> tp.Tensor:
        return tp.permute(x, (0, x.rank - 1, *range(1, x.rank - 1)))

    def maxpool(self, x: tp.Tensor, kernel: int, stride: int, padding: int) -> tp.Tensor:
        return tp.maxpool(x, (kernel,) * (x.rank - 2), stride=stride, padding=padding)

    def concat(self, x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
        return tp.concatenate([x, y], dim=1)

    def tokens(self, x: tp.Tensor) -> tp.Tensor:
        return tp.transpose(tp.flatten(x, 2), 1, 2)

    def image_mean(self, x: tp.Tensor) -> tp.Tensor:
        return tp.mean(x, dim=tuple(range(2, x.rank)))

    def token_mean(self, x: tp.Tensor) -> tp.Tensor:
        return tp.mean(x, dim=1)

    def attention(self, q: tp.Tensor, k: tp.Tensor, v: tp.Tensor, heads: int) -> tp.Tensor:
        batch, length, width = q.shape
        shape = (batch, length, heads, width // heads)
        split = [tp.transpose(tp.reshape(t, shape), 1, 2) for t in (q, k, v)]
        joined = tp.transpose(tp.scaled_dot_product_attention(*split), 1, 2)
        return tp.reshape(joined, (batch, length, width))


def network(case: Any) -> Net:
    """The module of a case, with its weights."""
    net = Net(case.architecture, case.plan, getattr(tp, case.dtype))
    state = net.state_dict()
    pairs = (
        (f"layers.{name}.{key}", v) for name, d in case.weights.items() for key, v in d.items()
    )
    weights = dict(pairs)
    assert set(weights) == set(state), set(weights) ^ set(state)
    net.load_state_dict(weights)
    return net


def described(case: Any) -> tp.InputInfo:
    return tp.InputInfo(case.shape, getattr(tp, case.input_dtype))


def executable(case: Any, engine: str | None, device: str) -> tuple[tp.Executable, float]:
    """A compiled case, and the seconds that it took."""
    net = network(case)
    info = described(case)
    precision = case.arithmetic if case.arithmetic in ("tf32", "bfloat16") else None
    start = time.perf_counter()
    exe = tp.compile(net, args=[info], engine=engine, device=device, precision=precision)
    return exe, time.perf_counter() - start


def _channels_last(x: Any) -> tp.Tensor:
    """The same elements with the channels last in memory, as another library would hand them."""
    import torch

    there = torch.from_numpy(x).cuda()
    return tp.Tensor(there.movedim(1, -1).contiguous().movedim(-1, 1))


def _called(call: Callable[[tp.Tensor], tp.Tensor], x: tp.Tensor, seconds: float) -> Contestant:
    """A contestant, whose first call counts as compiling."""
    start = time.perf_counter()
    call(x).eval()
    seconds += time.perf_counter() - start
    return Contestant(
        lambda: call(x), tp.Tensor.eval, lambda result: np.asarray(result.numpy()), seconds
    )


def contestant(case: Any, engine: str | None, device: str, last: bool = False) -> Contestant:
    """The compiled case on an input that stays on the device."""
    exe, seconds = executable(case, engine, device)
    x = _channels_last(case.x) if last else tp.Tensor(case.x, device=device).eval()
    return _called(exe, x, seconds)


def from_onnx(case: Any, data: bytes, engine: str | None) -> Contestant:
    """An ONNX model of the case, which may be quantized."""
    start = time.perf_counter()
    exe = tp.compile(tp.onnx.load(data), args=[described(case)], engine=engine)
    return _called(exe, tp.Tensor(case.x), time.perf_counter() - start)


def eager(case: Any, device: str) -> Contestant:
    """The module itself: recorded, and evaluated, at every call."""
    return _called(network(case), tp.Tensor(case.x, device=device).eval(), 0.0)


def onnx_model(case: Any) -> bytes:
    """The module as an ONNX model with input `x`, as tripy writes it."""
    info = described(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        tp.onnx.export(network(case), path, args=[info])
        return path.read_bytes()


def prepare(threads: int | None = None) -> None:
    """No program may come from the cache on disk."""
    tp.config.cache_size = 0
    tp.config.num_threads = threads
