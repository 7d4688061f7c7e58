"""What ``tp.compile(check=True)`` does: random inputs at three sizes, compared with NumPy."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tripy import dtypes, errors, shapes, structure
from tripy.graph import Graph, Value, specialise, volume
from tripy.inputs import DimensionInputInfo
from tripy.locate import part_order
from tripy.verify import Report

if TYPE_CHECKING:
    from tripy.executable import Executable

_logger = logging.getLogger("tripy.check")

LARGEST_INTEGER = 9  # of random inputs, which are often indices
_BYTES = 2**29  # of all values of a graph, which the reference engine holds at once
_WORK = 4e10  # operations of about 0.05 ns, so about two seconds of NumPy's time
_PARTS = 64  # of the way from the smallest to the largest sizes, to look for those within limits
_INDICES = ("gather", "take_along_dim", "scatter")


# --- inputs ----------------------------------------------------------------------------------


def random_leaves(
    executable: Executable, sizes: Mapping[str, int], rng: np.random.Generator
) -> list[Any]:
    """Return one random array, or size, per described input."""
    graph = executable._graph
    limits = _index_limits(graph, sizes)
    leaves: list[Any] = []
    for (path, info), value in zip(executable.input_infos.items(), graph.inputs):
        if isinstance(info, DimensionInputInfo):
            leaves.append(sizes.get(path, info.value_bounds.opt[0]))
        else:
            shape = shapes.substitute(value.shape, sizes)
            leaves.append(_random(rng, value.dtype, shape, limits.get(id(value))))
    return leaves


def _random(
    rng: np.random.Generator, kind: dtypes.dtype, shape: tuple[int, ...], limit: int | None
) -> Any:
    """Return normally distributed floats, integers from 0 to 9 (int4: 7), or random bools."""
    is_float = issubclass(kind, dtypes.floating)
    if is_float:
        elements: Any = rng.standard_normal(shape)
    elif kind is dtypes.bool_:
        elements = rng.integers(2, size=shape)
    else:
        largest = min(LARGEST_INTEGER, dtypes.integer_range(kind)[1])
        largest = largest if limit is None else min(largest, max(limit, 1) - 1)
        elements = rng.integers(largest + 1, size=shape)
    return np.asarray(elements).astype(dtypes.to_numpy(kind))


def _index_limits(graph: Graph, sizes: Mapping[str, int]) -> dict[int, int]:
    """Return the smallest size that an integer input is an index of, by id."""
    found: dict[int, int] = {}
    integers = {id(v) for v in graph.inputs if not issubclass(v.dtype, dtypes.floating)}
    for value in graph.operations if integers else ():
        node = value.node
        if node is None or node.primitive.name not in _INDICES:
            continue
        size = shapes.substitute(node.inputs[0].shape, sizes)[node.attributes["dim"]]
        index = node.inputs[1]
        sources = part_order(graph, index)
        for used in (index, *(i for v in sources if v.node for i in v.node.inputs)):
            if id(used) in integers:
                found[id(used)] = min(found.get(id(used), size), size)
    return found


# --- sizes -----------------------------------------------------------------------------------


def bounds_of(executable: Executable) -> dict[str, tuple[int, int, int]]:
    """Return (min, opt, max) of every dynamic size."""
    infos = list(executable.input_infos.values())
    found: dict[str, tuple[int, int, int]] = {}
    for name, (position, dim) in executable._graph.symbols.items():
        info = infos[position]
        b = info.value_bounds if isinstance(info, DimensionInputInfo) else info.shape_bounds
        found[name] = b.min[dim or 0], b.opt[dim or 0], b.max[dim or 0]
    return found


def checked_sizes(executable: Executable) -> list[dict[str, int]]:
    """Return the smallest, usual and largest sizes, each only once and within the limits."""
    bounds, graph = bounds_of(executable), executable._plan.graph
    found: list[dict[str, int]] = []
    for position, word in enumerate(("smallest", "usual", "largest")):
        wanted = {name: row[position] for name, row in bounds.items()}
        sizes = next(_smaller(graph, bounds, wanted), None)
        if sizes is None:
            _logger.warning("the %s sizes are not checked: %s do not fit", word, _shown(wanted))
        elif sizes not in found:
            found.append(sizes)
        if sizes is not None and sizes != wanted:
            _logger.warning(
                "instead of the %s sizes, %s, smaller ones are checked: %s",
                *(word, _shown(wanted), _shown(sizes)),
            )
    return found


def _smaller(
    graph: Graph, bounds: Mapping[str, tuple[int, int, int]], wanted: dict[str, int]
) -> Iterator[dict[str, int]]:
    """Yield sizes that fit together and within the limits, the largest first."""
    for part in range(_PARTS, -1, -1):
        low = {name: row[0] for name, row in bounds.items()}
        sizes = {n: low[n] + (size - low[n]) * part // _PARTS for n, size in wanted.items()}
        fits = all(condition.holds(sizes) for condition in graph.conditions)
        if fits and (sizes == low or _is_affordable(graph, sizes)):
            yield sizes


def _is_affordable(graph: Graph, sizes: Mapping[str, int]) -> bool:
    """Whether NumPy can run a graph in about two seconds and 512 MiB."""
    static = specialise(graph, sizes)
    values = static.operations
    size = sum(volume(v.shape) * v.dtype.itemsize for v in (*static.inputs, *values))
    work = sum(v.node.primitive.work(v.node) for v in values if v.node is not None)
    return size <= _BYTES and work <= _WORK


def _shown(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


# --- the check -------------------------------------------------------------------------------


def check(executable: Executable) -> None:
    """Raise TripyRuntimeError where an Executable gives other results than the reference engine."""
    if executable.engine == "reference":
        return
    rng = np.random.default_rng(0)
    for sizes in checked_sizes(executable):
        leaves = random_leaves(executable, sizes, rng)
        templates = executable._parameters.templates.values()
        inputs = [structure.rebuild(template, leaves) for template in templates]
        is_single = executable._options.layout is None
        report = executable.verify(*inputs, locate=is_single)
        if not report:
            raise _wrong(executable, sizes, report)
        _logger.info("checked with %s: %s", _shown(sizes) or "random inputs", report)


def _wrong(executable: Executable, sizes: Mapping[str, int], report: Report) -> Exception:
    size = f" with {_shown(sizes)}" if sizes else ""
    found = "fails" if report.failure is not None else "is wrong"
    problem = f"the program of the engine {executable.engine!r} {found} on random inputs{size}."
    source = _source(executable._plan.graph.outputs, report)
    error = errors.error(
        errors.TripyRuntimeError,
        problem,
        received=str(report).replace("\n", "\n  "),
        expected="the results of the reference engine",
        fix="compile with engine='reference', and report the program above; check=False takes the "
        "program as it is",
        source=source,
    )
    error.__cause__ = report.failure
    return error


def _source(outputs: Sequence[Value], report: Report) -> errors.Source:
    """Return where the user wrote the operation that was found, or a result."""
    if report.location is not None:
        source: errors.Source = report.location.executable._graph.outputs[0].source
        return source
    return next((value.source for value in outputs if value.source), ())
