"""Processes that draw and check programs, so that a crash or a hang is a finding like others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import tripy as tp
from tripy.engines import base

#: Calls of a worker before it is replaced, because engines keep some memory of every program.
LIFETIME = {"openvino": 400, "xla": 150}
ONE_THREAD = {
    "TRIPY_NUM_THREADS": "1",
    "TRIPY_CACHE_SIZE": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PJRT_NPROC": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
Answer = dict[str, Any]


def environment() -> dict[str, str]:
    """Of a worker: one thread, and where this package and tripy are."""
    here = Path(__file__).parents[len(str(__package__).split("."))]
    paths = [str(here), str(Path(tp.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Worker:
    """A process that is started when it is asked, and again after it died."""

    def __init__(self, limit: float = 30.0, faults: str = "") -> None:
        self.limit, self.faults = limit, faults
        self.process: subprocess.Popen[str] | None = None
        self.count = 0

    def ask(self, **task: Any) -> Answer:
        """The answer to a task; a worker that dies or takes too long answers so itself."""
        process = self._started()
        is_late = threading.Event()

        def late() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(self.limit, late)
        timer.start()
        try:
            line = self._exchange(process, task)
        finally:
            timer.cancel()
        self.count += 1
        if line:
            self._renew(str(task.get("mode", "openvino")))
            return dict(json.loads(line))
        status = process.wait()
        self.close()
        if is_late.is_set():
            return {"kind": "hang", "detail": f"no answer in {self.limit:g} s", "key": ""}
        return {"kind": "crash", "detail": f"exit status {status}", "key": _signal(status)}

    def _exchange(self, process: subprocess.Popen[str], task: Mapping[str, Any]) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            return process.stdout.readline()
        return ""

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None:
            command = [sys.executable, "-m", f"{__package__}.worker", self.faults]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, env=environment(), text=True,
                start_new_session=True,  # Ctrl-C is for the parent
            )  # fmt: skip
            self.count = 0
            self.process.stdout.readline()  # type: ignore[union-attr]  # it is ready
        return self.process

    def _renew(self, mode: str) -> None:
        if self.count >= LIFETIME[mode.split("-")[0]]:
            self.close()

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self.process = None


def _signal(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return str(status)


# --- in the process --------------------------------------------------------------------------


def answer(task: Mapping[str, Any]) -> Answer:
    """Do what a task asks for."""
    from .check import check
    from .generate import generated
    from .program import from_data, to_data
    from .shrink import kinds_of

    if "program" in task:
        program = from_data(task["program"])
        if task.get("kinds"):
            return {"kinds": kinds_of(program)}
        return check(program).data()
    start = time.perf_counter()
    program = generated(task["mode"], task["seed"])
    drawn = time.perf_counter()
    if task.get("draw"):
        return {"program": to_data(program)}
    return {
        **check(program).data(),
        "draw_ms": (drawn - start) * 1e3,
        "check_ms": (time.perf_counter() - drawn) * 1e3,
        "steps": len(program.steps),
    }


def serve() -> None:
    """Answer the tasks that come as lines of JSON; what libraries print goes nowhere."""
    out = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    if "TRIPY_FUZZ_STDERR" not in os.environ:
        os.dup2(nowhere, 2)
    if sys.argv[1:] and sys.argv[1]:
        module, _, name = sys.argv[1].partition(":")
        import_module(module).plant(name)  # for tests of this tool
    answer({"mode": "openvino", "seed": 0, "draw": True})
    base.load("openvino")  # what takes long is done before the first task
    out.write("ready\n")
    out.flush()
    for line in sys.stdin:
        try:
            text = json.dumps(answer(json.loads(line)))
        except Exception:  # a fault of this tool
            text = traceback.format_exc()
            text = json.dumps({"kind": "tool", "detail": text, "key": text.splitlines()[-1]})
        out.write(text + "\n")
        out.flush()


if __name__ == "__main__":
    serve()
