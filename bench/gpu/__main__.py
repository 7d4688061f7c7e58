"""tripy's XLA engine beside torch and plain JAX on one GPU: `python -m bench.gpu`.

Every contestant computes the same network from the same weights, on an input that stays on the
device; its result is compared with torch's on the CPU. Times are those of back-to-back calls,
sampled in turn. Rows are written as they come; a run with the same --json goes on where the last
one ended.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

GROUPS = ("overhead", "conv", "networks", "forms")
DEFAULT = ("peak", "overhead", "conv", "networks")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.gpu")
    add = parser.add_argument
    add("--groups", default=",".join(DEFAULT), help=f"of peak,{','.join(GROUPS)} (%(default)s)")
    add("--only", default="", metavar="REGEX", help="only cases whose name matches")
    add("--again", action="store_true", help="measure cases that the JSON file has, too")
    add("--json", type=Path, metavar="PATH", help="rows are added to this file")
    add("--markdown", type=Path, metavar="PATH", help="the tables of all rows")
    add("--device", choices=("gpu", "cpu"), default="gpu")
    add("--engine", default="xla", help="of tripy (%(default)s)")
    add("--rounds", type=int, default=10, help="samples of everybody per row (%(default)s)")
    add("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    add("--tf32", action="store_true", help="TF32 products of float32, in place of both dtypes")
    add("--budget", type=float, default=500, help="seconds after which no row starts (%(default)s)")
    add("--no-torch-compile", action="store_true")
    add("--freezing", action="store_true", help="torch.compile may fold weights")
    add(
        *("--compile-limit",),
        **{"type": float, "default": 60},
        help="seconds that torch.compile may take for one network (%(default)s)",
    )
    add(
        *("--compile-share",),
        **{"type": float, "default": 0.35},
        help="part of the time that torch.compile may use (%(default)s)",
    )
    options = parser.parse_args(arguments)
    options.groups = [name for name in options.groups.split(",") if name]
    unknown = set(options.groups) - {"peak", *GROUPS}
    if unknown:
        parser.error(f"there are no groups {', '.join(sorted(unknown))}")
    return options


def prepare(options: argparse.Namespace, folder: str) -> None:
    """What must be set before torch and JAX are imported."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # torch needs memory too
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    if options.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"


class Run:
    """One run: its settings, its report and its time."""

    def __init__(self, options: argparse.Namespace, command: str) -> None:
        from bench.nets import in_torch, in_tripy
        from bench.nets.contests import CompileTime

        from . import report, rows

        in_torch.prepare(options.tf32)
        in_tripy.prepare()
        self.options, self.start = options, time.monotonic()
        self.settings = rows.Settings(
            device=options.device,
            engine=options.engine,
            rounds=2 if options.quick else options.rounds,
            quick=options.quick,
            torch_compile=not options.no_torch_compile,
            freezing=options.freezing,
            tf32=options.tf32,
            compile_time=CompileTime(options.compile_limit, 0.0),
        )
        record: dict[str, Any] = {"machine": report.machine(options.device), "command": command}
        self.record = record
        self.report = report.Report(options.json, options.markdown, record)
        self.skipped: list[str] = []
        self.failed = False

    @property
    def left(self) -> float:
        return self.options.budget - (time.monotonic() - self.start)

    def measure_peaks(self) -> None:
        from . import peak

        arithmetics = ("tf32",) if self.options.tf32 else ("float16", "float32")
        settings = self.settings
        found = peak.peaks(arithmetics, settings.device, settings.quick, settings.rounds)
        self.record["peaks"] = found
        self.report.write()

    def add(self, row: dict[str, Any]) -> None:
        from bench.nets.store import is_wrong

        self.failed |= is_wrong(row)
        self.report.add(row)

    def group(self, name: str, later: int) -> None:
        """The rows of a group, in its part of the time that is left."""
        from . import overhead

        if name == "overhead":
            for row in overhead.rows(self.settings):
                self.add(row)
            return
        end = self.left - self.left / (later + 1)
        self.settings.compile_time.left = self.options.compile_share * (self.left - end)
        self._cases(name, end)

    def _cases(self, name: str, end: float) -> None:
        from . import cases, forms, rows

        sources = {
            "conv": cases.conv_cases,
            "networks": cases.network_cases,
            "forms": forms.cases,
        }
        peaks = self.report.peaks()
        for case in self._wanted(name, sources[name](self.settings.quick, self.settings.tf32)):
            if self.left < end:
                self.skipped.append(f"{name}: {case.key}")
            else:
                self.add(rows.row_of(name, case, self.settings, peaks))

    def _wanted(self, group: str, found: Iterable[Any]) -> list[Any]:
        """The cases that match, and that the file does not have yet."""
        named = [case for case in found if re.search(self.options.only, case.key)]
        return [c for c in named if self.options.again or not self.report.has(group, c.key)]


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="inductor") as folder:
        prepare(options, folder)
        run = Run(options, shlex.join(["python", "-m", "bench.gpu", *arguments]))
        if set(options.groups) & {"peak", "conv", "networks", "forms"}:
            run.measure_peaks()
        timed = [name for name in options.groups if name not in ("peak", "overhead")]
        for name in (group for group in options.groups if group != "peak"):
            run.group(name, later=len(timed) - timed.index(name) - 1 if name in timed else 0)
        print(run.report.text())
    for text in run.skipped:
        print(f"out of time: {text}", file=sys.stderr)
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
