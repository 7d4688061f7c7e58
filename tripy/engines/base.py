"""The engine protocol and the look-up of engines by name.

An engine turns a graph into a program. Nothing here assumes how: a program owns its memory plan,
may be specialised to one shape, and takes and gives buffers of its device (arrays on the CPU).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tripy import errors
from tripy.config import config
from tripy.devices import device
from tripy.graph import Graph, Node


class Options(NamedTuple):
    """How a program is to be built."""

    device: device
    precision: str = "float32"
    optimization_level: int = 3
    threads: int | None = None
    shapes_kept: int = 64  # sets of run-time sizes that stay prepared; no exported program has them
    streams: int = 1  # calls that are to run side by side, each on its part of the cores


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
    precisions: tuple[str, ...]

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
    "reference": _Entry("tripy.engines.reference", "numpy", "pip install numpy", ("cpu",)),
}
NAMES = tuple(_ENTRIES)


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
