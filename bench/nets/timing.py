"""Contestants, how they are checked, and times of back-to-back calls."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.harness import Sample, Sampler, Samples, interleave

from .plans import Array

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Contestant:
    """Something to time: `call` queues the work once, `wait` ends when a result is there.

    Attributes:
        compile_seconds: from the module to its first result.
        read: makes a host array, channels first, of a result.
        about: what else is known, to be stored with the times.
    """

    call: Callable[[], Any]
    wait: Callable[[Any], Any]
    read: Callable[[Any], Array]
    compile_seconds: float = math.nan
    about: Mapping[str, Any] = field(default_factory=dict)


class WrongResultError(Exception):
    """A contestant does not compute what the reference computes."""


class OutOfTimeError(Exception):
    """Something took longer than it may."""


def relative_error(result: Array, expected: Array) -> float:
    """Distance in the 2-norm, in norms of what is expected."""
    if result.shape != expected.shape:
        raise WrongResultError(f"WRONG shape {result.shape}, expected {expected.shape}")
    difference = result.astype(np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def check(contestant: Contestant, expected: Array, rows: Any, limit: float) -> float:
    """Relative error of some rows of a result; WrongResultError above the limit."""
    result = contestant.read(contestant.call())
    if not np.isfinite(result).all():
        raise WrongResultError("WRONG result: not finite")
    error = relative_error(result[rows], expected)
    if not error <= limit:
        raise WrongResultError(f"WRONG result: relative error {error:.1e}, limit {limit:.0e}")
    return error


def timed(call: Callable[[], Any], wait: Callable[[Any], Any], count: int) -> float:
    """Seconds of `count` calls, one right after the other, until the last result is there."""
    start = time.perf_counter()
    for _ in range(count):
        result = call()
    wait(result)
    return time.perf_counter() - start


def sampler(contestant: Contestant, seconds: float = SAMPLE_SECONDS) -> Sampler:
    """Samples of so many calls that one takes about `seconds` or more."""
    call, wait = contestant.call, contestant.wait
    count, elapsed = 1, timed(call, wait, 2) / 2
    while elapsed < seconds:
        count = max(count + 1, math.ceil(count * min(8.0, 1.1 * seconds / elapsed)))
        elapsed = timed(call, wait, count)
    return lambda: Sample(timed(call, wait, count) / count)


def host_sampler(contestant: Contestant, count: int) -> Sampler:
    """Samples of the host's time for a call, without the wait for the results."""

    def sample() -> Sample:
        start = time.perf_counter()
        for _ in range(count):
            result = contestant.call()
        elapsed = time.perf_counter() - start
        contestant.wait(result)
        return Sample(elapsed / count)

    return sample


def measure(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, Samples]:
    """Interleaved samples of back-to-back calls."""
    samplers = {name: sampler(contestant) for name, contestant in contestants.items()}
    return interleave(samplers, rounds)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError in a block that takes too long, where Python code runs in it."""

    def stop(*_: object) -> None:
        raise OutOfTimeError(f"not done after {seconds:.0f} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
