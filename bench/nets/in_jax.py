"""The vocabulary of `plans` in plain JAX, with the channels first or last, and its contestants."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .plans import Array, Layer, around
from .timing import Contestant

LAYOUTS = ("NCHW", "NHWC")
EPSILON = 1e-5
PRECISIONS = {"float16": None, "bfloat16": None, "float32": "highest", "tf32": "tensorfloat32"}


def _kernel(layer: Layer, weight: Array, last: bool) -> Array:
    """A kernel as JAX wants it: transposed ones are turned round, and O and I swapped."""
    if layer.kind == "conv_transpose":
        weight = np.flip(weight, range(2, weight.ndim)).swapaxes(0, 1)
    return np.ascontiguousarray(np.moveaxis(weight, (1, 0), (-2, -1)) if last else weight)


def _prepared(layer: Layer, weights: dict[str, Array], last: bool) -> dict[str, Array]:
    """The weights of a layer as they are used, on the host."""
    weights = dict(weights)
    if layer.kind in ("conv", "conv_transpose"):
        weights["weight"] = _kernel(layer, weights["weight"], last)
    if layer.kind == "linear":
        weights["weight"] = weights["weight"].T
    if layer.kind == "batchnorm":
        wide = {name: value.astype(np.float32) for name, value in weights.items()}
        scale = wide["weight"] / np.sqrt(wide["running_var"] + EPSILON)
        shift, dtype = wide["bias"] - scale * wide["running_mean"], weights["weight"].dtype
        weights = {"scale": scale.astype(dtype), "shift": shift.astype(dtype)}
    return weights


class Vocabulary:
    """Functions of JAX arrays; `weights` are on the host until `place` has moved them."""

    def __init__(self, case: Any, layout: str) -> None:
        self.last, self.rank = layout == "NHWC", len(case.shape)
        self.layers, self.axis = case.plan.layers, self.rank - 1 if self.last else 1
        self.weights: dict[str, dict[str, Any]] = {
            name: _prepared(layer, case.weights[name], self.last)
            for name, layer in self.layers.items()
        }

    def place(self, put: Callable[[str, str, Array], Any]) -> None:
        """Replace every weight by what `put` makes of layer, name and value."""
        self.weights = {
            layer: {name: put(layer, name, value) for name, value in weights.items()}
            for layer, weights in self.weights.items()
        }

    def _channels(self, values: Any, like: Any) -> Any:
        """Values per channel, ready to broadcast."""
        return values if self.last else values.reshape(-1, *[1] * (like.ndim - 2))

    def _dimensions(self) -> tuple[str, str, str]:
        space = "DHW"[-(self.rank - 2) :]
        return (
            (f"N{space}C", f"{space}IO", f"N{space}C")
            if self.last
            else (
                f"NC{space}",
                f"OI{space}",
                f"NC{space}",
            )
        )

    def _window(self, name: str, x: Any, **arguments: Any) -> Any:
        weights = self.weights[name]
        out = lax.conv_general_dilated(
            x, weights["weight"], dimension_numbers=self._dimensions(), **arguments
        )
        return out + self._channels(weights["bias"], out) if "bias" in weights else out

    def conv(self, name: str, x: Any, *_: Any, **__: Any) -> Any:
        options = self.layers[name].options
        return self._window(
            name,
            x,
            window_strides=options["stride"],
            padding=[around(pad) for pad in options["padding"]],
            rhs_dilation=options["dilation"],
            feature_group_count=options["groups"],
        )

    def conv_transpose(self, name: str, x: Any, *_: Any, **__: Any) -> Any:
        options = self.layers[name].options
        cells = [(k - 1 - p,) * 2 for k, p in zip(options["kernel"], options["padding"])]
        ones = (1,) * len(cells)
        steps = options["stride"]
        return self._window(name, x, window_strides=ones, padding=cells, lhs_dilation=steps)

    def linear(self, name: str, x: Any, *_: Any, **__: Any) -> Any:
        weights = self.weights[name]
        out = x @ weights["weight"]
        return out + weights["bias"] if "bias" in weights else out

    def batchnorm(self, name: str, x: Any, *_: Any) -> Any:
        weights = self.weights[name]
        return x * self._channels(weights["scale"], x) + self._channels(weights["shift"], x)

    def layernorm(self, name: str, x: Any) -> Any:
        weights, wide = self.weights[name], x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        scaled = centred * lax.rsqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
        return (scaled * weights["weight"] + weights["bias"]).astype(x.dtype)

    def embedding(self, name: str, x: Any, *_: int) -> Any:
        return self.weights[name]["weight"][x]

    def add_parameter(self, name: str, x: Any) -> Any:
        return x + self.weights[name]["weight"]

    def scale_parameter(self, name: str, x: Any) -> Any:
        return x * self.weights[name]["weight"]

    def add(self, x: Any, y: Any) -> Any:
        return x + y

    def relu(self, x: Any) -> Any:
        return jnp.maximum(x, 0)

    def relu6(self, x: Any) -> Any:
        return jnp.clip(x, 0, 6)

    def gelu(self, x: Any) -> Any:
        return jax.nn.gelu(x, approximate=False)

    def silu(self, x: Any) -> Any:
        return jax.nn.silu(x)

    def sigmoid(self, x: Any) -> Any:
        return jax.nn.sigmoid(x)

    def tanh(self, x: Any) -> Any:
        return jnp.tanh(x)

    def gate(self, x: Any, factors: Any) -> Any:
        space = [1] * (x.ndim - 2)
        shape = (len(x), *space, -1) if self.last else (len(x), -1, *space)
        return x * factors.reshape(shape)

    def to_last(self, x: Any) -> Any:
        return x if self.last else jnp.moveaxis(x, 1, -1)

    def to_first(self, x: Any) -> Any:
        return x if self.last else jnp.moveaxis(x, -1, 1)

    def maxpool(self, x: Any, kernel: int, stride: int, padding: int) -> Any:
        def per_dim(value: Any, other: Any) -> tuple[Any, ...]:
            space = (value,) * (x.ndim - 2)
            return (other, *space, other) if self.last else (other, other, *space)

        pads = per_dim((padding, padding), (0, 0))
        windows = per_dim(kernel, 1), per_dim(stride, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, *windows, pads)

    def concat(self, x: Any, y: Any) -> Any:
        return jnp.concatenate([x, y], self.axis)

    def tokens(self, x: Any) -> Any:
        flat = (x.shape[0], -1, x.shape[self.axis])
        return (x if self.last else jnp.moveaxis(x, 1, -1)).reshape(flat)

    def image_mean(self, x: Any) -> Any:
        return x.mean(tuple(i for i in range(1, x.ndim) if i != self.axis))

    def token_mean(self, x: Any) -> Any:
        return x.mean(1)

    def attention(self, q: Any, k: Any, v: Any, heads: int) -> Any:
        split = [t.reshape(*t.shape[:2], heads, -1) for t in (q, k, v)]
        return jax.nn.dot_product_attention(*split).reshape(q.shape)


# Contestants


def device(kind: str) -> Any:
    return jax.devices("cuda" if kind == "gpu" else "cpu")[0]


def contestant(case: Any, kind: str, layout: str) -> Contestant:
    vocabulary = Vocabulary(case, layout)
    dtype = jnp.bfloat16 if case.arithmetic == "bfloat16" else case.dtype
    vocabulary.place(lambda _, __, value: jax.device_put(value.astype(dtype), device(kind)))
    is_image, moved = len(case.plan.result) == len(case.shape), layout == "NHWC"
    x = np.moveaxis(case.x, 1, -1) if moved else case.x
    x = jax.device_put(np.ascontiguousarray(x, None if case.words else dtype), device(kind))

    def read(result: Any) -> Array:
        array = np.asarray(result, case.dtype)
        return np.moveaxis(array, -1, 1) if moved and is_image else array

    @jax.jit
    def network(x: Any) -> Any:
        with jax.default_matmul_precision(PRECISIONS[case.arithmetic]):
            return case.architecture(vocabulary, x)

    start = time.perf_counter()
    network(x).block_until_ready()
    seconds = time.perf_counter() - start
    return Contestant(lambda: network(x), jax.block_until_ready, read, seconds)


def forget() -> None:
    """Free what rows need not share."""
    jax.clear_caches()
