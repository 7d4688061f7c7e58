"""Makes a row of a case: everybody is built, checked and sampled in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.harness import Samples, interleave, loop
from bench.nets.cases import Case
from bench.nets.contests import contest, forget, say
from bench.nets.store import OURS, Row, best_peer
from bench.nets.timing import Contestant

from . import dynamic, peers
from .peak import rate
from .peers import Settings
from .report import ratio

LEAST_ROUNDS = 3


def _waited(contestant: Contestant) -> Callable[[], Any]:
    call, wait = contestant.call, contestant.wait
    return lambda: wait(call())


def measure(contestants: Mapping[str, Contestant], settings: Settings) -> Mapping[str, Samples]:
    """Interleaved samples, in fewer rounds where the rounds would take long."""
    samplers = {name: loop(_waited(contestant)) for name, contestant in contestants.items()}
    start = time.perf_counter()
    for sample in samplers.values():
        sample()
    possible = int(settings.seconds / (time.perf_counter() - start))
    rounds = min(settings.rounds, max(LEAST_ROUNDS, possible))
    return interleave(samplers, rounds, settings.patience)


def row_of(group: str, case: Case, settings: Settings) -> Row:
    """A row of a group; what it held is freed again."""
    say(f"{group}: {case.key}")
    is_dynamic = group == "dynamic"
    entries = contest(
        (dynamic if is_dynamic else peers).builders(case, settings),
        case,
        partial(measure, settings=settings),
    )
    row: Row = {"group": group, "key": case.key, "name": case.name, "shape": case.shape}
    flops = dynamic.work(case) if is_dynamic else case.plan.flops
    row |= {"arithmetic": case.arithmetic, "flops": flops, "contestants": entries}
    row["peak"] = rate(case.arithmetic, settings.quick)
    say(_line(row))
    forget()
    return row


def _line(row: Row) -> str:
    mine, peer, value = row["contestants"][OURS].get("median"), best_peer(row), ratio(row)
    parts = [f"{1e3 * mine:.4g} ms" if mine else "no time"]
    parts += [f"{peer[0]} {1e3 * peer[1]:.4g} ms"] if peer else []
    parts += [f"ratio {value:.2f}"] if value else []
    return "  " + ", ".join(parts)
