"""Architectures in the vocabulary of `plans`, and the sizes that they are measured in."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from .plans import DAMPED, Architecture, Shape


def _normed(
    f: Any, name: str, x: Any, channels: int, kernel: int | tuple[int, ...], **options: Any
) -> Any:
    gain = options.pop("gain", 1.0)
    is_int = isinstance(kernel, int)
    padding = (kernel - 1) // 2 if is_int else tuple((size - 1) // 2 for size in kernel)
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


# MiniLM (Wang et al., 2020): BERT's blocks, which normalise behind the sums, with mean pooling


def _bert_block(f: Any, name: str, x: Any, width: int, heads: int) -> Any:
    q, k, v = (f.linear(f"{name}_{letter}", x, width) for letter in "qkv")
    y = f.linear(f"{name}_out", f.attention(q, k, v, heads), width)
    x = f.layernorm(f"{name}_norm1", f.add(x, y))
    y = f.linear(f"{name}_down", f.gelu(f.linear(f"{name}_up", x, 4 * width)), width)
    return f.layernorm(f"{name}_norm2", f.add(x, y))


def minilm(f: Any, x: Any, words: int, width: int = 384, heads: int = 12, depth: int = 6) -> Any:
    x = f.add_parameter("positions", f.embedding("words", x, words, width))
    x = f.layernorm("norm", x)
    for i in range(depth):
        x = _bert_block(f, f"block{i}", x, width, heads)
    return f.token_mean(x)


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


# EfficientNet-B0 (Tan and Le, 2019): expansion, kernel, channels, blocks, stride of the first block

EFFICIENT_STAGES = (
    *((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2)),
    *((6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)),
)


def _squeezed(f: Any, name: str, x: Any, channels: int, squeezed: int) -> Any:
    """Squeeze and excitation (Hu et al., 2017)."""
    y = f.silu(f.linear(f"{name}_down", f.image_mean(x), squeezed))
    return f.gate(x, f.sigmoid(f.linear(f"{name}_up", y, channels)))


def _mbconv(
    f: Any, name: str, x: Any, sizes: tuple[int, int, int], kernel: int, stride: int
) -> Any:
    before, inner, channels = sizes
    y = x if inner == before else f.silu(_normed(f, f"{name}_1", x, inner, 1))
    y = f.silu(_normed(f, f"{name}_2", y, inner, kernel, stride=stride, groups=inner))
    y = _squeezed(f, f"{name}_se", y, inner, max(1, before // 4))
    is_residual = stride == 1 and before == channels
    y = _normed(f, f"{name}_3", y, channels, 1, gain=DAMPED if is_residual else 1.0)
    return f.add(x, y) if is_residual else y


def efficientnet_b0(f: Any, x: Any, divisor: int = 1, classes: int = 1000) -> Any:
    before = 32 // divisor
    x = f.silu(_normed(f, "stem", x, before, 3, stride=2))
    for stage, (expand, kernel, channels, count, stride) in enumerate(EFFICIENT_STAGES):
        for i in range(count):
            sizes = (before, before * expand, channels // divisor)
            x = _mbconv(f, f"block{stage}_{i}", x, sizes, kernel, 1 if i else stride)
            before = sizes[-1]
    x = f.silu(_normed(f, "last", x, 1280 // divisor, 1))
    return f.linear("head", f.image_mean(x), classes)


# ConvNeXt-tiny (Liu et al., 2022)


def _over_channels(f: Any, name: str, x: Any) -> Any:
    return f.to_first(f.layernorm(name, f.to_last(x)))


def _convnext_block(f: Any, name: str, x: Any, channels: int) -> Any:
    y = f.conv(f"{name}_1", x, channels, 7, padding=3, groups=channels, bias=True)
    y = f.layernorm(f"{name}_norm", f.to_last(y))
    y = f.linear(f"{name}_3", f.gelu(f.linear(f"{name}_2", y, 4 * channels)), channels)
    return f.add(x, f.to_first(f.scale_parameter(f"{name}_scale", y)))


def convnext(
    f: Any,
    x: Any,
    width: int = 96,
    depths: tuple[int, ...] = (3, 3, 9, 3),
    classes: int = 1000,
) -> Any:
    x = _over_channels(f, "stem_norm", f.conv("stem", x, width, 4, stride=4, bias=True))
    for stage, count in enumerate(depths):
        channels = width << stage
        if stage:
            x = _over_channels(f, f"down{stage}_norm", x)
            x = f.conv(f"down{stage}", x, channels, 2, stride=2, bias=True)
        for i in range(count):
            x = _convnext_block(f, f"block{stage}_{i}", x, channels)
    return f.linear("head", f.layernorm("norm", f.image_mean(x)), classes)


# A residual network on video (3-D ResNet-18 of Tran et al., 2018)


def _video_block(f: Any, name: str, x: Any, channels: int, stride: int, project: bool) -> Any:
    y = f.relu(_normed(f, f"{name}_1", x, channels, 3, stride=stride))
    y = _normed(f, f"{name}_2", y, channels, 3, gain=DAMPED)
    shortcut = _normed(f, f"{name}_0", x, channels, 1, stride=stride) if project else x
    return f.relu(f.add(y, shortcut))


def video_resnet18(f: Any, x: Any, width: int = 64, classes: int = 400) -> Any:
    x = f.relu(_normed(f, "stem", x, width, (3, 7, 7), stride=(1, 2, 2)))
    for stage in range(4):
        for i in range(2):
            is_first = bool(stage) and i == 0
            name, stride = f"block{stage}_{i}", 2 if is_first else 1
            x = _video_block(f, name, x, width << stage, stride, is_first)
    return f.linear("head", f.image_mean(x), classes)


# An encoder and decoder of sound (SoundStream, Zeghidour et al., 2021, without its quantizer)

AUDIO_STRIDES = (2, 4, 4, 8)
AUDIO_DILATIONS = (1, 3, 9)


def _audio_units(f: Any, name: str, x: Any, channels: int) -> Any:
    for dilation in AUDIO_DILATIONS:
        part, padding = f"{name}_{dilation}", 3 * dilation
        y = f.conv(f"{part}_long", f.silu(x), channels, 7, 1, padding, 1, dilation, True)
        y = f.batchnorm(f"{part}_bn", f.conv(part, f.silu(y), channels, 1, bias=True), DAMPED)
        x = f.add(x, y)
    return x


def audio_codec(
    f: Any,
    x: Any,
    width: int = 32,
    strides: tuple[int, ...] = AUDIO_STRIDES,
    latent: int = 128,
) -> Any:
    x = f.conv("first", x, width, 7, padding=3, bias=True)
    for i, stride in enumerate(strides):
        x = f.silu(_audio_units(f, f"encode{i}", x, width << i))
        sizes = {"stride": stride, "padding": stride // 2, "bias": True}
        x = f.conv(f"shrink{i}", x, width << (i + 1), 2 * stride, **sizes)
    x = f.conv("latent", f.silu(x), latent, 3, padding=1, bias=True)
    x = f.conv("second", x, width << len(strides), 7, padding=3, bias=True)
    for i, stride in reversed(list(enumerate(strides))):
        x = f.conv_transpose(f"grow{i}", f.silu(x), width << i, 2 * stride, stride, stride // 2)
        x = _audio_units(f, f"decode{i}", x, width << i)
    return f.tanh(f.conv("head", f.silu(x), 1, 7, padding=3, bias=True))


class Network(NamedTuple):
    """A network to measure, and its small form that only shows that everything runs.

    Attributes:
        words: 0, or how many there are; then inputs are numbers of words.
    """

    name: str
    full: Architecture
    image: Shape
    quick: Architecture
    quick_image: Shape
    words: int = 0


IMAGE, SMALL_IMAGE = (3, 224, 224), (3, 32, 32)
RESNET50 = Network(
    "ResNet-50", resnet50, IMAGE, partial(resnet50, width=4, classes=10), SMALL_IMAGE
)
VIT_SMALL = Network(
    *("ViT-small", vit_small, IMAGE),
    *(partial(vit_small, width=16, heads=2, depth=2, classes=10), SMALL_IMAGE),
)
MOBILENET_V2 = Network(
    *("MobileNetV2", mobilenet_v2, IMAGE),
    *(partial(mobilenet_v2, divisor=8, classes=10), SMALL_IMAGE),
)
SMALL_UNET = partial(unet, width=4, depth=2)
UNET = Network("U-Net", unet, (3, 256, 256), SMALL_UNET, (3, 16, 16))
HALF_UNET = Network(
    "U-Net, half width", partial(unet, width=32), (3, 256, 256), SMALL_UNET, (3, 16, 16)
)
EFFICIENTNET_B0 = Network(
    *("EfficientNet-B0", efficientnet_b0, IMAGE),
    *(partial(efficientnet_b0, divisor=8, classes=10), SMALL_IMAGE),
)
CONVNEXT_TINY = Network(
    *("ConvNeXt-tiny", convnext, IMAGE),
    *(partial(convnext, width=8, depths=(1, 1, 2, 1), classes=10), SMALL_IMAGE),
)
WORDS = 30522
MINILM = Network(
    *("MiniLM-L6", partial(minilm, words=WORDS), (128,)),
    *(partial(minilm, words=WORDS, width=16, heads=2, depth=1), (8,), WORDS),
)
VIDEO = Network(
    *("3-D ResNet-18, half width", partial(video_resnet18, width=32), (3, 16, 112, 112)),
    *(partial(video_resnet18, width=4, classes=10), (3, 4, 16, 16)),
)
AUDIO = Network(
    *("audio encoder and decoder", audio_codec, (1, 16384)),
    *(partial(audio_codec, width=4, strides=(2, 4), latent=4), (1, 64)),
)
