"""tripy beside OpenVINO, ONNX Runtime, torch and JAX on the CPU: `python -m bench.suite`.

Every contestant computes the same convolution or network from the same weights with the same
number of threads; its result is compared with torch's in float64 (the first, the middle and the
last sample of a batch). They are sampled in turn. Rows are written as they come; a run with the
same --json goes on where the last one ended.

XLA's pools take their size from PJRT_NPROC, which is set before JAX starts. torch's threads spin at
every barrier: on a machine that others use too, it then takes up to a thousand times as long.
--passive (always with --quick) lets them sleep, which costs microseconds per operation of torch.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GROUPS = ("conv", "networks", "start", "dynamic")
PEERS = ("openvino", "onnxruntime", "torch", "torch.compile", "jax")
DTYPES = ("float32", "bfloat16", "int8")
# What the processor must have for an arithmetic to be worth measuring.
FEATURES = {"bfloat16": "bf16", "int8": "vnni"}


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _choices(parser: argparse.ArgumentParser, name: str, text: str, known: tuple[str, ...]) -> Any:
    found = [part for part in text.split(",") if part]
    unknown = ", ".join(part for part in found if part not in known)
    if unknown:
        parser.error(f"--{name}: there is no {unknown}; known are {', '.join(known)}")
    return found


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.suite")
    add = parser.add_argument
    add("--groups", default=",".join(GROUPS), help="(%(default)s)")
    add("--only", default="", metavar="REGEX", help="only cases whose name matches")
    add("--peers", default=",".join(PEERS), help="(%(default)s)")
    add("--threads", type=int, default=_cores(), help="of everybody (%(default)s)")
    add("--batch", default="", help="sizes of batches (1,8; quick: 2)")
    add("--dtype", default="float32", help=f"of {','.join(DTYPES)} (%(default)s)")
    add("--engine", help="of tripy; its own choice without this")
    add("--onnx", choices=("torch", "tripy"), default="torch", help="exporter (%(default)s)")
    add("--again", action="store_true", help="measure cases that the JSON file has, too")
    add("--json", type=Path, metavar="PATH", help="rows are added to this file")
    add("--markdown", type=Path, metavar="PATH", help="the tables of all rows")
    add("--rounds", type=int, default=12, help="most samples of everybody per row (%(default)s)")
    add("--seconds", type=float, default=30, help="for the samples of a row (%(default)s)")
    add(
        "--budget", type=float, default=7200, help="seconds after which no row starts (%(default)s)"
    )
    add("--patience", type=float, default=0, help="seconds to wait for a quiet machine, a round")
    add("--passive", action="store_true", help="threads of OpenMP sleep while they wait")
    add("--call-limit", type=float, default=10, help="seconds that a call may take (%(default)s)")
    add("--compile-limit", type=float, default=120, help="of torch.compile, a case (%(default)s)")
    add("--compile-budget", type=float, default=2400, help="of torch.compile, all (%(default)s)")
    add("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    options = parser.parse_args(arguments)
    for name, known in (("groups", GROUPS), ("peers", PEERS), ("dtype", DTYPES)):
        setattr(options, name, _choices(parser, name, getattr(options, name), known))
    options.batch = [int(size) for size in options.batch.split(",") if size]
    return options


def prepare(threads: int, folder: str, passive: bool) -> None:
    """What must be set before numpy, torch and JAX are imported."""
    if passive:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
    for name in (*pools, "TORCHINDUCTOR_COMPILE_THREADS"):
        os.environ[name] = str(threads)


class Run:
    """One run: its settings, its report and its time."""

    def __init__(self, options: argparse.Namespace, command: str) -> None:
        from bench.nets.contests import CompileTime
        from bench.nets.store import Store

        from . import peers, report

        absent = peers.missing(options.peers)
        self.options, self.start = options, time.monotonic()
        self.settings = peers.Settings(
            peers=[name for name in options.peers if name not in absent],
            threads=options.threads,
            engine=options.engine,
            exporter=options.onnx,
            quick=options.quick,
            rounds=2 if options.quick else options.rounds,
            seconds=options.seconds,
            patience=0 if options.quick else options.patience,
            call_limit=options.call_limit,
            compile_time=CompileTime(options.compile_limit, options.compile_budget),
        )
        peers.set_threads(options.threads)
        self.arithmetics, remarks = _arithmetics(options.dtype)
        remarks += [f"Not installed: {', '.join(absent)}."] if absent else []
        remarks.append(f"ONNX models were written by {options.onnx}.")
        run = {"machine": _machine(options.threads), "command": command, "notes": remarks}
        self.report = Store(options.json, options.markdown, run, report.page)
        self.skipped: list[str] = []
        self.failed = False

    def measure(self) -> None:
        from bench.nets.store import is_wrong

        from . import cases, rows, start

        options = self.options
        batches = options.batch or (cases.QUICK_BATCHES if options.quick else cases.BATCHES)
        for group in options.groups:
            for case in cases.SOURCES[group](options.quick, batches, self.arithmetics):
                if not self._is_wanted(group, case.key):
                    continue
                make = start.row_of if group == "start" else rows.row_of
                row = make(group, case, self.settings)
                self.failed |= is_wrong(row)
                self.report.add(row)

    def _is_wanted(self, group: str, key: str) -> bool:
        """Whether a case matches, is not in the file yet, and there is time for it."""
        options = self.options
        is_old = self.report.has(group, key) and not options.again
        if is_old or not re.search(options.only, key):
            return False
        is_late = time.monotonic() - self.start > options.budget
        self.skipped += [f"{group}: {key}"] * is_late
        return not is_late


def _arithmetics(wanted: list[str]) -> tuple[list[str], list[str]]:
    """What the processor computes of what is wanted, and a remark on the rest."""
    from bench.harness import describe_machine

    features = " ".join(describe_machine(0)["features"])
    absent = [name for name in wanted if FEATURES.get(name, "") not in features]
    remarks = [f"This processor has no arithmetic in {name}." for name in absent]
    return [name for name in wanted if name not in absent], remarks


def _machine(threads: int) -> dict[str, Any]:
    """The machine, with the versions of everybody who takes part."""
    from importlib import metadata
    from importlib.util import find_spec

    from bench.harness import describe_machine

    found = describe_machine(threads)
    packages = ("openvino", "onnx", "onnxruntime", "jax", "jaxlib")
    found["versions"] |= {name: metadata.version(name) for name in packages if find_spec(name)}
    return found


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="inductor") as folder:
        prepare(options.threads, folder, options.passive or options.quick)
        run = Run(options, shlex.join(["python", "-m", "bench.suite", *arguments]))
        run.measure()
        print(run.report.text())
    for text in run.skipped:
        print(f"out of time: {text}", file=sys.stderr)
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
