"""Many calls: from many threads, with many shapes, in other processes; nothing grows or hangs."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openvino import opset15 as op

import tripy as tp
from tripy.engines import remote
from tripy.engines.openvino import OpenVINOProgram

Rng = np.random.Generator
InThreads = Callable[[int, Callable[[int], None]], None]
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and forks")


def numbers(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def network(rng: Rng, **options: Any) -> tp.Executable:
    """A small network on (rows, 16), 1 <= rows <= 64."""
    first, second = (tp.Tensor(numbers(rng, 16, 16)) for _ in range(2))
    info = tp.InputInfo(((1, 8, 64), 16), tp.float32)
    return tp.compile(lambda x: tp.softmax(tp.relu(x @ first) @ second, 1), args=[info], **options)


def images(rng: Rng) -> tp.Executable:
    """Convolutions on (1, 3, rows, 16), 5 <= rows <= 2000; every size takes its own kernels."""
    model = tp.Sequential(tp.Conv(3, 16, (3, 3)), tp.relu, tp.Conv(16, 16, (3, 3)))
    weights = {n: numbers(rng, *map(int, v.shape)) for n, v in model.state_dict().items()}
    model.load_state_dict(weights)
    return tp.compile(model, args=[tp.InputInfo((1, 3, (5, 20, 2000), 16), tp.float32)])


def program_of(exe: tp.Executable) -> OpenVINOProgram:
    program = exe._program
    assert isinstance(program, OpenVINOProgram)
    return program


def resident() -> float:
    """Resident memory in MiB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize(("engine", "calls"), [("openvino", 2000), ("reference", 200)])
def test_calls_of_many_threads_are_those_of_one(
    engine: str, calls: int, rng: Rng, in_threads: InThreads
) -> None:
    exe = network(rng, engine=engine)
    data = [numbers(rng, rows, 16) for rows in range(1, 65)]
    expected = [exe(x).numpy().copy() for x in data]
    kept: list[tuple[int, tp.Tensor]] = []

    def work(index: int) -> None:
        for i in range(calls):
            which = (i * 7 + index) % len(data)
            result = exe(data[which])
            assert np.array_equal(result.numpy(), expected[which])
            if i % 100 == 0:
                kept.append((which, result))

    in_threads(32, work)
    assert len(kept) == 32 * calls // 100
    assert all(np.array_equal(result.numpy(), expected[which]) for which, result in kept)
    if engine == "openvino":
        assert 0 < len(program_of(exe)._requests) <= 32


def test_idle_requests_are_no_more_than_calls_at_once(rng: Rng, in_threads: InThreads) -> None:
    exe = network(rng)
    data = [numbers(rng, rows, 16) for rows in (1, 5, 64)]
    for _ in range(100):
        for x in data:
            exe(x)
    assert len(program_of(exe)._requests) == 1
    in_threads(3, lambda i: [exe(data[i]) for _ in range(100)] and None)
    assert len(program_of(exe)._requests) <= 3
    bound = program_of(exe)._requests.maxlen
    assert bound is not None
    list(exe.map([data[0]] * (3 * bound), in_flight=2 * bound))
    pools = [program_of(exe)._requests]
    if exe._streams is not None:
        pools.append(exe._streams[1]._requests)  # type: ignore[attr-defined]
    assert all(len(pool) <= bound for pool in pools)


@linux
def test_memory_stays_where_500_shapes_put_it(rng: Rng) -> None:
    exe = images(rng)
    data = numbers(rng, 1, 3, 505, 16)
    views = [np.ascontiguousarray(data[:, :, :rows]) for rows in range(5, 505)]
    start = resident()
    for x in views:
        exe(x)
    warm = resident()
    for _ in range(9):
        for x in views:
            exe(x)
    assert resident() - warm < 8
    assert warm - start < 300


@linux
def test_kernels_of_past_shapes_are_bounded(rng: Rng) -> None:
    exe = images(rng)
    data = numbers(rng, 1, 3, 2000, 16)
    for rows in range(5, 805):
        exe(np.ascontiguousarray(data[:, :, :rows]))
    full = resident()
    for rows in range(805, 1605):
        exe(np.ascontiguousarray(data[:, :, :rows]))
    assert resident() - full < 60  # without a bound, more than 1 000


@linux
def test_fewer_shapes_kept_take_less_memory(rng: Rng) -> None:
    data = numbers(rng, 1, 3, 405, 16)
    inputs = [np.ascontiguousarray(data[:, :, :rows]) for rows in range(5, 405)]
    usual = images(np.random.default_rng(0))
    with tp.config.override(shapes_kept=1):
        warm, few = (images(np.random.default_rng(0)) for _ in range(2))
        loaded = pickle.loads(pickle.dumps(usual))
    expected = usual(inputs[0]).numpy().copy()
    grown = []
    for exe in (warm, few, loaded, usual):  # the first one warms up what they share
        start = resident()
        for x in inputs:
            exe(x)
        grown.append(resident() - start)
        assert np.array_equal(exe(inputs[0]).numpy(), expected)
    assert max(grown[1:3]) < 0.5 * grown[3]


def test_fresh_requests_and_programs_are_freed(rng: Rng) -> None:
    before = len([o for o in gc.get_objects() if type(o) is OpenVINOProgram])
    for _ in range(3):
        exe = network(rng)
        list(exe.map([numbers(rng, 4, 16)] * 3))
        del exe
    gc.collect()
    assert len([o for o in gc.get_objects() if type(o) is OpenVINOProgram]) <= before


# Processes --------------------------------------------------------------------------------------


def in_fork(work: Callable[[], bool], seconds: int = 60) -> int:
    """Run in a forked process; 0 where it was true, and a signal's number where it hung."""
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


forks = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def helper_of_this_process() -> int:
    (helper,) = remote._helpers
    return helper._process.pid


def is_gone(process: int) -> bool:
    """Whether a process ends soon."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").split()[2]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # nobody waits for it
            return True
        time.sleep(0.02)
    return False


@linux
@forks
def test_forked_processes_get_equal_results(rng: Rng, caplog: pytest.LogCaptureFixture) -> None:
    exe, x = network(rng), numbers(rng, 3, 16)
    weight, square = tp.Tensor(numbers(rng, 16, 16)), numbers(rng, 16, 16)
    info = tp.InputInfo((16, 16), tp.float32)
    expected, before = exe(x).numpy().copy(), list(exe.map([x] * 4))
    compiled = tp.compile(lambda a: tp.softmax(a @ weight, 1), args=[info])(square).numpy().copy()

    def eager() -> Any:
        with tp.config.override(eager_threshold=0):
            return ((tp.Tensor(square) @ weight) + 1.0).numpy().copy()

    big = eager()
    results = exe.map([x] * 5)  # goes on in the child
    next(results)
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            exe(x)

    def same(found: Any) -> bool:
        return np.array_equal(found.numpy(), expected)

    def compiles() -> bool:
        made = tp.compile(lambda a: tp.softmax(a @ weight, 1), args=[info])
        return np.array_equal(made(square).numpy(), compiled)

    def warns_once() -> bool:
        caplog.clear()
        exe(x), pickle.loads(pickle.dumps(exe))(x), list(exe.map([x]))
        return len(caplog.records) == 1 and "'spawn'" in caplog.text

    actions: list[Callable[[], bool]] = [
        lambda: same(exe(x)) and all(map(same, exe.map([x] * 4))) and all(map(same, before)),
        lambda: all(map(same, results)),
        lambda: results.close() is None,  # type: ignore[attr-defined]
        lambda: compiles() and np.array_equal(eager(), big),
        lambda: np.array_equal(eager(), big) and np.array_equal(eager(), big),
        lambda: same(pickle.loads(pickle.dumps(exe))(x)),
        lambda: (tp.Tensor(x) + 1.0).tolist() == (x + 1).tolist() and remote._helpers == [],
        lambda: (exe.__dict__.clear(), gc.collect()) is not None,
        warns_once,
    ]
    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        assert [in_fork(action) for action in actions] == [0] * len(actions)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert all(map(same, results))
    assert remote._helpers == []


@linux
@forks
def test_threads_and_children_of_forked_processes(rng: Rng, in_threads: InThreads) -> None:
    exe, data = network(rng), [numbers(rng, rows, 16) for rows in (1, 5, 64)]
    expected = [exe(x).numpy().copy() for x in data]

    def calls(index: int) -> None:
        for i in range(50):
            which = (index + i) % 3
            assert np.array_equal(exe(data[which]).numpy(), expected[which])

    def everywhere() -> bool:
        in_threads(4, calls)
        first = helper_of_this_process()
        assert in_fork(lambda: (calls(0), helper_of_this_process() != first)[1]) == 0
        calls(1)
        return helper_of_this_process() == first

    assert in_fork(everywhere, 150) == 0


@linux
@forks
def test_programs_that_a_forked_process_drops_are_freed(rng: Rng) -> None:
    exe, x = network(rng), numbers(rng, 3, 16)
    exe(x)

    def work() -> bool:
        for _ in range(3):
            network(rng)(x)
        gc.collect()
        made: Any = network(rng)._program
        return made._number == 1  # numbers of freed programs come again

    assert in_fork(work) == 0


@linux
@forks
@pytest.mark.parametrize("end", ["return", "exit", "kill"])
def test_helpers_end_with_their_process(end: str, rng: Rng) -> None:
    exe, x = network(rng), numbers(rng, 3, 16)
    exe(x)
    reader, writer = os.pipe()

    def work() -> bool:
        exe(x)
        os.write(writer, str(helper_of_this_process()).encode())
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    if end == "exit":
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(60)
        assert child.exitcode == 0
    else:
        assert in_fork(work) == (-signal.SIGKILL if end == "kill" else 0)
    helper = int(os.read(reader, 20))
    os.close(reader)
    os.close(writer)
    assert is_gone(helper)


@linux
def test_forked_process_that_leaves_as_usual_is_silent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, numpy as np, tripy as tp\n"
        "exe = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)])\n"
        "exe(np.ones(2, np.float32))\n"
        "if child := os.fork():\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "print(exe(np.ones(2, np.float32)).tolist(), flush=True)\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", str(script)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[1.0, 1.0]\n"
    assert done.stderr.count("\n") == 1
    assert "'spawn'" in done.stderr


@linux
@forks
def test_errors_in_forked_processes_are_the_same(rng: Rng) -> None:
    info = tp.InputInfo(((1, 2, 4),), tp.float32)
    with tp.config.override(memory_limit=2**60):  # what fails is the engine, in the helper
        exe = tp.compile(
            lambda x: tp.expand(tp.reshape(x + 1.0, (-1, 1)), (x.shape[0], 2**48)), args=[info]
        )
    plain, x = network(rng), np.ones(2, np.float32)

    def problem(action: Callable[[], Any]) -> tuple[type[Exception], str]:
        try:
            action()
        except tp.TripyException as raised:
            return type(raised), str(raised)
        raise AssertionError("no error")

    def call() -> Any:
        return exe(x)

    def work() -> bool:
        assert problem(call) == expected
        kind, text = problem(lambda: plain.profile(numbers(rng, 3, 16)))
        assert kind is tp.TripyRuntimeError
        assert "multiprocessing.get_context('spawn')" in text
        os.kill(helper_of_this_process(), signal.SIGKILL)
        kind, text = problem(call)
        assert kind is tp.TripyRuntimeError
        assert "gave no whole answer" in text
        assert problem(call) == expected  # by another helper
        remote._close()
        sys.executable = "/bin/echo"
        assert "gave no whole answer" in problem(call)[1]
        sys.executable = "/nowhere"
        return "could not be started" in problem(call)[1]

    expected = problem(call)
    assert expected[0] is tp.TripyMemoryError
    assert in_fork(work) == 0


@linux
@forks
def test_plugins_stay_out_of_helpers(caplog: pytest.LogCaptureFixture) -> None:
    twice = tp.register_plugin("test::twice", infer=lambda x: (x.shape, x.dtype))(lambda x: x * 2)
    twice.lowering("openvino")(lambda x: op.add(x, x))
    info, x = tp.InputInfo((2,), tp.float32), np.ones(2, np.float32)
    options: dict[str, Any] = {"args": [info], "engine": "openvino"}

    def function(x: tp.Tensor) -> tp.Tensor:
        return tp.plugin("test::twice", [x])

    exe = tp.compile(function, **options)
    assert exe(x).tolist() == [2.0, 2.0]

    def work() -> bool:
        for action in (lambda: exe(x), lambda: tp.compile(function, **options)):
            with pytest.raises(tp.TripyUnsupportedError, match="forked"):
                action()
        other = tp.compile(function, args=[info])
        assert "forked" in caplog.text
        return other.engine == "reference" and other(x).tolist() == [2.0, 2.0]

    assert in_fork(work) == 0


def in_a_worker(exe: tp.Executable, x: Any) -> tuple[Any, list[Any]]:
    return exe(x).numpy(), [r.numpy() for r in exe.map([x, x])]


@linux
@forks
def test_workers_of_a_forked_pool_get_equal_results(rng: Rng) -> None:
    exe, x = network(rng), numbers(rng, 3, 16)
    expected = exe(x).numpy()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(in_a_worker, [(exe, x)] * 4, chunksize=1)
    for result, mapped in found:
        assert np.array_equal(result, expected)
        assert all(np.array_equal(each, expected) for each in mapped)


def spawned(exe: tp.Executable, x: Any, threads: int) -> tuple[Any, Any, float]:
    """Return results, those of ``map``, and how many cores calls of a new program used."""
    tp.config.num_threads = threads
    square = tp.InputInfo((400, 400), tp.float32)
    busy = tp.compile(lambda a: a @ a @ a @ a @ a, args=[square])
    a = np.ones((400, 400), np.float32)
    busy(a)
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < 0.4:
        busy(a)
    used = (time.process_time() - cpu) / (time.perf_counter() - wall)
    return exe(x).numpy(), [r.numpy() for r in exe.map([x, x])], used


def test_spawned_workers_get_equal_results_on_their_threads(rng: Rng) -> None:
    exe, x = network(rng), numbers(rng, 3, 16)
    expected = exe(x).numpy()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(spawned, [(exe, x, 1)] * 2, chunksize=1)
    for result, mapped, used in found:
        assert np.array_equal(result, expected)
        assert all(np.array_equal(each, expected) for each in mapped)
        assert used < 1.3
