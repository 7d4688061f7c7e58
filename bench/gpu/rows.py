"""Runs the contestants of a case and makes a row; one that fails leaves a text and no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bench.nets import in_jax, in_torch, in_tripy
from bench.nets.cases import Case
from bench.nets.contests import CompileTime, contest, forget, say
from bench.nets.store import OURS, Row, best_peer
from bench.nets.timing import Contestant, measure

from . import forms
from .report import best_of_ours, ratio

Builders = dict[str, Callable[[], Contestant]]


@dataclass
class Settings:
    """What the command line says.

    Attributes:
        compile_time: what torch.compile may take for one network, and in this group.
    """

    device: str
    engine: str
    rounds: int
    quick: bool
    torch_compile: bool
    freezing: bool
    tf32: bool
    compile_time: CompileTime
    layouts: dict[tuple[str, str], str] = field(default_factory=dict)


# --- contestants -----------------------------------------------------------------------------


def _torch_compiled(case: Case, settings: Settings) -> Contestant:
    """torch.compile, in the time that is left for it."""
    make = partial(in_torch.compiled, case, settings.device, settings.freezing)
    return settings.compile_time.build(make)


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
    with forms.forced(case.kind, form):
        return in_tripy.contestant(case, settings.engine, settings.device)


def _form_builders(case: Case, settings: Settings) -> Builders:
    found = _builders(case, settings)
    for form in forms.names(case.kind):
        found[f"{OURS}, {form}"] = partial(_in_form, form, case, settings)
    return found


# --- rows ------------------------------------------------------------------------------------


def case_row(
    group: str, case: Case, settings: Settings, peaks: Mapping[str, float], builders: Builders
) -> Row:
    """Measure one case."""
    entries = contest(builders, case, partial(measure, rounds=settings.rounds))
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
    forget()
    return row
