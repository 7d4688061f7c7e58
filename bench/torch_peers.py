"""What tripy is measured against with torch: eager modules and torch.compile."""

from __future__ import annotations

import copy
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from harness import Array, Contestant
from models import CLASSES, WIDTH, Block, Weights, stages
from peers import ConvCase
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        inner, outer, stride = block.channels, block.out_channels, block.stride
        self.conv1 = nn.Conv2d(block.in_channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, stride=stride, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = nn.Sequential()
        if block.downsample:
            shortcut = nn.Conv2d(block.in_channels, outer, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + self.downsample(x))


class ResNet50(nn.Module):
    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, padding=3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        layers = [nn.Sequential(*map(Bottleneck, blocks)) for blocks in stages(width)]
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.fc = nn.Linear(stages(width)[-1][-1].out_channels, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        y: torch.Tensor = self.fc(x.mean((2, 3)))
        return y


def resnet50(weights: Weights, width: int = WIDTH) -> nn.Module:
    """The model with the same weights; only the batch counters have no counterpart."""
    model = ResNet50(width)
    names = model.state_dict().keys()
    assert {name for name in names if not name.endswith("num_batches_tracked")} == set(weights)
    model.load_state_dict(_tensors(weights), strict=False)
    return model.eval()


def conv(case: ConvCase, weight: Array, bias: Array) -> nn.Module:
    module = nn.Conv2d(
        *(case.in_channels, case.out_channels, case.kernel),
        stride=case.stride,
        padding=case.padding,
        groups=case.groups,
    )
    module.load_state_dict(_tensors({"weight": weight, "bias": bias}))
    return module.eval()


def _tensors(arrays: dict[str, Array]) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((name, torch.from_numpy(array)) for name, array in arrays.items())


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)


def inference() -> AbstractContextManager[Any]:
    """The mode that everything of torch is measured in."""
    return torch.inference_mode()


def eager(module: nn.Module, x: Array) -> Contestant:
    return Contestant("torch eager", partial(module, torch.from_numpy(x)))


@contextmanager
def empty_cache() -> Iterator[None]:
    """torch.compile keeps what it builds in a folder that is new and goes again."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {"TORCHINDUCTOR_CACHE_DIR": folder}
        with mock.patch.dict(os.environ, variables):
            yield


def compiled(module: nn.Module, x: Array, *, freezing: bool = False) -> tuple[Contestant, float]:
    """torch.compile with empty caches, and the seconds that its first call took."""
    name = "torch.compile, frozen" if freezing else "torch.compile"
    call = torch.compile(copy.deepcopy(module), dynamic=False, options={"freezing": freezing})
    tensor = torch.from_numpy(x)
    with empty_cache():
        start = time.perf_counter()
        call(tensor)
        elapsed = time.perf_counter() - start
    return Contestant(name, partial(call, tensor)), elapsed


def forget_compiled() -> None:
    """Drop what torch.compile keeps, so that rows do not share it."""
    torch.compiler.reset()


def small_operations(a: Array, b: Array, c: Array) -> dict[str, Callable[[], torch.Tensor]]:
    x, y, z = map(torch.from_numpy, (a, b, c))
    return {"two operations": lambda: (x + y) * z, "one operation": lambda: x + y}
