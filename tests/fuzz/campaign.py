"""Many programs on several workers, and what they found."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .generate import MODES
from .program import Program, from_data, runnable, to_data
from .shrink import Kinds, Shrinker
from .worker import Answer, Worker

WITH_KEY = ("compile", "call", "crash", "front end", "no error")


@dataclass
class Finding:
    """A program that goes wrong; ``is_small`` tells whether it was shrunk."""

    mode: str
    seed: int
    kind: str
    key: str
    detail: str
    program: Program
    is_small: bool = False

    @property
    def signature(self) -> tuple[Any, ...]:
        """Equal for findings that seem to be one fault."""
        engine = MODES[self.mode].engine
        if not self.is_small:
            return (engine, self.kind, self.key, "not shrunk")
        return (engine, self.kind, self.key, *self.program.operations)

    def text(self) -> str:
        remark = (
            f"{self.mode}, seed {self.seed}: {self.kind}\n{' '.join(self.detail.split())[:400]}"
        )
        return runnable(self.program, MODES[self.mode].options, remark)


@dataclass
class Campaign:
    """What to run, and its results."""

    modes: Sequence[str]
    seeds: Iterator[int]
    seconds: float
    jobs: int = 1
    limit: float = 30.0
    shrink_seconds: float = 60.0
    shrink_share: float = 0.4
    out: Path | None = None
    faults: str = ""
    quiet: bool = False
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    spent: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Run until the seeds or the time are used up; Ctrl-C ends it early."""
        self.lock = threading.Lock()
        self.start = time.monotonic()
        self.stopped = threading.Event()
        self.counts = {mode: Counter() for mode in self.modes}
        self.tasks = (
            (mode, seed)
            for seed in self.seeds
            for mode in self.modes
            if len(self.modes) == 1 or seed % MODES[mode].every == 0
        )
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.jobs)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                threads[0].join(0.2)
                for thread in threads:
                    thread.join(0.2 / len(threads))
                self._progress()
        except KeyboardInterrupt:
            self.stopped.set()
        for thread in threads:
            thread.join(self.limit)
        self.elapsed = time.monotonic() - self.start
        self._progress(end="\n")

    @property
    def is_over(self) -> bool:
        return self.stopped.is_set() or time.monotonic() - self.start > self.seconds

    def _work(self) -> None:
        worker = Worker(self.limit, self.faults)
        try:
            while not self.is_over:
                with self.lock:
                    task = next(self.tasks, None)
                if task is None:
                    return
                self._one(worker, *task)
        except Exception:
            self.stopped.set()
            raise
        finally:
            worker.close()

    def _one(self, worker: Worker, mode: str, seed: int) -> None:
        found = worker.ask(mode=mode, seed=seed)
        with self.lock:
            self.counts[mode][found["kind"]] += 1
            self.spent["draw"] += found.get("draw_ms", 0)
            self.spent["check"] += found.get("check_ms", 0)
            if found["kind"] == "refused":
                self.refusals[found["key"]] += 1
        if found["kind"] not in ("ok", "refused"):
            self._found(worker, mode, seed, found)

    # --- findings

    def _found(self, worker: Worker, mode: str, seed: int, found: Answer) -> None:
        drawn = worker.ask(mode=mode, seed=seed, draw=True)
        program = from_data(drawn["program"]) if "program" in drawn else Program(mode, seed)
        finding = Finding(mode, seed, found["kind"], found["key"], found["detail"], program)
        if program.steps and self._may_shrink(finding):
            start = time.monotonic()
            self._shrink(worker, finding)
            with self.lock:
                self.spent["shrink"] += time.monotonic() - start
        with self.lock:
            is_new = all(f.signature != finding.signature for f in self.findings)
            self.findings.append(finding)
            if is_new:
                self._announce(finding)

    def _may_shrink(self, finding: Finding) -> bool:
        """Whether there is time, and the same words were not shrunk often already."""
        elapsed = (time.monotonic() - self.start) * self.jobs
        like = [f for f in self.findings if f.is_small and f.key == finding.key != ""]
        has_time = self.spent["shrink"] < 60 + self.shrink_share * elapsed
        return has_time and len(like) < 4 and not self.stopped.is_set()

    def _shrink(self, worker: Worker, finding: Finding) -> None:
        def fails(program: Program) -> bool:
            if self.stopped.is_set():
                return False
            found = worker.ask(mode=finding.mode, program=to_data(program))
            same = found["kind"] == finding.kind
            same = same and (finding.kind not in WITH_KEY or found["key"] == finding.key)
            if same:
                finding.detail = found["detail"]
            return same

        def kinds(program: Program) -> Kinds:
            found = worker.ask(mode=finding.mode, program=to_data(program), kinds=True)
            return dict(found.get("kinds", {}))

        if not fails(finding.program):
            finding.key += " (not every time)"
            return
        seconds = self.shrink_seconds * (2 if finding.kind in ("crash", "hang") else 1)
        finding.program = Shrinker(finding.program, fails, kinds, seconds).run()
        finding.is_small = True

    def _announce(self, finding: Finding) -> None:
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            name = f"{finding.kind.replace(' ', '-')}-{finding.mode}-{finding.seed}.py"
            (self.out / name).write_text(finding.text())
        if not self.quiet:
            print(f"\r\n{shown(finding)}\n", flush=True)

    # --- what is shown

    def _progress(self, end: str = "") -> None:
        if self.quiet or not (sys.stdout.isatty() or end):
            return
        done = sum(sum(c.values()) for c in self.counts.values())
        seconds = time.monotonic() - self.start
        text = f"{done} programs in {seconds:.0f} s, {len(self.findings)} findings"
        print(f"\r{text} of {len(self.groups())} kinds ", end=end, flush=True)

    def groups(self) -> dict[tuple[Any, ...], list[Finding]]:
        """Findings by what they seem to be, the most frequent first."""
        made: dict[tuple[Any, ...], list[Finding]] = {}
        for finding in list(self.findings):
            made.setdefault(finding.signature, []).append(finding)
        return dict(sorted(made.items(), key=lambda item: -len(item[1])))

    def summary(self) -> str:
        """Counts, refusals and groups of findings."""
        lines = []
        for mode, counts in self.counts.items():
            kinds = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
            lines.append(f"{mode}: {sum(counts.values())} programs: {kinds}")
        done = max(1, sum(sum(c.values()) for c in self.counts.values()))
        draw, check = self.spent["draw"] / done, self.spent["check"] / done
        lines.append(
            f"{self.elapsed:.0f} s, {self.jobs} jobs; each program {draw:.0f} ms to draw and "
            f"{check:.0f} ms to check; {self.spent['shrink']:.0f} s of shrinking"
        )
        lines += [f"refused {n} times: {reason}" for reason, n in self.refusals.most_common(25)]
        for group in self.groups().values():
            seeds = " ".join(f"{f.mode}:{f.seed}" for f in group[:8])
            first = min(group, key=lambda f: len(f.program.source))
            lines.append(f"\n{len(group)} × {shown(first)}\n    seeds {seeds}")
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "seconds": self.elapsed,
            "jobs": self.jobs,
            "counts": self.counts,
            "refusals": self.refusals,
            "spent": self.spent,
            "findings": [
                {**vars(f), "program": to_data(f.program), "signature": f.signature}
                for f in self.findings
            ],
        }

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.data(), indent=1))


def checked_again(path: Path, limit: float = 30.0) -> list[Finding]:
    """The findings of a former run, as --json wrote them, that are still there."""
    worker, left = Worker(limit), []
    try:
        for row in json.loads(path.read_text())["findings"]:
            program = from_data(row["program"])
            found = worker.ask(mode=row["mode"], program=row["program"])
            if found["kind"] not in ("ok", "refused", "invalid"):
                kinds = (found["kind"], found["key"], found["detail"])
                left.append(Finding(row["mode"], row["seed"], *kinds, program, row["is_small"]))
    finally:
        worker.close()
    return left


def shown(finding: Finding) -> str:
    """A finding as text: what, in which program."""
    head = f"{finding.mode}, seed {finding.seed}: {finding.kind} {finding.key}".strip()
    detail = " ".join(finding.detail.split())[:300]
    size = "" if finding.is_small else " (not shrunk)"
    text = finding.program.source if finding.is_small else ""
    lines = [f"{head}{size}", detail, *text.strip().splitlines(), finding.program.infos]
    return "\n    ".join(line for line in lines if line.strip())


def seeds_of(text: str) -> Iterator[int]:
    """Seeds ``A:B``, one seed, or ``A:`` without an end."""
    first, _, last = text.partition(":")
    if ":" not in text:
        return iter([int(first)])
    return iter(range(int(first or 0), int(last))) if last else itertools.count(int(first or 0))
