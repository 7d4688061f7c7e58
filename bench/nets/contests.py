"""Runs the contestants of a case; one that fails leaves a text and no time."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.harness import Samples

from .cases import Case
from .timing import Contestant, OutOfTimeError, WrongResultError, at_most, check

Builders = Mapping[str, Callable[[], Contestant]]
Entries = dict[str, dict[str, Any]]
Measure = Callable[[Mapping[str, Contestant]], Mapping[str, Samples]]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def summary(samples: Samples) -> dict[str, Any]:
    low, high = samples.spread
    seconds = [float(f"{value:.6g}") for value in samples.seconds]
    cores = float(np.median(samples.cores))
    busy = {} if np.isnan(cores) else {"busy_cores": round(cores, 2)}
    return {"median": samples.median, "p10": low, "p90": high, **busy, "seconds": seconds}


def failure(problem: BaseException) -> str:
    """The first line of what went wrong."""
    lines = str(problem).strip().splitlines() or [""]
    text = " ".join(line.strip() for line in lines[:2])
    is_plain = isinstance(problem, (OutOfTimeError, WrongResultError))
    return text if is_plain else f"{type(problem).__name__}: {text}"[:300]


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was raised from, or while they were handled."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


@contextmanager
def compile_limit(seconds: float) -> Iterator[None]:
    """OutOfTimeError where a compiler takes longer, also where it wraps what is raised in it."""
    if seconds < 1:
        raise OutOfTimeError("no time left for torch.compile")
    try:
        with at_most(seconds):
            yield
    except Exception as problem:
        if not any(OutOfTimeError.__name__ in repr(cause) for cause in _causes(problem)):
            raise
        raise OutOfTimeError(f"not compiled after {seconds:.0f} s") from None


class CompileTime:
    """The seconds that torch.compile may take: for one network, and for all that is to come."""

    def __init__(self, limit: float, left: float) -> None:
        self.limit, self.left = limit, left

    def build(self, make: Callable[[], Contestant]) -> Contestant:
        start = time.monotonic()
        try:
            with compile_limit(min(self.limit, self.left)):
                return make()
        finally:
            self.left -= time.monotonic() - start


def ready(builders: Builders, case: Case, entries: Entries) -> dict[str, Contestant]:
    """Build and check everybody; entries get compile times, errors, or what failed."""
    found = {}
    for name, build in builders.items():
        entry: dict[str, Any] = entries.setdefault(name, {})
        try:
            contestant = build()
            entry |= {"compile_seconds": contestant.compile_seconds, **contestant.about}
            entry["error"] = check(contestant, case.expected, case.checked_rows, case.limit)
            found[name] = contestant
        except Exception as problem:  # one that fails must not take the others along
            entry["failure"] = failure(problem)
            say(f"  {name}: {entry['failure']}")
    return found


def measured(contestants: Mapping[str, Contestant], measure: Measure) -> Entries:
    """Times of all; if one fails, times of each one alone."""
    try:
        return {name: summary(samples) for name, samples in measure(contestants).items()}
    except Exception as problem:
        if len(contestants) < 2:
            return {name: {"failure": failure(problem)} for name in contestants}
    alone = ({name: contestant} for name, contestant in contestants.items())
    return {name: entry for one in alone for name, entry in measured(one, measure).items()}


def contest(builders: Builders, case: Case, measure: Measure) -> Entries:
    """Build, check and measure everybody."""
    import torch

    entries: Entries = {}
    with torch.inference_mode():
        found = ready(builders, case, entries)
        for name, entry in measured(found, measure).items():
            entries[name] |= entry
    return entries


def forget() -> None:
    """Free what rows need not share."""
    from . import in_jax, in_torch

    gc.collect()
    in_torch.forget()
    in_jax.forget()
