"""What is measured: single convolutions and whole networks, with random weights and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.nets.cases import Case, Conv, network_case, transposed
from bench.nets.networks import MOBILENET_V2, RESNET50, UNET, VIT_SMALL

DTYPES = ("float16", "float32")
NETWORKS = (RESNET50, VIT_SMALL, MOBILENET_V2, UNET)
BATCHES, QUICK_BATCHES = (32, 1), (2, 1)

# Large enough for the GPU to take longer than a call takes the host, but for batch 1.
GRID = (
    Conv("3x3, 64 to 64", (128, 64, 56, 56), 64, 3, {"padding": 1}),
    Conv("3x3, 256 to 256", (256, 256, 14, 14), 256, 3, {"padding": 1}),
    Conv("3x3, 256 to 256", (1, 256, 14, 14), 256, 3, {"padding": 1}),
    Conv("3x3 stride 2, 128 to 128", (128, 128, 56, 56), 128, 3, {"padding": 1, "stride": 2}),
    Conv("1x1, 64 to 256", (128, 64, 56, 56), 256, 1, {}),
    Conv("1x1, 1024 to 256", (256, 1024, 14, 14), 256, 1, {}),
    Conv("7x7 stride 2, 3 to 64", (128, 3, 224, 224), 64, 7, {"padding": 3, "stride": 2}),
    Conv("depthwise 3x3, 144", (128, 144, 56, 56), 144, 3, {"padding": 1, "groups": 144}),
    Conv("depthwise 7x7, 96", (128, 96, 56, 56), 96, 7, {"padding": 3, "groups": 96}),
    Conv("grouped 3x3, 128, 32 groups", (128, 128, 56, 56), 128, 3, {"padding": 1, "groups": 32}),
    Conv("dilated 3x3 by 2, 256", (64, 256, 28, 28), 256, 3, {"padding": 2, "dilation": 2}),
    Conv("1-D 3, 512 to 512", (32, 512, 1500), 512, 3, {"padding": 1}),
    Conv("1-D depthwise 31, 512", (32, 512, 1500), 512, 31, {"padding": 15, "groups": 512}),
    Conv("3-D 3x3x3, 64 to 64", (8, 64, 16, 56, 56), 64, 3, {"padding": 1}),
    transposed("transposed 2x2 stride 2, 128 to 64", (64, 128, 64, 64), 64, 2, stride=2),
    transposed(
        "transposed 4x4 stride 2, 256 to 128", (128, 256, 16, 16), 128, 4, stride=2, padding=1
    ),
)
QUICK_GRID = (
    Conv("3x3 (quick)", (2, 4, 8, 8), 6, 3, {"padding": 1}),
    Conv("1x1 (quick)", (2, 4, 8, 8), 6, 1, {}),
    Conv("7x7 stride 2 (quick)", (2, 3, 16, 16), 4, 7, {"padding": 3, "stride": 2}),
    Conv("depthwise 3x3 (quick)", (2, 4, 8, 8), 4, 3, {"padding": 1, "groups": 4}),
    Conv("grouped 3x3 (quick)", (2, 8, 8, 8), 8, 3, {"padding": 1, "groups": 2}),
    Conv("dilated 3x3 (quick)", (2, 4, 8, 8), 4, 3, {"padding": 2, "dilation": 2}),
    Conv("1-D 3 (quick)", (2, 4, 20), 6, 3, {"padding": 1}),
    Conv("3-D 3x3x3 (quick)", (2, 4, 6, 6, 6), 4, 3, {"padding": 1}),
    transposed("transposed 4x4 stride 2 (quick)", (2, 4, 6, 6), 3, 4, stride=2, padding=1),
)


def arithmetics(tf32: bool) -> Sequence[str]:
    return ("tf32",) if tf32 else DTYPES


def conv_cases(quick: bool, tf32: bool) -> Iterator[Case]:
    for arithmetic in arithmetics(tf32):
        yield from (conv.case(arithmetic) for conv in (QUICK_GRID if quick else GRID))


def network_cases(quick: bool, tf32: bool) -> Iterator[Case]:
    """Batches outside, so that a run that ends early has seen every network."""
    for batch in QUICK_BATCHES if quick else BATCHES:
        for arithmetic in arithmetics(tf32):
            for network in NETWORKS:
                yield network_case(network, batch, arithmetic, quick)
