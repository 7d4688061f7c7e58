"""What fits into memory: sizes are compared with the machine's before anything is allocated."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tripy import errors, shapes
from tripy.config import config
from tripy.devices import device
from tripy.graph import Graph, Node, Value, shape_text
from tripy.shapes import Dim, Size

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_FIX = "use smaller sizes, or work on parts; tp.config.memory_limit sets another limit"
_KEPT = 1024  # sets of sizes that are known to fit
_CGROUPS = ("memory.max", "memory/memory.limit_in_bytes")  # of version 2 and 1


def limit() -> int:
    """Return how many bytes one value may take."""
    chosen: int | None = config.memory_limit
    return _machine() if chosen is None else chosen


@functools.cache
def _machine() -> int:
    """Return the bytes of the machine's memory, or of the part that the process may have."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        total = 1 << 62
    return min([total, *_cgroup_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def _cgroup_limits(root: Path, membership: Path) -> Iterator[int]:
    """Yield the limits of the groups of processes that this one belongs to."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    folders = {Path(line.split(":", 2)[-1].lstrip("/")) for line in lines}
    for folder in {Path(), *folders, *(parent for f in folders for parent in f.parents)}:
        for name in _CGROUPS:
            head, _, tail = name.rpartition("/")
            try:
                text = (root / head / folder / tail).read_text().strip()
            except OSError:
                continue
            if text.isdigit() and int(text) > 0:
                yield int(text)


def size_text(count: int) -> str:
    """Return a number of bytes in the unit that reads best."""
    power = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    if count >> 10 * power > 9999:
        return f"2^{count.bit_length() - 1} bytes"
    return f"{count / (1 << 10 * power):.{1 if power else 0}f} {_UNITS[power]}"


def _bytes(itemsize: float, sizes: Iterable[int]) -> int:
    return math.ceil(itemsize * 2) * math.prod(sizes) // 2  # exact: a product may be any int


def check(values: Iterable[Value]) -> None:
    """Raise TripyMemoryError for an operation whose result is larger than memory."""
    most = limit()
    for value in values:
        if value.node is not None and value.data is None and shapes.is_static(value.shape):
            count = _bytes(value.dtype.itemsize, value.shape)  # type: ignore[arg-type]
            if count > most:
                raise too_large(value.node, value.shape, count, most)


def _whose() -> str:
    return "this machine's memory" if config.memory_limit is None else "config.memory_limit"


def too_large(node: Node, shape: shapes.Shape, count: int, most: int) -> errors.TripyMemoryError:
    """Return the error for a result that does not fit."""
    elements = shapes.product(shape) if count < 1 << 63 else "2^63 or more"
    return errors.error(
        errors.TripyMemoryError,
        f"the result of {node.label} would take {size_text(count)} and does not fit into memory.",
        received=f"shape {shape_text(shape)}, {node.dtype}: {elements} elements",
        expected=f"at most {size_text(most)}, {_whose()}",
        fix=_FIX,
        source=node.source,
    )


def check_program(graph: Graph, count: int) -> None:
    """Raise TripyMemoryError for a static program that takes so many bytes beside its inputs."""
    if count <= (most := limit()):
        return
    kinds = [(v, v.dtype.itemsize) for v in graph.operations]
    largest = max(kinds, key=lambda pair: _bytes(pair[1], pair[0].shape))[0]  # type: ignore[arg-type]
    name = "a program" if largest.node is None else largest.node.label
    raise errors.error(
        errors.TripyMemoryError,
        f"the program would take {size_text(count)} and does not fit into memory.",
        received=f"{size_text(count)}; the largest value is the result of {name}, "
        f"shape {shape_text(largest.shape)}, {largest.dtype}",
        expected=f"at most {size_text(most)}, {_whose()}",
        fix=_FIX,
        source=None if largest.node is None else largest.node.source,
    )


# --- compiled programs -----------------------------------------------------------------------


def _made_whole(graph: Graph, engine: str) -> list[Value]:
    """Return the values that get a buffer of their own in a program of an engine."""
    if engine == "xla":  # it tells itself what it needs between inputs and results
        outputs = {id(value) for value in graph.outputs}
        return [value for value in graph.operations if id(value) in outputs]
    scores = _scores(graph) if engine == "openvino" else set()
    return [value for value in graph.operations if id(value) not in scores]


_BETWEEN = ("softmax", "where", "add", "mul", "div", "cast")  # the two products of attention
_DEPTH = 8  # steps that an attention may have between them


def _scores(graph: Graph) -> set[int]:
    """Values between the products of an attention, which OpenVINO computes in blocks."""
    found: set[int] = set()
    for value in graph.operations:
        if value.node is not None and value.node.primitive.name == "matmul":
            path = _path(value.node.inputs[0], _DEPTH)
            if any(v.node is not None and v.node.primitive.name == "softmax" for v in path):
                found.update(map(id, path))
    return found - {id(value) for value in graph.outputs}


def _path(value: Value, depth: int) -> list[Value]:
    """Return the values from one back to the matrix product that it comes from; [] if none."""
    if value.node is None or not depth:
        return []
    if value.node.primitive.name == "matmul":
        return [value]
    inputs = value.node.inputs if value.node.primitive.name in _BETWEEN else ()
    paths = (_path(source, depth - 1) for source in inputs)
    return next(([value, *path] for path in paths if path), [])


class _Watched(NamedTuple):
    """Something to check when the sizes of a call are known: at most so many bytes."""

    node: Node
    sizes: tuple[Size, ...]
    itemsize: float


class Watch:
    """What a program could need beyond memory, or its engine could not count, by sizes of calls.

    What no allowed size makes too large is not looked at again.

    Raises:
        TripyMemoryError: for what is too large in every call.
    """

    def __init__(self, graph: Graph, engine: str, place: device) -> None:
        self._most = limit()
        self._values: dict[tuple[Any, ...], _Watched] = {}
        self._sizes: dict[Size, Node] = {}
        self._fitting: set[tuple[int, ...]] = set()
        for value in _made_whole(graph, engine) if place.kind == "cpu" else ():
            self._add(value, value.node)
        for value in graph.operations if graph.symbols else ():
            node = value.node
            if node is not None and (engine == "openvino" or node.primitive.name == "size"):
                self._add_sizes(node, (value.shape, *node.attributes.values()))

    def __bool__(self) -> bool:
        return bool(self._values or self._sizes)

    def _add(self, value: Value, node: Node | None) -> None:
        kind, bounds = value.dtype.itemsize, [shapes.bounds(size) for size in value.shape]
        if node is None or _bytes(kind, (high for _, high in bounds)) <= self._most:
            return
        least = _bytes(kind, (max(low, 0) for low, _ in bounds))
        if least > self._most:
            raise too_large(node, value.shape, least, self._most)
        key = (tuple(sorted(value.shape, key=str)), kind)
        self._values.setdefault(key, _Watched(node, value.shape, kind))

    def _add_sizes(self, node: Node, attribute: Any) -> None:
        """Collect the sizes that may not fit the 32 bits of OpenVINO's arithmetic of sizes."""
        for size in counted(attribute):
            low, high = shapes.bounds(size)
            if low < -shapes.LARGEST or high > shapes.LARGEST:
                self._sizes.setdefault(size, node)

    def check(self, values: Mapping[str, int]) -> None:
        """Raise TripyMemoryError or TripyUnsupportedError for sizes that cannot be."""
        key = tuple(values.values())
        if key in self._fitting:
            return
        for node, shape, itemsize in self._values.values():
            sizes = [shapes.evaluate(size, values) for size in shape]
            count = _bytes(itemsize, sizes)
            if count > self._most:
                raise too_large(node, tuple(sizes), count, self._most)
        for size, node in self._sizes.items():
            if abs(number := shapes.evaluate(size, values)) > shapes.LARGEST:
                raise _too_wide(node, size, number)
        if len(self._fitting) >= _KEPT:
            self._fitting.clear()
        self._fitting.add(key)


def counted(attribute: Any) -> Iterator[Dim]:
    """Yield the symbolic sizes in (nested tuples of) attributes, and what functions take."""
    if isinstance(attribute, tuple):
        for item in attribute:
            yield from counted(item)
    elif isinstance(attribute, Dim):
        yield attribute
        for monomial, _ in attribute.terms:
            for atom in monomial:
                if isinstance(atom, shapes.Function):
                    yield from counted((atom.left, atom.right))


def _too_wide(node: Node, size: Size, number: int) -> errors.TripyUnsupportedError:
    return errors.error(
        errors.TripyUnsupportedError,
        f"a size of {node.label} does not fit the 32 bits that it is counted in.",
        received=f"{size} = {number}",
        expected=f"at most {shapes.LARGEST}",
        fix="use smaller sizes; the engines 'xla' and 'reference' count in 64 bits, except where "
        "a size becomes a tensor",
        source=node.source,
    )
