"""The cache of programs on disk: equal results, bounded, and safe whatever happens to it."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy import cache
from tripy.engines import base

ROOT = Path(__file__).parents[1]
VECTOR = [tp.InputInfo((3,), tp.float32)]
X = np.array([1, -2, 3], np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache that keeps every program, however fast it was built."""
    monkeypatch.setattr(cache, "_SECONDS", -1.0)
    monkeypatch.setattr(cache, "_warned", set())
    with tp.config.override(cache_dir=tmp_path / "cache", cache_size="1GiB"):
        yield tmp_path / "cache"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every program that the OpenVINO engine builds."""
    engine: Any = base.load("openvino")
    made: list[int] = []
    build = type(engine).build

    def counted(self: Any, graph: Any, options: Any) -> Any:
        made.append(len(graph.values))
        return build(self, graph, options)

    monkeypatch.setattr(type(engine), "build", counted)
    return made


def scaled(factor: float = 2.0, args: Any = VECTOR, **options: Any) -> tp.Executable:
    weight = tp.Parameter([factor, 1.0, 0.5])
    return tp.compile(lambda x: x * weight + 1.0, args=args, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def assert_scaled(executable: tp.Executable, factor: float = 2.0) -> None:
    assert executable(X).tolist() == [factor + 1, -1.0, 2.5]


def test_an_equal_compile_takes_the_program(
    folder: Path, built: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    assert_scaled(scaled())
    assert len(names(folder)) == len(built) == 1
    with caplog.at_level(logging.INFO, "tripy.cache"):
        assert_scaled(scaled())
    assert len(names(folder)) == len(built) == 1
    (record,) = [r for r in caplog.records if r.name == "tripy.cache"]
    assert record.getMessage().startswith("the program was read from the cache in 0.")


class Scale(tp.Module):
    """One function in two ways: names and source lines differ."""

    def __init__(self, name: str) -> None:
        setattr(self, name, tp.Parameter([2.0, 1.0, 0.5]))

    def forward(self, x: Any) -> Any:
        if hasattr(self, "weight"):
            for _ in range(2):
                x = x + 0.5
            return x * self.weight
        x = x + 0.5
        x = x + 0.5
        return x * self.factor


def test_names_and_source_lines_do_not_count(folder: Path, built: list[int]) -> None:
    for name in ("weight", "factor"):
        assert tp.compile(Scale(name), args=VECTOR)(X).tolist() == [4.0, -1.0, 2.0]
    assert len(built) == 1


CHANGES: dict[str, dict[str, Any]] = {
    "constants": {"factor": 3.0},
    "precision": {"precision": "bfloat16"},
    "level": {"optimization_level": 1},
    "bounds": {"args": [tp.InputInfo(((1, 3, 3),), tp.float32)]},
    "sign of zero": {"factor": -0.0},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_program_counts(change: str, folder: Path, built: list[int]) -> None:
    scaled(0.0)
    options = {"factor": 0.0} | CHANGES[change]
    changed = scaled(**options)
    assert len(built) == len(names(folder)) == 2
    if change != "precision":
        assert_scaled(changed, options["factor"])


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8", "uint8", "int32", "bool"])
def test_constants_of_every_dtype_count(kind: str, folder: Path, built: list[int]) -> None:
    for elements in ([0.0, 1.0, 1.0], [0.0, 1.0, 0.0]) * 2:
        weight = tp.Parameter(tp.cast(tp.Tensor(elements), getattr(tp, kind)))
        made = tp.compile(
            lambda n, weight=weight: tp.gather(weight, 0, n), args=[tp.InputInfo((3,), tp.int32)]
        )
        assert made(np.array([2, 1, 0], np.int32)).tolist() == elements[::-1]
    assert len(built) == len(names(folder)) == 2


@pytest.mark.parametrize("part", ["version", "engine", "threads"])
def test_versions_and_settings_count(
    part: str, folder: Path, built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled()
    if part == "version":
        monkeypatch.setattr(tp, "__version__", "0.0.0")
    elif part == "engine":
        monkeypatch.setattr(cache, "_sources", lambda: "changed")
    with tp.config.override(**({"num_threads": 1} if part == "threads" else {})):
        assert_scaled(scaled())
    assert len(built) == len(names(folder)) == 2


def test_programs_serve_any_number_of_shapes(folder: Path, built: list[int]) -> None:
    scaled()
    with tp.config.override(shapes_kept=2):
        assert_scaled(scaled())
    assert len(built) == len(names(folder)) == 1


def test_structures_and_constants_are_told_apart(folder: Path, built: list[int]) -> None:
    functions = [
        lambda x: x - tp.Parameter([1.0, 2.0, 3.0]),
        lambda x: tp.Parameter([1.0, 2.0, 3.0]) - x,
        lambda x: x - tp.Parameter([3.0, 2.0, 1.0]),
        lambda x: x - tp.Parameter([[1.0, 2.0, 3.0]]),
        lambda x: [x - 1.0, x + 1.0],
        lambda x: [x + 1.0, x - 1.0],
    ]
    expected = [
        np.asarray(tp.compile(f, args=VECTOR, engine="reference")(X)) for f in functions
    ]  # the reference engine exports nothing
    assert names(folder) == []
    for _ in range(2):
        for function, result in zip(functions, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(tp.compile(function, args=VECTOR)(X)), result)
    assert len(built) == len(names(folder)) == len(functions)


def test_a_dynamic_program_checks_its_sizes(folder: Path, built: list[int]) -> None:
    sizes = (tp.NamedDimension("n", 1, 4, 8), 2)
    for _ in range(2):
        made = tp.compile(
            lambda x, y: tp.concatenate([x, tp.reshape(y, (2, 2))], 0) * 2.0,
            args=[tp.InputInfo(sizes, tp.float32), tp.InputInfo(((1, 4, 8),), tp.float32)],
        )
        for n in (1, 5):
            assert made(np.ones((n, 2), np.float32), np.ones(4, np.float32)).shape == (n + 2, 2)
        with pytest.raises(tp.TripyShapeError, match=r"test_cache\.py"):
            made(np.ones((1, 2), np.float32), np.ones(5, np.float32))
    assert len(built) == 1


def test_random_programs_are_kept(folder: Path, built: list[int]) -> None:
    drawn = [
        tp.compile(lambda x: x + tp.random.uniform((3,), seed=7), args=VECTOR)(X).tolist()
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert len(built) == 1


def test_fast_builds_are_not_kept(
    folder: Path, built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SECONDS", 3600.0)
    assert_scaled(scaled())
    assert names(folder) == []
    monkeypatch.setattr(cache, "_SECONDS", -1.0)
    monkeypatch.setattr(cache, "_SECONDS_PER_BYTE", 3600.0)  # too many constants
    assert_scaled(scaled())
    assert names(folder) == []


def test_size_zero_and_plugins_use_no_cache(folder: Path, built: list[int]) -> None:
    with tp.config.override(cache_size=0):
        assert_scaled(scaled())

    @tp.register_plugin("cache::double", infer=lambda x: (x.shape, x.dtype), replace=True)
    def double(x: Any) -> Any:
        return x * 2

    @double.lowering("openvino")
    def _(x: Any) -> Any:
        from openvino import opset15 as op

        return op.add(x, x)

    made = tp.compile(lambda x: tp.plugin("cache::double", [x]), args=VECTOR, engine="openvino")
    assert made(X).tolist() == [2.0, -4.0, 6.0]
    assert names(folder) == []


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "header":
        data[3] ^= 1
    cut = {"empty": 0, "short": 10, "cut": len(data) - 1}
    path.write_bytes(data[: cut.get(how, len(data))])


@pytest.mark.parametrize("how", ["flipped", "header", "empty", "short", "cut"])
def test_damaged_entries_are_replaced(
    how: str,
    folder: Path,
    built: list[int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scaled()
    monkeypatch.setattr(cache, "_SECONDS", 3600.0)  # also where the build is fast now
    (path,) = folder.iterdir()
    damage(path, how)
    assert_scaled(scaled())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "is built again: it is " in record.getMessage()
    assert_scaled(scaled())
    assert len(built) == 2
    assert len(caplog.records) == 1


def test_an_entry_of_another_graph_is_damaged(
    folder: Path, built: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    scaled(2.0)
    (path,) = folder.iterdir()
    scaled(3.0)
    (other,) = set(folder.iterdir()) - {path}
    other.replace(path)
    assert_scaled(scaled(2.0), 2.0)
    assert "is damaged" in caplog.text
    assert len(built) == 3


def test_a_program_that_the_engine_refuses_is_replaced(
    folder: Path, built: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    scaled()
    (path,) = folder.iterdir()
    path.write_bytes(cache._header(b"nonsense", str(path)) + b"nonsense")
    assert_scaled(scaled())
    assert_scaled(scaled())
    assert len(built) == 2
    assert len(caplog.records) == 1


@pytest.mark.parametrize("where", ["file", "below a file", "full disk"])
def test_a_folder_that_cannot_be_used_gives_one_warning(
    where: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "full disk":
        monkeypatch.setattr(os, "fsync", fails)
    else:
        folder.write_bytes(b"")
    used = folder / "deeper" if where == "below a file" else folder
    with tp.config.override(cache_dir=used):
        for _ in range(2):
            assert_scaled(scaled())
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"programs cannot be cached in {used}: ")
    if where == "full disk":
        assert names(folder) == []


def test_the_programs_used_longest_ago_go_first(folder: Path, built: list[int]) -> None:
    def path_of(factor: float) -> Path:
        before = set(names(folder))
        scaled(factor)
        (name,) = set(names(folder)) - before
        return folder / name

    paths = [path_of(float(i)) for i in range(3)]
    for age, path in zip((300, 200, 100), paths, strict=True):
        os.utime(path, (time.time() - age,) * 2)
    scaled(0.0)  # the oldest one is used again
    size = max(path.stat().st_size for path in paths)
    with tp.config.override(cache_size=3 * size + 10):
        last = path_of_new(folder, 7.0)
    assert set(names(folder)) == {paths[0].name, paths[2].name, last}
    assert len(built) == 4


def path_of_new(folder: Path, factor: float) -> str:
    before = set(names(folder))
    scaled(factor)
    (name,) = set(names(folder)) - before
    return name


def test_a_program_larger_than_the_limit_is_not_kept(folder: Path) -> None:
    with tp.config.override(cache_size=100):
        assert_scaled(scaled())
    assert names(folder) == []


def test_only_old_unfinished_files_are_removed(folder: Path) -> None:
    scaled(1.0)
    (name,) = names(folder)
    parts = [f".{name[:64]}.{'0123456789abcdef'[i:]}{'0' * i}" for i in range(2)]
    others = ["notes.txt", ".hidden", "a.program"]
    for other in (*parts, *others):
        (folder / other).write_bytes(b"x")
        if other != parts[0]:
            os.utime(folder / other, (0, 0))
    scaled(2.0)
    assert set(names(folder)) >= {name, parts[0], *others}
    assert parts[1] not in names(folder)
    cache.clear(str(folder))
    assert names(folder) == sorted(others)


def _compile_in_child(folder: str, barrier: Any, results: Any) -> None:
    cache._SECONDS = -1.0
    tp.config.cache_size = 2**30
    tp.config.cache_dir = folder
    barrier.wait()
    results.put([scaled(float(i % 2))(X).tolist() for i in range(6)])


def test_several_processes_use_one_cache(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    children = [
        context.Process(target=_compile_in_child, args=(str(folder), barrier, results))
        for _ in range(3)
    ]
    for child in children:
        child.start()
    found = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert found == [[[i % 2 + 1, -1.0, 2.5] for i in range(6)]] * 3
    assert len(names(folder)) == 2  # and no unfinished file
    for factor in (0.0, 1.0):
        assert_scaled(scaled(factor), factor)
    assert caplog.records == []


KILLED = """
import os, signal, sys
import tripy as tp
from tripy import cache
cache._SECONDS = -1.0
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
tp.compile(lambda x: x * 2.0 + 1.0, args=[tp.InputInfo((3,), tp.float32)])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_process_leaves_no_entry(
    folder: Path, built: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    variables = {"TRIPY_CACHE_DIR": str(folder), "TRIPY_CACHE_SIZE": "1GiB"}
    child = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=os.environ | variables)
    assert child.returncode < 0
    (part,) = names(folder)
    assert cache._PART.fullmatch(part)
    assert cache.entries(str(folder)) == []
    os.utime(folder / part, (0, 0))
    made = tp.compile(lambda x: x * 2.0 + 1.0, args=VECTOR)
    assert made(X).tolist() == [3.0, -3.0, 7.0]
    assert len(built) == len(cache.entries(str(folder))) == len(names(folder)) == 1
    assert caplog.records == []


def test_the_command(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, list[str]]:
        variables = {"TRIPY_CACHE_DIR": str(folder), "TRIPY_CACHE_SIZE": "2MB"}
        child = subprocess.run(
            [sys.executable, "-m", "tripy", "cache", *arguments],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
        )
        return child.returncode, child.stdout.splitlines()

    scaled()
    (path,) = folder.iterdir()
    first = f"programs in {folder}"
    bytes_line = f"  bytes: {path.stat().st_size:,} of 2,000,000"
    assert run("info") == (0, [first, "  entries: 1", bytes_line])
    assert run("clear") == (0, [first, "  entries: 0", "  bytes: 0 of 2,000,000"])
    assert names(folder) == []
    assert run() == run("wash") == (2, ["usage: python -m tripy cache info|clear"])
