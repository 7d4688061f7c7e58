"""A case to measure: an architecture, the shape of its input, random weights and the reference."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from . import plans
from .networks import Network
from .plans import Architecture, Array, Plan, Shape

# Relative errors: TF32 arithmetic is at 3e-4 for one product.
CONV_LIMITS = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 5e-5, "tf32": 2e-3, "int8": 3e-2}
NETWORK_LIMITS = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 2e-4, "tf32": 2e-2, "int8": 2e-1}


@dataclass(frozen=True)
class Case:
    """A network, the shape of its input, and the arithmetic, such as float16, tf32 or int8.

    Attributes:
        limit: the largest relative error of a result.
        kind: of forms to compare.
        words: 0, or how many there are; then inputs are numbers of words.
        exact: whether the reference of a whole network is computed in float64.
    """

    name: str
    architecture: Architecture
    shape: Shape
    arithmetic: str
    limit: float
    kind: str = ""
    exact: bool = False
    words: int = 0

    @property
    def key(self) -> str:
        return f"{self.name}, {self.arithmetic}, {'x'.join(map(str, self.shape))}"

    @property
    def dtype(self) -> str:
        """Of weights and results; bfloat16 and int8 are how float32 work is done."""
        return "float16" if self.arithmetic == "float16" else "float32"

    @property
    def input_dtype(self) -> str:
        return "int32" if self.words else self.dtype

    @cached_property
    def plan(self) -> Plan:
        return plans.plan(self.architecture, self.shape)

    @cached_property
    def weights(self) -> dict[str, dict[str, Array]]:
        return plans.weights(self.plan, self.dtype, zlib.crc32(self.key.encode()))

    @cached_property
    def x(self) -> Array:
        generator = np.random.default_rng(zlib.crc32(b"input" + self.key.encode()))
        if self.words:
            return generator.integers(0, self.words, self.shape, np.int32)
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
    """One convolution of a grid."""

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


def network_case(
    network: Network, batch: int, arithmetic: str, quick: bool, exact: bool = False
) -> Case:
    architecture = network.quick if quick else network.full
    shape = (batch, *(network.quick_image if quick else network.image))
    limit = NETWORK_LIMITS[arithmetic]
    words = network.words
    return Case(network.name, architecture, shape, arithmetic, limit, exact=exact, words=words)


def transposed(name: str, shape: Shape, channels: int, kernel: int, **options: int) -> Conv:
    return Conv(name, shape, channels, kernel, options, "conv_transpose")
