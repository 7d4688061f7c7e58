"""What the machine can do: matrix rates, and bandwidth of reading and writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from bench.nets import in_jax
from bench.nets.timing import Contestant, measure

SIZE, QUICK_SIZE = 8192, 128
COPY_BYTES, QUICK_COPY_BYTES = 512 << 20, 1 << 16


def _random(shape: tuple[int, ...], dtype: str) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32).astype(dtype)


def _torch(arrays: list[Any], function: Callable[..., Any], device: str) -> Contestant:
    where = "cuda" if device == "gpu" else "cpu"
    tensors = [torch.from_numpy(array).to(where) for array in arrays]
    wait = torch.cuda.synchronize if device == "gpu" else lambda: None
    return Contestant(partial(function, *tensors), lambda _: wait(), np.asarray)


def _jax(arrays: list[Any], function: Callable[..., Any], device: str) -> Contestant:
    placed = [jax.device_put(array, in_jax.device(device)) for array in arrays]
    return Contestant(partial(jax.jit(function), *placed), jax.block_until_ready, np.asarray)


def _product(arithmetic: str) -> Callable[..., Any]:
    def product(x: Any, y: Any) -> Any:
        return jnp.matmul(x, y, precision=in_jax.PRECISIONS[arithmetic])

    return product


def _pairs(
    arithmetics: tuple[str, ...], device: str, quick: bool
) -> Iterator[tuple[str, float, dict[str, Contestant]]]:
    """Name of the peak, operations or bytes of one call, contestants."""
    size = QUICK_SIZE if quick else SIZE
    for name in arithmetics:
        arrays = [_random((size, size), "float16" if name == "float16" else "float32")] * 2
        pair = _torch(arrays, torch.matmul, device), _jax(arrays, _product(name), device)
        yield name, 2.0 * size**3, dict(zip(("torch", "JAX"), pair))
    count = (QUICK_COPY_BYTES if quick else COPY_BYTES) // 4
    arrays = [_random((count,), "float32")]
    pair = (
        _torch([*arrays, *arrays], torch.Tensor.copy_, device),
        _jax(arrays, jnp.negative, device),
    )
    yield "bandwidth", 8.0 * count, dict(zip(("torch", "JAX"), pair))


def peaks(
    arithmetics: tuple[str, ...], device: str, quick: bool, rounds: int
) -> Mapping[str, dict[str, float]]:
    """Name of the peak -> contestant -> operations or bytes per second."""
    found = {}
    with torch.inference_mode():
        for name, amount, contestants in _pairs(arithmetics, device, quick):
            samples = measure(contestants, rounds)
            found[name] = {who: amount / s.median for who, s in samples.items()}
    return found
