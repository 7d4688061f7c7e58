"""What is measured: a grid of convolutions, whose shapes here lack the batch, and networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.nets import networks
from bench.nets.cases import Case, Conv, network_case, transposed

NETWORKS = (
    networks.RESNET50,
    networks.MOBILENET_V2,
    networks.EFFICIENTNET_B0,
    networks.CONVNEXT_TINY,
    networks.VIT_SMALL,
    networks.HALF_UNET,
    networks.VIDEO,
    networks.AUDIO,
    networks.MINILM,
)
BATCHES, QUICK_BATCHES = (1, 8), (2,)

# What "same" means for even inputs and a stride of 2: nothing before, one cell after.
UNEVEN = {"padding": ((0, 1), (0, 1)), "stride": 2}

GRID = (
    Conv("3x3, 64 to 64", (64, 56, 56), 64, 3, {"padding": 1}),
    Conv("3x3, 256 to 256", (256, 14, 14), 256, 3, {"padding": 1}),
    Conv("3x3 stride 2, 128 to 128", (128, 56, 56), 128, 3, {"padding": 1, "stride": 2}),
    Conv("3x3 stride 2, asymmetric padding", (128, 56, 56), 128, 3, UNEVEN),
    Conv("7x7 stride 2, 3 to 64", (3, 224, 224), 64, 7, {"padding": 3, "stride": 2}),
    Conv("1x1, 64 to 256", (64, 56, 56), 256, 1, {}),
    Conv("1x1, 1024 to 256", (1024, 14, 14), 256, 1, {}),
    Conv("16x16 stride 16, 3 to 384", (3, 224, 224), 384, 16, {"stride": 16}),
    Conv("depthwise 3x3, 144", (144, 56, 56), 144, 3, {"padding": 1, "groups": 144}),
    Conv("depthwise 7x7, 96", (96, 56, 56), 96, 7, {"padding": 3, "groups": 96}),
    Conv("grouped 3x3, 128, 32 groups", (128, 56, 56), 128, 3, {"padding": 1, "groups": 32}),
    Conv("dilated 3x3 by 2, 256", (256, 28, 28), 256, 3, {"padding": 2, "dilation": 2}),
    Conv("1-D 3, 256 to 256", (256, 1500), 256, 3, {"padding": 1}),
    Conv("1-D 7, long, 64 to 64", (64, 16000), 64, 7, {"padding": 3}),
    Conv("1-D causal 7 by 9, 64 to 64", (64, 16000), 64, 7, {"padding": ((54, 0),), "dilation": 9}),
    Conv("1-D 10 stride 5, 64 to 128", (64, 16000), 128, 10, {"stride": 5}),
    Conv("1-D depthwise 31, 512", (512, 1500), 512, 31, {"padding": 15, "groups": 512}),
    Conv("3-D 3x3x3, 64 to 64", (64, 8, 28, 28), 64, 3, {"padding": 1}),
    Conv("3-D 1x3x3, 64 to 64", (64, 8, 28, 28), 64, (1, 3, 3), {"padding": (0, 1, 1)}),
    transposed("transposed 2x2 stride 2, 128 to 64", (128, 64, 64), 64, 2, stride=2),
    transposed("transposed 4x4 stride 2, 256 to 128", (256, 16, 16), 128, 4, stride=2, padding=1),
    transposed("transposed 1-D 16 stride 8", (256, 400), 128, 16, stride=8, padding=4),
    transposed("transposed 3-D 2x2x2 stride 2", (64, 8, 14, 14), 32, 2, stride=2),
)
QUICK_GRID = (
    Conv("3x3 (quick)", (4, 8, 8), 6, 3, {"padding": 1}),
    Conv("3x3 stride 2, asymmetric padding (quick)", (4, 8, 8), 6, 3, UNEVEN),
    Conv("7x7 stride 2 (quick)", (3, 16, 16), 4, 7, {"padding": 3, "stride": 2}),
    Conv("1x1 (quick)", (4, 8, 8), 6, 1, {}),
    Conv("depthwise 3x3 (quick)", (4, 8, 8), 4, 3, {"padding": 1, "groups": 4}),
    Conv("grouped 3x3 (quick)", (8, 8, 8), 8, 3, {"padding": 1, "groups": 2}),
    Conv("dilated 3x3 (quick)", (4, 8, 8), 4, 3, {"padding": 2, "dilation": 2}),
    Conv("1-D causal 3 by 2 (quick)", (4, 40), 6, 3, {"padding": ((4, 0),), "dilation": 2}),
    Conv("3-D 3x3x3 (quick)", (4, 6, 6, 6), 4, 3, {"padding": 1}),
    transposed("transposed 4x4 stride 2 (quick)", (4, 6, 6), 3, 4, stride=2, padding=1),
    transposed("transposed 1-D 4 stride 2 (quick)", (4, 20), 3, 4, stride=2, padding=1),
)


def conv_cases(quick: bool, batches: Sequence[int], arithmetics: Sequence[str]) -> Iterator[Case]:
    for batch in batches:
        for arithmetic in arithmetics:
            for conv in QUICK_GRID if quick else GRID:
                case = conv._replace(shape=(batch, *conv.shape)).case(arithmetic)
                yield replace(case, exact=True)


def network_cases(
    quick: bool, batches: Sequence[int], arithmetics: Sequence[str]
) -> Iterator[Case]:
    """Batches outside, so that a run that ends early has seen every network."""
    for batch in batches:
        for arithmetic in arithmetics:
            for network in NETWORKS:
                yield network_case(network, batch, arithmetic, quick, exact=True)


def start_cases(quick: bool, batches: Sequence[int], arithmetics: Sequence[str]) -> Iterator[Case]:
    """The networks at the smallest batch, in float32."""
    yield from network_cases(quick, batches[:1], ("float32",))


SOURCES = {
    "conv": conv_cases,
    "networks": network_cases,
    "start": start_cases,
    "dynamic": start_cases,
}
