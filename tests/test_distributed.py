"""Meshes: models over 8 virtual devices, two processes, and everything that can be wrong.

Devices are fixed when JAX starts, so the checks run in a process of their own:
``python tests/test_distributed.py`` runs them on the devices that are there, GPUs too.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import pickle
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp

ROOT = Path(__file__).parents[1]
CHECKS: dict[str, Callable[[], None]] = {}
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


# --- models ------------------------------------------------------------------------------------


def filled(model: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    arrays = {
        n: (rng.random(p.shape) * 0.2).astype(np.float32) for n, p in model.state_dict().items()
    }
    model.load_state_dict({n: tp.Tensor(array, device="cpu") for n, array in arrays.items()})
    return model


class Block(tp.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        self.attn = tp.MultiHeadAttention(64, 8)
        self.up = tp.Linear(64, 256)
        self.down = tp.Linear(256, 64)

    def forward(self, x: Any) -> Any:
        x = x + self.attn(x, is_causal=True)
        return x + self.down(tp.gelu(self.up(x)))


class Convolutions(tp.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        self.conv = tp.Conv(8, 64, (3, 3), padding=((1, 1), (1, 1)))
        self.norm = tp.BatchNorm(64)
        self.head = tp.Conv(64, 16, (1, 1))

    def forward(self, x: Any) -> Any:
        return self.head(tp.relu(self.norm(self.conv(x))))


MEGATRON: dict[str, Any] = {
    "attn.out_proj.bias": (None,),
    "attn.out_proj.weight": (None, "model"),
    "attn.*_proj.*": ("model",),
    "up.*": ("model",),
    "down.weight": (None, "model"),
}
BATCH = tp.NamedDimension("batch", 2, 8, 16)
INFO = [tp.InputInfo((8, 6, 64), tp.float32)]
X = np.random.default_rng(7).standard_normal((8, 6, 64)).astype(np.float32)


def grid(data: int = 2) -> Any:
    """A mesh over all devices, with an axis of a size, or all of them where there are fewer."""
    whole = tp.distributed.Mesh({"all": -1}).size
    return tp.distributed.Mesh({"data": min(data, whole), "model": -1})


def reference(model: Any, x: Any = X) -> Any:
    info = tp.InputInfo(x.shape, tp.float32)
    return np.asarray(tp.compile(model, args=[info], engine="reference", device="cpu")(x))


def host(tensor: Any) -> Any:
    return np.asarray(tensor.numpy())


def weights(exe: Any) -> list[Any]:
    """The arrays of the weights that calls use."""
    found = [value.data for value in exe._program._graph.constants]
    return [array for array in found if hasattr(array, "addressable_shards")]


def parts(exe: Any) -> set[int]:
    """How many parts the weights have."""
    return {len({str(s.index) for s in w.addressable_shards}) for w in weights(exe)}


# --- results and places ------------------------------------------------------------------------


@check
def data_parallel() -> None:
    mesh, model = tp.distributed.Mesh({"data": -1}), filled(Block())
    exe = tp.compile(model, args=INFO, mesh=mesh, sharding={"x": ("data",)})
    np.testing.assert_allclose(host(exe(X)), reference(model), **TOLERANCE)
    assert parts(exe) == {1}
    assert f"mesh=(data: {mesh.size})" in repr(exe)
    assert all(len(w.addressable_shards) == mesh.size for w in weights(exe))


@check
def tensor_parallel() -> None:
    mesh, model = tp.distributed.Mesh({"model": -1}), filled(Block())
    exe = tp.compile(model, args=INFO, mesh=mesh, sharding=MEGATRON)
    np.testing.assert_allclose(host(exe(X)), reference(model), **TOLERANCE)
    assert parts(exe) == {mesh.size}
    for weight in weights(exe):
        share = weight.addressable_shards[0].data.nbytes
        assert share * mesh.size == weight.nbytes


@check
def both_at_once_for_every_size() -> None:
    mesh, model = grid(), filled(Block())
    info = [tp.InputInfo((BATCH, 6, 64), tp.float32)]
    exe = tp.compile(model, args=info, mesh=mesh, sharding={"x": ("data",), **MEGATRON})
    for count in (8, 2, 16, 8):
        x = np.resize(X, (count, 6, 64))
        np.testing.assert_allclose(host(exe(x)), reference(model, x), **TOLERANCE)
    assert parts(exe) == {mesh.axes["model"]}
    assert exe.verify(X, atol=1e-4)


@check
def convolutions_over_output_channels() -> None:
    mesh, model = grid(), filled(Convolutions())
    x = np.random.default_rng(3).standard_normal((4, 8, 9, 9)).astype(np.float32)
    exe = tp.compile(
        model,
        args=[tp.InputInfo(x.shape, tp.float32)],
        mesh=mesh,
        sharding={"x": ("data",), "conv.*": ("model",), "norm.*": ("model",)},
    )
    np.testing.assert_allclose(host(exe(x)), reference(model, x), **TOLERANCE)
    filters = next(w for w in weights(exe) if w.shape == (64, 8, 3, 3))
    assert filters.addressable_shards[0].data.shape[0] == 64 // mesh.axes["model"]


@check
def one_dim_over_two_axes_and_devices_in_any_order() -> None:
    names = [str(d) for d in grid().devices][::-1]
    mesh = tp.distributed.Mesh({"a": 2, "b": len(names) // 2}, names)
    model = filled(tp.Linear(64, 256))
    exe = tp.compile(model, args=INFO, mesh=mesh, sharding={"weight": (("a", "b"),)})
    np.testing.assert_allclose(host(exe(X)), reference(model), **TOLERANCE)
    assert parts(exe) == {len(names)}
    first = next(s for s in weights(exe)[0].addressable_shards if s.index[1].start in (0, None))
    assert first.device.id == mesh.devices[0].index


@check
def results_stay_divided_where_a_pattern_names_them() -> None:
    mesh, model = grid(), filled(Block())
    rules = {"x": ("data",), "output": ("data",), **MEGATRON}
    exe = tp.compile(model, args=INFO, mesh=mesh, sharding=rules)
    result = exe(X)
    array = result._value.data.array
    assert len(array.addressable_shards) == mesh.size
    assert array.addressable_shards[0].data.shape[0] == 8 // mesh.axes["data"]
    moved = exe._program._placement.input(exe._graph.inputs[0], "x")
    assert array.sharding.is_equivalent_to(moved, 3)
    assert result.eval()._value.data.array is array
    expected = reference(model)
    np.testing.assert_allclose(host(result), expected, **TOLERANCE)
    np.testing.assert_allclose(host(exe(result)), reference(model, expected), rtol=1e-3)
    assert type(result._value.data).__name__ == "Spread"
    np.testing.assert_allclose(host(result + 1.0), expected + 1, **TOLERANCE)  # eager work
    whole = tp.compile(lambda x: x + result, args=INFO)  # a constant
    np.testing.assert_allclose(host(whole(X)), X + expected, **TOLERANCE)
    if result.device.kind == "cpu":
        np.testing.assert_allclose(np.from_dlpack(result), expected, **TOLERANCE)
    assert str(result).startswith("tensor(")


@check
def several_results_and_inputs_by_path() -> None:
    mesh = grid()

    def step(batch: Any, scale: Any) -> Any:
        total = batch["a"][0] * scale
        return {"sum": [total, batch["a"][0]], "same": total, "size": batch["a"][0].shape[0]}

    info = tp.InputInfo((BATCH, 4), tp.float32)
    exe = tp.compile(
        step,
        args=[{"a": [info]}, tp.InputInfo((), tp.float32)],
        mesh=mesh,
        sharding={"batch.a[0]": ("data",), "output.sum[0]": ("data",)},
    )
    x = np.arange(32, dtype=np.float32).reshape(8, 4)
    result = exe({"a": [x]}, np.float32(3).reshape(()))
    np.testing.assert_array_equal(host(result["sum"][0]), x * 3)
    np.testing.assert_array_equal(host(result["sum"][1]), x)
    np.testing.assert_array_equal(host(result["same"]), x * 3)


@check
def half_precision_and_integers() -> None:
    mesh = grid()
    table = filled(tp.Embedding(64, 32))
    exe = tp.compile(
        lambda ids: tp.cast(table(ids), tp.bfloat16) * 2,
        args=[tp.InputInfo((8, 3), tp.int64)],
        mesh=mesh,
        sharding={"ids": ("data",)},
    )
    ids = np.arange(24).reshape(8, 3)
    expected = host(table.weight)[ids].astype(host(exe(ids)).dtype) * 2
    np.testing.assert_array_equal(host(exe(ids)), expected)


@check
def threads_call_at_once() -> None:
    mesh, model = grid(), filled(Block())
    exe = tp.compile(model, args=INFO, mesh=mesh, sharding={"x": ("data",), **MEGATRON})
    expected, problems = reference(model), []

    def call() -> None:
        try:
            for _ in range(5):
                np.testing.assert_allclose(host(exe(X)), expected, **TOLERANCE)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not problems
    assert len(list(exe.map([X] * 4))) == 4


# --- files -------------------------------------------------------------------------------------


@check
def checkpoints_are_placed_part_by_part() -> None:
    import jax

    mesh, model = tp.distributed.Mesh({"model": -1}), filled(tp.Linear(256, 1024, bias=False))
    largest: list[int] = []
    make = jax.make_array_from_callback

    def spy(shape: Any, sharding: Any, part: Any) -> Any:
        def watched(index: Any) -> Any:
            found = part(index)
            assert not found.flags.owndata  # a view of the mapped file
            largest.append(found.nbytes)
            return found

        return make(shape, sharding, watched)

    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/model.safetensors"
        tp.save_safetensors(model.state_dict(), path)
        loaded = tp.Linear(256, 1024, bias=False)
        loaded.load_state_dict(path)
        assert isinstance(loaded.weight._value.data, np.ndarray)  # mapped, on no device
        jax.make_array_from_callback = spy
        try:
            info = [tp.InputInfo((4, 256), tp.float32)]
            exe = tp.compile(loaded, args=info, mesh=mesh, sharding={"weight": ("model",)})
        finally:
            jax.make_array_from_callback = make
        assert largest == [256 * 1024 * 4 // mesh.size] * mesh.size
        x = np.ones((4, 256), np.float32)
        np.testing.assert_allclose(host(exe(x)), reference(model, x), **TOLERANCE)


@check
def files_keep_the_mesh_and_the_rules() -> None:
    mesh, model = grid(), filled(Block())
    rules = {"x": ("data",), "output": ("data",), **MEGATRON}
    exe = tp.compile(model, args=INFO, mesh=mesh, sharding=rules)
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/block.tripy"
        exe.save(path)
        again = tp.Executable.load(path)
        assert repr(again) == repr(exe)
        assert [w.sharding for w in weights(again)] == [w.sharding for w in weights(exe)]
        np.testing.assert_array_equal(host(again(X)), host(exe(X)))
        for options in ({"engine": "xla"}, {"device": "cpu"}, {"engine": "reference"}):
            alone = tp.Executable.load(path, **options)
            assert "mesh" not in repr(alone)
            np.testing.assert_allclose(host(alone(X)), host(exe(X)), **TOLERANCE)
        code = f"import tripy as tp; tp.Executable.load({path!r})"
        error = child(code, 1, ON_CPU if exe.device.kind == "cpu" else ALONE)
        assert "TripyDeviceError" in error
        assert f"spread over {mesh.size} devices, and there are 1" in error
        assert 'engine="xla"' in error
    twin = exe
    for again in (copy.copy, lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy) * 2:
        twin = again(twin)
        assert repr(twin) == repr(exe)
        np.testing.assert_array_equal(host(twin(X)), host(exe(X)))


ON_CPU = {"JAX_PLATFORMS": "cpu"}
ALONE = {"CUDA_VISIBLE_DEVICES": "0"}


def child(code: str, status: int, variables: dict[str, str]) -> str:
    """Run a program of its own and return what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | variables
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


# --- what can be wrong -------------------------------------------------------------------------


def refuses(kind: type[Exception], words: str, work: Callable[[], Any]) -> None:
    """The work raises, and the message shows the line of the user."""
    try:
        work()
    except kind as problem:
        text = str(problem)
        assert all(word in text for word in words.split("|")), text
        assert "test_distributed.py:" in text, text
        assert "how to fix" in text
        return
    raise AssertionError(f"no {kind.__name__}: {words}")


@check
def wrong_meshes() -> None:
    make = tp.distributed.Mesh
    count = grid().size
    kind = grid().devices[0].kind
    first = f"{kind}:0"
    refuses(tp.TripyDeviceError, f"there are {count} devices", lambda: make({"a": count + 1}))
    refuses(tp.TripyDeviceError, f"{kind}:99", lambda: make({"a": 2}, [first, f"{kind}:99"]))
    if kind == "cpu":
        more = f"use_cpu_devices({count + 1})"
        refuses(tp.TripyDeviceError, more, lambda: make({"a": count + 1}))
        refuses(tp.TripyRuntimeError, "runs already", lambda: tp.distributed.use_cpu_devices(99))
    refuses(tp.TripyValueError, "cannot be worked out", lambda: make({"a": -1, "b": -1}))
    refuses(tp.TripyValueError, f"{count} devices", lambda: make({"a": -1, "b": count + 1}))
    for axes in ({"a": 0}, {"a": "2"}, {1: 2}, {"": 1}, {"a": True}, {}):
        refuses(tp.TripyValueError, "an axis has a name", lambda axes=axes: make(axes))
    refuses(tp.TripyValueError, "1 devices for 2", lambda: make({"a": 2}, [first]))
    refuses(tp.TripyValueError, "different devices", lambda: make({"a": 2}, [first, first]))
    refuses(tp.TripyValueError, "of one kind", lambda: make({"a": 2}, ["cpu:0", "gpu:0"]))
    refuses(tp.TripyValueError, "tpu", lambda: make({"a": 1}, ["tpu"]))
    refuses(tp.TripyTypeError, "axes must be", lambda: make(3))
    refuses(tp.TripyTypeError, "devices must be", lambda: make({"a": 1}, 3))
    refuses(tp.TripyAttributeError, "frozen", lambda: setattr(make({"a": 1}), "axes", {}))


@check
def meshes_are_values() -> None:
    make = tp.distributed.Mesh
    mesh = make({"data": 2, "model": -1})
    assert mesh == make({"data": 2, "model": mesh.size // 2}) == pickle.loads(pickle.dumps(mesh))
    assert hash(mesh) == hash(make(dict(mesh.axes)))
    assert mesh != make({"model": 2, "data": -1})
    assert mesh != 3
    kind = mesh.devices[0].kind
    assert repr(make({"a": 1})) == f"Mesh(a=1, devices={kind}:0)"
    assert repr(make({"a": 2})) == f"Mesh(a=2, devices={kind}:0, {kind}:1)"


@check
def wrong_tables() -> None:
    mesh, model = grid(), filled(Block())

    def build(sharding: Any, **options: Any) -> Any:
        return tp.compile(model, args=INFO, sharding=sharding, **({"mesh": mesh} | options))

    rows: list[tuple[type[Exception], str, Any]] = [
        (tp.TripyValueError, "'xx'|matches no|'up.weight'", {"xx": ("data",)}),
        (tp.TripyValueError, "did you mean 'up.weight'", {"up.weigth": ("model",)}),
        (tp.TripyValueError, "no axis 'modle'|did you mean 'model'", {"x": ("modle",)}),
        (tp.TripyValueError, "'data' is used twice", {"x": ("data", "data")}),
        (tp.TripyShapeError, "4 entries|rank of 'x'", {"x": (None, None, None, "data")}),
        (tp.TripyShapeError, "size 6 in dim 1|data = ", {"x": (None, ("data", "model"))}),
        (tp.TripyTypeError, "write ('data',)", {"x": "data"}),
        (tp.TripyTypeError, "must map", {3: ("data",)}),
    ]
    for kind, words, table in rows:
        if 6 % mesh.size or "size 6" not in words:
            refuses(kind, words, lambda t=table: build(t))
    table = {"x": ("data",)}
    refuses(tp.TripyValueError, "needs a mesh", lambda: build(table, mesh=None))
    refuses(tp.TripyTypeError, "distributed.Mesh", lambda: build(table, mesh={"data": 2}))
    refuses(tp.TripyValueError, "leave out device", lambda: build(table, device="cpu"))
    for engine in ("openvino", "reference"):
        refuses(tp.TripyUnsupportedError, "xla", lambda e=engine: build(table, engine=e))
    assert build(None)(X).shape == X.shape


@check
def sizes_that_only_calls_show() -> None:
    mesh = tp.distributed.Mesh({"data": -1})
    info = [tp.InputInfo(((1, mesh.size, 64), 4), tp.float32)]
    exe = tp.compile(lambda x: x * 2, args=info, mesh=mesh, sharding={"x": ("data",)})
    wrong = np.ones((mesh.size + 1, 4), np.float32)
    refuses(tp.TripyShapeError, f"size {mesh.size + 1} in dim 0|'x'", lambda: exe(wrong))
    right = np.ones((2 * mesh.size, 4), np.float32)
    np.testing.assert_array_equal(host(exe(right)), right * 2)
    exe = tp.compile(lambda x: x[1:], args=info, mesh=mesh, sharding={"x*": (None,)})
    refuses(
        tp.TripyShapeError,
        "output",
        lambda: tp.compile(
            lambda x: x[1:],
            args=[tp.InputInfo((mesh.size, 4), tp.float32)],
            mesh=mesh,
            sharding={"output": ("data",)},
        ),
    )


@check
def too_little_memory() -> None:
    def huge(x: Any) -> Any:
        return tp.expand(tp.reshape(x, (1, 8)), (1 << 36, 8)) * 2.0

    def build() -> Any:
        info = [tp.InputInfo((8,), tp.float32)]
        return tp.compile(huge, args=info, mesh=grid(), sharding={"x": ("data",)})

    refuses(tp.TripyMemoryError, "2.0 TiB|this machine's memory", build)
    with tp.config.override(memory_limit=1 << 50):
        exe = build()
    refuses(tp.TripyMemoryError, "not enough memory on the device", lambda: exe(X[0, 0, :8]).eval())


@check
def processes_are_joined_before_anything_else() -> None:
    address = f"127.0.0.1:{free_port()}"
    start = time.monotonic()
    refuses(
        tp.TripyRuntimeError,
        "runs already|start of the program",
        lambda: tp.distributed.initialize(address, 2, 0, timeout=60),
    )
    assert time.monotonic() - start < 5
    assert (tp.distributed.process_index(), tp.distributed.process_count()) == (0, 1)


# --- the checks as tests -----------------------------------------------------------------------


def run_checks() -> dict[str, str]:
    """Run all checks here; return what went wrong by name."""
    found = {}
    for name, function in CHECKS.items():
        try:
            function()
            found[name] = ""
        except BaseException:
            found[name] = traceback.format_exc()
    return found


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What every check says on 8 virtual devices of the CPU."""
    code = (
        "import json, sys; sys.path.insert(0, 'tests'); import tripy as tp\n"
        "tp.distributed.use_cpu_devices(8)\n"
        "import test_distributed as t; print(json.dumps(t.run_checks()))"
    )
    printed = child(code, 0, ON_CPU)
    found: dict[str, str] = json.loads(printed[printed.index("{") :].splitlines()[0])
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_on_eight_devices(name: str, outcomes: dict[str, str]) -> None:
    assert outcomes[name] == ""


PLACED = """
import resource, sys
import numpy as np
import tripy as tp

def highest():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

def compiled(size, layers):
    weights = [rng.random((size, size), np.float32) for _ in range(layers)]
    net = tp.Sequential(*[tp.Linear(size, size, bias=False) for _ in range(layers)])
    net.load_state_dict({name: tp.Tensor(w) for name, w in zip(net.state_dict(), weights)})
    before = highest()
    rules = {"*.weight": ("model", None)}
    mesh = tp.distributed.Mesh({"model": 2})
    exe = tp.compile(net, args=[tp.InputInfo((1, size), tp.float32)], mesh=mesh, sharding=rules)
    return exe, weights, (highest() - before) / sum(w.nbytes for w in weights)

tp.distributed.use_cpu_devices(2)
rng = np.random.default_rng()
compiled(64, 2)
exe, weights, growth = compiled(4096, 6)
assert growth < 1.5, growth
x = expected = rng.standard_normal((1, 4096)).astype(np.float32)
for w in weights:
    expected = expected @ w.T.astype(np.float64)
assert np.allclose(exe(x).numpy(), expected, rtol=1e-3)
"""


def test_weights_are_placed_once() -> None:
    """A model whose parts fill the devices has no room for transposed copies."""
    child(PLACED, 0, ON_CPU)


def test_the_example_of_the_guide_runs() -> None:
    text = (ROOT / "docs" / "distributed.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    assert "(8, 256)" in child(example + "print(y.shape, exe)", 0, ON_CPU)


def test_the_picture_of_the_guide_is_current() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_mesh.py"))["picture"]()
    assert drawn == (ROOT / "docs" / "mesh.svg").read_text(encoding="utf-8")


@pytest.mark.gpu
def test_on_gpus() -> None:
    if len(tp.devices("gpu")) < 2:
        pytest.skip("needs two GPUs")
    code = (
        "import sys; sys.path.insert(0, 'tests'); import test_distributed as t\n"
        "bad = {n: e for n, e in t.run_checks().items() if e}\n"
        "print(*bad.values()); assert not bad"
    )
    child(code, 0, {})


# --- processes ---------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


PAIR = """
import sys; sys.path.insert(0, "tests")
import numpy as np, tripy as tp, test_distributed as t
tp.distributed.use_cpu_devices(2)
tp.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]), timeout=60)
assert tp.distributed.process_index() == int(sys.argv[2])
mesh, model = tp.distributed.Mesh({"data": 2, "model": -1}), t.filled(t.Block())
local = mesh.axes["model"]
rules = {"x": ("data",), **t.MEGATRON}
exe = tp.compile(model, args=t.INFO, mesh=mesh, sharding=rules)
expected = t.reference(model)
for _ in range(2):
    np.testing.assert_allclose(t.host(exe(t.X)), expected, **t.TOLERANCE)
assert all(len(w.addressable_shards) == local < len(w.global_shards) for w in t.weights(exe))
assert t.parts(exe) == {local}
wide = tp.compile(model, args=t.INFO, mesh=mesh, sharding={"up.*": (("data", "model"),)})
np.testing.assert_allclose(t.host(wide(t.X)), expected, **t.TOLERANCE)
apart = tp.compile(model, args=t.INFO, mesh=mesh, sharding=rules | {"output": ("data",)})
result = apart(t.X)
np.testing.assert_allclose(t.host(result), expected, **t.TOLERANCE)
np.testing.assert_allclose(t.host(apart(result)), t.reference(model, expected), rtol=1e-3)
path = sys.argv[3] + sys.argv[2]
exe.save(path)
np.testing.assert_allclose(t.host(tp.Executable.load(path)(t.X)), expected, **t.TOLERANCE)
try:
    tp.compile(model, args=t.INFO, mesh=tp.distributed.Mesh({"model": local}))
    assert tp.distributed.process_index() == 0
except tp.TripyDeviceError as problem:
    assert "belongs to this process" in str(problem)
    assert tp.distributed.process_index() == 1
tp.distributed.shutdown()
"""
JOIN = """
import sys, tripy as tp
try:
    tp.distributed.initialize(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), timeout=3)
except tp.TripyRuntimeError as problem:
    sys.exit(str(problem))
"""


def start(
    code: str, *arguments: object, variables: dict[str, str] = ON_CPU
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )


def finished(children: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    found = []
    for one in children:
        try:
            _, error = one.communicate(timeout=120)
        finally:
            one.kill()
        found.append((one.returncode, error))
    return found


def test_two_processes(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    children = [start(PAIR, address, i, tmp_path / "exe") for i in range(2)]
    assert [status for status, error in finished(children) if status or print(error)] == []


DYING = """
import os, sys, time; sys.path.insert(0, "tests")
import tripy as tp, test_distributed as t
tp.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]), timeout=60)
mesh = tp.distributed.Mesh({"data": -1})
exe = tp.compile(tp.sum, args=t.INFO, mesh=mesh, sharding={"input": ("data",)})
exe(t.X)
if tp.distributed.process_index():
    os._exit(3)
time.sleep(1)
try:
    exe(t.X)
except tp.TripyRuntimeError as problem:
    sys.stderr.write(str(problem))
sys.stderr.flush()
os._exit(4)
"""


def test_a_process_that_dies_later_is_an_error_of_the_next_call() -> None:
    address = f"127.0.0.1:{free_port()}"
    first, second = finished([start(DYING, address, i) for i in range(2)])
    assert (first[0], second[0]) == (4, 3)
    assert "a device or process of the mesh does not answer" in first[1]
    assert "how to fix" in first[1]


@pytest.mark.gpu
def test_two_processes_with_a_gpu_each(tmp_path: Path) -> None:
    if len(tp.devices("gpu")) < 2:
        pytest.skip("needs two GPUs")
    address = f"127.0.0.1:{free_port()}"
    children = [
        start(PAIR, address, i, tmp_path / "exe", variables={"CUDA_VISIBLE_DEVICES": str(i)})
        for i in range(2)
    ]
    assert [status for status, error in finished(children) if status or print(error)] == []


def test_a_missing_process_is_named_in_time() -> None:
    begin, address = time.monotonic(), f"127.0.0.1:{free_port()}"
    nowhere = f"127.0.0.1:{free_port()}"
    children = [start(JOIN, address, 3, 0), start(JOIN, address, 3, 1), start(JOIN, nowhere, 2, 1)]
    for place, (status, error) in zip((address, address, nowhere), finished(children)):
        assert status == 1
        assert place in error
        assert "within 3 s" in error
        missing = "process 2 did not come" if place == address else "process 0 was not reached"
        assert missing in error
    assert time.monotonic() - begin < 60


def test_processes_with_the_same_number() -> None:
    address = f"127.0.0.1:{free_port()}"
    children = [start(JOIN, address, 4, 0), *(start(JOIN, address, 4, 1) for _ in range(2))]
    errors = [error for _, error in finished(children)]
    assert "processes 0, 1" in errors[0]
    assert sum("there is another process 1" in error for error in errors) == 1
    other = [start(JOIN, address, 3, 0), start(JOIN, address, 2, 1)]
    assert "process 0 expects 3 processes, not 2" in finished(other)[1][1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("host", 2, 0), "coordinator"),
        (("host:0", 2, 0), "coordinator"),
        (("host:x", 2, 0), "coordinator"),
        ((None, 2, 0), "coordinator"),
        (("host:1", None, 0), "num_processes"),
        (("host:1", 2, None), "process_id"),
        (("host:1", 0, 0), "num_processes"),
        (("host:1", 2, 2), "process_id"),
        (("host:1", 2, -1), "process_id"),
    ],
)
def test_wrong_descriptions_of_processes(
    arguments: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "SLURM_NTASKS", "JAX_COORDINATOR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(tp.TripyValueError, match=f"(?s){words} does not.*how to fix"):
        tp.distributed.initialize(*arguments)
    with pytest.raises(tp.TripyValueError, match="timeout"):
        tp.distributed.initialize("host:1", 2, 0, timeout=0)


def test_launchers_describe_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from tripy.engines import rendezvous

    for name, value in {"MASTER_ADDR": "::1", "MASTER_PORT": "7000", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "3")
    group = rendezvous.described(None, None, None, 5)
    assert group == ("::1", 7000, 4, 3, 5.0)
    assert group.address == "[::1]:7000"


def test_strangers_do_not_disturb(tmp_path: Path) -> None:
    address = f"127.0.0.1:{(port := free_port())}"
    children = [start(JOIN, address, 2, 0)]
    for _ in range(100):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
                link.sendall(b"GET / HTTP/1.1\r\n\r\n")
            break
        except OSError:
            time.sleep(0.1)
    children.append(start(JOIN, address, 2, 1))
    assert {status for status, _ in finished(children)} <= {0, 1}


def test_only_stars_and_question_marks_are_special() -> None:
    from tripy.sharding import _matcher

    rows = {
        ("batch.images[0]", "batch.images[0]"): True,
        ("batch.images[0]", "batch.images0"): False,
        ("layers.*.weight", "layers.0.q_proj.weight"): True,
        ("layers.?.w", "layers.1.w"): True,
        ("layers.?.w", "layers.10.w"): False,
        ("a.b", "acb"): False,
        ("*", "anything"): True,
    }
    assert {row: bool(_matcher(row[0])(row[1])) for row in rows} == rows


if __name__ == "__main__":
    wrong = {name: text for name, text in run_checks().items() if text}
    print(*wrong.values(), f"{len(CHECKS)} checks, {len(wrong)} failed", sep="\n")
    sys.exit(bool(wrong))
