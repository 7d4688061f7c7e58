"""The page of the measurements on GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import harness
from bench.nets.store import (
    DASH,
    OURS,
    Row,
    Run,
    Store,
    best_peer,
    compile_text,
    groups,
    milliseconds,
    names,
    notes,
    table,
)


def driver() -> str:
    """The GPU driver's version, where there is one."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.split("\n")[0].strip()


def machine(device: str) -> dict[str, Any]:
    """Date, devices, driver and versions."""
    import jax

    kinds = [d.device_kind for d in jax.devices()] if device == "gpu" else []
    packages = ("tripy", "jax", "jaxlib", "torch", "triton", "numpy")
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in packages}
    torch = sys.modules.get("torch")
    if torch is not None and torch.version.cuda:
        found |= {"CUDA of torch": torch.version.cuda, "cuDNN": torch.backends.cudnn.version()}
    base = harness.describe_machine(os.cpu_count() or 1)
    versions = {"python": base["versions"]["python"]}
    versions |= {name: str(version) for name, version in found.items() if version}
    return {"date": base["date"], "cpu": base["cpu"], "cores": base["cores"]} | {
        "gpus": kinds,
        "driver": driver() if kinds else "",
        "versions": versions,
    }


class Report(Store):
    """The rows of one or several runs, and the peaks that runs found."""

    def __init__(self, path: Path | None, markdown: Path | None, run: dict[str, Any]) -> None:
        super().__init__(path, markdown, run, page)

    def peaks(self) -> Mapping[str, float]:
        """The highest rates of this run, or of an earlier one."""
        runs = [run for run in self.runs if run.get("peaks")]
        found = runs[-1]["peaks"] if runs else {}
        return {name: max(rates.values()) for name, rates in found.items()}


# --- Markdown --------------------------------------------------------------------------------


def _header(number: int, run: Mapping[str, Any]) -> str:
    about = run["machine"]
    gpus = about["gpus"] or ["no GPU"]
    place = f"{len(gpus)} × {gpus[0]}" if len(gpus) > 1 else gpus[0]
    driven = f", driver {about['driver']}" if about["driver"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [f"Run {number}: {about['date']}, {place}{driven}, {about['cpu']}, {versions}."]
    lines.append(f"Made by `{run['command']}`.")
    for name, rates in run.get("peaks", {}).items():
        unit, factor = ("GB/s", 1e9) if name == "bandwidth" else ("TFLOP/s", 1e12)
        text = ", ".join(f"{who} {rate / factor:.4g}" for who, rate in rates.items())
        lines.append(f"Peak of {name}: {text} {unit}.")
    return "  \n".join(lines)


def best_of_ours(row: Row) -> Mapping[str, Any]:
    """The faster of our memory formats."""
    entries = row["contestants"]
    found = [e for n, e in entries.items() if n.startswith(OURS) and "," not in n and "median" in e]
    return min(found, key=lambda entry: entry["median"], default={})


def ratio(row: Row) -> float | None:
    """Our time in times of the best peer; below 1 is faster."""
    peer, ours = best_peer(row), best_of_ours(row).get("median")
    return ours / peer[1] if peer and ours else None


def percent(row: Row, entry: Mapping[str, Any]) -> str:
    """How much of the peak a contestant reaches."""
    if not row.get("floor") or "median" not in entry:
        return ""
    return f"{100 * row['floor'] / entry['median']:.0f}%"


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    entries, peer, value = row["contestants"], best_peer(row), ratio(row)
    ours = best_of_ours(row)
    best = f"{peer[0]} {1e3 * peer[1]:.4g}" if peer else DASH
    share = percent(row, ours)
    return [
        row["key"],
        milliseconds(ours) or DASH,
        best,
        f"{value:.2f}" if value else DASH,
        *(milliseconds(entries.get(name, {})) or DASH for name in peers),
        f"{share} of {row['bound']}" if share else DASH,
        compile_text(row),
    ]


def timing_table(rows: Sequence[Row]) -> str:
    """Times in ms with 10th and 90th percentile; the ratio is to the best peer."""
    peers = names(rows)
    columns = ["case", f"{OURS} ms", "best peer ms", "ratio", *peers, "of peak", "compile s"]
    return table(columns, (_cells(row, peers) for row in rows))


def form_table(rows: Sequence[Row]) -> str:
    """Times in ms of everything, and which is the fastest."""
    contestants = names(rows)

    def cells(row: Row) -> list[str]:
        entries, fastest = row["contestants"], best_peer(row, with_ours=True)
        times = [milliseconds(entries.get(name, {})) or DASH for name in contestants]
        return [row["key"], fastest[0] if fastest else DASH, *times]

    return table(["case", "fastest", *contestants], map(cells, rows))


def overhead_table(rows: Sequence[Row]) -> str:
    """Microseconds of the host per call."""

    def cells(row: Row, name: str) -> list[str]:
        entry, base = row["contestants"][name], row["contestants"].get("jax.jit", {})
        if "median" not in entry:
            return [row["key"], name, entry.get("failure", ""), ""]
        more = f"{1e6 * (entry['median'] - base['median']):+.1f}" if "median" in base else ""
        low, middle, high = (1e6 * entry[key] for key in ("p10", "median", "p90"))
        return [row["key"], name, f"{middle:.1f} ({low:.1f}–{high:.1f})", more]

    columns = ["case", "call", "µs per call", "more than jax.jit"]
    return table(columns, (cells(row, name) for row in rows for name in row["contestants"]))


def scaling_table(rows: Sequence[Row]) -> str:
    """One line per case, number of GPUs and contestant."""
    columns = ["case", "GPUs", "who", "ms", "per second", "of linear", "GB per GPU"]

    def cells(row: Row, name: str) -> list[str]:
        entry = row["contestants"][name]
        if "median" not in entry:
            return [row["case"], str(row["gpus"]), name, entry["failure"], *[DASH] * 3]
        linear = entry.get("of_linear")
        return [
            *(row["case"], str(row["gpus"]), name, milliseconds(entry)),
            f"{entry['throughput']:.4g} {row['unit']}" if "throughput" in entry else DASH,
            f"{100 * linear:.0f}%" if linear else DASH,
            f"{entry['gigabytes']:.2f}" if entry.get("gigabytes") is not None else DASH,
        ]

    return table(columns, (cells(row, name) for row in rows for name in row["contestants"]))


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "forms": form_table,
    "overhead": overhead_table,
    "scaling": scaling_table,
}


def _group(name: str, rows: Sequence[Row]) -> str:
    text = TABLES.get(name, timing_table)(rows)
    return "\n\n".join([f"## {name}", text, *(["\n".join(notes(rows))] if notes(rows) else [])])


def page(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    parts = [_header(i, run) for i, run in enumerate(runs)]
    parts += [_group(name, found) for name, found in groups(rows).items()]
    return "\n\n".join(part for part in parts if part) + "\n"
