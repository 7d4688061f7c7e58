"""What a call of an Executable costs the host, beside calls of the same JAX function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
import torch

import tripy as tp
from bench.harness import interleave
from bench.nets import in_jax
from bench.nets.contests import failure, say, summary
from bench.nets.store import OURS, Row
from bench.nets.timing import Contestant, host_sampler, relative_error

from .rows import Builders, Settings

CALLS, QUICK_CALLS = 1000, 20
GOAL = 20e-6
Function = Callable[..., Any]


def _increment(x: Any) -> Any:
    return x + 1


def _sum_of_eight(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    return a + b + c + d + e + f + g + h


CASES: dict[str, tuple[Function, int]] = {
    "x + 1, (8,)": (_increment, 1),
    "8 inputs, (8,)": (_sum_of_eight, 8),
}


def _ours(function: Function, arrays: list[Any], settings: Settings) -> Contestant:
    infos = [tp.InputInfo(array.shape, tp.float32) for array in arrays]
    exe = tp.compile(function, args=infos, engine=settings.engine, device=settings.device)
    tensors = [tp.Tensor(array, device=settings.device).eval() for array in arrays]
    return Contestant(partial(exe, *tensors), tp.Tensor.eval, lambda t: t.numpy())


def _jax(function: Function, arrays: list[Any], settings: Settings, ahead: bool) -> Contestant:
    placed = [jax.device_put(array, in_jax.device(settings.device)) for array in arrays]
    call = jax.jit(function)
    program = call.lower(*placed).compile() if ahead else call
    return Contestant(partial(program, *placed), jax.block_until_ready, np.asarray)


def _torch(function: Function, arrays: list[Any], settings: Settings) -> Contestant:
    where = "cuda" if settings.device == "gpu" else "cpu"
    tensors = [torch.from_numpy(array).to(where) for array in arrays]
    wait = torch.cuda.synchronize if where == "cuda" else lambda: None
    return Contestant(partial(function, *tensors), lambda _: wait(), lambda t: t.cpu().numpy())


def _builders(function: Function, arrays: list[Any], settings: Settings) -> Builders:
    return {
        OURS: partial(_ours, function, arrays, settings),
        "jax.jit": partial(_jax, function, arrays, settings, False),
        "JAX, compiled ahead": partial(_jax, function, arrays, settings, True),
        "torch eager": partial(_torch, function, arrays, settings),
    }


def _row(name: str, function: Function, count: int, settings: Settings) -> Row:
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(8, np.float32) for _ in range(count)]
    expected = function(*(array.astype(np.float64) for array in arrays))
    entries: dict[str, dict[str, Any]] = {}
    ready = {}
    for who, build in _builders(function, arrays, settings).items():
        try:
            ready[who] = build()
            error = relative_error(ready[who].read(ready[who].call()), expected)
            entries[who] = {"error": error} | ({"failure": "WRONG result"} if error > 1e-6 else {})
        except Exception as problem:
            entries[who] = {"failure": failure(problem)}
            ready.pop(who, None)
    calls = QUICK_CALLS if settings.quick else CALLS
    samplers = {who: host_sampler(contestant, calls) for who, contestant in ready.items()}
    for who, samples in interleave(samplers, settings.rounds).items():
        entries[who] |= summary(samples)
    return {"group": "overhead", "key": name, "contestants": entries}


def rows(settings: Settings) -> Iterator[Row]:
    with torch.inference_mode():
        for name, (function, count) in CASES.items():
            say(f"overhead: {name}")
            row = _row(name, function, count, settings)
            more = added(row)
            row |= {"goal": GOAL, "reached": more <= GOAL}
            say(f"  {1e6 * more:.1f} µs more than jax.jit")
            yield row


def added(row: Row) -> float:
    """Seconds of our call beyond those of jax.jit; NaN where one has no time."""
    ours, base = (row["contestants"][who].get("median", math.nan) for who in (OURS, "jax.jit"))
    return float(ours - base)
