"""From the start of a process to its first result, and the memory that the process takes.

Everybody starts from files: tripy from a saved executable, OpenVINO from its own model with and
without its cache of compiled models, ONNX Runtime from an ONNX model, torch from a saved module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.harness import Sample, interleave
from bench.nets import in_torch, in_tripy
from bench.nets.cases import Case
from bench.nets.contests import failure, say, summary
from bench.nets.store import OURS, Row
from bench.nets.timing import WrongResultError, relative_error

from .peers import Model, Settings

MOST_ROUNDS = 5

BEFORE = """
import sys
import numpy as np
folder, threads = sys.argv[1], int(sys.argv[2])
x = np.load(folder + "/x.npy")
"""
AFTER = """
import json, time
end = time.time()
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
np.save(sys.argv[3], result)
print(json.dumps({"end": end, "megabytes": peak / 1e3}))
"""
OPENVINO = """
import openvino as ov
core = ov.Core()
settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
"""
# Contestant -> peer on the command line, and the program between x and the result.
PROGRAMS = {
    OURS: (
        "",
        """
import tripy as tp
tp.config.num_threads = threads
result = tp.Executable.load(folder + "/model.tripy")(x).numpy()
""",
    ),
    "OpenVINO": (
        "openvino",
        OPENVINO
        + """
result = core.compile_model(folder + "/model.xml", "CPU", settings)(x)[0]
""",
    ),
    "OpenVINO, its cache": (
        "openvino",
        OPENVINO
        + """
settings["CACHE_DIR"] = folder + "/cache"
result = core.compile_model(folder + "/model.xml", "CPU", settings)(x)[0]
""",
    ),
    "ONNX Runtime": (
        "onnxruntime",
        """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
providers = ["CPUExecutionProvider"]
session = onnxruntime.InferenceSession(folder + "/model.onnx", options, providers)
(result,) = session.run(None, {"x": x})
""",
    ),
    "torch": (
        "torch",
        """
import torch
torch.set_num_threads(threads)
net = torch.load(folder + "/net.pt", weights_only=False, mmap=True)
with torch.inference_mode():
    result = net(torch.from_numpy(x)).numpy()
""",
    ),
}


def _write(case: Case, settings: Settings, folder: Path) -> None:
    """The files that everybody starts from."""
    np.save(folder / "x.npy", case.x)
    exe, _ = in_tripy.executable(case, settings.engine, "cpu")
    exe.save(folder / "model.tripy")
    if {"openvino", "onnxruntime"} & set(settings.peers):
        (folder / "model.onnx").write_bytes(Model(case, settings.exporter).bytes)
    if "openvino" in settings.peers:
        import openvino

        model = openvino.convert_model(folder / "model.onnx")
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    torch.save(in_torch.network(case), folder / "net.pt")


def _run(name: str, case: Case, settings: Settings, folder: Path, entry: dict[str, Any]) -> Sample:
    """One process; its memory is noted in the entry, and its result is compared."""
    program, result = BEFORE + PROGRAMS[name][1] + AFTER, folder / "result.npy"
    command = [sys.executable, "-c", program, str(folder), str(settings.threads), str(result)]
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    said = json.loads(done.stdout.splitlines()[-1])
    entry["peak_megabytes"] = said["megabytes"]
    entry["error"] = relative_error(np.load(result)[case.checked_rows], case.expected)
    if not entry["error"] <= case.limit:
        raise WrongResultError(f"WRONG result: relative error {entry['error']:.1e}")
    return Sample(said["end"] - start)


def _environment() -> dict[str, str]:
    """This folder's packages can be imported, and no program comes from our cache on disk."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "TRIPY_CACHE_SIZE": "0"}


def row_of(group: str, case: Case, settings: Settings) -> Row:
    """Start everybody's process in turn."""
    say(f"{group}: {case.key}")
    wanted = [name for name, (peer, _) in PROGRAMS.items() if not peer or peer in settings.peers]
    entries: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    with tempfile.TemporaryDirectory(prefix="start") as name:
        folder = Path(name)
        _write(case, settings, folder)
        samplers = {who: partial(_run, who, case, settings, folder, entries[who]) for who in wanted}
        for who in wanted:
            try:
                samplers[who]()
            except Exception as problem:  # one that fails must not take the others along
                entries[who]["failure"] = failure(problem)
                del samplers[who]
        rounds = min(settings.rounds, MOST_ROUNDS)
        for who, samples in interleave(samplers, rounds, settings.patience).items():
            entries[who] |= summary(samples)
    _say(entries)
    row: Row = {"group": group, "key": case.key, "name": case.name, "shape": case.shape}
    return row | {"arithmetic": case.arithmetic, "contestants": entries}


def _say(entries: Mapping[str, Mapping[str, Any]]) -> None:
    known = (f"{who} {e['median']:.2f} s" for who, e in entries.items() if "median" in e)
    say("  " + ", ".join(known))
