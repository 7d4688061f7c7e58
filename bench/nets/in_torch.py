"""The vocabulary of `plans` in torch, and torch's contestants."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .plans import Architecture, Array, Layer, Plan, around
from .timing import Contestant

WINDOWS = {
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    "conv_transpose": (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
}
NORMS = {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
POOLS = {3: functional.max_pool1d, 4: functional.max_pool2d, 5: functional.max_pool3d}
# Rank -> memory format with channels last, where torch has one.
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class AddParameter(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.weight


class Scale(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


def _window(kind: str, options: Mapping[str, Any]) -> nn.Module:
    names = {"kernel": "kernel_size"}
    rank = len(options["kernel"])
    options = {**options, "padding": 0} if _before(options) else options
    return WINDOWS[kind][rank - 1](**{names.get(key, key): v for key, v in options.items()})


def _before(options: Mapping[str, Any]) -> list[int]:
    """What `functional.pad` must do where padding differs before and after, as in no nn.Conv2d."""
    padding = options.get("padding", ())
    if all(isinstance(pad, int) for pad in padding):
        return []
    return [cells for pad in reversed(padding) for cells in around(pad)]


def _layer(layer: Layer, rank: int) -> nn.Module:
    options = layer.options
    makers: dict[str, Callable[[], nn.Module]] = {
        "batchnorm": lambda: NORMS[rank](options["channels"]),
        "layernorm": lambda: nn.LayerNorm(options["size"]),
        "linear": lambda: nn.Linear(**options),
        "embedding": lambda: nn.Embedding(options["words"], options["width"]),
        "parameter": lambda: AddParameter(layer.weights["weight"][0]),
        "scale": lambda: Scale(**options),
    }
    return makers[layer.kind]() if layer.kind in makers else _window(layer.kind, options)


class Net(nn.Module):
    """A network; it is the vocabulary of its own architecture."""

    def __init__(self, architecture: Architecture, plan: Plan, rank: int) -> None:
        super().__init__()
        self.architecture = architecture
        layers = {name: _layer(layer, rank) for name, layer in plan.layers.items()}
        self.layers = nn.ModuleDict(layers)
        pairs = ((name, _before(layer.options)) for name, layer in plan.layers.items())
        self.before = {name: cells for name, cells in pairs if cells}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.architecture(self, x)

    def _call(self, name: str, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return self.layers[name](x)

    conv_transpose = batchnorm = layernorm = linear = embedding = _call
    add_parameter = scale_parameter = _call

    def conv(self, name: str, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        if name in self.before:
            x = functional.pad(x, self.before[name])
        return self.layers[name](x)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    def relu(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)

    def relu6(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu6(x)

    def gelu(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(x)

    def silu(self, x: torch.Tensor) -> torch.Tensor:
        return functional.silu(x)

    def sigmoid(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)

    def tanh(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)

    def gate(self, x: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        return x * factors[(..., *[None] * (x.ndim - 2))]

    def to_last(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, *range(2, x.ndim), 1)

    def to_first(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))

    def maxpool(self, x: torch.Tensor, kernel: int, stride: int, padding: int) -> torch.Tensor:
        return POOLS[x.ndim](x, kernel, stride, padding)

    def concat(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, y], 1)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).transpose(1, 2)

    def image_mean(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(tuple(range(2, x.ndim)))

    def token_mean(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)

    def attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int
    ) -> torch.Tensor:
        split = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v)]
        return functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def network(case: Any) -> Net:
    """The module of a case, with its weights, on the CPU."""
    net = Net(case.architecture, case.plan, len(case.shape)).to(getattr(torch, case.dtype))
    pairs = (
        (f"layers.{name}.{key}", v) for name, d in case.weights.items() for key, v in d.items()
    )
    weights = {name: torch.from_numpy(value) for name, value in pairs}
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return net.eval()


def _in(case: Any, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """An input in another dtype; numbers of words stay what they are."""
    return x if case.words else x.to(dtype)


def reference(case: Any, x: Array) -> Array:
    """The result on the CPU, in float64; in float32 for whole networks that need not be exact."""
    is_exact = case.exact or len(case.plan.layers) == 1
    dtype = torch.float64 if is_exact else torch.float32
    with torch.inference_mode():
        return network(case).to(dtype)(_in(case, torch.from_numpy(x), dtype)).double().numpy()


def prepare(tf32: bool) -> None:
    """cuDNN tries its kernels, and float32 is float32 unless TF32 was asked for."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")


# Contestants


def _read(result: torch.Tensor) -> Array:
    result = result.float() if result.dtype == torch.bfloat16 else result
    return result.contiguous().cpu().numpy()


def _placed(case: Any, device: str, channels_last: bool) -> tuple[nn.Module, torch.Tensor]:
    """The module and an input of its own on the device."""
    where = torch.device("cuda" if device == "gpu" else "cpu")
    dtype = torch.bfloat16 if case.arithmetic == "bfloat16" else getattr(torch, case.dtype)
    net, x = network(case).to(where, dtype), torch.from_numpy(np.array(case.x)).to(where)
    x = _in(case, x, dtype)
    order = CHANNELS_LAST.get(len(case.shape)) if channels_last else None
    return (net.to(memory_format=order), x.to(memory_format=order)) if order else (net, x)


def _wait(_: Any = None) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _first_call(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - start


def eager(case: Any, device: str, channels_last: bool = True) -> Contestant:
    net, x = _placed(case, device, channels_last)
    return Contestant(lambda: net(x), _wait, _read, _first_call(lambda: net(x)))


def graph(case: Any, device: str, channels_last: bool = True) -> Contestant:
    """The eager module, recorded in a CUDA graph after warm-up on a side stream."""
    net, x = _placed(case, device, channels_last)
    start = time.perf_counter()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            net(x)
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded, capture_error_mode="thread_local"):
        result = net(x)

    def replay(used: Any = (net, x)) -> torch.Tensor:  # the graph reads their memory
        recorded.replay()
        return result

    seconds = time.perf_counter() - start + _first_call(replay)
    return Contestant(replay, _wait, _read, seconds)


def compiled(case: Any, device: str, freezing: bool = False) -> Contestant:
    """torch.compile at its best, with its own CUDA graphs and an input that it need not copy."""
    from torch._inductor import config

    torch.compiler.reset()
    net, x = _placed(case, device, channels_last=True)
    torch._dynamo.mark_static_address(x)
    with config.patch(freezing=freezing):
        call = torch.compile(net, mode="max-autotune", dynamic=False)
        seconds = _first_call(lambda: call(x))
        for _ in range(3):  # CUDA graphs are recorded on later calls
            seconds += _first_call(lambda: call(x))
    return Contestant(lambda: call(x), _wait, _read, seconds)


def frozen(case: Any) -> Contestant:
    """torch.compile for the CPU, with weights as constants, which it may lay out anew."""
    torch.compiler.reset()
    net, x = _placed(case, "cpu", channels_last=False)
    call = torch.compile(net, dynamic=False, options={"freezing": True})
    seconds = _first_call(lambda: call(x))
    return Contestant(lambda: call(x), _wait, _read, seconds)


def onnx_model(case: Any, batch: Array | None = None) -> bytes:
    """The module as an ONNX model with input `x`, as torch's exporter writes it.

    Args:
        batch: an input that stands for any batch; None for the batch of the case.
    """
    buffer, x = io.BytesIO(), case.x if batch is None else batch
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            *(network(case), (torch.from_numpy(np.array(x)),), buffer),
            dynamo=False,
            opset_version=20,
            input_names=["x"],
            dynamic_axes=None if batch is None else {"x": {0: "batch"}},
        )
    return buffer.getvalue()


def forget() -> None:
    """Free what rows need not share."""
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
