"""The benchmark runs from end to end; its figures are for people to judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("name", "rows"), [("foundation", 8), ("quantization", 7)])
def test_benchmarks_run_in_their_quick_mode(name: str, rows: int, tmp_path: Path) -> None:
    report, table = tmp_path / "bench.json", tmp_path / "bench.md"
    command = [sys.executable, f"bench/{name}.py", "--quick"]
    command += ["--json", str(report), "--markdown", str(table)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    record = json.loads(report.read_text(encoding="utf-8"))
    names = [row["name"] for row in record["rows"]]
    assert len(names) == rows
    assert all(row["comparisons"] for row in record["rows"])
    assert record["machine"]["threads"] == 2
    assert all(name in table.read_text(encoding="utf-8") for name in names)
