"""Options and fixtures that all tests share."""

from __future__ import annotations

import importlib
import sys
import threading
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import tripy as tp

# The same examples every time, and no failure because a machine is busy.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-goldens",
        action="store_true",
        help="rewrite the texts in tests/goldens (read them before you commit them)",
    )


#: Files that the fast subset leaves out.
SLOW = {
    *("test_bench.py", "test_cache.py", "test_demo.py", "test_distributed.py", "test_endurance.py"),
    *("test_images.py", "test_kept.py", "test_kernels.py", "test_mapping.py", "test_minilm.py"),
    *("test_onnx.py", "test_order.py", "test_profile.py", "test_properties.py"),
    *("test_property_windows.py", "test_quantization.py", "test_random.py", "test_ray.py"),
    *("test_saved.py", "test_saved_again.py", "test_tools.py"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def no_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test takes a program from the cache of the user, or of another test."""
    values = {"cache_dir": str(tmp_path_factory.mktemp("cache")), "cache_size": 0}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(f"TRIPY_{name.upper()}", str(value))  # of child processes
            setattr(tp.config, name, value)
        yield


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> tp.device:
    """A GPU; where there is none, JAX's CPU device stands for one, so that placement is tested."""
    pytest.importorskip("jax")
    modules = sys.modules["tripy.devices"], importlib.import_module("tripy.engines.xla_memory")
    if not tp.devices("gpu"):
        monkeypatch.setitem(modules[0].PROBES, "gpu", lambda: (1, "it is pretended"))
        monkeypatch.setitem(modules[1].PLATFORMS, "gpu", "cpu")
        modules[1].devices_of.cache_clear()
        monkeypatch.setattr(modules[0], "_found_default", tp.device("cpu"))
    return tp.device("gpu")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that differ from test to test and stay from run to run."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


def _run_in_threads(count: int, work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []
    barrier = threading.Barrier(count)

    def guarded(index: int) -> None:
        barrier.wait()
        try:
            work(index)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


@pytest.fixture
def in_threads() -> Callable[[int, Callable[[int], None]], None]:
    """Runs ``work(0) … work(count - 1)`` at once and raises what they raise."""
    return _run_in_threads
