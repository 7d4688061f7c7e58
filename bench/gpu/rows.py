"""Runs the contestants of a case and makes a row; one that fails leaves a text and no time."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.harness import Samples

from . import forms, in_jax, in_torch, in_tripy
from .cases import Case
from .report import OURS, Row, best_of_ours, best_peer, ratio
from .timing import Contestant, OutOfTimeError, WrongResultError, at_most, check, measure

Builders = dict[str, Callable[[], Contestant]]


@dataclass
class Settings:
    """What the command line says.

    Attributes:
        compile_limit: seconds that torch.compile may take for one network.
        compile_left: seconds that it may still take in this group.
    """

    device: str
    engine: str
    rounds: int
    quick: bool
    torch_compile: bool
    freezing: bool
    tf32: bool
    compile_limit: float
    compile_left: float = 0.0
    layouts: dict[tuple[str, str], str] = field(default_factory=dict)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- contestants -----------------------------------------------------------------------------


def _torch_compiled(case: Case, settings: Settings) -> Contestant:
    """torch.compile, in the time that is left for it."""
    limit = min(settings.compile_limit, settings.compile_left)
    if limit < 1:
        raise OutOfTimeError("no time left for torch.compile")
    start = time.monotonic()
    try:
        with at_most(limit):
            return in_torch.compiled(case, settings.device, settings.freezing)
    except Exception as problem:
        if OutOfTimeError.__name__ not in repr(problem):
            raise
        raise OutOfTimeError(f"not compiled after {limit:.0f} s") from None
    finally:
        settings.compile_left -= time.monotonic() - start


def _torch_builders(case: Case, settings: Settings) -> Builders:
    device, found = settings.device, {}
    found["torch eager"] = partial(in_torch.eager, case, device)
    if device == "gpu":
        found["torch graph"] = partial(in_torch.graph, case, device)
        if len(case.shape) in in_torch.CHANNELS_LAST:
            found["torch graph, NCHW"] = partial(in_torch.graph, case, device, False)
    if settings.torch_compile:
        found["torch.compile"] = partial(_torch_compiled, case, settings)
    return found


def _jax_builders(case: Case, settings: Settings) -> Builders:
    """Both layouts, unless another batch of the network has shown which is faster."""
    known = settings.layouts.get((case.name, case.arithmetic))
    layouts = (known,) if known else in_jax.LAYOUTS
    return {
        f"JAX {layout}": partial(in_jax.contestant, case, settings.device, layout)
        for layout in layouts
    }


def _builders(case: Case, settings: Settings) -> Builders:
    build = partial(in_tripy.contestant, case, settings.engine, settings.device)
    ours = {f"{OURS} NCHW": build}
    if settings.device == "gpu":
        ours[f"{OURS} NHWC"] = partial(build, last=True)
    return ours | _torch_builders(case, settings) | _jax_builders(case, settings)


def _in_form(form: str, case: Case, settings: Settings) -> Contestant:
    with forms.forced(case.kind, form, settings.device):
        return in_tripy.contestant(case, settings.engine, settings.device)


def _form_builders(case: Case, settings: Settings) -> Builders:
    found = _builders(case, settings)
    for form in forms.names(case.kind):
        found[f"{OURS}, {form}"] = partial(_in_form, form, case, settings)
    return found


# --- rows ------------------------------------------------------------------------------------


def summary(samples: Samples) -> dict[str, Any]:
    low, high = samples.spread
    seconds = [float(f"{value:.6g}") for value in samples.seconds]
    return {"median": samples.median, "p10": low, "p90": high, "seconds": seconds}


def failure(problem: BaseException) -> str:
    """The first line of what went wrong."""
    lines = str(problem).strip().splitlines() or [""]
    text = " ".join(line.strip() for line in lines[:2])
    is_plain = isinstance(problem, (OutOfTimeError, WrongResultError))
    return text if is_plain else f"{type(problem).__name__}: {text}"[:300]


def _ready(
    builders: Builders, case: Case, entries: dict[str, dict[str, Any]]
) -> dict[str, Contestant]:
    """Build and check everybody; entries get compile times, errors, or what failed."""
    ready = {}
    for name, build in builders.items():
        entry: dict[str, Any] = entries.setdefault(name, {})
        try:
            contestant = build()
            entry["compile_seconds"] = contestant.compile_seconds
            entry["error"] = check(contestant, case.expected, case.checked_rows, case.limit)
            ready[name] = contestant
        except Exception as problem:  # one that fails must not take the others along
            entry["failure"] = failure(problem)
            say(f"  {name}: {entry['failure']}")
    return ready


def _measured(ready: Mapping[str, Contestant], rounds: int) -> dict[str, dict[str, Any]]:
    """Times of all; if one fails, times of each one alone."""
    try:
        return {name: summary(samples) for name, samples in measure(ready, rounds).items()}
    except Exception as problem:
        if len(ready) < 2:
            return {name: {"failure": failure(problem)} for name in ready}
    alone = ({name: contestant} for name, contestant in ready.items())
    return {name: entry for one in alone for name, entry in _measured(one, rounds).items()}


def case_row(
    group: str, case: Case, settings: Settings, peaks: Mapping[str, float], builders: Builders
) -> Row:
    """Measure one case."""
    entries: dict[str, dict[str, Any]] = {}
    with torch.inference_mode():
        ready = _ready(builders, case, entries)
        for name, entry in _measured(ready, settings.rounds).items():
            entries[name] |= entry
    item = np.dtype(case.dtype).itemsize
    row: Row = {"group": group, "key": case.key, "dtype": case.dtype, "shape": case.shape}
    row |= {"flops": case.plan.flops, "bytes": case.plan.bytes(item), "contestants": entries}
    if case.arithmetic in peaks:
        floor, bound = case.plan.floor(item, peaks[case.arithmetic], peaks["bandwidth"])
        row |= {"floor": floor, "bound": bound}
    return row


def _note_layout(case: Case, row: Row, settings: Settings) -> None:
    """Remember the faster layout of a network."""
    times = {
        layout: row["contestants"].get(f"JAX {layout}", {}).get("median")
        for layout in in_jax.LAYOUTS
    }
    if all(times.values()):
        settings.layouts[case.name, case.arithmetic] = min(times, key=times.__getitem__)


def _forget() -> None:
    gc.collect()
    in_torch.forget()
    in_jax.forget()


def _line(row: Row) -> str:
    ours, peer, value = best_of_ours(row), best_peer(row), ratio(row)
    mine = f"{1e3 * ours['median']:.4g} ms" if ours else "no time"
    best = f", {peer[0]} {1e3 * peer[1]:.4g} ms" if peer else ""
    return f"  {mine}{best}" + (f", ratio {value:.2f}" if value else "")


def conv_row(case: Case, settings: Settings, peaks: Mapping[str, float]) -> Row:
    return case_row("conv", case, settings, peaks, _builders(case, settings))


def network_row(case: Case, settings: Settings, peaks: Mapping[str, float]) -> Row:
    row = case_row("networks", case, settings, peaks, _builders(case, settings))
    _note_layout(case, row, settings)
    return row


def form_row(case: Case, settings: Settings, peaks: Mapping[str, float]) -> Row:
    return case_row("forms", case, settings, peaks, _form_builders(case, settings))


MAKERS = {"conv": conv_row, "networks": network_row, "forms": form_row}


def row_of(group: str, case: Case, settings: Settings, peaks: Mapping[str, float]) -> Row:
    """A row of a group; what it held is freed again."""
    say(f"{group}: {case.key}")
    row = MAKERS[group](case, settings, peaks)
    say(_line(row))
    _forget()
    return row


def is_wrong(row: Row) -> bool:
    """Whether our result is missing or anybody's result is wrong."""
    entries = row["contestants"].items()
    return any(
        name.startswith(OURS) or entry["failure"].startswith("WRONG")
        for name, entry in entries
        if "failure" in entry
    )
