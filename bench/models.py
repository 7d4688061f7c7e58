"""ResNet-50: its architecture as a table, random weights, and the tripy model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tripy as tp

Weights = dict[str, NDArray[np.float32]]

CLASSES = 1000
WIDTH = 64
STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block
EXPANSION = 4


@dataclass(frozen=True)
class Block:
    """A bottleneck block: 1x1 reduce, 3x3 with the stride, 1x1 expand, and the shortcut."""

    name: str
    in_channels: int
    channels: int
    stride: int

    @property
    def out_channels(self) -> int:
        return self.channels * EXPANSION

    @property
    def downsample(self) -> bool:
        return self.stride != 1 or self.in_channels != self.out_channels


def stages(width: int = WIDTH) -> list[list[Block]]:
    """The blocks of the four stages; `width` is the number of channels after the first layer."""
    in_channels, result = width, []
    for number, (count, stride) in enumerate(STAGES, 1):
        channels, blocks = width << (number - 1), []
        for i in range(count):
            block = Block(f"layer{number}.{i}", in_channels, channels, 1 if i else stride)
            blocks.append(block)
            in_channels = block.out_channels
        result.append(blocks)
    return result


# Weights, under the names that torchvision gives them


def _convolutions(width: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Name of the convolution, name of the normalisation behind it, shape of the weight."""
    yield "conv1", "bn1", (width, 3, 7, 7)
    for block in (block for stage in stages(width) for block in stage):
        name, inner, outer = block.name, block.channels, block.out_channels
        yield f"{name}.conv1", f"{name}.bn1", (inner, block.in_channels, 1, 1)
        yield f"{name}.conv2", f"{name}.bn2", (inner, inner, 3, 3)
        yield f"{name}.conv3", f"{name}.bn3", (outer, inner, 1, 1)
        if block.downsample:
            shape = (outer, block.in_channels, 1, 1)
            yield f"{name}.downsample.0", f"{name}.downsample.1", shape


def _normalisation(name: str, channels: int, generator: np.random.Generator) -> dict[str, Any]:
    # The last normalisation of a block is damped: sixteen shortcuts would double the variance each.
    gain = 0.3 if name.endswith("bn3") else 1.0
    return {
        f"{name}.weight": gain * generator.uniform(0.8, 1.2, channels),
        f"{name}.bias": generator.normal(0, 0.1, channels),
        f"{name}.running_mean": generator.normal(0, 0.1, channels),
        f"{name}.running_var": generator.uniform(0.8, 1.2, channels),
    }


def resnet50_weights(seed: int = 0, width: int = WIDTH) -> Weights:
    """Weights drawn after He, with statistics that keep the activations near unit size."""
    generator = np.random.default_rng(seed)
    weights: dict[str, Any] = {}
    for name, norm, shape in _convolutions(width):
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights[f"{name}.weight"] = generator.normal(0, scale, shape)
        weights |= _normalisation(norm, shape[0], generator)
    features = stages(width)[-1][-1].out_channels
    weights["fc.weight"] = generator.normal(0, np.sqrt(1 / features), (CLASSES, features))
    weights["fc.bias"] = generator.normal(0, 0.1, CLASSES)
    return {name: value.astype(np.float32) for name, value in weights.items()}


# The model


class Bottleneck(tp.Module):
    def __init__(self, block: Block) -> None:
        inner, outer = block.channels, block.out_channels
        stride = (block.stride, block.stride)
        self.conv1 = tp.Conv(block.in_channels, inner, (1, 1), bias=False)
        self.bn1 = tp.BatchNorm(inner)
        self.conv2 = tp.Conv(inner, inner, (3, 3), padding=1, stride=stride, bias=False)
        self.bn2 = tp.BatchNorm(inner)
        self.conv3 = tp.Conv(inner, outer, (1, 1), bias=False)
        self.bn3 = tp.BatchNorm(outer)
        if block.downsample:
            shortcut = tp.Conv(block.in_channels, outer, (1, 1), stride=stride, bias=False)
            self.downsample = tp.Sequential(shortcut, tp.BatchNorm(outer))
        else:
            self.downsample = tp.Sequential()

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        y = tp.relu(self.bn1(self.conv1(x)))
        y = tp.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return tp.relu(y + self.downsample(x))


class ResNet50(tp.Module):
    def __init__(self, width: int = WIDTH) -> None:
        self.conv1 = tp.Conv(3, width, (7, 7), padding=3, stride=(2, 2), bias=False)
        self.bn1 = tp.BatchNorm(width)
        layers = [tp.Sequential(*map(Bottleneck, blocks)) for blocks in stages(width)]
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.fc = tp.Linear(stages(width)[-1][-1].out_channels, CLASSES)

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        x = tp.relu(self.bn1(self.conv1(x)))
        x = tp.maxpool(x, (3, 3), stride=(2, 2), padding=1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        logits: tp.Tensor = self.fc(tp.mean(x, dim=(2, 3)))
        return logits


def resnet50(weights: Weights, width: int = WIDTH) -> ResNet50:
    """The model with the weights loaded."""
    model = ResNet50(width)
    model.load_state_dict(weights)
    return model
