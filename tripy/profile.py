"""``Executable.profile``: where the time of a call goes, by operation and source line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import errors
from tripy.engines import base
from tripy.graph import Graph, Node
from tripy.signature import is_integer

_LONGEST = 40  # characters of a name or operation in the table


class ProfileRow(NamedTuple):
    """One kernel, or all kernels of an operation that the engine splits.

    Attributes:
        name: path of the module whose parameters it uses, otherwise ``op``.
        op: the operations in it, such as ``conv+relu``; work of the engine's own has its name.
        source: ``file:line`` of the (first) operation.
        calls: how often it was measured.
        time_us: median time of one call, in microseconds.
        percent: share of ``total_us``.
        kernel: the engine's own name of what runs (of several, the slowest).
    """

    name: str
    op: str
    source: str
    calls: int
    time_us: float
    percent: float
    kernel: str


class ProfileReport:
    """The outcome of ``Executable.profile``; its text is a table, slowest first.

    Attributes:
        engine: name of the engine that ran.
        rows: one ProfileRow per kernel or split operation, in the order in which they first run.
        total_us: sum of the times of all rows.

    Example:
        >>> exe = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)], engine="reference")
        >>> report = exe.profile(np.ones(3, np.float32))
        >>> [(row.op, row.calls, row.percent) for row in report.rows]
        [('exp', 10, 100.0)]
        >>> str(report).splitlines()[1].split()
        ['name', 'op', 'calls', 'time_us', 'percent', 'source', 'kernel']
    """

    def __init__(self, engine: str, rows: Sequence[ProfileRow]) -> None:
        self.engine = engine
        self.rows = list(rows)
        self.total_us = sum(row.time_us for row in rows)

    def __str__(self) -> str:
        title = f"{len(self.rows)} rows for {self.engine}, {self.total_us:.1f} us per call"
        lines = [("name", "op", "calls", "time_us", "percent", "source", "kernel")]
        for row in sorted(self.rows, key=lambda row: -row.time_us):
            numbers = (str(row.calls), f"{row.time_us:.1f}", f"{row.percent:.1f}")
            lines.append((_short(row.name), _short(row.op), *numbers, row.source, row.kernel))
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join([title, *(_aligned(line, widths) for line in lines)])

    __repr__ = __str__

    def chrome_trace(self) -> str:
        """Return the kernels one after the other as JSON that chrome://tracing and Perfetto open.

        Example:
            >>> info = tp.InputInfo((3,), tp.float32)
            >>> exe = tp.compile(tp.exp, args=[info], engine="reference")
            >>> text = exe.profile(np.ones(3, np.float32)).chrome_trace()
            >>> import json
            >>> [event["name"] for event in json.loads(text)["traceEvents"]]
            ['exp']
        """
        import json  # only needed here

        events, start = [], 0.0
        for row in self.rows:
            place = {"name": row.name, "cat": row.op, "ph": "X", "pid": 0, "tid": 0}
            shown = {"op": row.op, "source": row.source, "kernel": row.kernel, "calls": row.calls}
            events.append({**place, "ts": start, "dur": row.time_us, "args": shown})
            start += row.time_us
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"})


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [t.rjust(w) if 2 <= i < 5 else t.ljust(w) for i, (t, w) in enumerate(zip(line, widths))]
    return "    " + "  ".join(cells).rstrip()


def check_repeat(repeat: Any) -> int:
    """Raise TripyTypeError or TripyValueError unless ``repeat`` is an int from 1."""
    if is_integer(repeat) and repeat >= 1:
        return int(repeat)
    kind = errors.TripyValueError if is_integer(repeat) else errors.TripyTypeError
    raise errors.error(
        kind,
        "repeat must be the number of calls to measure.",
        received=errors.describe(repeat),
        expected="an int, at least 1",
        fix="leave it out to measure 10 calls",
        argument="repeat",
    )


def profiled(
    name: str, graph: Graph, options: base.Options, inputs: Sequence[Any], repeat: int
) -> ProfileReport:
    """Time the kernels of a graph on an engine."""
    engine = base.load(name)
    if not isinstance(engine, base.Profiler):
        raise errors.error(
            errors.TripyUnsupportedError,
            f"the engine {name!r} cannot time its kernels.",
            received=f"an Executable with engine={name!r}",
            expected="an engine with counters",
            fix="compile with engine='reference', which times every operation",
        )
    kernels = _merged(engine.profile(graph, options, inputs, repeat) if graph.outputs else [])
    medians = [float(np.median(kernel.microseconds)) for kernel in kernels]
    total = sum(medians)
    return ProfileReport(name, [_row(k, t, total, graph.names) for k, t in zip(kernels, medians)])


def _merged(kernels: Sequence[base.Kernel]) -> list[base.Kernel]:
    """Return one kernel for all parts of the same operations."""
    groups: dict[tuple[Any, ...], list[base.Kernel]] = {}
    for kernel in kernels:
        groups.setdefault((kernel.op, *map(id, kernel.nodes)), []).append(kernel)
    merged = []
    for parts in groups.values():
        slowest = max(parts, key=lambda part: sum(part.microseconds))
        more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        times = [sum(times) for times in zip(*(part.microseconds for part in parts))]
        merged.append(slowest._replace(kernel=slowest.kernel + more, microseconds=times))
    return merged


def _row(kernel: base.Kernel, time: float, total: float, names: Mapping[int, str]) -> ProfileRow:
    paths = [path for node in kernel.nodes if (path := _path(node, names))]
    source = next((node.source for node in kernel.nodes if node.source), ())
    return ProfileRow(
        name=paths[0] if paths else kernel.op,
        op=kernel.op,
        source=errors.location(source).rpartition(", in ")[0],
        calls=len(kernel.microseconds),
        time_us=time,
        percent=100.0 * time / total if total else 0.0,
        kernel=kernel.kernel,
    )


def _path(node: Node, names: Mapping[int, str]) -> str:
    """Return the path of the module that the parameters of a node belong to, or ''."""
    pending = list(node.inputs)
    while pending:
        value = pending.pop(0)
        if value.is_leaf and value.parameter:
            return names.get(id(value), "").rpartition(".")[0]
        if not value.traced and value.node is not None:
            pending += value.node.inputs
    return ""
