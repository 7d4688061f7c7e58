"""The engine protocol and the look-up of engines by name.

An engine turns a graph into a program. Nothing here assumes how: a program owns its memory plan,
may be specialised to one shape, and takes and gives buffers of its device (arrays on the CPU).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from tripy import devices, errors
from tripy.config import config
from tripy.devices import device
from tripy.graph import Graph, Node, Spread, Value
from tripy.host import HOOKS
from tripy.sharding import Layout


class Options(NamedTuple):
    """How a program is to be built."""

    device: device
    precision: str = "float32"
    optimization_level: int = 3
    threads: int | None = None
    shapes_kept: int = 64  # sets of run-time sizes that stay prepared; no exported program has them
    streams: int = 1  # calls that are to run side by side, each on its part of the cores
    layout: Layout | None = None  # devices beside the first one, and what is where


def options_now(place: device, precision: str = "float32", level: int = 3) -> Options:
    """Return options with what the settings say now."""
    return Options(place, precision, level, config.num_threads, config.shapes_kept)


class Refusal(NamedTuple):
    """A node that an engine does not compute exactly as declared, and why."""

    node: Node
    reason: str


class Program(Protocol):
    """A built graph. Calls from several threads at once are allowed."""

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Run on one contiguous buffer per graph input; the caller owns the returned ones."""
        ...

    def export(self) -> bytes | None:
        """Return the program in a form that ``restore`` takes; None where there is none."""
        ...


@runtime_checkable
class Starter(Protocol):
    """The optional method of a program whose calls can go on while Python does something else."""

    def start(self, inputs: Sequence[Any]) -> Callable[[], list[Any]]:
        """Start a call; what is returned waits for it, and must be called exactly once.

        Nobody may change the inputs until then.
        """
        ...


class Engine(Protocol):
    """What an engine module provides as ``ENGINE``."""

    name: str

    def precisions(self, kind: str) -> Sequence[str]:
        """Return the precisions that ``Options`` may have on devices of a kind."""
        ...

    def refusals(self, graph: Graph) -> list[Refusal]:
        """Return the nodes that this engine cannot compute exactly."""
        ...

    def build(self, graph: Graph, options: Options) -> Program:
        """Build a program; the graph has no refusals."""
        ...

    def fingerprint(self, options: Options) -> str:
        """Return what an exported program depends on: versions, hardware and settings.

        Engines that export none return an empty text.
        """
        ...

    def restore(self, graph: Graph, options: Options, exported: Any) -> Program:
        """Return an exported program of a graph; the fingerprint is the same."""
        ...


class Memory(Protocol):
    """What a module that owns the memory of a kind of device provides; the host's is NumPy's."""

    def count(self, kind: str) -> tuple[int, str]:
        """Return how many devices there are, and why there are not more."""
        ...

    def put(self, data: Any, place: device) -> Any:
        """Return elements of the host or another device as an array on a device."""
        ...

    def take(self, data: Any) -> tuple[Any, device]:
        """Return an array of another library that is on such a device, and the device."""
        ...

    def duplicate(self, data: Any) -> Any:
        """Return a copy of an array, in the same layout on the same device."""
        ...

    def fetch(self, data: Any) -> Any:
        """Wait for an array and return its elements as a NumPy array."""
        ...

    def wait(self, data: Any) -> None:
        """Wait until an array is computed."""
        ...

    def synchronize(self, place: device) -> None:
        """Wait until all work that is queued on a device is done."""
        ...


class Kernel(NamedTuple):
    """One step of a program, and how long every measured run of it took.

    Attributes:
        op: the operations in it, such as ``conv+relu``, or the engine's word for other work.
        nodes: the nodes of these operations, in order; none for work of the engine's own.
        kernel: the engine's own name of what runs.
        microseconds: one time per run.
    """

    op: str
    nodes: Sequence[Node]
    kernel: str
    microseconds: Sequence[float]


@runtime_checkable
class Profiler(Protocol):
    """The optional method of an engine that can time the steps of its programs."""

    def profile(
        self, graph: Graph, options: Options, inputs: Sequence[Any], repeat: int
    ) -> list[Kernel]:
        """Run once to warm up and ``repeat`` times more; return the kernels as they ran.

        The program may be one of its own; it must be what ``build`` would make.
        """
        ...


class _Entry(NamedTuple):
    module: str
    requires: str  # package to look for
    install: str
    kinds: tuple[str, ...]  # device kinds


_ENTRIES = {
    "openvino": _Entry("tripy.engines.openvino", "openvino", "pip install openvino", ("cpu",)),
    "xla": _Entry("tripy.engines.xla", "jax", "pip install 'tripy-dl[xla]'", ("cpu", "gpu")),
    "reference": _Entry("tripy.engines.reference", "numpy", "pip install numpy", ("cpu",)),
}
NAMES = tuple(_ENTRIES)


_MEMORY = {"gpu": "tripy.engines.xla_memory"}
_INTERPRETERS = {"cpu": "tripy.engines.reference", "gpu": "tripy.engines.xla_eager"}
_GPU_PACKAGES = ("jax_cuda13_plugin", "jax_cuda12_plugin")


def memory(kind: str) -> Memory:
    """Return what owns the memory of a kind of device other than the host."""
    owner: Memory = importlib.import_module(_MEMORY[kind])
    return owner


@functools.cache
def interpreter(kind: str) -> Callable[[Value], None]:
    """Return what computes one value whose inputs are known, on a kind of device."""
    function: Callable[[Value], None] = importlib.import_module(_INTERPRETERS[kind]).compute
    return function


def put(data: Any, place: device) -> Any:
    """Return elements as an array on a device."""
    data = data.array if type(data) is Spread else data
    return np.asarray(data) if place.kind == "cpu" else memory(place.kind).put(data, place)


@functools.cache
def _gpus() -> tuple[int, str]:
    """Count GPUs; JAX is imported only where a package for GPUs is installed."""
    if not any(map(importlib.util.find_spec, _GPU_PACKAGES)):
        return 0, "JAX for GPUs is not installed (pip install 'tripy-dl[cuda13]')"
    return memory("gpu").count("gpu")


devices.PROBES["gpu"] = _gpus
HOOKS["put"] = put
HOOKS["take"] = lambda data: memory("gpu").take(data)
HOOKS["duplicate"] = lambda data: memory("gpu").duplicate(data)
HOOKS["fetch"] = lambda data: memory("gpu").fetch(data)
HOOKS["wait"] = lambda data: memory("gpu").wait(data)


def is_installed(name: str) -> bool:
    """Whether the package that an engine needs is there (it is not imported)."""
    return importlib.util.find_spec(_ENTRIES[name].requires) is not None


def package(name: str) -> str:
    """Return the package that an engine needs."""
    return _ENTRIES[name].requires


def install_command(name: str) -> str:
    """Return what installs an engine."""
    return _ENTRIES[name].install


def runs_on(name: str, kind: str) -> bool:
    """Whether an engine runs on devices of a kind."""
    return kind in _ENTRIES[name].kinds


def load(name: str) -> Engine:
    """Import an engine; TripyValueError for an unknown name, TripyImportError if not installed."""
    entry = _ENTRIES.get(name)
    if entry is None:
        raise errors.error(
            errors.TripyValueError,
            f"there is no engine {name!r}.",
            received=repr(name),
            expected=errors.one_of(map(repr, NAMES)),
            fix=errors.did_you_mean(name, NAMES) or "leave it out for the best engine",
            argument="engine",
        )
    if not is_installed(name):
        raise errors.error(
            errors.TripyImportError,
            f"the engine {name!r} is not installed.",
            received=repr(name),
            expected="an installed engine",
            fix=entry.install,
            argument="engine",
        )
    engine: Engine = importlib.import_module(entry.module).ENGINE
    return engine


def describe_refusals(name: str, refusals: Sequence[Refusal]) -> str:
    """Return one line per refused operation: what, why, where."""
    lines = [f"the engine {name!r} does not compute exactly:"]
    for node, reason in refusals[:10]:
        where = errors.location(node.source)
        lines.append(f"    {node.primitive.name} ({reason}), at {where}")
    if len(refusals) > 10:
        lines.append(f"    … and {len(refusals) - 10} more")
    return "\n".join(lines)
