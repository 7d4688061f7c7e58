"""The machine's measured peak: a large matrix product of torch, per arithmetic."""

from __future__ import annotations

import statistics
import time

import torch

SIZE, QUICK_SIZE, ROUNDS = 3072, 128, 7


def peaks(arithmetics: list[str], quick: bool) -> dict[str, float]:
    """Operations per second; the median of some products."""
    return {
        name: _rate(getattr(torch, name), QUICK_SIZE if quick else SIZE) for name in arithmetics
    }


def _rate(dtype: torch.dtype, size: int) -> float:
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        torch.matmul(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds[1:])
