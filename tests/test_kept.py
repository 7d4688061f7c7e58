"""Programs for the sizes of calls, also sizes of 0, are built once and kept up to a limit."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.engines.kept import Kept

InThreads = Callable[[int, Callable[[int], None]], None]
BUILDERS = {"openvino": "_compiled", "xla": "_Compiled"}  # what builds one program


@pytest.fixture(params=BUILDERS)
def engine(request: pytest.FixtureRequest) -> str:
    pytest.importorskip({"xla": "jax"}.get(request.param, request.param))
    return str(request.param)


@pytest.fixture
def built(engine: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every program that the engine builds."""
    module = importlib.import_module(f"tripy.engines.{engine}")
    build, made = getattr(module, BUILDERS[engine]), []

    def counted(*args: Any) -> Any:
        made.append(1)
        return build(*args)

    monkeypatch.setattr(module, BUILDERS[engine], counted)
    return made


def padded(engine: str) -> tp.Executable:
    sizes = ((0, 2, 9), (0, 3, 9))
    return tp.compile(
        lambda x: (tp.sum(x, 0), tp.concatenate([x, x + 1.0], 0)),
        args=[tp.InputInfo(sizes, tp.float32)],
        engine=engine,
    )


def check(executable: tp.Executable, rows: int, columns: int) -> None:
    x = np.full((rows, columns), rows + columns, np.float32)
    total, joined = executable(x)
    assert np.array_equal(total.numpy(), x.sum(0))
    assert np.array_equal(joined.numpy(), np.concatenate([x, x + 1]))


def test_an_empty_input_compiles_once(engine: str, built: list[int]) -> None:
    executable = padded(engine)
    for sizes in ((0, 3), (2, 0), (0, 0), (2, 3)):
        check(executable, *sizes)
    before = len(built)
    for sizes in ((2, 0), (0, 0), (2, 3), (0, 3)) * 3:
        check(executable, *sizes)
    assert len(built) == before


def test_programs_for_empty_inputs_are_bounded(engine: str, built: list[int]) -> None:
    with tp.config.override(shapes_kept=2):
        executable = padded(engine)
    for columns in (1, 2, 3):
        check(executable, 0, columns)
    before = len(built)
    check(executable, 0, 3)
    check(executable, 0, 2)
    assert len(built) == before
    check(executable, 0, 1)
    assert len(built) == before + 1
    check(executable, 0, 2)
    assert len(built) == before + 1


def test_threads_build_one_program(engine: str, built: list[int], in_threads: InThreads) -> None:
    executable = padded(engine)
    before = len(built)
    in_threads(4, lambda _: check(executable, 0, 3))
    assert len(built) == before + 1


def test_results_of_empty_inputs_are_the_callers_own(engine: str) -> None:
    executable = padded(engine)
    first = executable(np.zeros((0, 3), np.float32))[0]
    second = executable(np.zeros((0, 3), np.float32))[0]
    assert not np.shares_memory(first.numpy(), second.numpy())


def test_loaded_programs_keep_them_too(engine: str, built: list[int], tmp_path: Any) -> None:
    padded(engine).save(tmp_path / "a.tripy")
    executable = tp.Executable.load(tmp_path / "a.tripy")
    check(executable, 0, 3)
    before = len(built)
    assert [len(pair) for pair in executable.map(np.zeros((0, 3), np.float32) for _ in range(3))]
    check(executable, 0, 3)
    started = len(built)
    assert [len(pair) for pair in executable.map(np.zeros((0, 3), np.float32) for _ in range(3))]
    assert len(built) == started <= before + 2


def test_what_cannot_be_made_is_tried_again() -> None:
    kept: Kept[str] = Kept(1)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: str(1 // 0))
    assert len(kept) == 0
    assert kept.get("a", lambda: "made") == kept.get("a", lambda: "again") == "made"
    assert kept.get("b", lambda: "other") == "other"
    assert kept.get("a", lambda: "again") == "again"


def test_one_thread_makes_a_thing(in_threads: InThreads) -> None:
    kept: Kept[int] = Kept(4)
    made: list[int] = []

    def make() -> int:
        made.append(threading.get_ident())
        return len(made)

    in_threads(8, lambda _: [kept.get("a", make) for _ in range(50)] and None)
    assert made == made[:1]
