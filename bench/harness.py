"""Interleaved timing, statistics and tables, for the benchmarks of this folder."""

from __future__ import annotations

import gc
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
ARM_FEATURES = ("asimd", "fphp", "bf16", "i8mm", "sve", "sve2")
PACKAGES = ("numpy", "tripy", "openvino", "torch", "transformers", "onnxruntime")

# Thread pools spin for a while after work: a pause keeps each one out of the next one's time.
PAUSE_SECONDS = 0.005
SAMPLE_SECONDS = 0.03
IDLE_SECONDS, IDLE_SHARE, WARM_SECONDS = 0.3, 0.9, 0.7


@dataclass(frozen=True)
class Contestant:
    """Something to time: `call` does the work once, `read` makes an array of what it returns."""

    name: str
    call: Callable[[], Any]
    read: Callable[[Any], Array] = np.asarray


class Sample(NamedTuple):
    """Seconds per call, and the cores that were busy meanwhile."""

    seconds: float
    cores: float = float("nan")


Sampler = Callable[[], Sample]


@dataclass(frozen=True)
class Samples:
    """What one contestant took, one value per round."""

    seconds: Array
    cores: Array

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Samples:
        seconds, cores = np.asarray(samples, np.float64).T
        return cls(seconds, cores)

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and the 90th percentile."""
        low, high = np.percentile(self.seconds, (10, 90))
        return float(low), float(high)

    def round_ratio(self, other: Samples) -> float | None:
        """Median of the ratios to `other` taken round by round; None when rounds do not pair."""
        if len(self.seconds) != len(other.seconds):
            return None
        return float(np.median(self.seconds / other.seconds))


@dataclass(frozen=True)
class Goal:
    """A limit for `subject`: on its time, or on its ratio or difference to the time of `peer`."""

    subject: str
    limit: float
    peer: str | None = None
    kind: Literal["ratio", "difference", "time"] = "ratio"


@dataclass(frozen=True)
class Row:
    """What one interleaved run measured."""

    name: str
    samples: Mapping[str, Samples]
    goals: Sequence[Goal] = ()
    errors: Mapping[str, float] = field(default_factory=dict)
    checks: Mapping[str, bool] = field(default_factory=dict)
    notes: Sequence[str] = ()


class WrongResultError(Exception):
    """A contestant does not compute what the reference computes."""


def check(contestants: Iterable[Contestant], expected: Array, limit: float) -> dict[str, float]:
    """Relative error of every contestant's result, in the 2-norm; above `limit` is an exception."""
    errors = {}
    for contestant in contestants:
        result = contestant.read(contestant.call()).astype(np.float64)
        error = float(np.linalg.norm(result - expected) / np.linalg.norm(expected))
        if result.shape != expected.shape or not error <= limit:
            raise WrongResultError(
                f"{contestant.name}: relative error {error:.1e}, limit {limit:.1e}"
            )
        errors[contestant.name] = error
    return errors


def openvino_settings(threads: int, precision: str = "f32") -> dict[str, Any]:
    """OpenVINO's runtime as all benchmarks use it directly: lowest latency, threads not pinned."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


class Stopwatch:
    """Wall time and processor time of a `with` block."""

    def __enter__(self) -> Stopwatch:
        self.processor, self.wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self.wall
        self.processor = time.process_time() - self.processor

    def sample(self, count: int = 1) -> Sample:
        return Sample(self.wall / count, self.processor / self.wall)


def loop(call: Callable[[], Any], calls: int | None = None) -> Sampler:
    """A sampler that repeats `call` as often as told, or for about SAMPLE_SECONDS."""
    count = calls or _calls_per_sample(call)

    def sample() -> Sample:
        time.sleep(PAUSE_SECONDS)
        call()  # untimed: wakes the thread pool and brings the weights back into the caches
        with Stopwatch() as watch:
            for _ in range(count):
                call()
        return watch.sample(count)

    return sample


def single(call: Callable[[], Any]) -> Sampler:
    """A sampler that times one `call` without warm-up and without the release of its result."""

    def sample() -> Sample:
        time.sleep(PAUSE_SECONDS)
        with Stopwatch() as watch:
            result = call()
        del result
        return watch.sample()

    return sample


def _calls_per_sample(call: Callable[[], Any]) -> int:
    call()
    with Stopwatch() as watch:
        call()
    return max(1, round(SAMPLE_SECONDS / watch.wall))


def _processor_times() -> tuple[int, int]:
    """Idle time and all time of all processors, in ticks since the start of the machine."""
    times = [int(number) for number in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return times[3], sum(times)


def wait_until_idle(patience: float) -> None:
    """Wait until no other process keeps the processors busy, but not for more than `patience`."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        idle, total = _processor_times()
        time.sleep(IDLE_SECONDS)
        later, all_later = _processor_times()
        if later - idle > IDLE_SHARE * (all_later - total):
            return


def warm_up(sample: Sampler) -> None:
    """Work for a while: processors that have been idle start slowly."""
    end = time.monotonic() + WARM_SECONDS
    while time.monotonic() < end:
        sample()


def interleave(
    samplers: Mapping[str, Sampler], rounds: int, patience: float = 0.0
) -> dict[str, Samples]:
    """Sample everybody once per round, after one round that is thrown away.

    The order is another one in every round: it matters whose work was done just before.
    """
    gc.collect()
    gc.freeze()  # collections stay on, but do not walk what existed before
    columns: dict[str, list[Sample]] = {name: [] for name in samplers}
    order, shuffle = list(samplers), random.Random(0).shuffle
    try:
        for _ in range(rounds + 1):
            if patience:
                wait_until_idle(patience)
                warm_up(samplers[order[0]])
            shuffle(order)
            for name in order:
                columns[name].append(samplers[name]())
    finally:
        gc.unfreeze()
    return {name: Samples.of(column[1:]) for name, column in columns.items()}


def measure(
    contestants: Sequence[Contestant],
    rounds: int,
    calls: int | None = None,
    patience: float = 0.0,
) -> dict[str, Samples]:
    """Interleaved samples of all contestants."""
    samplers = {c.name: loop(c.call, calls) for c in contestants}
    return interleave(samplers, rounds, patience)


# The machine


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _versions() -> dict[str, str]:
    loaded = [name for name in PACKAGES if name in sys.modules]
    return {name: str(sys.modules[name].__version__) for name in loaded}


def describe_machine(threads: int) -> dict[str, Any]:
    """Date, processor, cores, threads, load, and versions of what is loaded."""
    info = _cpu_info()
    flags = set(info.get("flags", info.get("Features", "")).split())
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "features": [name for name in FEATURES + ARM_FEATURES if name in flags],
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version()} | _versions(),
    }


def header(machine: Mapping[str, Any]) -> str:
    """The machine in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    features = ", ".join(machine["features"]) or "no features known"
    return (
        f"{machine['date']}, {machine['cpu']} ({features}), "
        f"{machine['threads']} threads on {machine['cores']} cores, "
        f"load {machine['load_average']} at the start.\n{versions}."
    )


# Tables


@dataclass(frozen=True)
class Line:
    """One comparison as it is printed and stored."""

    measurement: str
    subject: str
    time: str
    peer: str
    peer_time: str
    ratio: float | None
    round_ratio: float | None
    goal: str
    reached: bool | None


COLUMNS = (
    *("Measurement", "", "Median (p10-p90)", "Against", "Median (p10-p90)"),
    *("Ratio", "Ratio by round", "Goal", "Reached"),
)
VALUES: Mapping[str, Callable[[Samples, Samples], float]] = {
    "ratio": lambda subject, peer: subject.median / peer.median,
    "difference": lambda subject, peer: subject.median - peer.median,
    "time": lambda subject, _: subject.median,
}
GOALS: Mapping[str, Callable[[float, float], str]] = {
    "ratio": lambda limit, _: f"ratio <= {limit:.2f}",
    "difference": lambda limit, value: f"<= {duration(limit)} more: {duration(value)}",
    "time": lambda limit, _: f"<= {duration(limit)}",
}


UNITS = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (np.inf, 1.0, "s"))


def duration(seconds: float) -> str:
    """Three significant digits with the unit that fits."""
    size = abs(seconds)
    factor, unit = next((f, u) for limit, f, u in UNITS if size < limit)
    return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"


def _timing(samples: Samples) -> str:
    if len(samples.seconds) == 1:
        return duration(samples.median)
    low, high = samples.spread
    return f"{duration(samples.median)} ({duration(low)} - {duration(high)})"


def _goal_line(row: Row, goal: Goal) -> Line:
    subject = row.samples[goal.subject]
    peer = row.samples[goal.peer] if goal.peer else None
    value = VALUES[goal.kind](subject, peer or subject)
    line = _line(row, goal.subject, goal.peer)
    text = GOALS[goal.kind](goal.limit, value)
    return Line(**(vars(line) | {"goal": text, "reached": value <= goal.limit}))


def _line(row: Row, subject: str, peer: str | None) -> Line:
    ours, theirs = row.samples[subject], row.samples[peer] if peer else None
    return Line(
        measurement=row.name,
        subject=subject,
        time=_timing(ours),
        peer=peer or "",
        peer_time=_timing(theirs) if theirs else "",
        ratio=ours.median / theirs.median if theirs else None,
        round_ratio=ours.round_ratio(theirs) if theirs else None,
        goal="",
        reached=None,
    )


def lines(row: Row) -> list[Line]:
    """The row's goals, its checks, then the contestants that no goal speaks about."""
    subject = next(iter(row.samples))
    spoken = {subject, *(goal.peer for goal in row.goals), *(goal.subject for goal in row.goals)}
    return [
        *(_goal_line(row, goal) for goal in row.goals),
        *(Line(row.name, "", "", "", "", None, None, *pair) for pair in row.checks.items()),
        *(_line(row, subject, peer) for peer in row.samples if peer not in spoken),
    ]


def _cells(line: Line, repeated: bool) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    return (
        *("" if repeated else line.measurement, line.subject, line.time, line.peer, line.peer_time),
        *(number(line.ratio), number(line.round_ratio), line.goal),
        {True: "yes", False: "**no**", None: ""}[line.reached],
    )


def table(rows: Sequence[Row]) -> str:
    """All rows as one Markdown table with aligned columns."""
    body = [_cells(line, bool(i)) for row in rows for i, line in enumerate(lines(row))]
    widths = [max(len(cells[i]) for cells in (COLUMNS, *body)) for i in range(len(COLUMNS))]
    rule = tuple("-" * width for width in widths)
    padded = (map(str.ljust, cells, widths) for cells in (COLUMNS, rule, *body))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def notes(rows: Sequence[Row]) -> list[str]:
    """Relative errors, busy cores and remarks of all rows, one sentence each."""
    found = []
    for row in rows:
        errors = (f"{name} {error:.1e}" for name, error in row.errors.items())
        busy = ((name, float(np.median(samples.cores))) for name, samples in row.samples.items())
        cores = (f"{name} {value:.2f}" for name, value in busy if not np.isnan(value))
        for title, parts in (("relative error", errors), ("busy cores", cores)):
            text = ", ".join(parts)
            found.extend([f"{row.name}: {title}: {text}."] if text else [])
        found.extend(f"{row.name}: {note}" for note in row.notes)
    return found


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """All rows with every sample, in seconds."""
    return [
        {
            "name": row.name,
            "samples": {
                name: {"median": s.median, "p10_p90": s.spread, "seconds": s.seconds.tolist()}
                | {"busy_cores": None if np.isnan(s.cores).any() else float(np.median(s.cores))}
                for name, s in row.samples.items()
            },
            "relative_errors": dict(row.errors),
            "comparisons": [vars(line) for line in lines(row)],
            "notes": list(row.notes),
        }
        for row in rows
    ]
