"""Commands for saved executables: ``python -m tripy inspect``, ``bench`` and ``verify``."""

from __future__ import annotations

import argparse
import collections
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

import tripy as tp
from tripy import errors, saved, structure
from tripy.check import bounds_of, random_leaves
from tripy.engines import base
from tripy.graph import Value, shape_text, volume

_LARGEST = 5  # constants that inspect shows
_WARM_UP = 3  # calls


def main(command: str, argv: Sequence[str]) -> int:
    """0: done; 1: ``verify`` found a difference; 2: nothing could be done."""
    run, arguments = _COMMANDS[command].run, _parse(command, argv)
    try:
        return run(arguments)
    except (errors.TripyException, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


# --- arguments -------------------------------------------------------------------------------


def _parse(command: str, argv: Sequence[str]) -> argparse.Namespace:
    _, purpose, add_options = _COMMANDS[command]
    parser = argparse.ArgumentParser(prog=f"python -m tripy {command}", description=purpose)
    parser.add_argument("file", metavar="FILE", help="what Executable.save wrote")
    add_options(parser)
    return parser.parse_args(argv)


def _inspect_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--graph", action="store_true", help="show the operations too")
    group.add_argument("--mermaid", action="store_true", help="print only a Mermaid flowchart")
    group.add_argument("--dot", action="store_true", help="print only a graph for Graphviz")


def _bench_options(parser: argparse.ArgumentParser) -> None:
    _input_options(parser)
    add = parser.add_argument
    add("--repeat", type=_from(1), metavar="N", help="at most N calls (default: no limit)")
    add(
        "--seconds",
        type=_seconds,
        metavar="S",
        help="calls for at most S seconds (default: 2, or no limit with --repeat)",
    )
    add("--profile", action="store_true", help="show how long each operation takes")


def _input_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size",
        type=_size,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="values of dynamic sizes, by the names that inspect shows (default: the opt sizes)",
    )
    parser.add_argument(
        "--seed",
        type=_from(0),
        default=0,
        metavar="N",
        help="of the random inputs (default: %(default)s)",
    )


def _verify_options(parser: argparse.ArgumentParser) -> None:
    _input_options(parser)
    parser.add_argument(
        "--locate",
        action="store_true",
        help="look for the first operation that differs, and show the smallest program that does",
    )


def _size(text: str) -> tuple[str, int]:
    name, _, value = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no integer in {text!r}") from None


def _from(minimum: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is no integer from {minimum}")
        return int(text)

    return integer


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


# --- inputs ----------------------------------------------------------------------------------


def _sizes(executable: tp.Executable, given: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Return the value of every dynamic size: the given one, or opt."""
    bounds = bounds_of(executable)
    sizes = {name: opt for name, (_, opt, _) in bounds.items()}
    for name, size in given:
        _check_size(name, size, bounds)
        sizes[name] = size
    return sizes


def _check_size(name: str, size: int, bounds: Mapping[str, tuple[int, int, int]]) -> None:
    if name not in bounds:
        raise errors.error(
            errors.TripyValueError,
            f"the executable has no dynamic size {name!r}.",
            received=f"--size {name}={size}",
            expected=errors.one_of(bounds) if bounds else "no --size: every size is fixed",
            fix=errors.did_you_mean(name, bounds) or "leave it out to use the opt size",
        )
    low, _, high = bounds[name]
    if not low <= size <= high:
        raise errors.error(
            errors.TripyValueError,
            f"the size {name!r} is out of bounds.",
            received=f"--size {name}={size}",
            expected=f"{low} … {high}",
            fix="pass such a size, or compile with other bounds",
        )


class _RandomInputs(NamedTuple):
    arguments: list[Any]  # of a call, by position
    text: str


def _random_inputs(executable: tp.Executable, arguments: argparse.Namespace) -> _RandomInputs:
    """Return inputs that depend on nothing but the seed and the sizes."""
    sizes = _sizes(executable, arguments.size)
    rng = np.random.default_rng(arguments.seed)
    leaves = random_leaves(executable, sizes, rng)
    values = zip(executable.input_infos, executable._graph.inputs, leaves)
    lines = [f"    {path}: {_described(value, leaf)}" for path, value, leaf in values]
    templates = executable._parameters.templates.values()
    return _RandomInputs([structure.rebuild(t, leaves) for t in templates], "\n".join(lines))


def _described(value: Value, leaf: Any) -> str:
    return str(leaf) if isinstance(leaf, int) else f"{value.dtype} {shape_text(leaf.shape)}"


# --- commands --------------------------------------------------------------------------------


def _inspect(arguments: argparse.Namespace) -> int:
    manifest, executable, program = saved.summary(arguments.file)
    graph = executable.graph
    if arguments.mermaid or arguments.dot:
        print(graph.mermaid() if arguments.mermaid else graph.dot())
        return 0
    members = [f"{name} {_bytes(size)}" for name, (size, _) in manifest["members"].items()]
    print(f"{arguments.file}: {_bytes(os.path.getsize(arguments.file))} ({', '.join(members)})")
    print(f"format {manifest['format']}, saved by tripy {manifest.get('tripy')}")
    print(executable)
    print(f"program: {program}")
    if manifest.get("fingerprint"):
        print(f"    saved for {manifest['fingerprint']}")
    _print_operations(executable)
    _print_constants(executable)
    if arguments.graph:
        print(graph)
    return 0


def _print_operations(executable: tp.Executable) -> None:
    nodes = [value.node for value in executable._graph.operations]
    kinds = collections.Counter(node.label for node in nodes if node is not None)
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    print(f"operations: {len(nodes)}")
    for name, count in ordered:
        print(f"    {count} {name}")


def _print_constants(executable: tp.Executable) -> None:
    """Print number and size of parameters and other constants, and which are the largest."""
    graph = executable._graph
    values = sorted(graph.constants, key=_size_of, reverse=True)
    elements = int(sum(volume(value.shape) for value in values))
    total = _bytes(sum(map(_size_of, values)))
    print(f"parameters and constants: {len(values)}, {elements} elements, {total}")
    nodes = [value.node for value in reversed(graph.operations) if value.node is not None]
    users = {id(i): node.label for node in nodes for i in node.inputs}
    for value in values[:_LARGEST]:
        name = graph.names.get(id(value)) or f"of {users.get(id(value), 'the results')}"
        print(f"    {name}: {value.dtype} {shape_text(value.shape)}, {_bytes(_size_of(value))}")


def _size_of(value: Value) -> int:
    return math.ceil(volume(value.shape) * value.dtype.itemsize)


def _bytes(count: int) -> str:
    """Return a number of bytes with a unit."""
    power = min(max(len(str(count)) - 1, 0) // 3, 4)
    unit = ("bytes", "kB", "MB", "GB", "TB")[power]
    return f"{count / 1000**power:.1f} {unit}" if power else f"{count} {unit}"


def _bench(arguments: argparse.Namespace) -> int:
    executable, load_time = _timed(lambda: tp.Executable.load(arguments.file))
    inputs, text = _random_inputs(executable, arguments)
    print(f"{arguments.file}: {_environment(executable)}\n{text}")
    _, first = _timed(lambda: executable(*inputs))
    print(f"load: {_milliseconds(load_time)}, with the import of the engine")
    print(f"first call: {_milliseconds(first)}", flush=True)
    times = _times(lambda: executable(*inputs), arguments.repeat, arguments.seconds)
    low, median, high = np.percentile(times, (10, 50, 90))
    print(f"call: median {_milliseconds(median)}, p10 {_milliseconds(low)}", end="")
    print(f", p90 {_milliseconds(high)}, of {len(times)} calls")
    print(f"calls per second: {len(times) / sum(times):.1f}")
    if arguments.profile:
        print(executable.profile(*inputs))
    return 0


def _times(call: Callable[[], Any], repeat: int | None, seconds: float | None) -> list[float]:
    """Return the times of the calls after the warm-up; there is at least one."""
    limit = (2.0 if repeat is None else math.inf) if seconds is None else seconds
    for _ in range(_WARM_UP - 1):  # one more comes before
        call()
    times: list[float] = []
    end = time.perf_counter() + limit
    while not times or (time.perf_counter() < end and len(times) != repeat):
        times.append(_timed(call)[1])
    return times


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"


def _environment(executable: tp.Executable) -> str:
    """Return engine, device, threads and versions."""
    package = base.package(executable.engine)
    threads = tp.config.num_threads or f"chosen by the engine for {os.cpu_count()} processors"
    versions = f"tripy {tp.__version__}, Python {sys.version.split()[0]}, NumPy {np.__version__}"
    return (
        f"engine={executable.engine} ({package} {metadata.version(package)}), "
        f"device={executable.device}, precision={executable.precision}\n"
        f"threads: {threads}\n{versions}"
    )


def _verify(arguments: argparse.Namespace) -> int:
    executable = tp.Executable.load(arguments.file)
    inputs, text = _random_inputs(executable, arguments)
    report = executable.verify(*inputs, locate=arguments.locate)
    print(f"{arguments.file}: engine={executable.engine}, seed {arguments.seed}\n{text}\n{report}")
    return 0 if report.ok else 1


class _Command(NamedTuple):
    run: Callable[[argparse.Namespace], int]
    purpose: str
    add_options: Callable[[argparse.ArgumentParser], None]


_COMMANDS = {
    "inspect": _Command(
        _inspect,
        "Check a saved executable and show signature, versions, operations and parameters.",
        _inspect_options,
    ),
    "bench": _Command(
        _bench, "Measure calls of a saved executable on random inputs.", _bench_options
    ),
    "verify": _Command(
        _verify,
        "Compare a saved executable with the reference engine on random inputs.",
        _verify_options,
    ),
}
