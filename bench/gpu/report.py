"""Rows as JSON and as Markdown; a file that exists is added to, and written after every row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import harness

OURS = "tripy"
Row = dict[str, Any]
DASH = "–"


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


class Report:
    """The rows of one or several runs."""

    def __init__(self, path: Path | None, markdown: Path | None, run: dict[str, Any]) -> None:
        self.path, self.markdown = path, markdown
        stored = json.loads(path.read_text()) if path and path.exists() else {}
        self.runs: list[dict[str, Any]] = [*stored.get("runs", []), run]
        self.rows: list[Row] = stored.get("rows", [])
        self.added = 0

    def has(self, group: str, key: str) -> bool:
        return any((row["group"], row["key"]) == (group, key) for row in self.rows)

    def peaks(self) -> Mapping[str, float]:
        """The highest rates of this run, or of an earlier one."""
        runs = [run for run in self.runs if run.get("peaks")]
        found = runs[-1]["peaks"] if runs else {}
        return {name: max(rates.values()) for name, rates in found.items()}

    def add(self, row: Row) -> None:
        """Add a row, or replace an older one of the same case."""
        same = (row["group"], row["key"])
        self.rows = [old for old in self.rows if (old["group"], old["key"]) != same]
        self.rows.append(row | {"run": len(self.runs) - 1})
        self.added += 1
        self.write()

    def write(self) -> None:
        if self.path:
            record = {"runs": self.runs, "rows": self.rows}
            _replace(self.path, json.dumps(record, indent=1))
        if self.markdown:
            _replace(self.markdown, self.text())

    def text(self) -> str:
        groups = dict.fromkeys(row["group"] for row in self.rows)
        parts = [_header(i, run) for i, run in enumerate(self.runs)]
        parts += [_group(group, [r for r in self.rows if r["group"] == group]) for group in groups]
        return "\n\n".join(part for part in parts if part) + "\n"


def _replace(path: Path, text: str) -> None:
    """Write a whole file, so that one that is read is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


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


def _milliseconds(entry: Mapping[str, Any]) -> str:
    if "median" not in entry:
        return entry["failure"].split(":")[0] if "failure" in entry else ""
    low, high = (1e3 * entry[key] for key in ("p10", "p90"))
    return f"{1e3 * entry['median']:.4g} ({low:.4g}–{high:.4g})"


def best_of_ours(row: Row) -> Mapping[str, Any]:
    """The faster of our memory formats."""
    entries = row["contestants"]
    found = [e for n, e in entries.items() if n.startswith(OURS) and "," not in n and "median" in e]
    return min(found, key=lambda entry: entry["median"], default={})


def best_peer(row: Row, with_ours: bool = False) -> tuple[str, float] | None:
    """The fastest of the others."""
    entries = {n: e for n, e in row["contestants"].items() if "median" in e}
    times = {n: e["median"] for n, e in entries.items() if with_ours or not n.startswith(OURS)}
    return min(times.items(), key=lambda item: item[1]) if times else None


def ratio(row: Row) -> float | None:
    """Our time in times of the best peer; below 1 is faster."""
    peer, ours = best_peer(row), best_of_ours(row).get("median")
    return ours / peer[1] if peer and ours else None


def percent(row: Row, entry: Mapping[str, Any]) -> str:
    """How much of the peak a contestant reaches."""
    if not row.get("floor") or "median" not in entry:
        return ""
    return f"{100 * row['floor'] / entry['median']:.0f}%"


def _compile_text(row: Row) -> str:
    entries = row["contestants"].items()
    times = ((name, entry.get("compile_seconds")) for name, entry in entries)
    return ", ".join(f"{name} {seconds:.2g}" for name, seconds in times if seconds)


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    entries, peer, value = row["contestants"], best_peer(row), ratio(row)
    ours = best_of_ours(row)
    best = f"{peer[0]} {1e3 * peer[1]:.4g}" if peer else DASH
    share = percent(row, ours)
    return [
        row["key"],
        _milliseconds(ours) or DASH,
        best,
        f"{value:.2f}" if value else DASH,
        *(_milliseconds(entries.get(name, {})) or DASH for name in peers),
        f"{share} of {row['bound']}" if share else DASH,
        _compile_text(row),
    ]


def table(columns: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    lines = [list(columns), *map(list, body)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def timing_table(rows: Sequence[Row]) -> str:
    """Times in ms with 10th and 90th percentile; the ratio is to the best peer."""
    names = dict.fromkeys(name for row in rows for name in row["contestants"])
    peers = list(names)
    columns = ["case", f"{OURS} ms", "best peer ms", "ratio", *peers, "of peak", "compile s"]
    return table(columns, (_cells(row, peers) for row in rows))


def form_table(rows: Sequence[Row]) -> str:
    """Times in ms of everything, and which is the fastest."""
    names = list(dict.fromkeys(name for row in rows for name in row["contestants"]))

    def cells(row: Row) -> list[str]:
        entries, fastest = row["contestants"], best_peer(row, with_ours=True)
        times = [_milliseconds(entries.get(name, {})) or DASH for name in names]
        return [row["key"], fastest[0] if fastest else DASH, *times]

    return table(["case", "fastest", *names], map(cells, rows))


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
            *(row["case"], str(row["gpus"]), name, _milliseconds(entry)),
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


def _notes(rows: Sequence[Row]) -> list[str]:
    """Failures in full, and the worst relative errors."""
    notes = [
        f"- {row['key']}: {name}: {entry['failure']}"
        for row in rows
        for name, entry in row["contestants"].items()
        if "failure" in entry
    ]
    errors = [
        (e["error"], name) for r in rows for name, e in r["contestants"].items() if "error" in e
    ]
    worst = {name: max(error for error, who in errors if who == name) for _, name in errors}
    text = ", ".join(f"{name} {error:.1e}" for name, error in worst.items())
    return [*([f"- Largest relative errors: {text}."] if text else []), *notes]


def _group(name: str, rows: Sequence[Row]) -> str:
    text = TABLES.get(name, timing_table)(rows)
    return "\n\n".join([f"## {name}", text, *(["\n".join(_notes(rows))] if _notes(rows) else [])])
