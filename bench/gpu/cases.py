"""What is measured: single convolutions and whole networks, with random weights and inputs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from . import plans
from .networks import BATCHES, NETWORKS, QUICK_BATCHES
from .plans import Architecture, Array, Plan, Shape

DTYPES = ("float16", "float32")
# Relative errors: TF32 arithmetic is at 3e-4 for one product.
CONV_LIMITS = {"float16": 2e-3, "float32": 5e-5, "tf32": 2e-3}
NETWORK_LIMITS = {"float16": 2e-2, "float32": 2e-4, "tf32": 2e-2}


@dataclass(frozen=True)
class Case:
    """A network, the shape of its input, and the arithmetic: float16, float32 or tf32."""

    name: str
    architecture: Architecture
    shape: Shape
    arithmetic: str
    limit: float
    kind: str = ""  # of forms to compare

    @property
    def key(self) -> str:
        return f"{self.name}, {self.arithmetic}, {'x'.join(map(str, self.shape))}"

    @property
    def dtype(self) -> str:
        return "float16" if self.arithmetic == "float16" else "float32"

    @cached_property
    def plan(self) -> Plan:
        return plans.plan(self.architecture, self.shape)

    @cached_property
    def weights(self) -> dict[str, dict[str, Array]]:
        return plans.weights(self.plan, self.dtype, zlib.crc32(self.key.encode()))

    @cached_property
    def x(self) -> Array:
        generator = np.random.default_rng(zlib.crc32(b"input" + self.key.encode()))
        return generator.standard_normal(self.shape, np.float32).astype(self.dtype)

    @property
    def checked_rows(self) -> list[int]:
        """The samples of a batch whose results are compared."""
        batch = self.shape[0]
        return sorted({0, batch // 2, batch - 1})

    @cached_property
    def expected(self) -> Array:
        """What torch computes on the CPU, from the weights and inputs as rounded."""
        from . import in_torch  # not for those who compare with something else

        return in_torch.reference(self, self.x[self.checked_rows])


class Conv(NamedTuple):
    """One convolution of the grid."""

    name: str
    shape: Shape
    channels: int
    kernel: int | tuple[int, ...]
    options: dict[str, Any]
    method: str = "conv"

    def architecture(self, f: Any, x: Any) -> Any:
        options = {"bias": True, **self.options}
        return getattr(f, self.method)("conv", x, self.channels, self.kernel, **options)

    def case(self, arithmetic: str) -> Case:
        limit = CONV_LIMITS[arithmetic]
        return Case(self.name, self.architecture, self.shape, arithmetic, limit)


def transposed(name: str, shape: Shape, channels: int, kernel: int, **options: int) -> Conv:
    return Conv(name, shape, channels, kernel, options, "conv_transpose")


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
                architecture = network.quick if quick else network.full
                shape = (batch, *(network.quick_image if quick else network.image))
                limit = NETWORK_LIMITS[arithmetic]
                yield Case(network.name, architecture, shape, arithmetic, limit)
