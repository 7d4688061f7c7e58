"""Throughput, latency and memory on 1, 2 and 4 GPUs: `python -m bench.gpu.scaling`.

Data parallel: ResNet-50 with one batch per GPU. Tensor parallel: transformer blocks whose heads and
hidden units are divided. Everything is measured in a process of its own, because the highest use
of memory is that of a process, and compared with plain JAX, which divides the same arrays alike.
"""

from __future__ import annotations

import argparse
import copy
import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.nets import networks, plans
from bench.nets.cases import Case
from bench.nets.plans import Architecture, Array, Shape
from bench.nets.store import OURS, Row
from bench.nets.timing import Contestant, measure, relative_error

from .report import Report, machine

PEER = "plain JAX"
ERROR_LIMIT = 2e-2
Spec = tuple[str | None, ...]
Axes = dict[str, int]

# Pattern of a parameter's name -> the axis of the mesh that each of its dims is divided over.
HEADS: dict[str, Spec] = {
    **{f"layers.*_{part}.weight": ("model", None) for part in ("q", "k", "v", "up")},
    **{f"layers.*_{part}.bias": ("model",) for part in ("q", "k", "v", "up")},
    **{f"layers.*_{part}.weight": (None, "model") for part in ("out", "down")},
}


@dataclass(frozen=True)
class Scaling:
    """A network on several GPUs.

    Attributes:
        axes: the mesh for a number of GPUs.
        shape: of the input, for a number of GPUs.
        per_call: what one call does, for a number of GPUs, in `unit`.
        least: the smallest number of GPUs that can hold it.
    """

    architecture: Architecture
    shape: Callable[[int], Shape]
    axes: Callable[[int], Axes]
    sharding: Mapping[str, Spec]
    unit: str
    per_call: Callable[[int], int]
    least: int = 1

    def case(self, count: int, device: str) -> Case:
        """The network, whose first sample is the same for all numbers of GPUs."""
        arithmetic = "float16" if device == "gpu" else "float32"
        case = Case("", self.architecture, self.shape(count), arithmetic, ERROR_LIMIT)
        x = np.random.default_rng(0).standard_normal(case.shape, np.float32).astype(case.dtype)
        vars(case).update(x=x, weights=shared_weights(case.plan, case.dtype))
        return case


def cases(quick: bool) -> dict[str, Scaling]:
    batch, side = (2, 32) if quick else (256, 224)
    resnet = partial(networks.resnet50, width=4, classes=8) if quick else networks.resnet50
    width, heads, depth, length = (16, 4, 2, 8) if quick else (4096, 32, 16, 512)
    stack = partial(networks.transformer, width=width, heads=heads, depth=depth)
    huge_width, huge_heads, huge_depth = (32, 4, 3) if quick else (8192, 64, 64)
    huge = partial(networks.transformer, width=huge_width, heads=huge_heads, depth=huge_depth)

    def by_model(count: int) -> Axes:
        return {"model": count}

    return {
        "ResNet-50, data": Scaling(
            resnet,
            shape=lambda count: (batch * count, 3, side, side),
            axes=lambda count: {"data": count},
            sharding={"x": ("data",)},
            unit="images/s",
            per_call=lambda count: batch * count,
        ),
        "transformer, model": Scaling(
            stack, lambda _: (1, length, width), by_model, HEADS, "calls/s", lambda _: 1
        ),
        "transformer, data and model": Scaling(
            stack,
            shape=lambda count: (count // 2, length, width),
            axes=lambda count: {"data": 2, "model": count // 2},
            sharding={"x": ("data",), **HEADS},
            unit="sequences/s",
            per_call=lambda count: count // 2,
            least=4,
        ),
        # 103 GB of weights, which no single GPU of 80 GB holds.
        "large transformer, model": Scaling(
            huge, lambda _: (1, length, huge_width), by_model, HEADS, "calls/s", lambda _: 1, 2
        ),
    }


def shared_weights(plan: plans.Plan, dtype: str) -> dict[str, dict[str, Array]]:
    """Random weights; all blocks of a transformer share the host's arrays of the first."""
    first = {name: layer for name, layer in plan.layers.items() if _origin(name) == name}
    drawn = plans.weights(plans.Plan(first), dtype)
    return {name: drawn[_origin(name)] for name in plan.layers}


def _origin(name: str) -> str:
    block, _, rest = name.partition("_")
    return f"block0_{rest}" if block.removeprefix("block").isdecimal() and rest in PARTS else name


PARTS = ("norm1", "q", "k", "v", "out", "norm2", "up", "down")


# --- tripy: what depends on tp.distributed is here -------------------------------------------


def ours(scaling: Scaling, case: Case, count: int, device: str) -> Contestant:
    import tripy as tp
    from bench.nets import in_tripy

    in_tripy.prepare()
    if device == "cpu":
        tp.distributed.use_cpu_devices(4)
    mesh = tp.distributed.Mesh(scaling.axes(count))
    info = tp.InputInfo(case.shape, getattr(tp, case.dtype))
    with tp.config.override(default_device="cpu"):  # no device holds all weights
        net = in_tripy.network(case)
    start = time.perf_counter()
    exe = tp.compile(net, args=[info], mesh=mesh, sharding=dict(scaling.sharding))
    seconds = time.perf_counter() - start
    divided = {key: scaling.sharding.get("x", ()) for key in ("x", "output")}
    place = tp.compile(lambda x: x * 1, args=[info], mesh=mesh, sharding=divided)
    x = place(case.x)
    return Contestant(lambda: exe(x), tp.Tensor.eval, lambda result: result.numpy(), seconds)


# --- plain JAX -------------------------------------------------------------------------------


def _spec(sharding: Mapping[str, Spec], name: str) -> Spec:
    return next((spec for key, spec in sharding.items() if fnmatch.fnmatch(name, key)), ())


def peer(scaling: Scaling, case: Case, count: int, device: str) -> Contestant:
    """The same arrays divided over the same mesh, with weights as arguments."""
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from bench.nets import in_jax

    axes = scaling.axes(count)
    mesh = Mesh(np.array(jax.devices()[:count]).reshape(*axes.values()), tuple(axes))

    def put(array: Array, spec: Spec) -> Any:
        where = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.make_array_from_callback(array.shape, where, lambda index: array[index])

    vocabulary = in_jax.Vocabulary(case, "NHWC" if len(case.shape) == 4 else "NCHW")

    def put_weight(layer: str, name: str, value: Array) -> Any:
        spec = _spec(scaling.sharding, f"layers.{layer}.{name}")
        is_turned = case.plan.layers[layer].kind == "linear" and name == "weight"
        return put(value, spec[::-1] if is_turned else spec)

    vocabulary.place(put_weight)
    x = np.moveaxis(case.x, 1, -1) if vocabulary.last else case.x
    x = put(np.ascontiguousarray(x), _spec(scaling.sharding, "x"))

    @jax.jit
    def network(weights: Any, x: Any) -> Any:
        traced = copy.copy(vocabulary)
        traced.weights = weights
        return case.architecture(traced, x)

    call = partial(network, vocabulary.weights, x)
    start = time.perf_counter()
    call().block_until_ready()
    return Contestant(call, jax.block_until_ready, np.asarray, time.perf_counter() - start)


# --- one measurement, in a process of its own ------------------------------------------------

CONTESTANTS = {OURS: ours, PEER: peer}


def _gigabytes(count: int) -> dict[str, float]:
    """Memory of the GPU that uses most, after the calls and at its highest."""
    import jax

    stats = [device.memory_stats() or {} for device in jax.devices()[:count]]
    keys = {"bytes_in_use": "resident_gigabytes", "peak_bytes_in_use": "gigabytes"}
    return {
        name: max(s[key] for s in stats) / 1e9
        for key, name in keys.items()
        if all(key in s for s in stats)
    }


def _waited(result: Any, wait: Callable[[Any], Any]) -> Any:
    wait(result)
    return result


def measure_one(options: argparse.Namespace) -> dict[str, Any]:
    """Times and memory of one contestant; a part of its result is left in a file."""
    from bench.nets.contests import summary

    scaling = cases(options.quick)[options.case]
    case = scaling.case(options.count, options.device)
    contestant = CONTESTANTS[options.who](scaling, case, options.count, options.device)
    if options.device == "cpu":  # where calls that overlap would starve each other
        call, wait = contestant.call, contestant.wait
        contestant = replace(contestant, call=lambda: _waited(call(), wait))
    result = contestant.read(contestant.call())[:1]
    np.save(options.result, result)
    samples = measure({options.who: contestant}, options.rounds)[options.who]
    throughput = scaling.per_call(options.count) / samples.median
    entry = summary(samples) | {"throughput": throughput} | _gigabytes(options.count)
    return entry | {"compile_seconds": contestant.compile_seconds}


def _child(options: argparse.Namespace, name: str, count: int, who: str, result: Path) -> Any:
    """What a process of its own measures, or why it did not."""
    given = {"--case": name, "--count": count, "--who": who, "--result": result}
    given |= {"--device": options.device, "--rounds": options.rounds}
    words = [str(word) for pair in given.items() for word in pair]
    command = [sys.executable, "-m", "bench.gpu.scaling", *words, *["--quick"] * options.quick]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=options.limit)
    except subprocess.TimeoutExpired:
        return {"failure": f"not done after {options.limit:.0f} s"}
    if done.returncode:
        return {"failure": _last_error(done.stderr)}
    return json.loads(done.stdout.splitlines()[-1])


def _last_error(text: str) -> str:
    """The line of a traceback that says what went wrong."""
    lines = text.strip().splitlines() or ["no message"]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (named or lines)[-1][:300]


# --- all measurements ------------------------------------------------------------------------


def _compare(entry: dict[str, Any], result: Path, expected: Path) -> None:
    """Note the relative error to the first result of a case."""
    if "failure" in entry:
        return
    if not expected.exists():
        expected.write_bytes(result.read_bytes())
    try:
        entry["error"] = relative_error(np.load(result), np.load(expected).astype(np.float64))
    except Exception as problem:
        entry["error"], entry["failure"] = float("nan"), str(problem)
    if not entry["error"] <= ERROR_LIMIT:
        entry.setdefault("failure", f"WRONG result: relative error {entry['error']:.1e}")
        entry.pop("median", None)


def _row(
    options: argparse.Namespace, name: str, count: int, folder: Path, first: dict[str, Any]
) -> Row:
    """All contestants of a case on a number of GPUs; `first` holds those on fewest."""
    entries = {}
    for who in options.contestants:
        result = folder / f"{who}.npy"
        entry = _child(options, name, count, who, result)
        _compare(entry, result, folder / f"{name}.npy")
        base_count, base = first.setdefault((name, who), (count, entry.get("throughput")))
        if "median" in entry and base:
            entry["of_linear"] = entry["throughput"] / base * base_count / count
        entries[who] = entry
        text = entry.get("failure") or f"{1e3 * entry['median']:.4g} ms"
        print(f"{name}, {count} GPUs, {who}: {text}", file=sys.stderr, flush=True)
    unit = cases(options.quick)[name].unit
    row = {"group": "scaling", "key": f"{name}, {count} GPUs", "case": name, "gpus": count}
    return row | {"unit": unit, "contestants": entries}


def _wanted(options: argparse.Namespace) -> list[tuple[str, int]]:
    pairs = ((name, count) for name in cases(options.quick) for count in options.counts)
    return [
        (name, count)
        for name, count in pairs
        if cases(options.quick)[name].least <= count
        and options.only in name
        and (options.large or not name.startswith("large"))
    ]


def measure_all(options: argparse.Namespace, command: str) -> int:
    run = {"machine": machine(options.device), "command": command}
    report = Report(options.json, options.markdown, run)
    first: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in _wanted(options):
            report.add(_row(options, name, count, Path(folder), first))
    print(report.text())
    return int(any("failure" in e for row in report.rows for e in row["contestants"].values()))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.gpu.scaling")
    add = parser.add_argument
    add("--counts", default="1,2,4", help="numbers of GPUs (%(default)s)")
    add("--only", default="", metavar="TEXT", help="only cases whose name has this text")
    add("--large", action="store_true", help="also a model that no single GPU holds")
    add("--contestants", default=f"{PEER},{OURS}", help="(%(default)s)")
    add("--json", type=Path, metavar="PATH", help="rows are added to this file")
    add("--markdown", type=Path, metavar="PATH", help="the tables of all rows")
    add("--device", choices=("gpu", "cpu"), default="gpu")
    add("--rounds", type=int, default=10)
    add("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    add("--limit", type=float, default=240, help="seconds for one measurement (%(default)s)")
    for name, kind in (("case", str), ("count", int), ("who", str), ("result", Path)):
        add(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.counts = [int(count) for count in options.counts.split(",")]
    options.contestants = options.contestants.split(",")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the use of memory is to be seen
    if options.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    if options.case:
        print(json.dumps(measure_one(options)))
        return 0
    return measure_all(options, shlex.join(["python", "-m", "bench.gpu.scaling", *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
