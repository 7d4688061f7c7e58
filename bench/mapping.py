"""``Executable.map`` beside a loop of calls, on one network per size.

python -m bench.mapping
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tripy as tp

ROUNDS = 15


def convolutions(channels: int, layers: int) -> tp.Sequential:
    """A chain of 3 x 3 convolutions on 3 channels."""
    sizes = [3, *[channels] * layers]
    pairs = itertools.pairwise(sizes)
    parts = ((tp.Conv(i, o, (3, 3), padding=1), tp.relu) for i, o in pairs)
    return tp.Sequential(*(part for pair in parts for part in pair))


MODELS: dict[str, tuple[tp.Sequential, tuple[int, ...], int]] = {
    "2 convolutions, 8 x 32 x 32": (convolutions(8, 2), (1, 3, 32, 32), 300),
    "21 convolutions, 64 x 14 x 14": (convolutions(64, 21), (1, 3, 14, 14), 40),
    "9 convolutions, 64 x 96 x 96": (convolutions(64, 9), (1, 3, 96, 96), 6),
    "2 x linear, 2048": (
        tp.Sequential(tp.Linear(2048, 2048), tp.relu, tp.Linear(2048, 2048)), (1, 2048), 40,
    ),
}  # fmt: skip


def seconds(run: Callable[[], Any]) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Print calls per second of a loop, and how many times as many each form of ``map`` does."""
    rng = np.random.default_rng(0)
    print(f"{'network':32}{'loop':>12}{'map, 2':>12}{'map, 4':>12}")
    for name, (model, shape, count) in MODELS.items():
        made = {n: rng.standard_normal(v.shape) * 0.05 for n, v in model.state_dict().items()}
        model.load_state_dict({n: value.astype(np.float32) for n, value in made.items()})
        exe = tp.compile(model, args=[tp.InputInfo(shape, tp.float32)])
        items = [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]
        forms: list[Callable[[], Any]] = [
            lambda exe=exe, items=items: [exe(x) for x in items],  # type: ignore[misc]
            *(
                lambda n=n, exe=exe, items=items: list(exe.map(items, n))  # type: ignore[misc]
                for n in (2, 4)
            ),
        ]
        for form in forms:
            form()
        times = [statistics.median(t) for t in zip(*(map(seconds, forms) for _ in range(ROUNDS)))]
        gains = "".join(f"{times[0] / t:10.2f} x" for t in times[1:])
        print(f"{name:32}{count / times[0]:9.0f} /s{gains}", flush=True)


if __name__ == "__main__":
    main()
