"""The machine's measured peak: the fastest of some large matrix products of torch."""

from __future__ import annotations

import time

import torch

SIZE, QUICK_SIZE, ROUNDS = 3072, 128, 5


def rate(arithmetic: str, quick: bool) -> float:
    """Operations per second in the arithmetic, now: other work on the machine changes it."""
    size, seconds = QUICK_SIZE if quick else SIZE, []
    left, right = (torch.randn(size, size).to(getattr(torch, arithmetic)) for _ in range(2))
    for _ in range(ROUNDS):
        start = time.perf_counter()
        torch.matmul(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
