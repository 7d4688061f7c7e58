"""The machine's measured peak: the fastest of some large matrix products of torch."""

from __future__ import annotations

import time

import torch

SIZE, QUICK_SIZE, ROUNDS = 3072, 128, 5


def rate(arithmetic: str, quick: bool) -> float:
    """Operations per second in the arithmetic, now: other work on the machine changes it."""
    size, seconds = QUICK_SIZE if quick else SIZE, []
    is_int8 = arithmetic == "int8"
    kind, product = getattr(torch, arithmetic), torch._int_mm if is_int8 else torch.matmul
    left, right = ((40 * torch.randn(size, size)).to(kind) for _ in range(2))
    for _ in range(ROUNDS):
        start = time.perf_counter()
        product(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
