"""Executables that were loaded: saved, pickled and copied again, and sent to other processes."""

from __future__ import annotations

import copy
import json
import logging
import multiprocessing
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy import cache, errors, saved
from tripy.interop.digest import digest_of

Rng = np.random.Generator
ROOT = Path(__file__).parents[1]
ROWS = tp.NamedDimension("rows", 0, 2, 8)
SECONDS = 60  # for a pool that would wait for ever


def mixed(x: Any, weight: Any) -> Any:
    return tp.softmax(tp.relu(x @ weight) + tp.sum(x, -1, keepdim=True), 1)


def made(name: str, rng: Rng) -> tuple[tp.Executable, list[Any]]:
    """Return an executable and inputs."""
    kind, _, engine = name.partition(" on ")
    weight = tp.Parameter(rng.standard_normal((16, 24)).astype(np.float32))
    dynamic = [tp.InputInfo((ROWS, 16), tp.float32)]
    functions: dict[str, tuple[Callable[..., Any], Any]] = {
        "static": (lambda x: mixed(x, weight), [tp.InputInfo((2, 16), tp.float32)]),
        "dynamic": (lambda x: mixed(x, weight), dynamic),
        "bfloat16": (lambda x: mixed(x, weight), dynamic),
        "random": (
            lambda x, seed: x + tp.random.normal((2, 16), seed=seed),
            [tp.InputInfo((2, 16), tp.float32), tp.InputInfo((), tp.int32)],
        ),
        "int64": (
            lambda x: tp.gather(weight, 0, tp.cast(tp.abs(x[:, 0]), tp.int64) % 16),
            [tp.InputInfo((ROWS, 16), tp.float32)],
        ),
        "plugin": (lambda x: tp.plugin("again::double", [x]) + 1.0, dynamic),
    }
    function, args = functions[kind]
    precision = "bfloat16" if kind == "bfloat16" else "float32"
    executable = tp.compile(function, args=args, engine=engine, precision=precision)
    x = rng.standard_normal((2, 16)).astype(np.float32)
    return executable, [x, np.array(7, np.int32)][: len(args)]


@pytest.fixture(autouse=True)
def _plugin() -> None:
    @tp.register_plugin("again::double", infer=lambda x: (x.shape, x.dtype), replace=True)
    def double(x: Any) -> Any:
        return x * 2

    @double.lowering("openvino")
    def _(x: Any) -> Any:
        from openvino import opset15 as op

        return op.add(x, x)


def resaved(executable: tp.Executable, path: Path, **options: Any) -> tp.Executable:
    executable.save(path, **options)
    return tp.Executable.load(path)


def pickled(executable: Any, path: Path) -> Any:
    return pickle.loads(pickle.dumps(executable))


WAYS: dict[str, Callable[[tp.Executable, Path], tp.Executable]] = {
    "saved": resaved,
    "saved without a program": lambda exe, path: resaved(exe, path, engine_blob=False),
    "pickled": pickled,
    "pickled in Python": lambda exe, path: pickle._loads(pickle._dumps(exe)),  # type: ignore[attr-defined]
    "copied": lambda exe, path: copy.copy(exe),
    "copied deeply": lambda exe, path: copy.deepcopy({"x": [exe]})["x"][0],
}
PROGRAMS = [
    f"{kind} on openvino" for kind in ("static", "dynamic", "bfloat16", "random", "plugin")
] + ["int64 on reference", "dynamic on reference", "static on xla", "dynamic on xla"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_whatever_is_done_to_a_loaded_executable_it_stays_equal(
    name: str, rng: Rng, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if "xla" in name:
        pytest.importorskip("jax")
    executable, inputs = made(name, rng)
    expected, text = executable(*inputs).numpy(), repr(executable)
    current = executable
    for way in [*WAYS, *rng.choice(list(WAYS), 6)]:
        current = WAYS[way](current, tmp_path / f"{len(list(tmp_path.iterdir()))}.tripy")
        np.testing.assert_allclose(current(*inputs).numpy(), expected, rtol=1e-6)
        assert repr(current) == text
    assert current.verify(*inputs)
    (mapped,) = current.map([tuple(inputs)])
    np.testing.assert_allclose(mapped.numpy(), expected, rtol=1e-6)
    assert not [r for r in caplog.records if "holds none" not in r.getMessage()]


def test_a_loaded_executable_can_be_timed(rng: Rng, tmp_path: Path) -> None:
    executable, inputs = made("dynamic on openvino", rng)
    loaded = resaved(resaved(executable, tmp_path / "a"), tmp_path / "b")
    assert {row.op for row in loaded.profile(*inputs).rows}


def test_a_program_is_kept_byte_by_byte(rng: Rng, tmp_path: Path) -> None:
    executable, _ = made("dynamic on openvino", rng)
    resaved(resaved(executable, tmp_path / "a"), tmp_path / "b").save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_a_file_can_be_replaced_by_what_was_loaded_from_it(rng: Rng, tmp_path: Path) -> None:
    executable, inputs = made("dynamic on openvino", rng)
    expected = executable(*inputs).numpy()
    current = resaved(executable, tmp_path / "a")
    for _ in range(3):
        current = resaved(current, tmp_path / "a")
        assert np.array_equal(current(*inputs).numpy(), expected)


def test_a_copy_has_a_stream_of_its_own(rng: Rng) -> None:
    executable, _ = made("static on openvino", rng)
    for other in (copy.copy(executable), copy.deepcopy(executable)):
        other.stream = tp.Stream()
        assert other.stream is not executable.stream
        assert executable.stream is tp.default_stream()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(cache, "_SECONDS", -1.0)
    with tp.config.override(cache_dir=tmp_path / "cache", cache_size="1GiB"):
        yield tmp_path / "cache"


@pytest.mark.parametrize("kind", ["static", "dynamic", "bfloat16", "random"])
def test_programs_of_the_cache_are_saved(
    kind: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tripy.cache")
    for _ in range(2):
        executable, inputs = made(f"{kind} on openvino", np.random.default_rng(3))
    assert "read from the cache" in caplog.text
    paths = list(folder.iterdir())
    expected = executable(*inputs).numpy()
    for path in paths:  # whoever empties the cache does not empty programs
        path.unlink()
    current = resaved(pickled(executable, tmp_path), tmp_path / "a")
    assert np.array_equal(pickled(current, tmp_path)(*inputs).numpy(), expected)


# --- other processes -------------------------------------------------------------------------


def run_on(executable: Any, inputs: Any) -> Any:
    return executable(*inputs).numpy()


def handed_on(executable: Any, inputs: Any) -> Any:
    executable(*inputs)
    return executable


@pytest.mark.parametrize("name", ["dynamic on openvino", "static on xla", "int64 on reference"])
def test_workers_run_and_return_loaded_executables(name: str, rng: Rng, tmp_path: Path) -> None:
    if "xla" in name:
        pytest.importorskip("jax")
    executable, inputs = made(name, rng)
    expected = executable(*inputs).numpy()
    loaded = resaved(executable, tmp_path / "a")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply_async(run_on, (loaded, inputs)).get(SECONDS)
        back = pool.apply_async(handed_on, (loaded, inputs)).get(SECONDS)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    for current in (back, resaved(back, tmp_path / "b")):
        np.testing.assert_allclose(current(*inputs).numpy(), expected, rtol=1e-6)


def problem_of(executable: Any, inputs: Any) -> str:
    """The message of the error when a worker uses an executable that it cannot load."""
    assert isinstance(executable, tp.Executable)
    with pytest.raises(tp.TripyUnsupportedError) as caught:
        pickle.loads(pickle.dumps(executable))(*inputs)
    assert type(copy.deepcopy(executable)) is type(executable)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["spawn", "forkserver"])
def test_a_pool_that_cannot_load_an_executable_does_not_hang(kind: Any, rng: Rng) -> None:
    """The plugin is registered by a fixture, which workers do not run."""
    executable, inputs = made("plugin on openvino", rng)
    with multiprocessing.get_context(kind).Pool(1) as pool:
        told = pool.apply_async(problem_of, (executable, inputs)).get(SECONDS)
        assert "again::double" in told
        with pytest.raises(tp.TripyUnsupportedError, match="again::double"):
            pool.apply_async(run_on, (executable, inputs)).get(SECONDS)
        back = pool.apply_async(returned, (executable,)).get(SECONDS)
        assert back(*inputs).tolist() == executable(*inputs).tolist()
        assert pool.apply_async(abs, (-3,)).get(SECONDS) == 3
    with ProcessPoolExecutor(1, multiprocessing.get_context(kind)) as executor:
        with pytest.raises(tp.TripyUnsupportedError, match="again::double"):
            executor.submit(run_on, executable, inputs).result(SECONDS)
        assert executor.submit(abs, -3).result(SECONDS) == 3


def returned(executable: Any) -> Any:
    return executable


def late(executable: Any, inputs: Any) -> Any:
    """Register the plugin after the executable came."""
    tp.register_plugin("again::double", infer=lambda x: (x.shape, x.dtype), replace=True)(
        lambda x: x * 2
    )
    result = executable(*inputs).numpy()
    assert type(executable) is tp.Executable
    return result


def test_a_plugin_may_be_registered_after_the_executable_came(rng: Rng) -> None:
    executable, inputs = made("plugin on reference", rng)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply_async(late, (executable, inputs)).get(SECONDS)
    assert np.array_equal(result, executable(*inputs).numpy())


def test_results_that_cannot_be_loaded_do_not_end_a_pool(
    rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of a pool that takes results must live on, whatever arrives."""
    executable, inputs = made("dynamic on openvino", rng)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(returned, (executable,)).get(SECONDS)
        with monkeypatch.context() as patch:
            patch.setattr(saved, "FORMAT", 0)
            back = pool.apply_async(returned, (executable,)).get(SECONDS)
            with pytest.raises(tp.TripyFileError, match="newer format"):
                back(*inputs)
            with pytest.raises(tp.TripyFileError, match="newer format"):
                pickled(back, Path())
        assert np.array_equal(back(*inputs).numpy(), executable(*inputs).numpy())


def test_a_damaged_pickle_is_an_error_at_once(rng: Rng) -> None:
    executable, _ = made("static on reference", rng)
    data = saved.to_bytes(executable)
    at = data.index(b"softmax")
    for changed in (data[:-30], data[:at] + b"S" + data[at + 1 :], b"", b"text"):
        with pytest.raises(tp.TripyFileError):
            saved.from_bytes(changed)


def raised(name: str) -> None:
    kind = getattr(errors, name)
    problem: Any = errors.error(kind, "it is wrong.", received=1, expected=2, fix="do it")
    if kind is tp.TripyStateDictError:
        problem.missing, problem.unexpected, problem.mismatched = ["a"], ["b"], [("c", "d", "e")]
    raise problem


def test_every_error_survives_the_way_to_another_process() -> None:
    for kind in errors.EXCEPTIONS:
        with pytest.raises(kind) as here:
            raised(kind.__name__)
        problem = here.value
        for other in (pickled(problem, Path()), copy.deepcopy(problem)):
            assert type(other) is kind
            assert str(other) == str(problem)
            assert other.__dict__ == problem.__dict__
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for kind in errors.EXCEPTIONS:
            with pytest.raises(kind, match="it is wrong"):
                pool.apply_async(raised, (kind.__name__,)).get(SECONDS)


FORKED = """
import os, pickle, sys
import numpy as np, tripy as tp
folder = sys.argv[1]
loaded = tp.Executable.load(folder + "/a.tripy")
x = np.load(folder + "/x.npy")
expected = loaded(x).numpy()
child = os.fork()
if not child:
    status = 1
    try:
        other = pickle.loads(pickle.dumps(loaded))
        other.save(folder + "/b.tripy")
        again = tp.Executable.load(folder + "/b.tripy")
        again.save(folder + "/c.tripy")
        assert all(np.array_equal(exe(x).numpy(), expected) for exe in (loaded, other, again))
        fresh = tp.compile(tp.exp, args=[tp.InputInfo((2,), tp.float32)], engine="openvino")
        fresh.save(folder + "/d.tripy")
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
for name in "bc":
    assert np.array_equal(tp.Executable.load(f"{folder}/{name}.tripy")(x).numpy(), expected)
assert np.allclose(tp.Executable.load(folder + "/d.tripy")(x[0, :2]).numpy(), np.exp(x[0, :2]))
"""


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="nothing forks here")
def test_a_forked_process_saves_what_was_loaded(rng: Rng, tmp_path: Path) -> None:
    executable, (x,) = made("dynamic on openvino", rng)
    resaved(executable, tmp_path / "a.tripy")
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    child = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert child.returncode == 0, child.stderr


# --- programs that do not fit ----------------------------------------------------------------


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "huge"])
def test_a_damaged_program_is_built_again_and_nothing_else_is(
    how: str,
    rng: Rng,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executable, (x,) = made("dynamic on openvino", rng)
    expected, path = executable(x).numpy(), tmp_path / "whole.tripy"
    executable.save(path)
    for name in members_of(path):
        caplog.clear()
        target = tmp_path / f"{name.replace('/', ' ')}.tripy"
        damage(path, target, name, how, rng)
        if name != "engine/program":
            with pytest.raises(tp.TripyFileError):
                tp.Executable.load(target)
            with pytest.raises(tp.TripyFileError):
                tp.Executable.load(target, engine="reference")
            continue
        loaded = tp.Executable.load(target)
        (record,) = caplog.records
        assert "is built again, because its member 'engine/program' is" in record.getMessage()
        np.testing.assert_allclose(loaded(x).numpy(), expected, rtol=1e-5)
        loaded.save(target)
        np.testing.assert_allclose(tp.Executable.load(target)(x).numpy(), expected, rtol=1e-5)
        assert len(caplog.records) == 1


def damage(path: Path, target: Path, name: str, how: str, rng: Rng) -> None:
    """Damage one member of a file."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    if how == "flipped":
        start = (
            info.header_offset
            + 30
            + len(name)
            + int.from_bytes(data[info.header_offset + 28 : info.header_offset + 30], "little")
        )
        data[start + int(rng.integers(info.file_size))] ^= 1 << int(rng.integers(8))
    elif how == "huge":  # what the directory says of its size
        entry = data.rindex(b"PK\x01\x02", 0, data.rindex(name.encode()))
        data[entry + 20 : entry + 28] = struct.pack("<II", 2**32 - 2, 2**32 - 2)
    else:
        members = members_of(path)
        kept = [] if how == "gone" else [(name, members[name][:-1])]
        with zipfile.ZipFile(target, "w") as archive:
            for other, content in [*kept, *((n, d) for n, d in members.items() if n != name)]:
                archive.writestr(other, content)
        return
    target.write_bytes(data)


def changed(path: Path, program: bytes | None, **manifest: Any) -> None:
    """Give a file another program, whose digest is right."""
    members = members_of(path)
    record = json.loads(members.pop("manifest.json")) | manifest
    if program is not None:
        members["engine/program"] = program
        record["members"]["engine/program"] = list(digest_of([program]))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"manifest.json": json.dumps(record).encode(), **members}.items():
            archive.writestr(name, data)


def exported_twice(executable: Any, tmp_path: Path) -> bytes:
    """Return what OpenVINO exports of an imported program."""
    loaded: Any = resaved(executable, tmp_path / "twice")
    exported: bytes = loaded._program._compiled.export_model().getvalue()
    return exported


@pytest.mark.parametrize("how", ["exported twice", "nothing", "another", "old"])
def test_programs_that_cannot_be_imported_are_built(
    how: str, rng: Rng, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executable, inputs = made("dynamic on openvino", rng)
    other: Any = tp.compile(tp.exp, args=[tp.InputInfo((2, 2), tp.float32)], engine="openvino")
    executable.save(tmp_path / "a")
    broken = exported_twice(executable, tmp_path)
    program = {"nothing": b"", "another": other._program.export()}.get(how, broken)
    fingerprint = json.loads(members_of(tmp_path / "a")["manifest.json"])["fingerprint"]
    old = {"fingerprint": fingerprint.rpartition(", ")[0]}  # of versions that saved them
    changed(tmp_path / "a", program, **(old if how == "old" else {}))
    loaded = tp.Executable.load(tmp_path / "a")
    (record,) = caplog.records
    reason = "the saved one is for" if how == "old" else "the engine refuses it"
    assert f"is built again, because {reason}" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert np.array_equal(loaded(*inputs).numpy(), executable(*inputs).numpy())
    assert resaved(loaded, tmp_path / "b")(*inputs).shape == executable(*inputs).shape
    assert len(caplog.records) == 1
