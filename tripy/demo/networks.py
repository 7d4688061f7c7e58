"""The three networks of the face detector, written with the public names of the library.

Every network takes normalised RGB images (N, 3, H, W) and returns along dimension 1 the
probabilities of no face and of a face and four box offsets; the last one adds ten coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tripy as tp
from tripy.demo.weights import convert, read

WINDOW = 12  # pixels that P-Net sees at one position
STRIDE = 2  # pixels between two positions of P-Net
CROP_SIDES = {"rnet": 24, "onet": 48}
COLUMNS = {"rnet": 6, "onet": 16}  # of their results
MAX_SIDE = 4096  # of an image given to P-Net
MAX_BATCH = 256  # crops given to R-Net or O-Net at once


class PReLU(tp.Module):
    """max(x, 0) + alpha * min(x, 0), with one alpha for every channel."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.alpha = tp.Parameter(tp.zeros(shape))

    def forward(self, input: tp.Tensor) -> tp.Tensor:
        return tp.maximum(input, 0.0) + self.alpha * tp.minimum(input, 0.0)


def conv_block(in_channels: int, out_channels: int, kernel: int) -> list[tp.Module]:
    conv = tp.Conv(in_channels, out_channels, (kernel, kernel))
    return [conv, PReLU((out_channels, 1, 1))]


def pool(kernel: int, padding: str) -> tp.Module:
    return tp.MaxPool((kernel, kernel), stride=(2, 2), padding=padding)


def flatten(input: tp.Tensor) -> tp.Tensor:
    return tp.flatten(input, 1)


class PNet(tp.Module):
    """Proposals: scans an image of any size with a window of 12 x 12 pixels."""

    def __init__(self) -> None:
        self.trunk = tp.Sequential(
            *conv_block(3, 10, 3),
            pool(2, "same"),
            *conv_block(10, 16, 3),
            *conv_block(16, 32, 3),
        )
        self.offsets = tp.Conv(32, 4, (1, 1))
        self.scores = tp.Conv(32, 2, (1, 1))

    def forward(self, images: tp.Tensor) -> tp.Tensor:
        features = self.trunk(images)
        probabilities = tp.softmax(self.scores(features), dim=1)
        return tp.concatenate([probabilities, self.offsets(features)], dim=1)


class RNet(tp.Module):
    """Refinement: judges crops of 24 x 24 pixels and corrects their boxes."""

    def __init__(self) -> None:
        self.trunk = tp.Sequential(
            *conv_block(3, 28, 3),
            pool(3, "same"),
            *conv_block(28, 48, 3),
            pool(3, "valid"),
            *conv_block(48, 64, 2),
            flatten,
            tp.Linear(64 * 3 * 3, 128),
            PReLU((128,)),
        )
        self.offsets = tp.Linear(128, 4)
        self.scores = tp.Linear(128, 2)

    def forward(self, images: tp.Tensor) -> tp.Tensor:
        features = self.trunk(images)
        probabilities = tp.softmax(self.scores(features), dim=1)
        return tp.concatenate([probabilities, self.offsets(features)], dim=1)


class ONet(tp.Module):
    """Output: judges crops of 48 x 48 pixels, corrects their boxes and finds the landmarks."""

    def __init__(self) -> None:
        self.trunk = tp.Sequential(
            *conv_block(3, 32, 3),
            pool(3, "same"),
            *conv_block(32, 64, 3),
            pool(3, "valid"),
            *conv_block(64, 64, 3),
            pool(2, "same"),
            *conv_block(64, 128, 2),
            flatten,
            tp.Linear(128 * 3 * 3, 256),
            PReLU((256,)),
        )
        self.offsets = tp.Linear(256, 4)
        self.landmarks = tp.Linear(256, 10)
        self.scores = tp.Linear(256, 2)

    def forward(self, images: tp.Tensor) -> tp.Tensor:
        features = self.trunk(images)
        probabilities = tp.softmax(self.scores(features), dim=1)
        heads = [probabilities, self.offsets(features), self.landmarks(features)]
        return tp.concatenate(heads, dim=1)


class Networks(NamedTuple):
    pnet: PNet
    rnet: RNet
    onet: ONet


def load_networks() -> Networks:
    """The networks with the pre-trained weights of the installed package ``mtcnn``."""
    networks = Networks(PNet(), RNet(), ONet())
    for name, network in networks._asdict().items():
        arrays = convert(read(name))
        # Keras lists each layer's kernel before its bias, and the layers in this order.
        state = network.state_dict()
        layers = dict.fromkeys(key.rpartition(".")[0] for key in state)
        keys = [f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias", "alpha")]
        network.load_state_dict(dict(zip([k for k in keys if k in state], arrays, strict=True)))
    return networks


def input_info(name: str) -> tp.InputInfo:
    """What the compiled network of that name accepts: any image size, or any number of crops."""
    if name == "pnet":
        sides = (WINDOW, 224, MAX_SIDE)
        return tp.InputInfo((1, 3, sides, sides), tp.float32)
    batch = tp.NamedDimension("batch", 1, 16, MAX_BATCH)
    side = CROP_SIDES[name]
    return tp.InputInfo((batch, 3, side, side), tp.float32)
