"""``verify(locate=True)`` and ``compile(check=True)``, on faults that are planted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openvino import opset15 as op

import tripy as tp
from tripy.__main__ import main
from tripy.engines.openvino_ops import ROWS
from tripy.verify import OutputRow, Room, compare, tolerances

Rng = np.random.Generator
Patch = pytest.MonkeyPatch
Row = Callable[..., Any]
BATCH = tp.NamedDimension("batch", 1, 3, 8)
SIZES: dict[str, Any] = {"static": 3, "dynamic": BATCH}


def info(*shape: Any, dtype: Any = tp.float32) -> tp.InputInfo:
    return tp.InputInfo(shape, dtype)


def numbers(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def twice(output: Any) -> Any:
    return op.multiply(output, op.constant(np.float32(2))).output(0)


def plant(patch: Patch, name: str, is_wrong: Callable[..., bool] = lambda *_: True) -> None:
    """Make OpenVINO's row of a primitive give twice the value, where ``is_wrong`` says so."""
    right: Row = ROWS[name]

    def row(context: Any, inputs: Any, *rest: Any) -> Any:
        output = right(context, inputs, *rest)
        return twice(output) if is_wrong(context, inputs, *rest) else output

    patch.setitem(ROWS, name, row)


def made_by(name: str) -> Callable[..., bool]:
    """Whether the first operand is computed in the same program, by OpenVINO's operation."""
    return lambda _, inputs, *rest: inputs[0].get_node().get_type_name() == name


# Rows ---------------------------------------------------------------------------------------------


def row_of(got: Any, expected: Any, dtype: Any = np.float32, **given: Any) -> OutputRow:
    limits = given.pop("limits", (1e-4, 1e-5))
    return compare("output", np.array(got, dtype), np.array(expected, dtype), limits, **given)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("got", "expected", "wrong"),
    [
        ([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0], 0),
        ([NAN, 1.0], [0.0, 1.0], 1),
        ([0.0, 1.0], [NAN, NAN], 2),
        ([INF, INF], [-INF, 1.0], 2),
        ([3e38, NAN], [INF, INF], 2),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, tp.Tensor(0).numpy().dtype])
def test_nan_and_infinities_are_values(got: Any, expected: Any, wrong: int, dtype: Any) -> None:
    if np.dtype(dtype).kind != "f":
        dtype = np.dtype("bfloat16")
    with np.errstate(over="ignore"):
        row = row_of(got, [min(x, 6e4) if x == 3e38 else x for x in expected], dtype)
    is_half_infinite = dtype == np.float16 and got[0] == 3e38
    assert row.mismatched == wrong - is_half_infinite
    if wrong and row.mismatched:
        assert row.units == np.inf
        assert row.max_abs_error == np.inf


def test_the_worst_element_is_shown_in_units_of_its_tolerance() -> None:
    row = row_of([[1.0, 2.0], [3.0, 100.3]], [[1.0, 2.0], [3.1, 100.0]])
    assert (row.element, row.mismatched, row.total) == ((1, 0), 2, 4)
    assert row.units == pytest.approx(0.1 / (1e-5 + 3.1e-4), rel=1e-3)
    assert row.got == pytest.approx(3.0)
    assert row.expected == pytest.approx(3.1)
    assert "worst at [1, 0]: got 3.0, expected 3.0999" in str(row)
    assert "tolerances)" in str(row)


def test_integers_and_bools_have_no_tolerance() -> None:
    large = row_of([2**62, 0], [-(2**62), 0], np.int64, limits=(0.0, 0.0))
    assert (large.mismatched, large.max_abs_error, large.units) == (1, 2.0**63, np.inf)
    flags = row_of([True, False], [True, True], bool, limits=(0.0, 0.0))
    assert (flags.mismatched, flags.got, flags.expected) == (1, False, True)
    assert "no tolerance" in str(flags)
    assert row_of([], [], np.int32).mismatched == 0


def test_room_for_roundings_has_an_end() -> None:
    room = Room(np.full(3, 0.5), 1, 2.0)
    assert row_of([0.4, 0.0, -0.4], [0.0, 0.0, 0.0], room=room).mismatched == 0
    assert row_of([0.4, 1.5, -0.4], [0.0, 0.0, 0.0], room=room).mismatched == 0  # one jump
    assert row_of([0.4, 1.5, -1.4], [0.0, 0.0, 0.0], room=room).mismatched == 2
    assert row_of([0.4, 2.5, -0.4], [0.0, 0.0, 0.0], room=room).mismatched == 1


def test_float8_may_be_one_step_of_its_grid_off() -> None:
    x = tp.compile(lambda x: tp.cast(x, tp.float8), args=[info(2)], engine="reference")
    limits = tolerances(x._graph.outputs[0], "float32", None, None)
    assert compare("y", np.float32([448, 2**-9]), np.float32([416, 0]), limits).mismatched == 0
    assert compare("y", np.float32([448, 2**-7]), np.float32([384, 0]), limits).mismatched == 2


# Which operation ----------------------------------------------------------------------------------


def branches(x: tp.Tensor) -> Any:
    y = tp.exp(x) + 1.0
    z = tp.tanh(y * 0.1)  # the planted one
    return tp.sum(z, -1) * 3.0, x, {"product": z @ tp.transpose(z, 0, 1)}, y


@pytest.mark.parametrize("size", SIZES)
def test_the_first_operation_is_named(size: str, rng: Rng, monkeypatch: Patch) -> None:
    plant(monkeypatch, "tanh")
    exe = tp.compile(branches, args=[info(SIZES[size], 4)], engine="openvino")
    report = exe.verify(numbers(rng, 3, 4), locate=True)
    found = report.location
    assert [row.mismatched > 0 for row in report.outputs] == [True, False, True, False]
    assert found.operation == "tanh"
    assert ", in branches" in found.source
    assert "z = tp.tanh(y * 0.1)" in str(report)
    assert "^^^^" in str(report)
    assert found.row.got == pytest.approx(2 * found.row.expected, rel=1e-4)
    assert len(found.executable._graph.operations) == 1
    assert not found.notes
    again = found.executable.verify(*found.inputs)
    assert again.outputs[0].mismatched == found.row.mismatched > 0


def test_the_first_operation_of_xla_is_named(rng: Rng, monkeypatch: Patch) -> None:
    pytest.importorskip("jax")
    from tripy.engines import xla

    right: Row = xla.ROWS["tanh"]
    monkeypatch.setitem(xla.ROWS, "tanh", lambda *given: right(*given) * 2)
    for size in SIZES.values():
        exe = tp.compile(branches, args=[info(size, 4)], engine="xla")
        found = exe.verify(numbers(rng, 3, 4), locate=True).location
        assert found.operation == "tanh"
        assert len(found.executable._graph.operations) == 1


@pytest.mark.parametrize("size", SIZES)
def test_faults_of_fused_operations_are_found(size: str, rng: Rng, monkeypatch: Patch) -> None:
    plant(monkeypatch, "mul", made_by("ReduceSum"))
    exe = tp.compile(branches, args=[info(SIZES[size], 4)], engine="openvino")
    report = exe.verify(numbers(rng, 3, 4), locate=True)
    found = report.location
    names = [value.node.primitive.name for value in found.executable._graph.operations]
    assert (found.operation, names) == ("mul", ["sum", "mul"])
    assert found.notes[0].startswith("alone, on the reference's values, it is right")
    assert "tp.sum(z, -1) * 3.0" in str(report)
    assert not found.executable.verify(*found.inputs)


def test_inputs_in_between_may_have_sizes_of_formulas(rng: Rng, monkeypatch: Patch) -> None:
    def joined(x: tp.Tensor) -> tp.Tensor:
        return tp.tanh(tp.reshape(tp.concatenate([x, x], 0), (-1,)))

    plant(monkeypatch, "tanh")
    exe = tp.compile(joined, args=[info(BATCH, 3)], engine="openvino")
    found = exe.verify(numbers(rng, 5, 3), locate=True).location
    assert (found.operation, [x.shape for x in found.inputs]) == ("tanh", [(5, 3), (30,)])
    assert not found.executable.verify(*found.inputs)


def test_faults_that_show_only_beside_other_results(rng: Rng, monkeypatch: Patch) -> None:
    plant(monkeypatch, "tanh", lambda context, *_: len(context.graph.outputs) > 1)

    def three(x: tp.Tensor) -> Any:
        return tp.tanh(x + 1.0), tp.exp(x), tp.cos(x)

    exe = tp.compile(three, args=[info(2, 2)], engine="openvino")
    found = exe.verify(numbers(rng, 2, 2), locate=True).location
    assert found.operation == "tanh"
    assert len(found.executable._graph.outputs) == 2
    assert "beside other results" in found.notes[-1]


def test_long_graphs_are_halved(rng: Rng, monkeypatch: Patch) -> None:
    def long(x: tp.Tensor) -> tp.Tensor:
        for n in range(40):
            x = x * 0.999 + tp.sin(x) * 0.01
            x = tp.tanh(x) if n == 23 else x
        return x

    plant(monkeypatch, "tanh")
    exe = tp.compile(long, args=[info(4)], engine="openvino")
    assert len(exe._graph.operations) > 64
    found = exe.verify(numbers(rng, 4), locate=True).location
    assert found.operation == "tanh"
    assert len(found.executable._graph.operations) == 1


def test_what_fails_is_reported_and_found(rng: Rng, monkeypatch: Patch) -> None:
    exe = tp.compile(branches, args=[info(3, 4)], engine="openvino")

    def fails(*_: Any) -> Any:
        raise tp.TripyRuntimeError("no such kernel")

    monkeypatch.setattr(exe, "_program", fails)
    monkeypatch.setitem(ROWS, "tanh", fails)
    report = exe.verify(numbers(rng, 3, 4), locate=True)
    assert not report.ok
    assert isinstance(report.failure, tp.TripyRuntimeError)
    assert str(report).startswith("verified against the reference engine: FAILED\n")
    assert (report.location.operation, report.location.row) == ("tanh", None)
    with pytest.raises(tp.TripyRuntimeError, match="no such kernel"):
        report.location.executable(*report.location.inputs)


def test_loaded_executables(rng: Rng, monkeypatch: Patch, tmp_path: Path) -> None:
    path, x = str(tmp_path / "a.tripy"), numbers(rng, 3, 4)
    with monkeypatch.context() as patch:
        plant(patch, "tanh")
        tp.compile(branches, args=[info(BATCH, 4)], engine="openvino").save(path)
        loaded = tp.Executable.load(path)
        found = loaded.verify(x, locate=True).location
        assert (found.operation, ", in branches" in found.source) == ("tanh", True)
        found.executable.save(tmp_path / "part.tripy")
        part = tp.Executable.load(tmp_path / "part.tripy")
        assert not part.verify(*found.inputs)
    report = loaded.verify(x, locate=True)  # the engine is right now; the saved program is not
    assert (report.ok, report.location) == (False, None)
    assert "built anew from the same graph is right" in str(report)


def test_plugins_are_named(rng: Rng) -> None:
    handle = tp.register_plugin("test::verify_wrong", infer=lambda x: (x.shape, x.dtype))(
        lambda x: x + 1
    )
    handle.lowering("openvino")(lambda x: op.add(x, op.constant(np.float32(2))))
    call: Any = lambda x: tp.exp(tp.plugin("test::verify_wrong", [x]))  # noqa: E731
    exe = tp.compile(call, args=[info(2, 2)], engine="openvino")
    assert exe.verify(numbers(rng, 2, 2), locate=True).location.operation == "test::verify_wrong"


def test_meshes_are_refused() -> None:
    pytest.importorskip("jax")
    mesh = tp.distributed.Mesh({"x": 1})
    exe = tp.compile(lambda x: x + 1.0, args=[info(2)], mesh=mesh)
    x = tp.Tensor(np.float32([1, 2]), device=exe.device)
    assert exe.verify(x, locate=True)
    exe._program = lambda _: [np.float32([0, 0])]  # type: ignore[assignment,return-value]
    with pytest.raises(tp.TripyUnsupportedError, match="on a mesh cannot be tried one by one"):
        exe.verify(x, locate=True)


@pytest.mark.parametrize(
    "given", [{"rtol": "1e-3"}, {"atol": True}, {"rtol": 1j}, {"locate": 1}, {"locate": None}]
)
def test_settings_of_other_types_are_refused(given: dict[str, Any]) -> None:
    exe = tp.compile(tp.exp, args=[info(2)], engine="reference")
    with pytest.raises(tp.TripyTypeError, match=next(iter(given))):
        exe.verify(np.zeros(2, np.float32), **given)


# No false alarm -----------------------------------------------------------------------------------


class Tower(tp.Module):
    """Residual int8 convolutions; weights are small enough for every processor's kernels."""

    def __init__(self, rng: Rng, depth: int) -> None:
        weight = rng.integers(-60, 61, (depth, 8, 8, 3, 3)).astype(np.int8)
        self.weights = [tp.Tensor(w) for w in weight]

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        for weight in self.weights:
            x = tp.dequantize(tp.quantize(x, 0.03, tp.int8), 0.03, tp.float32)
            y = tp.conv(x, tp.dequantize(weight, 0.008, tp.float32), padding=((1, 1), (1, 1)))
            x = tp.relu(x * 0.5 + tp.silu(y) * 1.3 - 0.1)
        return tp.mean(x, (2, 3))


def test_deep_int8_networks_raise_no_alarm(rng: Rng, monkeypatch: Patch) -> None:
    """A sum that is off by its last bits puts values on the next step, and layers amplify that."""
    right: Row = ROWS["mul"]

    def rounded(*given: Any) -> Any:
        return op.multiply(right(*given), op.constant(np.float32(1 + 1e-6))).output(0)

    tower = Tower(rng, 12)
    monkeypatch.setitem(ROWS, "mul", rounded)
    exe = tp.compile(tower, args=[info(2, 8, 10, 10)], engine="openvino")
    x = numbers(rng, 2, 8, 10, 10)
    report = exe.verify(x)
    assert report
    assert report.outputs[0].max_abs_error > 1e-4  # without room it would be one
    assert report.outputs[0].room > 0


def test_wrong_int8_kernels_are_found(rng: Rng, monkeypatch: Patch) -> None:
    tower = Tower(rng, 6)
    count = iter(range(1000))
    plant(monkeypatch, "conv", lambda *_: next(count) >= 0)
    exe = tp.compile(tower, args=[info(1, 8, 10, 10)], engine="openvino")
    report = exe.verify(numbers(rng, 1, 8, 10, 10), locate=True)
    assert report.location.operation == "conv"
    assert "y = tp.conv(x, tp.dequantize(weight" in str(report)


def test_sums_that_cancel_out_raise_no_alarm(rng: Rng) -> None:
    def differences(x: tp.Tensor) -> tp.Tensor:
        return tp.sum(tp.exp(x) * 1e3) - tp.sum(tp.exp(x) * 999.9999)

    x = numbers(rng, 200_000)
    exe = tp.compile(differences, args=[info(200_000)], engine="openvino")
    assert exe.verify(x)
    with_limits = exe.verify(x, rtol=1e-4, atol=1e-5).outputs[0]
    assert with_limits.room == 0


def test_comparisons_of_equal_values_raise_no_alarm(rng: Rng, monkeypatch: Patch) -> None:
    def steps(x: tp.Tensor) -> Any:
        y = tp.tanh(x)
        return tp.floor(y * 1e5), tp.argmax(y, 1), y * y < tp.square(y)

    right: Row = ROWS["tanh"]
    factor = op.constant(np.float32(1 + 2e-7))
    monkeypatch.setitem(ROWS, "tanh", lambda *g: op.multiply(right(*g), factor).output(0))
    exe = tp.compile(steps, args=[info(64, 64)], engine="openvino")
    assert exe.verify(numbers(rng, 64, 64))
    monkeypatch.setitem(ROWS, "tanh", lambda *g: op.multiply(right(*g), twice(factor)).output(0))
    exe = tp.compile(steps, args=[info(64, 64)], engine="openvino")
    assert not exe.verify(numbers(rng, 64, 64))


# check=True ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["openvino", "xla"])
def test_what_is_right_passes_the_check(engine: str) -> None:
    if engine == "xla":
        pytest.importorskip("jax")

    def pick(x: tp.Tensor, ids: tp.Tensor, keep: tp.Tensor, n: Any) -> Any:
        rows = tp.gather(x, 1, ids)
        return tp.where(keep, rows, 0.0), tp.ones((n,)), ids

    infos = [
        tp.InputInfo(((0, 2, 5), 4), tp.float32),
        tp.InputInfo((3,), tp.int32),
        tp.InputInfo((3,), tp.bool),
        tp.DimensionInputInfo((0, 1, 4)),
    ]
    stages: list[str] = []
    exe = tp.compile(
        pick, args=infos, engine=engine, check=True, progress=lambda stage, _: stages.append(stage)
    )
    assert stages == ["trace", "passes", "build", "check"]
    assert [stage.name for stage in exe.compile_report.stages] == stages
    assert exe(*(np.ones(s, t) for s, t in (((1, 4), "f4"), (3, "i4"), (3, "?"))), 2)[1].size == 2


@pytest.fixture
def wrong_tanh(monkeypatch: Patch) -> None:
    plant(monkeypatch, "tanh")


@pytest.mark.usefixtures("wrong_tanh")
def test_what_is_wrong_is_not_handed_out() -> None:
    infos = [info(BATCH, 4)]
    with pytest.raises(tp.TripyRuntimeError) as caught:
        tp.compile(branches, args=infos, engine="openvino", check=True)
    text = str(caught.value)
    assert "is wrong on random inputs with batch=1" in text.splitlines()[0]
    assert "z = tp.tanh(y * 0.1)" in text
    assert "first different operation: tanh" in text
    assert "engine='reference'" in text
    assert tp.compile(branches, args=infos, engine="reference", check=True)


@pytest.mark.usefixtures("wrong_tanh")
def test_the_setting_checks_too() -> None:
    with tp.config.override(check=True):
        with pytest.raises(tp.TripyRuntimeError, match="tanh"):
            tp.compile(branches, args=[info(3, 4)], engine="openvino")
        assert tp.compile(branches, args=[info(3, 4)], engine="openvino", check=False)
    assert tp.compile(branches, args=[info(3, 4)], engine="openvino")


def test_faults_of_the_largest_sizes_are_found(monkeypatch: Patch) -> None:
    def large(x: tp.Tensor) -> tp.Tensor:
        return tp.where(tp.arange(x.shape[0]) < 6, tp.exp(x), tp.tanh(x))

    plant(monkeypatch, "tanh")
    with pytest.raises(tp.TripyRuntimeError, match="with batch=8"):
        tp.compile(large, args=[info(BATCH)], engine="openvino", check=True)


def test_programs_that_fail_do_not_pass(monkeypatch: Patch) -> None:
    from tripy.engines.openvino import OpenVINOProgram

    def fails(*_: Any) -> Any:
        raise tp.TripyRuntimeError("it broke")

    monkeypatch.setattr(OpenVINOProgram, "_call", fails)
    with pytest.raises(tp.TripyRuntimeError, match="fails on random inputs") as caught:
        tp.compile(branches, args=[info(3, 4)], engine="openvino", check=True)
    assert "it broke" in str(caught.value.__cause__)


def test_sizes_beyond_the_limit_are_cut_down(caplog: pytest.LogCaptureFixture) -> None:
    infos = [tp.InputInfo(((1, 2, 2**40), 4), tp.float32)]
    with caplog.at_level(logging.WARNING, "tripy.check"):
        tp.compile(lambda x: x + 1.0, args=infos, engine="openvino", check=True)
    assert "instead of the largest sizes, x.shape[0]=1099511627776, smaller ones" in caplog.text


def test_sizes_that_do_not_fit_together_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    infos = [info((1, 2, 8)), info((1, 6, 8))]
    with caplog.at_level(logging.WARNING, "tripy.check"):
        tp.compile(lambda x, y: tp.concatenate([x, y], 0) + tp.iota((8,)), args=infos, check=True)
    assert "the smallest sizes are not checked: x.shape[0]=1, y.shape[0]=1" in caplog.text


@pytest.mark.usefixtures("wrong_tanh")
def test_the_command_names_the_operation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "a.tripy")
    tp.compile(branches, args=[info(BATCH, 4)], engine="openvino").save(path)
    assert main(["verify", path]) == 1
    assert "first different" not in capsys.readouterr().out
    assert main(["verify", path, "--locate"]) == 1
    assert "\nfirst different operation: tanh (" in capsys.readouterr().out
