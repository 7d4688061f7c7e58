"""Draw the networks of a suite's JSON file: `python -m bench.suite.plot IN.json OUT.svg`.

One group of bars per network: the time of each peer in times of tripy's, on a logarithmic axis.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt

from bench.nets.store import OURS, Row

# The same numbers make the same file.
STYLE = {"svg.hashsalt": "tripy", "svg.fonttype": "none", "font.size": 9}
# Peer -> the contestants of which the faster one is drawn, and a colour.
PEERS = {
    "OpenVINO": (("OpenVINO",), "#4c78a8"),
    "ONNX Runtime": (("ONNX Runtime",), "#72b7b2"),
    "torch.compile": (("torch.compile",), "#f58518"),
    "torch": (("torch", "torch channels_last"), "#e45756"),
    "JAX": (("JAX",), "#b279a2"),
}
HEIGHT = 0.16


def ratio(row: Row, names: Sequence[str]) -> float | None:
    """The faster contestant's time in times of ours."""
    entries: Mapping[str, Any] = row["contestants"]
    times = [entries[name]["median"] for name in names if "median" in entries.get(name, {})]
    ours = entries[OURS].get("median")
    return min(times) / ours if times and ours else None


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    matplotlib.use("svg")
    matplotlib.rcParams |= STYLE
    figure, axes = plt.subplots(figsize=(8, 0.95 * len(rows) + 1.2), layout="constrained")
    for number, (peer, (names, colour)) in enumerate(PEERS.items()):
        known = [(i, value) for i, row in enumerate(rows) if (value := ratio(row, names))]
        places = [i + (number - 2) * HEIGHT for i, _ in known]
        bars = axes.barh(places, [value for _, value in known], HEIGHT, color=colour, label=peer)
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
    axes.axvline(1, color="#222", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks([0.5, 1, 2, 4, 8, 16], ["½", "1", "2", "4", "8", "16"])
    axes.set_xlim(0.5, 32)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("time in times of tripy's (right of 1: tripy is faster)")
    axes.set_title(title)
    axes.legend(loc="lower right", ncols=len(PEERS), fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(arguments: Sequence[str]) -> int:
    source, target = map(Path, arguments)
    record = json.loads(source.read_text(encoding="utf-8"))
    networks = [row for row in record["rows"] if row["group"] == "networks"]
    rows = [row for row in networks if row["arithmetic"] == "float32" and row["shape"][0] == 1]
    machine = record["runs"][-1]["machine"]
    title = f"Networks, float32, batch 1, {machine['threads']} threads, {machine['date'][:10]}"
    draw(rows, title, target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
