"""Rows in a JSON file and a Markdown page, written after every row; a file is added to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

OURS = "tripy"
Row = dict[str, Any]
Run = dict[str, Any]
DASH = "–"


class Store:
    """The rows of one or several runs.

    Args:
        page: makes Markdown of all runs and rows.
    """

    def __init__(
        self,
        path: Path | None,
        markdown: Path | None,
        run: Run,
        page: Callable[[Sequence[Run], Sequence[Row]], str],
    ) -> None:
        self.path, self.markdown, self.page = path, markdown, page
        stored = json.loads(path.read_text()) if path and path.exists() else {}
        self.runs: list[Run] = [*stored.get("runs", []), run]
        self.rows: list[Row] = stored.get("rows", [])

    def has(self, group: str, key: str) -> bool:
        return any((row["group"], row["key"]) == (group, key) for row in self.rows)

    def add(self, row: Row) -> None:
        """Add a row, or replace an older one of the same case."""
        same = (row["group"], row["key"])
        self.rows = [old for old in self.rows if (old["group"], old["key"]) != same]
        self.rows.append(row | {"run": len(self.runs) - 1})
        self.write()

    def write(self) -> None:
        if self.path:
            record = {"runs": self.runs, "rows": self.rows}
            _replace(self.path, json.dumps(record, indent=1))
        if self.markdown:
            _replace(self.markdown, self.text())

    def text(self) -> str:
        return self.page(self.runs, self.rows)


def _replace(path: Path, text: str) -> None:
    """Write a whole file, so that one that is read is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def table(columns: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    lines = [list(columns), *map(list, body)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    names = dict.fromkeys(row["group"] for row in rows)
    return {name: [row for row in rows if row["group"] == name] for name in names}


def names(rows: Sequence[Row]) -> list[str]:
    """All contestants, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row["contestants"]))


def milliseconds(entry: Mapping[str, Any]) -> str:
    """Median with 10th and 90th percentile, or the kind of failure."""
    if "median" not in entry:
        return entry["failure"].split(":")[0] if "failure" in entry else ""
    low, high = (1e3 * entry[key] for key in ("p10", "p90"))
    return f"{1e3 * entry['median']:.4g} ({low:.4g}–{high:.4g})"


def best_peer(row: Row, with_ours: bool = False) -> tuple[str, float] | None:
    """The fastest of the others."""
    entries = {n: e for n, e in row["contestants"].items() if "median" in e}
    times = {n: e["median"] for n, e in entries.items() if with_ours or not n.startswith(OURS)}
    return min(times.items(), key=lambda item: item[1]) if times else None


def compile_text(row: Row) -> str:
    entries = row["contestants"].items()
    times = ((name, entry.get("compile_seconds")) for name, entry in entries)
    return ", ".join(f"{name} {seconds:.2g}" for name, seconds in times if seconds)


def notes(rows: Sequence[Row]) -> list[str]:
    """Failures in full, and the worst relative errors."""
    found = [
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
    return [*([f"- Largest relative errors: {text}."] if text else []), *found]


def is_wrong(row: Row) -> bool:
    """Whether our result is missing or anybody's result is wrong."""
    entries = row["contestants"].items()
    return any(
        name.startswith(OURS) or entry["failure"].startswith("WRONG")
        for name, entry in entries
        if "failure" in entry
    )
