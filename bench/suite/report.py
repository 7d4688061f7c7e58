"""The page: one table per group, what was built in which time and memory, and means of ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import harness
from bench.nets.store import (
    DASH,
    OURS,
    Row,
    Run,
    best_peer,
    groups,
    milliseconds,
    names,
    notes,
    table,
)

OPENVINO, BEST = "OpenVINO", "best peer"
EXPLANATION = """\
Medians in ms with the 10th and the 90th percentile of samples taken in turn; ratios are those of
tripy's median to another one, below 1 is faster. All are given the same weights, input and number
of threads. OpenVINO and ONNX Runtime read one ONNX model; JAX is the faster of its two layouts.
torch with channels_last, and JAX where that is faster, take inputs and give results with the
channels last in memory; all others take and give them first, and pay for what they rearrange.
Compile seconds go from the module, or the ONNX model, to the first result. The peak is that of a
large matrix product of torch. The group "start" goes from the start of a process to its first
result; everybody has files of the model, and those are in memory. In the group "dynamic" programs
for any batch are called with three batches in turn: that of the case, one more and two more; the
time is that of the three calls. int8 networks were quantized by ONNX Runtime, and everybody reads
the same ONNX model."""


def _median(row: Row, name: str) -> float | None:
    return row["contestants"].get(name, {}).get("median")


def ratio(row: Row, name: str | None = None) -> float | None:
    """Our time in times of a peer, or of the best one."""
    best = best_peer(row)
    ours, theirs = _median(row, OURS), _median(row, name) if name else best and best[1]
    return ours / theirs if ours and theirs else None


def _number(value: float | None) -> str:
    return f"{value:.2f}" if value else DASH


def _best_text(row: Row) -> str:
    best, value = best_peer(row), ratio(row)
    return f"{value:.2f} ({best[0]})" if best and value else DASH


def _of_peak(row: Row) -> str:
    """The part of the machine's measured rate that we reach."""
    ours, peak = _median(row, OURS), row.get("peak")
    return f"{row['flops'] / ours / peak:.0%}" if ours and peak else DASH


def timing_table(rows: Sequence[Row]) -> str:
    others = [name for name in names(rows) if name != OURS]
    columns = ["case", f"{OURS} ms", f"to {BEST}", f"to {OPENVINO}", "of peak", *others]

    def cells(row: Row) -> list[str]:
        entries = row["contestants"]
        times = [milliseconds(entries.get(name, {})) or DASH for name in (OURS, *others)]
        ratios = [_best_text(row), _number(ratio(row, OPENVINO)), _of_peak(row)]
        return [row["key"], times[0], *ratios, *times[1:]]

    return table(columns, map(cells, rows))


def compile_table(rows: Sequence[Row]) -> str:
    """Seconds that everybody took to compile; nothing for groups where nobody did."""
    contestants = names(rows)
    compared = [name for name in (OPENVINO, "torch.compile") if name in contestants]

    def seconds(row: Row, name: str) -> float | None:
        return row["contestants"].get(name, {}).get("compile_seconds")

    def cells(row: Row) -> list[str]:
        ours, theirs = seconds(row, OURS), [seconds(row, name) for name in compared]
        ratios = [_number(ours / other) if ours and other else DASH for other in theirs]
        known = (seconds(row, name) for name in contestants)
        return [row["key"], *ratios, *(f"{value:.3g}" if value else DASH for value in known)]

    columns = ["compile s", *(f"{OURS} to {name}" for name in compared), *contestants]
    is_known = any(seconds(row, OURS) for row in rows)
    return table(columns, map(cells, rows)) if is_known else ""


def memory_table(rows: Sequence[Row]) -> str:
    """Nothing, where no memory was measured: only processes of their own show it."""
    contestants = names(rows)

    def cell(entry: Mapping[str, Any]) -> str:
        return f"{entry['peak_megabytes']:.0f}" if "peak_megabytes" in entry else DASH

    def cells(row: Row) -> list[str]:
        return [row["key"], *(cell(row["contestants"].get(name, {})) for name in contestants)]

    body = [cells(row) for row in rows]
    is_known = any(set(line[1:]) != {DASH} for line in body)
    return table(["peak MB of the process", *contestants], body) if is_known else ""


# --- means -----------------------------------------------------------------------------------


def _mean(values: Sequence[float | None], all_count: int) -> str:
    """The geometric mean, and of how many where some are missing."""
    known = [value for value in values if value]
    if not known:
        return DASH
    mean = math.exp(sum(map(math.log, known)) / len(known))
    return f"{mean:.2f}" + (f" (of {len(known)})" if len(known) < all_count else "")


def _kind(row: Row) -> str:
    return f"{row['group']}, {row['arithmetic']}, batch {row['shape'][0]}"


def means_table(rows: Sequence[Row]) -> str:
    """Geometric means of our ratios, by group, arithmetic and batch."""
    peers = [name for name in names(rows) if name != OURS]
    kinds = dict.fromkeys(map(_kind, rows))
    parts: dict[str, Callable[[Row], float | None]] = {BEST: ratio}
    parts |= {name: lambda row, name=name: ratio(row, name) for name in peers}

    def cells(kind: str) -> list[str]:
        found = [row for row in rows if _kind(row) == kind]
        means = (_mean([value(row) for row in found], len(found)) for value in parts.values())
        return [f"{kind} ({len(found)})", *means]

    return table([f"{OURS} to", *parts], map(cells, kinds))


# --- the page --------------------------------------------------------------------------------


def _header(number: int, run: Run) -> str:
    lines = [f"Run {number}: {harness.header(run['machine'])}", f"Made by `{run['command']}`."]
    return "  \n".join([*lines, *run["notes"]])


def _group(name: str, rows: Sequence[Row]) -> str:
    tables = [timing_table(rows), compile_table(rows), memory_table(rows)]
    parts = [f"## {name}", *tables, "\n".join(notes(rows))]
    return "\n\n".join(part for part in parts if part)


def page(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    parts = [EXPLANATION, *(_header(i, run) for i, run in enumerate(runs))]
    parts += [_group(name, found) for name, found in groups(rows).items()]
    if rows:
        parts += ["## Geometric means of the ratios", means_table(rows)]
    return "\n\n".join(parts) + "\n"
