"""The table of engine faults, and how one of them is tried."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Kinds of processors, by what /proc/cpuinfo names, best first.
KINDS = {"amx": "amx_tile", "avx512": "avx512f", "vnni": "avx_vnni", "avx2": "avx2"}

WRONG = 3  # exit status
_TRIES = 3

Program = Callable[[], bool]


@dataclass(frozen=True)
class Fault:
    """One thing that an engine gets wrong.

    Attributes:
        program: what shows it, written against the engine alone; whether the engine is right.
        engine: whose fault it is: a package that can be imported.
        version: the newest version of the engine that was seen to have it.
        what: the symptom.
        instead: what the package does about it.
        where: ``module:name`` of what does that, which goes when the engine is mended.
        cpus: kinds of processors that show it.
        known: how it is reported in public, if it is.
    """

    program: Program
    engine: str
    version: str
    what: str
    instead: str
    where: str
    cpus: tuple[str, ...] = tuple(KINDS)
    known: str = ""

    @property
    def name(self) -> str:
        return self.program.__name__

    @property
    def code(self) -> str:
        """The lines of the program."""
        lines = inspect.getsource(self.program).splitlines()
        start = next(n for n, line in enumerate(lines) if line.startswith("def "))
        return textwrap.dedent("\n".join(lines[start + 1 :]))

    def is_shown(self) -> bool:
        """Whether the engine is ever wrong here: what it reads may be what lay in memory before."""
        return any(self._is_shown_once() for _ in range(_TRIES))

    def _is_shown_once(self) -> bool:
        """Whether it is wrong in a process of its own, which it may end."""
        command = [sys.executable, "-m", "tests.faults", self.name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode not in (0, WRONG) and done.returncode > 0:
            raise RuntimeError(f"the program of {self.name} fails: {done.stderr[-2000:]}")
        return done.returncode != 0

    def status(self) -> int:
        """The exit status of the program's process; an engine that refuses it is wrong, too."""
        try:
            return 0 if self.program() else WRONG
        except RuntimeError:
            return WRONG


FAULTS: dict[str, Fault] = {}


def fault(**facts: str | tuple[str, ...]) -> Callable[[Program], Program]:
    """Add a program to the table."""

    def add(program: Program) -> Program:
        FAULTS[program.__name__] = Fault(program, **facts)  # type: ignore[arg-type]
        return program

    return add


@cache
def faults() -> dict[str, Fault]:
    """The whole table, by name."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if path.stem != "table":
            importlib.import_module(f"tests.faults.{path.stem}")
    return FAULTS


def processor() -> str:
    """The kind of this processor."""
    path = Path("/proc/cpuinfo")
    words = set(path.read_text().split()) if path.exists() else set()
    return next((kind for kind, word in KINDS.items() if word in words), "other")


def page() -> str:
    """The page of the documentation."""
    lines = [
        "# Faults of engines",
        "",
        "Engines are wrong in places that nobody guesses. Random programs (`make fuzz`) look for",
        "them all the time. Each one that was found is here, with the smallest program that shows",
        "it, written against the engine alone, and with what tripy does instead. A test runs these",
        "programs and says when an engine is mended, so that the detour can go.",
        "",
        "| fault | engine | processors |",
        "|---|---|---|",
    ]
    table = faults().values()
    for row in table:
        link = f"[{row.what}](#{row.name.replace('_', '-')})"
        lines.append(f"| {link} | {row.engine} {row.version} | {', '.join(row.cpus)} |")
    for row in table:
        report = f" Reported as {row.known}." if row.known else ""
        lines += ["", f"## {row.name.replace('_', ' ')}", "", f"{row.what}.{report}", ""]
        lines += [f"Instead: {row.instead} (`{row.where}`).", "", "```python", row.code, "```"]
    return "\n".join(lines) + "\n"
