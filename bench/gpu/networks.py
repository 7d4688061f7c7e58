"""Architectures in the vocabulary of `plans`: ResNet-50, MobileNetV2, ViT-small and U-Net."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from .plans import Architecture, Shape

# The last normalisation of a residual branch is damped: shortcuts would double the variance each.
DAMPED = 0.3


def _normed(f: Any, name: str, x: Any, channels: int, kernel: int, **options: Any) -> Any:
    gain = options.pop("gain", 1.0)
    padding = (kernel - 1) // 2
    x = f.conv(name, x, channels, kernel, padding=padding, **options)
    return f.batchnorm(f"{name}_bn", x, gain)


# ResNet-50 (He et al., 2015)

RESNET_STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block


def _bottleneck(f: Any, name: str, x: Any, channels: int, stride: int, project: bool) -> Any:
    y = f.relu(_normed(f, f"{name}_1", x, channels, 1))
    y = f.relu(_normed(f, f"{name}_2", y, channels, 3, stride=stride))
    y = _normed(f, f"{name}_3", y, 4 * channels, 1, gain=DAMPED)
    shortcut = _normed(f, f"{name}_0", x, 4 * channels, 1, stride=stride) if project else x
    return f.relu(f.add(y, shortcut))


def resnet50(f: Any, x: Any, width: int = 64, classes: int = 1000) -> Any:
    x = f.relu(_normed(f, "stem", x, width, 7, stride=2))
    x = f.maxpool(x, 3, 2, 1)
    for stage, (count, stride) in enumerate(RESNET_STAGES):
        for i in range(count):
            name = f"block{stage}_{i}"
            x = _bottleneck(f, name, x, width << stage, 1 if i else stride, i == 0)
    return f.linear("head", f.image_mean(x), classes)


# MobileNetV2 (Sandler et al., 2018): expansion, channels, blocks, stride of the first block

MOBILE_STAGES = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def _inverted(
    f: Any, name: str, x: Any, sizes: tuple[int, int, int], stride: int, expand: int
) -> Any:
    channels_in, inner, channels = sizes
    y = x if expand == 1 else f.relu6(_normed(f, f"{name}_1", x, inner, 1))
    y = f.relu6(_normed(f, f"{name}_2", y, inner, 3, stride=stride, groups=inner))
    is_residual = stride == 1 and channels_in == channels
    y = _normed(f, f"{name}_3", y, channels, 1, gain=DAMPED if is_residual else 1.0)
    return f.add(x, y) if is_residual else y


def mobilenet_v2(f: Any, x: Any, divisor: int = 1, classes: int = 1000) -> Any:
    before = 32 // divisor
    x = f.relu6(_normed(f, "stem", x, before, 3, stride=2))
    for stage, (expand, channels, count, stride) in enumerate(MOBILE_STAGES):
        for i in range(count):
            sizes = (before, before * expand, channels // divisor)
            x = _inverted(f, f"block{stage}_{i}", x, sizes, 1 if i else stride, expand)
            before = sizes[-1]
    x = f.relu6(_normed(f, "last", x, 1280 // divisor, 1))
    return f.linear("head", f.image_mean(x), classes)


# ViT-small with 16x16 patches and mean pooling (Beyer et al., 2022), and its blocks


def transformer_block(f: Any, name: str, x: Any, width: int, heads: int) -> Any:
    y = f.layernorm(f"{name}_norm1", x)
    q, k, v = (f.linear(f"{name}_{letter}", y, width) for letter in "qkv")
    x = f.add(x, f.linear(f"{name}_out", f.attention(q, k, v, heads), width))
    y = f.gelu(f.linear(f"{name}_up", f.layernorm(f"{name}_norm2", x), 4 * width))
    return f.add(x, f.linear(f"{name}_down", y, width))


def transformer(f: Any, x: Any, width: int, heads: int, depth: int) -> Any:
    for i in range(depth):
        x = transformer_block(f, f"block{i}", x, width, heads)
    return x


def vit_small(
    f: Any, x: Any, width: int = 384, heads: int = 6, depth: int = 12, classes: int = 1000
) -> Any:
    x = f.tokens(f.conv("patches", x, width, 16, stride=16, bias=True))
    x = f.add_parameter("positions", x)
    x = transformer(f, x, width, heads, depth)
    return f.linear("head", f.token_mean(f.layernorm("norm", x)), classes)


# U-Net (Ronneberger et al., 2015) with padding and batch normalisation


def _double(f: Any, name: str, x: Any, channels: int) -> Any:
    x = f.relu(_normed(f, f"{name}_1", x, channels, 3))
    return f.relu(_normed(f, f"{name}_2", x, channels, 3))


def unet(f: Any, x: Any, width: int = 64, depth: int = 4, classes: int = 2) -> Any:
    skips = []
    for level in range(depth):
        x = _double(f, f"down{level}", x, width << level)
        skips.append(x)
        x = f.maxpool(x, 2, 2, 0)
    x = _double(f, "bottom", x, width << depth)
    for level in reversed(range(depth)):
        x = f.conv_transpose(f"grow{level}", x, width << level, 2, 2)
        x = _double(f, f"up{level}", f.concat(skips[level], x), width << level)
    return f.conv("head", x, classes, 1, bias=True)


class Network(NamedTuple):
    """A network to measure, and its small form that only shows that everything runs."""

    name: str
    full: Architecture
    image: Shape
    quick: Architecture
    quick_image: Shape


NETWORKS = (
    Network(
        "ResNet-50", resnet50, (3, 224, 224), partial(resnet50, width=4, classes=10), (3, 32, 32)
    ),
    Network(
        "ViT-small",
        vit_small,
        (3, 224, 224),
        partial(vit_small, width=16, heads=2, depth=2, classes=10),
        (3, 32, 32),
    ),
    Network(
        "MobileNetV2",
        mobilenet_v2,
        (3, 224, 224),
        partial(mobilenet_v2, divisor=8, classes=10),
        (3, 32, 32),
    ),
    Network("U-Net", unet, (3, 256, 256), partial(unet, width=4, depth=2), (3, 16, 16)),
)
BATCHES, QUICK_BATCHES = (32, 1), (2, 1)
