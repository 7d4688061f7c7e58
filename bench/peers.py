"""What tripy is measured against without torch: OpenVINO's own API, and float64 NumPy as oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import openvino as ov
from harness import Array, Contestant, openvino_settings
from models import Weights, stages
from numpy.lib.stride_tricks import sliding_window_view
from openvino import opset15 as op

Value = TypeVar("Value")
EPSILON = 1e-5


@dataclass(frozen=True)
class ConvCase:
    """One convolution with a bias; input (N, C, H, W), square kernel."""

    name: str
    input_shape: tuple[int, int, int, int]
    out_channels: int
    kernel: int
    padding: int
    stride: int = 1
    groups: int = 1

    @property
    def in_channels(self) -> int:
        return self.input_shape[1]

    def arrays(self, generator: np.random.Generator) -> tuple[Array, Array, Array]:
        """Input, weight and bias."""
        shape = (self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        drawn = (
            generator.normal(size=self.input_shape),
            generator.normal(0, scale, shape),
            generator.normal(size=self.out_channels),
        )
        image, weight, bias = (array.astype(np.float32) for array in drawn)
        return image, weight, bias


class Layers(Protocol[Value]):
    """The operations that ResNet-50 consists of; layers are named as in the weights."""

    def conv(self, x: Value, name: str, padding: int, stride: int) -> Value: ...
    def norm(self, x: Value, name: str) -> Value: ...
    def relu(self, x: Value) -> Value: ...
    def maxpool(self, x: Value) -> Value: ...
    def add(self, x: Value, y: Value) -> Value: ...
    def head(self, x: Value) -> Value: ...


class ResNet50(Generic[Value]):
    """ResNet-50 spelled once, for every implementation of `Layers`."""

    def __init__(self, layers: Layers[Value], width: int) -> None:
        self.layers, self.width = layers, width

    def __call__(self, x: Value) -> Value:
        layers = self.layers
        x = layers.maxpool(self._unit(x, "conv1", "bn1", padding=3, stride=2))
        for block in (block for stage in stages(self.width) for block in stage):
            name = block.name
            y = self._unit(x, f"{name}.conv1", f"{name}.bn1")
            y = self._unit(y, f"{name}.conv2", f"{name}.bn2", padding=1, stride=block.stride)
            y = layers.norm(layers.conv(y, f"{name}.conv3", 0, 1), f"{name}.bn3")
            if block.downsample:
                x = layers.conv(x, f"{name}.downsample.0", 0, block.stride)
                x = layers.norm(x, f"{name}.downsample.1")
            x = layers.relu(layers.add(y, x))
        return layers.head(x)

    def _unit(self, x: Value, conv: str, norm: str, padding: int = 0, stride: int = 1) -> Value:
        layers = self.layers
        return layers.relu(layers.norm(layers.conv(x, conv, padding, stride), norm))


# float64


def conv_float64(
    x: Array,
    weight: Array,
    bias: Array | float = 0.0,
    *,
    padding: int,
    stride: int,
    groups: int = 1,
) -> Array:
    """Convolution as one matrix product per group."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    batch, channels, height, width, *kernel = windows.shape
    grouped = windows.reshape(batch, groups, channels // groups, height, width, *kernel)
    columns = grouped.transpose(0, 1, 3, 4, 2, 5, 6).reshape(batch, groups, height * width, -1)
    matrices = weight.astype(np.float64).reshape(groups, weight.shape[0] // groups, -1)
    result = (columns @ matrices.transpose(0, 2, 1)).transpose(0, 1, 3, 2)
    return np.asarray(result.reshape(batch, -1, height, width) + np.reshape(bias, (-1, 1, 1)))


class Float64Layers:
    """The oracle: NumPy in float64."""

    def __init__(self, weights: Weights) -> None:
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}

    def conv(self, x: Array, name: str, padding: int, stride: int) -> Array:
        return conv_float64(x, self.weights[f"{name}.weight"], padding=padding, stride=stride)

    def norm(self, x: Array, name: str) -> Array:
        scale, shift = normalisation(self.weights, name)
        return x * scale + shift

    def relu(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def maxpool(self, x: Array) -> Array:
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        windows = sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
        return np.asarray(windows.max(axis=(-2, -1)))

    def add(self, x: Array, y: Array) -> Array:
        return np.asarray(x + y)

    def head(self, x: Array) -> Array:
        return np.asarray(x.mean((2, 3)) @ self.weights["fc.weight"].T + self.weights["fc.bias"])


def normalisation(weights: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    """Scale and shift that a batch normalisation with fixed statistics comes down to."""
    parameters = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, variance = (weights[f"{name}.{each}"] for each in parameters)
    scale = weight / np.sqrt(variance + EPSILON)
    return scale.reshape(1, -1, 1, 1), (bias - mean * scale).reshape(1, -1, 1, 1)


# OpenVINO


def _constant(array: Array) -> Any:
    return op.constant(np.ascontiguousarray(array, np.float32), shared_memory=True)


def _conv(x: Any, weight: Array, padding: int, stride: int) -> Any:
    strides, pads = [stride, stride], [padding, padding]
    return op.convolution(x, _constant(weight), strides, pads, pads, [1, 1])


def _group_conv(x: Any, weight: Array, padding: int, stride: int, groups: int) -> Any:
    strides, pads = [stride, stride], [padding, padding]
    kernels = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    return op.group_convolution(x, _constant(kernels), strides, pads, pads, [1, 1])


class OpenVINOLayers:
    """Graph nodes as an importer would emit them: normalisation is a product and a sum."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def conv(self, x: Any, name: str, padding: int, stride: int) -> Any:
        return _conv(x, self.weights[f"{name}.weight"], padding, stride)

    def norm(self, x: Any, name: str) -> Any:
        scale, shift = normalisation(self.weights, name)
        return op.add(op.multiply(x, _constant(scale)), _constant(shift))

    def relu(self, x: Any) -> Any:
        return op.relu(x)

    def maxpool(self, x: Any) -> Any:
        return op.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)

    def add(self, x: Any, y: Any) -> Any:
        return op.add(x, y)

    def head(self, x: Any) -> Any:
        pooled = op.reduce_mean(x, op.constant(np.array([2, 3], np.int64)), keep_dims=False)
        product = op.matmul(pooled, _constant(self.weights["fc.weight"]), False, True)
        return op.add(product, _constant(self.weights["fc.bias"]))


def openvino_resnet50(weights: Weights, image: Array, width: int) -> ov.Model:
    x = op.parameter(list(image.shape), np.float32, "x")
    return ov.Model([ResNet50(OpenVINOLayers(weights), width)(x)], [x], "resnet50")


def openvino_conv(case: ConvCase, weight: Array, bias: Array) -> ov.Model:
    x = op.parameter(list(case.input_shape), np.float32, "x")
    if case.groups == 1:
        y = _conv(x, weight, case.padding, case.stride)
    else:
        y = _group_conv(x, weight, case.padding, case.stride, case.groups)
    return ov.Model([op.add(y, _constant(bias.reshape(1, -1, 1, 1)))], [x], "conv")


def openvino_increment(size: int) -> ov.Model:
    x = op.parameter([size], np.float32, "x")
    return ov.Model([op.add(x, _constant(np.ones(1)))], [x], "increment")


class OpenVINO:
    """OpenVINO's runtime, set to plain float32 and lowest latency."""

    def __init__(self, threads: int) -> None:
        self.core = ov.Core()
        self.settings = openvino_settings(threads)

    def compile(self, model: ov.Model) -> Any:
        return self.core.compile_model(model, "CPU", self.settings)

    def contestant(self, model: ov.Model, x: Array) -> Contestant:
        """Inference alone: input and output stay bound to one request."""
        request = self.compile(model).create_infer_request()
        request.set_input_tensor(ov.Tensor(x, shared_memory=True))
        call = partial(request.infer, share_outputs=True)
        return Contestant("OpenVINO", call, lambda _: np.array(request.get_output_tensor().data))
