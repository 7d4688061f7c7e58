"""Random programs: a bounded number of seeds on every engine, and the tool that runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz import planted, table
from fuzz.campaign import Campaign, Finding, seeds_of
from fuzz.check import check
from fuzz.generate import MODES, generated
from fuzz.program import Call, Input, Line, Program, from_data, operations, to_data
from fuzz.worker import Worker, environment

#: What a continuous run takes of each mode; others are for ``make fuzz``.
SEEDS = {"xla": 8, "xla-dynamic": 8}


@pytest.mark.parametrize("mode", MODES)
def test_random_programs_agree_on_every_engine(mode: str) -> None:
    campaign = Campaign([mode], iter(range(SEEDS.get(mode, 24))), 600, 2, quiet=True)
    campaign.run()
    assert not campaign.findings, campaign.summary()
    counts = campaign.counts[mode]
    assert counts["ok"] > counts["refused"]


# --- drawing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["openvino", "openvino-dynamic", "openvino-int8", "xla"])
def test_a_seed_is_one_program(mode: str) -> None:
    worker = Worker()
    try:
        for seed in (1, 2, 10**8):
            here = generated(mode, seed)
            there = from_data(worker.ask(mode=mode, seed=seed, draw=True)["program"])
            assert there == here == from_data(to_data(here))
    finally:
        worker.close()
    assert generated(mode, 3).source != generated(mode, 4).source


def test_programs_are_of_every_kind() -> None:
    programs = [generated("openvino-dynamic", seed) for seed in range(40)]
    programs += [generated("openvino-int8", seed) for seed in range(80)]
    drawn = {line.recipe for program in programs for line in program.steps}
    steps = {step for row in table.rows(True) for step in row.steps}
    assert len(drawn & steps) > 0.75 * len(steps)
    inputs = [item for program in programs for item in program.inputs]
    assert {len(item.sizes) for item in inputs} == {0, 1, 2, 3, 4, 5}
    assert {"float32", "float16", "bool", "int32", "int8", "uint8"} <= {i.dtype for i in inputs}
    sizes = [n for program in programs for call in program.calls for _, n in call.sizes]
    assert {0, 1} <= set(sizes)
    assert any(len(program.outputs) > 1 for program in programs)
    assert np.median([len(program.steps) for program in programs]) > 6


def test_a_new_operation_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ANY_MODE", "1 | f2+ | tp.tril({x}, 1)")
    monkeypatch.setattr(table, "QUANTIZED", "1 | f | tp.relu({x})")
    table.rows.cache_clear()
    _weights_again()
    try:
        found = {name for line in generated("openvino", 5).steps for name in operations(line.code)}
    finally:
        monkeypatch.undo()
        table.rows.cache_clear()
        _weights_again()
    assert found <= {"tril", "relu"}
    assert found


def _weights_again() -> None:
    from fuzz import generate

    generate._weights.cache_clear()


# --- judging ---------------------------------------------------------------------------------

VECTOR = Input("x0", "float32", (4, 6), "normal")


def program(*codes: str, mode: str = "openvino", item: Input = VECTOR) -> Program:
    steps = tuple(Line((f"v{n}",), code) for n, code in enumerate(codes))
    return Program(mode, 0, (item,), (), (), steps, (f"v{len(codes) - 1}",), (Call((), 7),))


def test_right_programs_are_not_accused() -> None:
    hard = [
        ("x0 - tp.mean(x0)", "tp.sum(v0 * 1e5, 0)"),  # cancels
        ("tp.floor(x0 * 3.0)", "tp.sin(v0 * 100.0)"),
        ("x0 / 3.0", "v0 * 3.0 - x0", "tp.sign(v1)"),  # of nothing but roundings
        ("tp.log(x0)", "tp.exp(v0)"),  # NaN
    ]
    for codes in hard:
        outcome = check(program(*codes))
        assert outcome.kind == "ok", (codes, outcome)


def test_errors_of_programs_are_seen() -> None:
    assert check(program("tp.reshape(x0, (5, 5))")).kind == "invalid"
    assert check(program("x0.nothing_like_that")).kind == "invalid"
    assert check(program("1 // 0")).kind == "front end"
    item = Input("x0", "float64", (3,), "normal")
    outcome = check(program("tp.exp(x0)", item=item))
    assert outcome.kind == "refused"
    assert "float64" in outcome.key


@pytest.mark.parametrize("factor", [1 + 1e-3, -1.0, float("nan")])
def test_small_errors_are_found(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    from tripy.engines import openvino_ops

    right = openvino_ops.ROWS["tanh"]

    def wrong(*args: object) -> object:
        from openvino import opset13 as op

        return op.multiply(right(*args), np.float32(factor)).output(0)

    monkeypatch.setitem(openvino_ops.ROWS, "tanh", wrong)
    outcome = check(program("tp.tanh(x0)", "tp.sum(v0 * x0, 1)"))
    assert outcome.kind == "values"
    assert "6 of" in outcome.detail or "4 of 4" in outcome.detail


# --- processes, shrinking and reports --------------------------------------------------------


def planted_findings(name: str, count: int, out: Path) -> list[Finding]:
    """What a campaign finds where one operation is wrong on purpose: one kind of finding."""
    campaign = Campaign(["openvino"], iter(range(count)), 300, 2, 2.0, 10.0, out=out, quiet=True,
                        faults=f"{planted.__name__}:{name}")  # fmt: skip
    campaign.run()
    assert len(campaign.groups()) == 1, campaign.summary()
    found = campaign.findings
    assert {finding.kind for finding in found} == {planted.FAULTS[name][1]}
    assert all(f"tp.{name}(" in finding.program.source for finding in found)
    return found


def test_a_wrong_row_is_found_once_and_shrunk_to_code(tmp_path: Path) -> None:
    found = planted_findings("atan", 4, tmp_path)
    assert len(found) > 1
    assert all(len(finding.program.steps) == 1 for finding in found)
    (file,) = tmp_path.iterdir()
    plant = f"import {planted.__name__} as p; p.plant('atan'); exec(open({str(file)!r}).read())"
    command = [sys.executable, "-c", plant]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "got" in ran.stdout
    assert "wanted" in ran.stdout


@pytest.mark.parametrize("name", ["sinh", "erf"])
def test_a_process_that_ends_or_hangs_is_a_finding(name: str, tmp_path: Path) -> None:
    found = planted_findings(name, 1, tmp_path)
    assert all(len(finding.program.steps) == 1 for finding in found)


def test_a_worker_goes_on_after_a_crash() -> None:
    worker = Worker(10.0, f"{planted.__name__}:sinh")
    try:
        bad, good = program("tp.sinh(x0)"), program("tp.exp(x0)")
        assert worker.ask(mode="openvino", program=to_data(bad))["key"] == "SIGSEGV"
        assert worker.ask(mode="openvino", program=to_data(good))["kind"] == "ok"
    finally:
        worker.close()


def test_seeds_and_the_command(tmp_path: Path) -> None:
    assert list(seeds_of("3:6")) == [3, 4, 5]
    assert list(seeds_of("7")) == [7]
    assert next(seeds_of("9:")) == 9
    command = [sys.executable, "-m", "fuzz", "--modes", "openvino", "--seeds", "11", "--show"]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert generated("openvino", 11).source in ran.stdout
    wrong = subprocess.run(
        [*command[:3], "--modes", "onnx"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "there is no mode 'onnx'" in wrong.stderr
