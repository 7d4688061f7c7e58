"""Profiles: which operations are timed, where they lead to, and what the report says."""

from __future__ import annotations

import inspect
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.engines import base, reference
from tripy.engines.openvino_profile import _times
from tripy.profile import ProfileReport, ProfileRow

Rng = np.random.Generator
engines = pytest.mark.parametrize("engine", ["openvino", "xla", "reference"])


def numbers(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape, dtype=np.float32)


def info(*shape: Any, dtype: Any = tp.float32) -> tp.InputInfo:
    return tp.InputInfo(shape, dtype)


def randomised(module: tp.Module, rng: Rng) -> tp.Module:
    state = {k: rng.random(tuple(v.shape), np.float32) for k, v in module.state_dict().items()}
    module.load_state_dict(state)
    return module


class Network(tp.Module):
    def __init__(self) -> None:
        self.stem = tp.Sequential(tp.Conv(3, 8, (3, 3)), tp.BatchNorm(8))
        self.head = tp.Linear(8, 5)

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        x = tp.relu(self.stem(x))
        x = tp.mean(x, dim=(2, 3))
        return tp.softmax(self.head(x), dim=-1)


def line_of(text: str) -> str:
    """``file:line`` of a line of Network.forward."""
    lines, first = inspect.getsourcelines(Network.forward)
    return f"{__file__}:{first + next(i for i, line in enumerate(lines) if text in line)}"


# What is timed ----------------------------------------------------------------------------------


def test_reference_engine_times_every_operation(rng: Rng) -> None:
    module = randomised(Network(), rng)
    exe = tp.compile(module, args=[info(2, 3, 6, 6)], engine="reference")
    rows = exe.profile(numbers(rng, 2, 3, 6, 6), repeat=3).rows
    assert [(row.name, row.op, row.source) for row in rows] == [
        ("stem.0", "conv", line_of("self.stem")),
        ("stem.1", "batchnorm", line_of("self.stem")),
        ("relu", "relu", line_of("self.stem")),
        ("mean", "mean", line_of("tp.mean")),
        ("matmul", "matmul", line_of("self.head")),
        ("head", "add", line_of("self.head")),
        ("softmax", "softmax", line_of("self.head")),
    ]
    assert all(row.calls == 3 and row.time_us > 0 for row in rows)


def test_openvino_names_the_operations_of_fused_kernels(rng: Rng) -> None:
    module = randomised(Network(), rng)
    exe = tp.compile(module, args=[info(2, 3, 20, 20)], engine="openvino")
    report = exe.profile(numbers(rng, 2, 3, 20, 20), repeat=4)
    rows = {row.op: row for row in report.rows}
    fused = rows["conv+batchnorm+relu"]
    assert (fused.name, fused.source) == ("stem.0", line_of("self.stem"))
    assert fused.kernel.startswith("Convolution ")
    assert (rows["mean"].name, rows["mean"].source) == ("mean", line_of("tp.mean"))
    assert rows["matmul+add"].name == "head"
    assert rows["softmax"].source == line_of("self.head")
    assert {row.calls for row in report.rows} == {4}
    assert {row.source for row in report.rows} <= {
        line_of(text) for text in ("self.stem", "tp.mean", "self.head")
    }


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "chain": lambda x: tp.tanh(tp.exp(x) * 2.0 + x),
    "matmul": lambda x: tp.relu(x @ tp.permute(x, (1, 0)) + 1.0),
    "softmax": lambda x: tp.softmax(x, dim=0) - tp.log_softmax(x, dim=1),
    "reductions": lambda x: (tp.sum(x, 0), tp.max(x, 1), tp.argmax(x, 0)),
    "sorting": lambda x: tp.topk(tp.sort(tp.sin(x), dim=0), 2, dim=1),
    "movement": lambda x: tp.concatenate([tp.flip(x, 0), tp.reshape(x * 2.0, (4, 4))], dim=1),
    "indices": lambda x: tp.gather(x * 3.0, 0, tp.cast(x[0] > 0.0, tp.int32)),
    "norm": lambda x: x / tp.sqrt(tp.var(x, dim=1, keepdim=True) + 1.0),
    "two results of one name": lambda x: (tp.exp(x), tp.exp(x + 1.0)),
}


@engines
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
def test_no_operation_is_lost(name: str, is_dynamic: bool, engine: str, rng: Rng) -> None:
    described = info((1, 4, 8), 4) if is_dynamic else info(4, 4)
    exe = tp.compile(FUNCTIONS[name], args=[described], engine=engine)
    report = exe.profile(numbers(rng, 4, 4), repeat=2)
    timed = {op for row in report.rows for op in row.op.split("+")}
    recorded = {v.node.primitive.name for v in exe._graph.operations if v.node is not None}
    free = {"expand", "reshape", "permute"} if engine == "xla" else {"expand", "reshape"}
    assert recorded <= timed | free  # of cost
    assert all(row.source.startswith(f"{__file__}:") for row in report.rows)


def test_operation_that_is_split_has_one_row(rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.sort(x, dim=0), args=[info(64, 64)], engine="openvino")
    rows = exe.profile(numbers(rng, 64, 64), repeat=2).rows
    (row,) = (row for row in rows if row.op == "topk")
    assert int(row.kernel.split()[-2]) > 1
    assert row.kernel.endswith(" more")


def test_lines_of_operations_are_told_apart(rng: Rng) -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        first = tp.sort(x)
        return first @ tp.cumsum(x, 0)

    exe = tp.compile(function, args=[info(8, 8)], engine="reference")
    start = function.__code__.co_firstlineno
    rows = exe.profile(numbers(rng, 8, 8)).rows
    lines = {row.op: int(row.source.rpartition(":")[2]) - start for row in rows}
    assert lines["matmul"] == 2
    assert lines["cumsum"] == 2
    assert {line for op, line in lines.items() if op not in ("matmul", "cumsum")} == {1}


@engines
def test_time_of_heavy_work_is_its_own(engine: str, rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.exp(x[0] @ x), args=[info(512, 512)], engine=engine)
    x = numbers(rng, 512, 512) / 512
    start = time.perf_counter()
    report = exe.profile(x, repeat=5)
    spent = (time.perf_counter() - start) * 1e6
    assert report.total_us * 3 <= spent  # at least three calls took the median or longer
    assert 1.0 < report.total_us


def test_heavy_operation_has_the_largest_share(rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.exp(x @ x), args=[info(700, 700)], engine="openvino")
    report = exe.profile(numbers(rng, 700, 700), repeat=3)
    slowest = max(report.rows, key=lambda row: row.time_us)
    assert "matmul" in slowest.op
    assert slowest.time_us > 100  # 0.7 GFlop


# What a call may be -----------------------------------------------------------------------------


@engines
def test_sizes_of_the_call_count(engine: str, rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.tanh(x) @ x.T, args=[info((0, 4, 8), 4)], engine=engine)
    for size in (0, 1, 8):
        report = exe.profile(numbers(rng, size, 4), repeat=1)
        assert all(row.calls == 1 for row in report.rows)
    assert exe(numbers(rng, 8, 4)).shape == (8, 8)


@engines
def test_inputs_in_structures_and_of_other_kinds(engine: str, rng: Rng) -> None:
    exe = tp.compile(
        lambda d, n: tp.reshape(d["a"] * 2.0, (n, -1)),
        args=[{"a": info(6)}, tp.DimensionInputInfo((1, 2, 3))],
        engine=engine,
    )
    report = exe.profile({"a": tp.Tensor(numbers(rng, 6))}, 2)
    assert "mul" in {op for row in report.rows for op in row.op.split("+")}


@engines
def test_indices_of_64_bits(engine: str, rng: Rng) -> None:
    exe = tp.compile(
        lambda i, x: tp.gather(x, 0, i) * 2.0,
        args=[info(5, dtype=tp.int64), info(9)],
        engine=engine,
    )
    report = exe.profile(np.arange(5), numbers(rng, 9))
    assert "gather" in {op for row in report.rows for op in row.op.split("+")}


@engines
def test_nothing_to_compute(engine: str, rng: Rng) -> None:
    exe = tp.compile(lambda x: (x, tp.ones((2,))), args=[info(2)], engine=engine)
    report = exe.profile(numbers(rng, 2))
    assert (report.rows, report.total_us) == ([], 0)
    assert str(report).splitlines()[0] == f"0 rows for {engine}, 0.0 us per call"
    assert json.loads(report.chrome_trace())["traceEvents"] == []


@engines
def test_profile_changes_nothing(engine: str, rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.softmax(tp.exp(x) @ x, 0), args=[info(8, 8)], engine=engine)
    x = numbers(rng, 8, 8)
    given, before = x.copy(), exe(x).numpy().copy()
    exe.profile(x)
    assert np.array_equal(x, given)
    assert np.array_equal(exe(x).numpy(), before)


@engines
def test_profiles_in_several_threads(
    engine: str, rng: Rng, in_threads: Callable[[int, Callable[[int], None]], None]
) -> None:
    exe = tp.compile(lambda x: tp.tanh(x) @ x, args=[info(8, 8)], engine=engine)
    x = numbers(rng, 8, 8)
    reports: list[ProfileReport] = []
    in_threads(3, lambda _: reports.append(exe.profile(x, repeat=2)))
    assert len({tuple(row.op for row in report.rows) for report in reports}) == 1


def test_plugins_are_shown_by_their_name(rng: Rng) -> None:
    @tp.register_plugin("profile::twice", infer=lambda x: (x.shape, x.dtype), replace=True)
    def twice(x: Any) -> Any:
        return x * 2

    exe = tp.compile(lambda x: tp.plugin("profile::twice", [x]), args=[info(3)])
    assert [row.op for row in exe.profile(numbers(rng, 3)).rows] == ["profile::twice"]


def test_engine_without_counters_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        name = "reference"

        def precisions(self, kind: str) -> tuple[str, ...]:
            return ("float32",)

        build = reference.ReferenceEngine.build
        refusals = reference.ReferenceEngine.refusals

    monkeypatch.setattr(base, "load", lambda name: Plain())
    exe = tp.compile(tp.relu, args=[info(2)], engine="reference")
    with pytest.raises(tp.TripyUnsupportedError, match="cannot time its kernels"):
        exe.profile(np.ones(2, np.float32))


# Numbers ----------------------------------------------------------------------------------------


def test_times_are_medians_without_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    exe = tp.compile(lambda x: tp.exp(tp.sin(x)), args=[info(2)], engine="reference")
    # Seconds of (sin, exp) in the call that warms up and in three that count.
    spent = [(9.0, 9.0), (1.0, 3.0), (5.0, 3.0), (2.0, 6.0)]
    clock = itertools.accumulate(t * 1e-6 for call in spent for time in call for t in (0.0, time))
    monkeypatch.setattr(reference, "perf_counter", lambda: next(clock))
    report = exe.profile(np.ones(2, np.float32), repeat=3)
    assert [row.time_us for row in report.rows] == pytest.approx([2.0, 3.0])
    assert report.total_us == pytest.approx(5.0)
    assert [row.percent for row in report.rows] == pytest.approx([40.0, 60.0])


def counted(times: Any) -> Any:
    """What the engine shows after each run, for true times (run, step) in microseconds."""
    return np.floor(np.cumsum(times, 0) / np.arange(1, len(times) + 1)[:, None])


def test_times_of_long_kernels_are_told_apart(rng: Rng) -> None:
    times = rng.uniform(1000, 5000, (11, 20))
    times[0] *= 10  # the first run is cold
    assert np.abs(_times(counted(times)) - times[1:]).max() <= 11


def test_times_of_short_kernels_are_means(rng: Rng) -> None:
    times = rng.uniform(2, 40, (11, 20))
    times[0] *= 10
    found = _times(counted(times))
    assert found.shape == (10, 20)
    assert np.abs(found - times[1:].mean(0)).max() <= 0.7
    assert np.ptp(found, axis=0).max() == 0


def test_times_are_never_negative(rng: Rng) -> None:
    times = rng.uniform(0, 1, (11, 20))
    times[0] = 50
    assert _times(counted(times)).min() >= 0
    assert _times(np.zeros((3, 0))).shape == (2, 0)


# The report -------------------------------------------------------------------------------------


ROWS = [
    ProfileRow("layer.conv", "conv+relu", "net.py:3", 10, 20.04, 20.0, "jit"),
    ProfileRow("matmul", "matmul", "net.py:14", 10, 80.0, 80.0, "gemm"),
    ProfileRow("+".join(["add"] * 30), "+".join(["add"] * 30), "", 10, 0.0, 0.0, "ref"),
]


def test_text_is_a_table_slowest_first() -> None:
    lines = str(ProfileReport("some engine", ROWS)).splitlines()
    assert lines[0] == "3 rows for some engine, 100.0 us per call"
    assert lines[1].split() == ["name", "op", "calls", "time_us", "percent", "source", "kernel"]
    assert lines[2].split() == ["matmul", "matmul", "10", "80.0", "80.0", "net.py:14", "gemm"]
    assert lines[3].split()[-5:] == ["10", "20.0", "20.0", "net.py:3", "jit"]
    assert lines[4].split()[0].endswith("+add…")
    assert len({line.index(cell) for line, cell in zip(lines[2:4], ("net.py", "net.py"))}) == 1
    assert max(map(len, lines)) < 160
    assert [line for line in lines if line != line.rstrip()] == []


def test_trace_shows_kernels_one_after_the_other() -> None:
    trace = json.loads(ProfileReport("some engine", ROWS).chrome_trace())
    events = trace["traceEvents"]
    assert [(e["name"], e["cat"], e["ph"]) for e in events] == [(r[0], r[1], "X") for r in ROWS]
    assert [e["dur"] for e in events] == [row.time_us for row in ROWS]
    assert [e["ts"] for e in events] == pytest.approx([0.0, 20.04, 100.04])
    assert events[1]["args"] == {
        "op": "matmul", "source": "net.py:14", "kernel": "gemm", "calls": 10
    }  # fmt: skip
