"""What a network consists of: its layers, its work, and random weights, found by running shapes.

An architecture is a function of a vocabulary and an input. Four vocabularies run it: `Planner` here
takes shapes, `in_tripy`, `in_torch` and `in_jax` compute. Shapes are always N, channels, space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Architecture = Callable[[Any, Any], Any]


# The last factor of a residual branch: shortcuts would double the variance each.
DAMPED = 0.3


class Layer(NamedTuple):
    """A layer with weights: its kind, its arguments, and the shapes and scales of its weights."""

    kind: str
    options: dict[str, Any]
    weights: dict[str, tuple[Shape, str, float]]  # shape, name of the draw, scale


class Work(NamedTuple):
    """Floating-point operations, and elements that must move when each is moved once."""

    flops: int
    elements: int


@dataclass
class Plan:
    """The layers of a network by name, its work step by step, and the shape of its result."""

    layers: dict[str, Layer] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    result: Shape = ()

    @property
    def flops(self) -> int:
        return sum(step.flops for step in self.work)

    def bytes(self, item: int) -> int:
        return item * sum(step.elements for step in self.work)

    def floor(self, item: int, rate: float, bandwidth: float) -> tuple[float, str]:
        """Least seconds, step by step, and what most of them are bound by."""
        products = [step.flops / rate for step in self.work]
        moves = [step.elements * item / bandwidth for step in self.work]
        seconds = [max(pair) for pair in zip(products, moves)]
        in_products = sum(s for s, product in zip(seconds, products) if s == product)
        return sum(seconds), "matrix" if in_products > sum(seconds) / 2 else "bandwidth"


# Name of a draw -> values of unit scale; statistics are kept near those of unit activations.
DRAWS: dict[str, Callable[[np.random.Generator, Shape], Array]] = {
    "normal": lambda generator, shape: generator.standard_normal(shape, np.float32),
    "near one": lambda generator, shape: generator.uniform(0.8, 1.2, shape),
}


def weights(plan: Plan, dtype: str, seed: int = 0) -> dict[str, dict[str, Array]]:
    """Random weights: layer -> name -> array."""
    generator = np.random.default_rng(seed)
    return {
        name: {
            key: (scale * DRAWS[draw](generator, shape)).astype(dtype)
            for key, (shape, draw, scale) in layer.weights.items()
        }
        for name, layer in plan.layers.items()
    }


def spread(value: int | Sequence[int], rank: int) -> Shape:
    """One int per spatial dim."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def pads(value: int | Sequence[Any], rank: int) -> tuple[int | tuple[int, int], ...]:
    """Padding per spatial dim: one int, or a pair of before and after where these differ."""
    each = (value,) * rank if isinstance(value, int) else tuple(value)
    pairs = (p if isinstance(p, int) else tuple(p) for p in each)
    return tuple(p[0] if isinstance(p, tuple) and p[0] == p[1] else p for p in pairs)


def around(pad: int | tuple[int, int]) -> tuple[int, int]:
    """Cells before and after a dim."""
    return (pad, pad) if isinstance(pad, int) else pad


class Planner:
    """The vocabulary on shapes: every call returns the shape of its result."""

    def __init__(self) -> None:
        self.plan = Plan()

    def _step(self, inputs: Sequence[Shape], out: Shape, flops: int = 0, extra: int = 0) -> Shape:
        elements = extra + sum(map(math.prod, (*inputs, out)))
        self.plan.work.append(Work(flops, elements))
        return out

    def _add(self, name: str, kind: str, options: dict[str, Any], **weights: Any) -> int:
        """Note a layer; the number of its weights is returned."""
        self.plan.layers[name] = Layer(kind, options, weights)
        return sum(math.prod(shape) for shape, *_ in weights.values())

    def _window(
        self, name: str, kind: str, channels: tuple[int, int], sizes: dict[str, Any], fan_in: float
    ) -> int:
        options, (inner, outer) = dict(sizes), channels
        bias, groups = options["bias"], options["groups"]
        pair = (outer, inner // groups) if kind == "conv" else (inner, outer // groups)
        weight = ((*pair, *options["kernel"]), "normal", math.sqrt(2 / fan_in))
        options |= {"in_channels": inner, "out_channels": outer}
        biases = {"bias": ((outer,), "normal", 0.1)} if bias else {}
        return self._add(name, kind, options, weight=weight, **biases)

    def conv(
        self,
        name: str,
        x: Shape,
        channels: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[Any] = 0,
        groups: int = 1,
        dilation: int | Sequence[int] = 1,
        bias: bool = False,
    ) -> Shape:
        rank = len(x) - 2
        k, s, d = (spread(value, rank) for value in (kernel, stride, dilation))
        p = pads(padding, rank)
        sizes = {"kernel": k, "stride": s, "padding": p, "dilation": d}
        fan_in = x[1] // groups * math.prod(k)
        options = {**sizes, "groups": groups, "bias": bias}
        count = self._window(name, "conv", (x[1], channels), options, fan_in)
        padded = (n + sum(around(pad)) for n, pad in zip(x[2:], p))
        space = ((n - e * (w - 1) - 1) // t + 1 for n, w, t, e in zip(padded, k, s, d))
        out = (x[0], channels, *space)
        return self._step([x], out, 2 * math.prod(out) * fan_in, count)

    def conv_transpose(
        self,
        name: str,
        x: Shape,
        channels: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int],
        padding: int | Sequence[int] = 0,
        bias: bool = True,
    ) -> Shape:
        rank = len(x) - 2
        k, s, p = (spread(value, rank) for value in (kernel, stride, padding))
        options = {"kernel": k, "stride": s, "padding": p, "groups": 1, "bias": bias}
        fan_in = x[1] * math.prod(k) / math.prod(s)
        count = self._window(name, "conv_transpose", (x[1], channels), options, fan_in)
        space = ((n - 1) * t - 2 * b + w for n, w, t, b in zip(x[2:], k, s, p))
        out = (x[0], channels, *space)
        return self._step([x], out, 2 * math.prod(x) * channels * math.prod(k), count)

    def linear(self, name: str, x: Shape, features: int, bias: bool = True) -> Shape:
        options = {"in_features": x[-1], "out_features": features, "bias": bias}
        weight = ((features, x[-1]), "normal", math.sqrt(1 / x[-1]))
        biases = {"bias": ((features,), "normal", 0.1)} if bias else {}
        count = self._add(name, "linear", options, weight=weight, **biases)
        out = (*x[:-1], features)
        return self._step([x], out, 2 * math.prod(out) * x[-1], count)

    def embedding(self, name: str, x: Shape, words: int, width: int) -> Shape:
        """A row of the weight for every number of a word."""
        options = {"words": words, "width": width}
        self._add(name, "embedding", options, weight=((words, width), "normal", 1.0))
        return self._step([x], (*x, width))

    def attention(self, q: Shape, k: Shape, v: Shape, heads: int) -> Shape:
        return self._step([q, k, v], q, 4 * math.prod(q) * k[1])

    def maxpool(self, x: Shape, kernel: int, stride: int, padding: int) -> Shape:
        space = ((n + 2 * padding - kernel) // stride + 1 for n in x[2:])
        return self._step([x], (*x[:2], *space))

    # What a fused network does without moving anything.

    def batchnorm(self, name: str, x: Shape, gain: float = 1.0) -> Shape:
        one, shift = ((x[1],), "near one", 1.0), ((x[1],), "normal", 0.1)
        scale = (*one[:2], gain)
        weights = {"weight": scale, "bias": shift, "running_mean": shift, "running_var": one}
        self._add(name, "batchnorm", {"channels": x[1]}, **weights)
        return x

    def layernorm(self, name: str, x: Shape) -> Shape:
        shape = (x[-1],)
        weight, bias = (shape, "near one", 1.0), (shape, "normal", 0.1)
        self._add(name, "layernorm", {"size": x[-1]}, weight=weight, bias=bias)
        return x

    def add_parameter(self, name: str, x: Shape) -> Shape:
        self._add(name, "parameter", {}, weight=(x[1:], "normal", 0.1))
        return x

    def scale_parameter(self, name: str, x: Shape) -> Shape:
        """A factor per element of the last dim."""
        self._add(name, "scale", {"size": x[-1]}, weight=((x[-1],), "near one", DAMPED))
        return x

    def add(self, x: Shape, y: Shape) -> Shape:
        return x

    gate = add

    def relu(self, x: Shape) -> Shape:
        return x

    relu6 = gelu = silu = sigmoid = tanh = relu

    def to_last(self, x: Shape) -> Shape:
        return (x[0], *x[2:], x[1])

    def to_first(self, x: Shape) -> Shape:
        return (x[0], x[-1], *x[1:-1])

    def concat(self, x: Shape, y: Shape) -> Shape:
        return (x[0], x[1] + y[1], *x[2:])

    def tokens(self, x: Shape) -> Shape:
        return (x[0], math.prod(x[2:]), x[1])

    def image_mean(self, x: Shape) -> Shape:
        return x[:2]

    def token_mean(self, x: Shape) -> Shape:
        return (x[0], x[2])


def plan(architecture: Architecture, shape: Shape) -> Plan:
    """What a network with inputs of a shape consists of."""
    planner = Planner()
    planner.plan.result = architecture(planner, shape)
    return planner.plan
