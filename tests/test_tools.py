"""The commands for saved executables: what they print, and their exit status."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openvino import opset15 as op

import tripy as tp
from tripy.__main__ import main
from tripy.engines import base
from tripy.engines.openvino import ENGINE, OpenVINOProgram

ROOT = Path(__file__).parents[1]
Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
SIZES = {"batch": 2, "ids.shape[1]": 4, "count": 3}


class Network(tp.Module):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.table = tp.Parameter(rng.standard_normal((10, 6)).astype(np.float32))
        self.linear = tp.Linear(6, 3)
        made = {"weight": rng.standard_normal((3, 6)), "bias": rng.standard_normal(3)}
        self.linear.load_state_dict({n: v.astype(np.float32) for n, v in made.items()})

    def forward(self, x: tp.Tensor, ids: tp.Tensor, count: Any, more: Any) -> Any:
        words = tp.relu(self.linear(tp.gather(self.table, 0, ids)))
        scores = tp.sum(words, 1) + self.linear(x)
        return {"scores": tp.where(more["flag"], scores, -scores), "ones": tp.ones((count,))}


@pytest.fixture(scope="module")
def network() -> tp.Executable:
    batch = tp.NamedDimension("batch", 1, 2, 8)
    infos = (
        tp.InputInfo((batch, 6), tp.float32),
        tp.InputInfo((batch, (1, 4, 9)), tp.int32),
        tp.DimensionInputInfo((0, 3, 5)),
        {"flag": tp.InputInfo((batch, 1), tp.bool)},
    )
    return tp.compile(Network(), args=infos)


@pytest.fixture(scope="module")
def path(network: tp.Executable, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("tools") / "network.tripy"
    network.save(made)
    return str(made)


def output(capsys: Capture, *arguments: str, status: int = 0) -> str:
    """What a command prints; on the stream of errors it prints nothing."""
    assert main(arguments) == status
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def refused(capsys: Capture, *arguments: str) -> str:
    """The message of a command that can do nothing; it shows no line of what called it."""
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert "test_tools.py:" not in message
    return message


def saved(folder: Path, function: Any, *infos: Any, **options: Any) -> str:
    made = folder / "made.tripy"
    tp.compile(function, args=infos, engine=options.get("engine")).save(
        made, engine_blob=options.get("engine_blob", True)
    )
    return str(made)


def recorded_calls(monkeypatch: Patch) -> list[Any]:
    calls: list[Any] = []
    call = tp.Executable.__call__

    def record(self: tp.Executable, *inputs: Any) -> Any:
        calls.append(inputs)
        return call(self, *inputs)

    monkeypatch.setattr(tp.Executable, "__call__", record)
    return calls


def test_help_lists_the_commands(capsys: Capture) -> None:
    text = output(capsys, "--help")
    assert [c for c in ("inspect", "bench", "verify") if f"\n  {c} " not in text] == []


# inspect ----------------------------------------------------------------------------------------


def test_inspect_shows_what_a_file_holds(capsys: Capture, path: str, network: Any) -> None:
    text = output(capsys, "inspect", path)
    assert text.startswith(f"{path}: {Path(path).stat().st_size / 1000:.1f} kB (graph.json ")
    assert f"format 1, saved by tripy {tp.__version__}\n{network!r}\n" in text
    assert "\nprogram: fits this machine\n    saved for OpenVINO " in text
    constants = text.partition("parameters and constants: ")[2].splitlines()
    assert constants[1] == "    table: float32 (10, 6), 240 bytes"
    assert constants[2] == "    of matmul: float32 (6, 3), 72 bytes"
    assert "graph(" not in text


def test_inspect_counts_operations_and_bytes(capsys: Capture, tmp_path: Path) -> None:
    weight = tp.Parameter(np.ones((4, 2), np.float32))
    infos = tp.InputInfo((3, 4), tp.float32), tp.InputInfo((2,), tp.float32)
    made = saved(tmp_path, lambda x, y: tp.exp(tp.exp(x @ weight) + y), *infos)
    lines = output(capsys, "inspect", made).splitlines()
    start = lines.index("operations: 4")
    assert lines[start + 1 :] == [
        "    2 exp",
        "    1 add",
        "    1 matmul",
        "parameters and constants: 1, 8 elements, 32 bytes",
        "    of matmul: float32 (4, 2), 32 bytes",
    ]


def test_inspect_shows_the_graph(capsys: Capture, path: str, network: tp.Executable) -> None:
    assert output(capsys, "inspect", path, "--graph").endswith(f"bytes\n{network.graph}\n")
    assert output(capsys, "inspect", path, "--mermaid") == network.graph.mermaid() + "\n"
    assert output(capsys, "inspect", path, "--dot") == network.graph.dot() + "\n"


def test_inspect_builds_no_program(capsys: Capture, path: str, monkeypatch: Patch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(OpenVINOProgram, "__init__", fail)
    monkeypatch.setattr(type(ENGINE), "restore", fail)
    assert "fits this machine" in output(capsys, "inspect", path)
    with pytest.raises(AssertionError):
        tp.Executable.load(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine_blob": False}, "built when the file is loaded, because the file holds none"),
        ({"engine": "reference"}, "none; the engine 'reference' runs the graph"),
    ],
)
def test_inspect_says_what_becomes_of_the_program(
    options: Any, words: str, capsys: Capture, tmp_path: Path
) -> None:
    made = saved(tmp_path, tp.exp, tp.InputInfo((2,), tp.float32), **options)
    assert f"\nprogram: {words}\n" in output(capsys, "inspect", made)


def test_results_that_need_no_program(capsys: Capture, tmp_path: Path) -> None:
    made = saved(tmp_path, lambda x: (x, tp.Tensor([1.0, 2.0])), tp.InputInfo((2,), tp.float32))
    text = output(capsys, "inspect", made)
    assert "\nprogram: none is needed\n" in text
    assert "\noperations: 0\nparameters and constants: 1, 2 elements, 8 bytes\n" in text
    assert "    of the results: float32 (2,), 8 bytes\n" in text
    assert ": ok\n" in output(capsys, "verify", made)
    assert " of 2 calls\n" in output(capsys, "bench", made, "--repeat", "2")


def test_inspect_of_a_file_from_elsewhere(capsys: Capture, path: str, monkeypatch: Patch) -> None:
    fingerprint = ENGINE.fingerprint(base.Options(tp.device("cpu:0")))
    monkeypatch.setattr(type(ENGINE), "fingerprint", lambda *_: "OpenVINO 9")
    words = f"built when the file is loaded, because the saved one is for {fingerprint}"
    assert f"\nprogram: {words}\n" in output(capsys, "inspect", path)
    monkeypatch.setattr(base, "is_installed", lambda name: name != "openvino")
    words = "cannot run here, because the engine 'openvino' is not installed"
    assert f"\nprogram: {words}\n" in output(capsys, "inspect", path)


# bench ------------------------------------------------------------------------------------------


def test_bench_shows_times(capsys: Capture, path: str) -> None:
    text = output(capsys, "bench", path, "--repeat", "7")
    assert text.startswith(f"{path}: engine=openvino (openvino 20")
    assert f"tripy {tp.__version__}, Python 3." in text
    assert re.search(r"^threads: .+\n", text, re.M)
    shown = "    x: float32 (2, 6)\n    ids: int32 (2, 4)\n    count: 3\n    more.flag: bool (2, 1)"
    assert f"\n{shown}\nload: " in text
    row = r"call: median ([\d.]+) ms, p10 ([\d.]+) ms, p90 ([\d.]+) ms, of 7 calls\n"
    found = re.search(row + r"calls per second: ([\d.]+)\n$", text)
    assert found is not None
    median, low, high, rate = map(float, found.groups())
    assert 0 < low <= median <= high
    assert 0 < rate <= 1000 / low * 7


def test_bench_passes_random_inputs_of_the_given_sizes(
    capsys: Capture, path: str, monkeypatch: Patch
) -> None:
    calls = recorded_calls(monkeypatch)
    sizes = ["--size", "batch=5", "ids.shape[1]=9", "--size", "count=0"]
    for seed in ("0", "0", "1"):
        text = output(capsys, "bench", path, "--repeat", "2", *sizes, "--seed", seed)
        assert "    ids: int32 (5, 9)\n    count: 0\n" in text
    assert len(calls) == 3 * (3 + 2)
    (x, ids, count, more), again, other = calls[0], calls[5], calls[10]
    assert (x.shape, x.dtype, count) == ((5, 6), np.float32, 0)
    assert 0.5 < x.std() < 2
    assert (ids.min(), ids.max()) == (0, 9)
    assert set(more["flag"].ravel()) == {True, False}
    assert all(np.array_equal(a, b) for a, b in zip((x, ids), again[:2], strict=True))
    assert not np.array_equal(x, other[0])


@pytest.mark.parametrize("kind", ["float64", "bfloat16", "float8", "int4", "uint8", "int64"])
def test_inputs_of_every_dtype(
    kind: str, capsys: Capture, tmp_path: Path, monkeypatch: Patch
) -> None:
    calls = recorded_calls(monkeypatch)
    infos = [tp.InputInfo(shape, getattr(tp, kind)) for shape in ((40, 5), (), (0, 2))]
    made = saved(tmp_path, lambda *xs: [*xs], *infos, engine="reference")
    output(capsys, "bench", made, "--repeat", "1")
    first, *rest = calls[0]
    assert [x.shape for x in rest] == [(), (0, 2)]
    elements = first.astype(np.float64)
    if "int" in kind:
        assert (elements.min(), elements.max()) == (0, 7 if kind == "int4" else 9)
    else:
        assert abs(elements.mean()) < 0.4
        assert 0.7 < elements.std() < 1.3


def test_bench_ends_in_time(capsys: Capture, path: str, monkeypatch: Patch) -> None:
    calls = recorded_calls(monkeypatch)
    output(capsys, "bench", path, "--seconds", "1e-9")
    assert len(calls) == 3 + 1
    text = output(capsys, "bench", path, "--seconds", "0.2")
    assert f"of {len(calls) - 4 - 3} calls" in text
    assert len(calls) > 4 + 3 + 1
    assert "of 2 calls" in output(capsys, "bench", path, "--seconds", "60", "--repeat", "2")


def test_bench_shows_operations(capsys: Capture, path: str) -> None:
    text = output(capsys, "bench", path, "--repeat", "1", "--profile")
    assert " rows for openvino, " in text
    assert "gather" in text.partition(" rows for openvino, ")[2]


def test_threads_are_those_of_the_setting(capsys: Capture, path: str) -> None:
    with tp.config.override(num_threads=1):
        assert "\nthreads: 1\n" in output(capsys, "bench", path, "--repeat", "1")


# verify -----------------------------------------------------------------------------------------


def test_verify_shows_the_rows(capsys: Capture, path: str) -> None:
    text = output(capsys, "verify", path, "--size", "batch=8", "--seed", "3")
    assert text.startswith(f"{path}: engine=openvino, seed 3\n    x: float32 (8, 6)\n")
    assert "\nverified against the reference engine: ok\n" in text
    assert "\n    output.scores: 0 of 24 outside " in text
    assert "\n    output.ones: 0 of 3 outside " in text


def test_verify_finds_differences(capsys: Capture, tmp_path: Path) -> None:
    name = "test::tools_differ"
    handle = tp.register_plugin(name, infer=lambda x: (x.shape, x.dtype))(lambda x: x + 1)
    handle.lowering("openvino")(lambda x: op.add(x, op.constant(np.float32(2))))
    info = tp.InputInfo((2, 3), tp.float32)
    made = saved(tmp_path, lambda x: tp.plugin(name, [x]), info, engine="openvino")
    text = output(capsys, "verify", made, status=1)
    assert "\nverified against the reference engine: DIFFERENT\n" in text
    assert "\n    output: 6 of 6 outside " in text


# What cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["inspect", "bench", "verify"])
def test_files_that_cannot_be_read(
    command: str, capsys: Capture, path: str, tmp_path: Path
) -> None:
    missing, damaged, foreign = (str(tmp_path / f"{i}.tripy") for i in range(3))
    whole = bytearray(Path(path).read_bytes())
    whole[whole.rindex(b"weights.safetensors", 0, len(whole) // 2) - 99] ^= 1  # in the graph
    Path(damaged).write_bytes(whole)
    Path(foreign).write_bytes(b"something else")
    assert refused(capsys, command, missing).startswith("error: there is no such file.\n")
    assert "its member 'graph.json' is damaged" in refused(capsys, command, damaged)
    assert "foreign zip archive" in refused(capsys, command, foreign)
    assert "no ordinary file" in refused(capsys, command, str(tmp_path))


def test_a_damaged_program_is_told(capsys: Capture, path: str, tmp_path: Path) -> None:
    whole = bytearray(Path(path).read_bytes())
    whole[-len(whole) // 3] ^= 1  # in the engine's program, which is the last member
    (tmp_path / "a.tripy").write_bytes(whole)
    text = output(capsys, "inspect", str(tmp_path / "a.tripy"))
    reason = "because its member 'engine/program' is damaged"
    assert f"program: built when the file is loaded, {reason}\n" in text


@pytest.mark.parametrize("command", ["bench", "verify"])
def test_sizes_that_cannot_be(command: str, capsys: Capture, path: str, tmp_path: Path) -> None:
    unknown = refused(capsys, command, path, "--size", "bach=2")
    assert "error: the executable has no dynamic size 'bach'.\n" in unknown
    assert f"expected: one of {', '.join(SIZES)}\n" in unknown
    assert "did you mean 'batch'?" in unknown
    for size in ("batch=0", "batch=9", "count=6", "count=-1"):
        message = refused(capsys, command, path, "--size", size)
        assert f"error: the size {size.split('=')[0]!r} is out of bounds.\n" in message
        assert f"received: --size {size}\n" in message
    fixed = saved(tmp_path, tp.exp, tp.InputInfo((2,), tp.float32))
    message = refused(capsys, command, fixed, "--size", "batch=2")
    assert "expected: no --size: every size is fixed\n" in message


def test_sizes_that_do_not_fit_together(capsys: Capture, tmp_path: Path) -> None:
    infos = [tp.InputInfo(((1, 4, 8),), tp.float32) for _ in range(2)]
    made = saved(tmp_path, lambda x, y: tp.concatenate([x, y], 0) + tp.iota((8,)), *infos)
    assert "output: 0 of 8 outside" in output(capsys, "verify", made)
    assert main(["verify", made, "--size", "x.shape[0]=3"]) == 2
    assert "x.shape[0] + y.shape[0] = 7" in capsys.readouterr().err
    text = output(capsys, "verify", made, "--size", "x.shape[0]=3", "y.shape[0]=5")
    assert "output: 0 of 8 outside" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "batch"], "'batch' is not NAME=VALUE"),
        (["--size", "batch=two"], "'two' is no integer in 'batch=two'"),
        (["--repeat", "0"], "'0' is no integer from 1"),
        (["--seed", "-1"], "'-1' is no integer from 0"),
        (["--seconds", "nan"], "'nan' is no number of seconds above 0"),
        (["--seconds", "soon"], "'soon' is no number of seconds above 0"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_wrong_arguments(options: list[str], words: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "no.tripy", *options])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_commands_in_a_process_of_their_own(path: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "tripy", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    verified = run("verify", path)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "verified against the reference engine: ok" in verified.stdout
    wrong = run("verify", path, "--size", "batch=9")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == (
        "error: the size 'batch' is out of bounds.\n"
        "  received: --size batch=9\n"
        "  expected: 1 … 8\n"
        "  how to fix: pass such a size, or compile with other bounds\n"
    )
