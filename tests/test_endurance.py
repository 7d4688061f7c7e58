"""Many calls: from many threads, with many shapes, in other processes; nothing grows or hangs."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
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


def in_fork(work: Callable[[], bool], seconds: int = 20) -> int:
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


def is_refused(action: Callable[[], Any]) -> bool:
    try:
        action()
    except tp.TripyRuntimeError as problem:
        return "multiprocessing.get_context('spawn')" in str(problem)
    return False


@linux
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forked_processes_are_told_to_be_spawned(rng: Rng) -> None:
    exe, x = network(rng), numbers(rng, 3, 16)
    exe(x)
    list(exe.map([x] * 4))
    reference = network(rng, engine="reference")
    expected = reference(x).numpy()
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            exe(x)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    actions = [lambda: exe(x), lambda: list(exe.map([x])), lambda: network(rng)]
    try:
        for action in actions:
            assert in_fork(lambda action=action: is_refused(action)) == 0  # type: ignore[misc]
        assert in_fork(lambda: np.array_equal(reference(x).numpy(), expected)) == 0
        assert in_fork(lambda: (tp.Tensor(x) + 1.0).tolist() == (x + 1).tolist()) == 0
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    results = exe.map([x] * 5)
    next(results)
    assert in_fork(lambda: is_refused(lambda: next(results))) == 0
    assert in_fork(lambda: results.close() is None) == 0  # type: ignore[attr-defined]
    assert in_fork(lambda: (exe.__dict__.clear(), gc.collect()) is not None) == 0
    assert np.array_equal(exe(x).numpy(), exe(x).numpy())


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
