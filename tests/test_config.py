"""Settings: defaults, assignment, overrides, environment variables, logging."""

from __future__ import annotations

import ast
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp

ROOT = Path(__file__).parents[1]
DEFAULTS: dict[str, Any] = {
    "cache_size": 2 * 2**30,
    "enable_input_validation": True,
    "extra_error_information": [],
    "print_precision": 4,
    "print_threshold": 1000,
    "print_linewidth": 10,
    "print_edgeitems": 3,
    "num_threads": None,
    "eager_threshold": 100_000_000,
    "memory_limit": None,
    "shapes_kept": 64,
    "check": False,
    "default_device": None,
}
GOOD: list[tuple[str, Any, Any]] = [
    ("cache_dir", "~/programs", str(Path("~/programs").expanduser())),
    ("cache_dir", Path("programs"), "programs"),
    ("cache_size", 0, 0),
    ("cache_size", "500MB", 500 * 10**6),
    ("cache_size", "2GiB", 2 * 2**30),
    ("cache_size", "1.5 kib", 1536),
    ("enable_input_validation", False, False),
    ("extra_error_information", ["all"], ["all"]),
    ("extra_error_information", (), []),
    ("print_precision", 0, 0),
    ("print_precision", np.int64(3), 3),
    ("print_linewidth", 1, 1),
    ("num_threads", 2, 2),
    ("num_threads", None, None),
    ("eager_threshold", 0, 0),
    ("eager_threshold", None, None),
    ("memory_limit", "8GiB", 8 * 2**30),
    ("memory_limit", None, None),
    ("shapes_kept", 1, 1),
    ("check", True, True),
    ("default_device", "CPU", tp.device("cpu")),
    ("default_device", tp.device("gpu:1"), tp.device("gpu:1")),
    ("default_device", None, None),
]
BAD: list[tuple[str, Any, type[Exception]]] = [
    ("cache_dir", 3, tp.TripyTypeError),
    ("cache_size", -1, tp.TripyValueError),
    ("cache_size", "many", tp.TripyValueError),
    ("cache_size", None, tp.TripyTypeError),
    ("enable_input_validation", 1, tp.TripyTypeError),
    ("extra_error_information", "all", tp.TripyTypeError),
    ("extra_error_information", ["some"], tp.TripyValueError),
    ("print_precision", -1, tp.TripyValueError),
    ("print_precision", True, tp.TripyTypeError),
    ("print_precision", 2.0, tp.TripyTypeError),
    ("print_linewidth", 0, tp.TripyValueError),
    ("print_edgeitems", 0, tp.TripyValueError),
    ("num_threads", 0, tp.TripyValueError),
    ("num_threads", "2", tp.TripyTypeError),
    ("eager_threshold", -1, tp.TripyValueError),
    ("memory_limit", 1000, tp.TripyValueError),
    ("memory_limit", 1.5e10, tp.TripyTypeError),
    ("shapes_kept", 0, tp.TripyValueError),
    ("shapes_kept", None, tp.TripyTypeError),
    ("check", 1, tp.TripyTypeError),
    ("default_device", "tpu", tp.TripyValueError),
    ("default_device", 0, tp.TripyTypeError),
]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {name: getattr(tp.config, name) for name in (*DEFAULTS, "cache_dir")}
    yield
    for name, value in before.items():
        setattr(tp.config, name, value)


def test_defaults() -> None:
    names = [*DEFAULTS, "cache_dir"]
    child = run_with(f"print(*[repr(getattr(tp.config, n)) for n in {names}], sep='\\n')")
    *values, folder = map(ast.literal_eval, child.stdout.splitlines())
    assert dict(zip(DEFAULTS, values, strict=True)) == DEFAULTS
    assert Path(folder).name == "tripy"
    assert sorted(dir(tp.config)) == sorted([*DEFAULTS, "cache_dir", "override"])
    assert "print_precision=4," in repr(tp.config)


@pytest.mark.parametrize(("name", "value", "kept"), GOOD, ids=str)
def test_values_are_checked_and_normalised(name: str, value: Any, kept: Any) -> None:
    with tp.config.override(**{name: value}):
        assert getattr(tp.config, name) == kept
    setattr(tp.config, name, value)
    assert getattr(tp.config, name) == kept
    assert type(getattr(tp.config, name)) is type(kept)


@pytest.mark.parametrize(("name", "value", "kind"), BAD, ids=str)
def test_refused_values_change_nothing(name: str, value: Any, kind: type[Exception]) -> None:
    before = getattr(tp.config, name)
    with pytest.raises(kind):
        setattr(tp.config, name, value)
    with pytest.raises(kind):
        tp.config.override(**({"num_threads": 1, "print_edgeitems": 1} | {name: value}))
    assert getattr(tp.config, name) == before
    assert (tp.config.num_threads, tp.config.print_edgeitems) == (None, 3)


def test_unknown_settings() -> None:
    with pytest.raises(tp.TripyAttributeError, match="did you mean 'print_precision'"):
        _ = tp.config.print_precisions
    with pytest.raises(tp.TripyAttributeError, match="no setting 'verbose'"):
        tp.config.verbose = True
    with pytest.raises(tp.TripyAttributeError, match="no setting 'verbose'"):
        tp.config.override(verbose=True)


def test_overrides_nest_and_end() -> None:
    with tp.config.override(print_precision=1, print_edgeitems=1):
        assert repr(tp.Tensor(0.25)).startswith("tensor(0.2,")
        with tp.config.override(print_precision=2):
            assert (tp.config.print_precision, tp.config.print_edgeitems) == (2, 1)
        assert tp.config.print_precision == 1
        with pytest.raises(KeyError), tp.config.override(print_precision=3):
            raise KeyError
        assert tp.config.print_precision == 1
    assert repr(tp.Tensor(0.25)).startswith("tensor(0.2500,")


def test_overrides_belong_to_their_thread_and_assignment_to_the_process() -> None:
    seen: list[int] = []

    def read() -> None:
        seen.append(tp.config.print_precision)

    def in_a_thread() -> None:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()

    with tp.config.override(print_precision=1):
        in_a_thread()
        tp.config.print_precision = 7
        in_a_thread()
        assert tp.config.print_precision == 1
    assert seen == [4, 7]
    assert tp.config.print_precision == 7


def test_printing_settings() -> None:
    tensor = tp.arange(6) / 7.0
    with tp.config.override(print_precision=2, print_linewidth=4):
        assert repr(tensor).startswith("tensor([0.00, 0.14, 0.29, 0.43,\n 0.57, 0.71], dtype")
    with tp.config.override(print_threshold=5, print_edgeitems=1):
        assert repr(tensor).startswith("tensor([0.0000, ..., 0.7143], dtype")


def test_validation_can_be_switched_off() -> None:
    integers = tp.Tensor([1, 2])
    with pytest.raises(tp.TripyTypeError):
        tp.exp(integers)
    with tp.config.override(enable_input_validation=False):
        assert tp.exp(integers).shape == (2,)
        with pytest.raises(tp.TripyShapeError):
            tp.reshape(integers, (3,))


def test_extra_error_information_follows_the_override() -> None:
    with (
        tp.config.override(extra_error_information=["all"]),
        pytest.raises(tp.TripyShapeError, match="called from"),
    ):
        tp.ones((2,)) + tp.ones((3,))
    tp.config.extra_error_information = ["all"]
    with pytest.raises(tp.TripyShapeError, match="called from"):
        tp.ones((2,)) + tp.ones((3,))


def test_num_threads_reaches_the_engine() -> None:
    with tp.config.override(num_threads=1):
        exe = tp.compile(lambda x: x + 1.0, args=[tp.InputInfo((2,), tp.float32)])
    assert exe(np.ones(2, np.float32)).tolist() == [2.0, 2.0]


def test_absent_default_device_is_found_out_at_use() -> None:
    with tp.config.override(default_device="gpu"):
        with pytest.raises(tp.TripyDeviceError, match="gpu:0 is not present"):
            tp.Tensor([1.0])
        assert tp.Tensor([1.0], device="cpu").tolist() == [1.0]


# Environment variables --------------------------------------------------------------------------


def run_with(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRIPY_")}
    environment = kept | {"PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, "-W", "error", "-c", f"import tripy as tp\n{code}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_variables_are_read_at_import() -> None:
    variables = {
        "TRIPY_CACHE_DIR": "/tmp/elsewhere",
        "TRIPY_CACHE_SIZE": "500MB",
        "TRIPY_ENABLE_INPUT_VALIDATION": "off",
        "TRIPY_EXTRA_ERROR_INFORMATION": "all, ",
        "TRIPY_PRINT_PRECISION": "2",
        "TRIPY_PRINT_THRESHOLD": "5",
        "TRIPY_PRINT_LINEWIDTH": "3",
        "TRIPY_PRINT_EDGEITEMS": "1",
        "TRIPY_NUM_THREADS": "2",
        "TRIPY_EAGER_THRESHOLD": "None",
        "TRIPY_SHAPES_KEPT": "8",
        "TRIPY_DEFAULT_DEVICE": "cpu:0",
    }
    names = [v.removeprefix("TRIPY_").lower() for v in variables]
    child = run_with(f"print([str(getattr(tp.config, n)) for n in {names}])", **variables)
    assert child.stderr == ""
    expected = ["/tmp/elsewhere", "500000000", "False", "['all']", "2", "5", "3", "1", "2", "None"]
    assert child.stdout.strip() == str([*expected, "8", "cpu:0"])


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TRIPY_PRINT_PRECISION", "four"),
        ("TRIPY_SHAPES_KEPT", "0"),
        ("TRIPY_DEFAULT_DEVICE", "tpu"),
        ("TRIPY_LOG_LEVEL", "loud"),
    ],
)
def test_unreadable_variables_are_named(variable: str, text: str) -> None:
    child = run_with("", **{variable: text})
    assert child.returncode == 1
    last = child.stderr[child.stderr.index("tripy.errors.TripyValueError: ") :]
    assert f"the environment variable {variable} cannot be read" in last
    assert f"received: {text!r}" in last
    assert "expected: " in last
    assert f"how to fix: unset {variable}" in last


COMPILE = "tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)])"


def test_log_level_variable_attaches_a_handler() -> None:
    assert run_with(COMPILE).stderr == ""
    info = run_with(COMPILE, TRIPY_LOG_LEVEL="info").stderr
    assert "built for openvino" in info
    assert "graph" not in info
    assert "relu" in run_with(COMPILE, TRIPY_LOG_LEVEL="debug").stderr


def test_warnings_are_shown_without_any_set_up() -> None:
    code = "tp.compile(tp.Linear(2, 2), args=[tp.InputInfo((2,), tp.float32)])"
    assert "default values" in run_with(code).stderr
    assert run_with(code, TRIPY_LOG_LEVEL="error").stderr == ""


def test_logger_is_the_standard_one() -> None:
    assert tp.logger is logging.getLogger("tripy")
    assert not tp.logger.handlers
