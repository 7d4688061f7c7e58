"""Tensors on GPUs: placement, eager work, executables and exchange with other libraries.

Without a GPU, JAX's CPU device stands for one; what needs a real one is marked ``gpu``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.engines import base

Rng = np.random.Generator
real = [
    pytest.mark.gpu,
    pytest.mark.skipif(not tp.devices("gpu"), reason="there is no GPU, or JAX cannot use it"),
]


def numbers(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def on(gpu: tp.device, data: Any) -> tp.Tensor:
    return tp.Tensor(data, device=gpu)


# Placement --------------------------------------------------------------------------------------


def test_data_goes_where_it_is_told(gpu: tp.device, rng: Rng) -> None:
    data = numbers(rng, 2, 3)
    tensor = on(gpu, data)
    assert tensor.device == gpu
    assert "loc=gpu:0" in repr(tensor)
    assert np.array_equal(tensor.numpy(), data)
    assert gpu in tp.devices()


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64", "int64", "bool"])
def test_copies_keep_every_bit(kind: str, gpu: tp.device, rng: Rng) -> None:
    tensor = tp.cast(tp.Tensor(numbers(rng, 5) * 3, device="cpu"), getattr(tp, kind))
    there = tp.copy(tensor, gpu)
    back = there.copy("cpu")
    assert (there.device, back.device) == (gpu, tp.device("cpu"))
    assert there.dtype is back.dtype is tensor.dtype
    assert back.numpy().tobytes() == tensor.numpy().tobytes()


def test_packed_types_are_copied(gpu: tp.device) -> None:
    for kind in (tp.int4, tp.float8):
        tensor = tp.copy(tp.Tensor([-3, 2, 1], kind, device="cpu"), gpu)
        assert tensor.tolist() == [-3, 2, 1]


def test_results_live_where_their_inputs_live(gpu: tp.device, rng: Rng) -> None:
    x, y = numbers(rng, 3, 4), numbers(rng, 4, 2)
    result = tp.softmax(on(gpu, x) @ on(gpu, y) * 2 + 1, dim=1)
    assert result.device == gpu
    expected = tp.softmax(tp.Tensor(x, device="cpu") @ tp.Tensor(y, device="cpu") * 2 + 1, dim=1)
    assert np.allclose(result.numpy(), expected.numpy(), rtol=1e-5)
    assert tp.ones_like(result).device == tp.zeros_like(result).device == gpu


def test_creation_uses_the_default_device(gpu: tp.device) -> None:
    with tp.config.override(default_device=gpu):
        assert tp.ones((2,)).device == tp.arange(3).device == tp.Tensor(1.0).device == gpu
        assert (tp.arange(3) * 2).tolist() == [0.0, 2.0, 4.0]
        assert tp.random.uniform((4,), seed=42).tolist() == pytest.approx(
            [0.42672753, 0.01501006, 0.57414436, 0.7298189]
        )
        module = tp.Linear(2, 2)
        assert module(tp.ones((1, 2))).tolist() == [[1.0, 6.0]]


def test_devices_do_not_mix(gpu: tp.device, rng: Rng) -> None:
    here, there = tp.Tensor(numbers(rng, 3), device="cpu"), on(gpu, numbers(rng, 3))
    with pytest.raises(tp.TripyDeviceError) as caught:
        here + there
    message = str(caught.value)
    assert all(word in message for word in ("here + there", "cpu:0", "gpu:0", "tp.copy"))
    with pytest.raises(tp.TripyDeviceError):
        tp.concatenate([here, there], dim=0)


def test_single_numbers_follow_the_others(gpu: tp.device, rng: Rng) -> None:
    data = numbers(rng, 3)
    scale = tp.Tensor(2.0, device="cpu")
    assert (on(gpu, data) * scale).device == gpu
    assert np.array_equal((on(gpu, data) * scale).numpy(), data * 2)
    assert (tp.Tensor(data, device="cpu") * on(gpu, 2.0)).device == tp.device("cpu")
    assert (scale + on(gpu, 1.0)).tolist() == 3.0


def test_a_device_beyond_those_present_is_an_error(gpu: tp.device) -> None:
    with pytest.raises(tp.TripyDeviceError, match="gpu:7 is not present"):
        tp.Tensor([1.0], device="gpu:7")


# Eager work -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [None, 0])
def test_eager_work_is_exact(threshold: int | None, gpu: tp.device, rng: Rng) -> None:
    with tp.config.override(eager_threshold=threshold):
        big = on(gpu, np.array([2**40 + 1, -3]))
        assert (big * 3 // 2).tolist() == [(2**40 + 1) * 3 // 2, -5]
        assert tp.cast(on(gpu, [1.5, 2.5, -7.9]), tp.int8).tolist() == [1, 2, -7]
        data = numbers(rng, 4, 5).astype(np.float64)
        assert np.allclose(tp.exp(on(gpu, data)).numpy(), np.exp(data), rtol=1e-12)
        assert on(gpu, [3, 1, 2])[tp.Tensor([1, 2], device=gpu)].tolist() == [1, 2]
        assert tp.sort(on(gpu, [3, 1, 2])).tolist() == [1, 2, 3]


@pytest.mark.parametrize("threshold", [None, 0])
def test_values_that_are_not_allowed_are_errors(threshold: int | None, gpu: tp.device) -> None:
    with tp.config.override(eager_threshold=threshold):
        with pytest.raises(tp.TripyIndexError, match="out of range"):
            on(gpu, [1.0, 2.0])[on(gpu, [5])].eval()
        with pytest.raises(tp.TripyValueError):
            (on(gpu, [1, 2]) ** on(gpu, [1, -1])).eval()


def test_what_depends_on_values_works(gpu: tp.device) -> None:
    tensor = on(gpu, [3, 0, 3, 1])
    assert tp.nonzero(tensor).tolist() == [[0], [2], [3]]
    assert tp.unique(tensor).tolist() == [0, 1, 3]
    assert tensor[tensor > 0].tolist() == [3, 3, 1]
    assert tp.unique(tensor).device == gpu
    assert 3 in tensor
    assert bool(tensor[0] == 3)
    assert int(tensor[3]) == 1


def test_a_plugin_without_a_lowering_is_refused(gpu: tp.device) -> None:
    @tp.register_plugin("gpu::twice", infer=lambda x: (x.shape, x.dtype), replace=True)
    def twice(x: Any) -> Any:
        return x * 2

    for threshold in (None, 0):
        with tp.config.override(eager_threshold=threshold):
            result = tp.plugin("gpu::twice", [on(gpu, [1.0])])
            with pytest.raises(
                tp.TripyUnsupportedError, match=r"gpu::twice.*no lowering for 'xla'"
            ):
                result.eval()
    twice.lowering("xla")(lambda x: x + x)
    assert tp.plugin("gpu::twice", [on(gpu, [1.0])]).tolist() == [2.0]


# Executables ------------------------------------------------------------------------------------


def network() -> tp.Sequential:
    return tp.Sequential(tp.Conv(2, 4, (3, 3)), tp.BatchNorm(4), tp.relu, tp.Conv(4, 3, (1, 1)))


def loaded(rng: Rng, module: tp.Module, device: Any) -> tp.Module:
    state = {
        name: tp.Tensor(np.abs(numbers(rng, *map(int, value.shape))) + 0.1, device=device)
        for name, value in module.state_dict().items()
    }
    module.load_state_dict(state)
    return module


@pytest.mark.parametrize("weights", ["cpu", "gpu"])
def test_an_executable_runs_on_the_device(weights: str, gpu: tp.device, rng: Rng) -> None:
    model = loaded(rng, network(), weights)
    batch = tp.NamedDimension("batch", 1, 2, 4)
    info = tp.InputInfo((batch, 2, (6, 8, 10), 8), tp.float32)
    exe = tp.compile(model, args=[info], device=gpu)
    assert (exe.engine, exe.device) == ("xla", gpu)
    assert exe.stream is tp.default_stream(gpu)
    for shape in ((2, 2, 8, 8), (1, 2, 7, 8), (4, 2, 10, 8)):
        data = numbers(rng, *shape)
        result = exe(on(gpu, data))
        exe.stream.synchronize()
        assert result.device == exe(data).device == gpu
        assert np.array_equal(result.numpy(), exe(data).numpy())
        assert exe.verify(data).ok
    with pytest.raises(tp.TripyDeviceError, match="on another device"):
        exe(tp.Tensor(numbers(rng, 2, 2, 8, 8), device="cpu"))


def test_results_go_straight_into_the_next_executable(gpu: tp.device, rng: Rng) -> None:
    info = tp.InputInfo((3,), tp.float32)
    first = tp.compile(lambda x: (x, x * 2, tp.arange(3)), args=[info], device=gpu)
    second = tp.compile(tp.exp, args=[info], device=gpu)
    data = numbers(rng, 3)
    same, double, constant = first(data)
    assert np.array_equal(same.numpy(), data)
    assert np.allclose(second(double).numpy(), np.exp(data * 2))
    assert constant.device == gpu
    assert constant.tolist() == [0, 1, 2]


def test_sizes_are_values_too(gpu: tp.device, rng: Rng) -> None:
    exe = tp.compile(
        lambda x, n: tp.ones((n, x.shape[0])) * tp.cast(n, tp.float32),
        args=[tp.InputInfo(((1, 2, 8),), tp.float32), tp.DimensionInputInfo((1, 2, 9))],
        device=gpu,
    )
    assert exe(numbers(rng, 3), 2).tolist() == [[2.0] * 3] * 2
    assert exe(numbers(rng, 1), tp.DimensionSize(4)).tolist() == [[4.0]] * 4


def test_engines_without_the_device_are_refused(gpu: tp.device) -> None:
    info = tp.InputInfo((3,), tp.float32)
    for engine in ("openvino", "reference"):
        with pytest.raises((tp.TripyDeviceError, tp.TripyImportError), match=engine):
            tp.compile(tp.exp, args=[info], engine=engine, device=gpu)
    with pytest.raises(tp.TripyCompileError, match="while a function is compiled"):
        tp.compile(lambda x: tp.copy(x, "cpu"), args=[info], device=gpu)


def test_a_file_moves_between_devices(gpu: tp.device, rng: Rng, tmp_path: Path) -> None:
    model, data = loaded(rng, network(), gpu), numbers(rng, 1, 2, 6, 6)
    info = tp.InputInfo((1, 2, 6, 6), tp.float32)
    exe = tp.compile(model, args=[info], device=gpu)
    exe.save(tmp_path / "model.tripy")
    again = tp.Executable.load(tmp_path / "model.tripy")
    assert (again.engine, again.device) == ("xla", gpu)
    assert np.array_equal(again(data).numpy(), exe(data).numpy())
    moved = tp.Executable.load(tmp_path / "model.tripy", engine="reference", device="cpu")
    assert np.allclose(moved(data).numpy(), exe(data).numpy(), rtol=1e-4)


# Without JAX ------------------------------------------------------------------------------------


def test_a_missing_package_is_named() -> None:
    if tp.devices("gpu"):
        pytest.skip("there is a GPU")
    with pytest.raises(tp.TripyDeviceError, match=r"cuda13|found no gpu"):
        tp.Tensor([1.0], device="gpu")


def test_import_and_eager_work_load_no_jax() -> None:
    code = "import sys, tripy as tp; (tp.ones(2) + 1).eval(); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(bool(tp.devices("gpu")))


# On a real GPU ----------------------------------------------------------------------------------


class TestReal:
    pytestmark = real

    def test_memory_is_not_taken_ahead(self) -> None:
        code = (
            "import tripy as tp, jax; tp.ones((4,), ).eval(); "
            "print(jax.devices()[0].memory_stats()['pool_bytes'])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) < 2**30

    def test_too_much_memory_is_an_error(self) -> None:
        exe = tp.compile(
            lambda x: tp.reshape(x, (-1, 1)) * tp.reshape(x, (1, -1)),
            args=[tp.InputInfo((2**19,), tp.float32)],
        )
        with pytest.raises(tp.TripyMemoryError):
            exe(np.ones(2**19, np.float32)).eval()

    def test_arrays_are_shared_with_torch(self) -> None:
        torch = pytest.importorskip("torch")
        there = torch.arange(6, dtype=torch.float32, device="cuda").reshape(2, 3)
        tensor = tp.Tensor(there)
        assert tensor.device == tp.device("gpu")
        assert tensor.tolist() == there.tolist()
        assert tensor._elements().unsafe_buffer_pointer() == there.data_ptr()
        back = torch.from_dlpack(tensor * 2)
        assert back.is_cuda
        assert back.tolist() == (there * 2).tolist()
        exe = tp.compile(tp.exp, args=[tp.InputInfo((2, 3), tp.float32)])
        assert torch.allclose(torch.from_dlpack(exe(there)), there.exp())

    def test_float32_is_float32(self, rng: Rng) -> None:
        x, y = numbers(rng, 256, 256), numbers(rng, 256, 256)
        args = [tp.InputInfo((256, 256), tp.float32)] * 2
        exact = x.astype(np.float64) @ y
        errors = {
            precision: np.abs(
                tp.compile(tp.matmul, args=args, precision=precision)(x, y).numpy() - exact
            ).max()
            for precision in ("float32", "tf32", "bfloat16")
        }
        assert errors["float32"] < 1e-4 < errors["tf32"] < errors["bfloat16"]


def test_engines_are_tried_in_order() -> None:
    assert base.NAMES == ("openvino", "xla", "reference")


def strided(gpu: tp.device, data: Any) -> tp.Tensor:
    """A tensor whose memory is that of a torch tensor, as an import from a GPU makes one."""
    import jax

    tensor = on(gpu, data.contiguous())
    tensor._value.data = jax.dlpack.from_dlpack(data)
    return tensor


def test_arrays_with_channels_last_in_memory_are_taken_as_they_are(
    gpu: tp.device, rng: Rng
) -> None:
    """The memory format follows the data, as it does in torch."""
    torch = pytest.importorskip("torch")
    data = numbers(rng, 2, 2, 6, 6)
    exe = tp.compile(
        loaded(rng, network(), gpu), args=[tp.InputInfo((2, 2, 6, 6), tp.float32)], device=gpu
    )
    last = torch.from_numpy(data).to(memory_format=torch.channels_last)
    there = tp.Tensor(last.cuda()) if torch.cuda.is_available() else strided(gpu, last)
    for x, is_last in ((data, False), (there, True), (on(gpu, data), False), (there, True)):
        result = exe(x)
        assert np.allclose(result.numpy(), exe(data).numpy(), rtol=1e-5)
        back = torch.from_dlpack(result)
        assert back.is_contiguous(memory_format=torch.channels_last) == is_last
    assert np.array_equal(tp.relu(there).numpy(), np.maximum(data, 0))


FORKED = """
import os, signal, sys
import numpy as np
import tripy as tp

exe = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)], engine="xla")
exe(np.ones(3, np.float32))
child = os.fork()
if child == 0:
    signal.alarm(20)
    try:
        exe(np.ones(3, np.float32))
    except tp.TripyRuntimeError as problem:
        os._exit(0 if "spawn" in str(problem) else 1)
    os._exit(2)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_is_told_so() -> None:
    pytest.importorskip("jax")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=False)
    assert done.returncode == 0


def test_executables_take_64_bits_from_the_host(gpu: tp.device, rng: Rng) -> None:
    infos = [tp.InputInfo((3,), tp.float64), tp.InputInfo((3,), tp.int64)]
    exe = tp.compile(lambda x, n: (x * 2, n + 1), args=infos, engine="xla", device=gpu)
    x, n = rng.standard_normal(3), np.array([2**40 + 1, -5, 7])
    for _ in range(2):
        doubled, following = exe(x, n)
        assert np.array_equal(doubled.numpy(), x * 2)
        assert np.array_equal(following.numpy(), n + 1)


# Attention of halves, which GPUs compute as one operation ----------------------------------------


def attend(q: tp.Tensor, k: tp.Tensor, v: tp.Tensor, *mask: tp.Tensor) -> tp.Tensor:
    return tp.scaled_dot_product_attention(q, k, v, *mask)


def attend_causally(q: tp.Tensor, k: tp.Tensor, v: tp.Tensor) -> tp.Tensor:
    return tp.scaled_dot_product_attention(q, k, v, is_causal=True)


def attend_by_hand(q: tp.Tensor, k: tp.Tensor, v: tp.Tensor) -> tp.Tensor:
    kind = q.dtype
    q, k, v = (tp.cast(x, tp.float32) if kind is tp.bfloat16 else x for x in (q, k, v))
    return tp.cast(tp.softmax((q @ tp.transpose(k, -2, -1)) * 0.3, -1) @ v, kind)


def attend_to_some(q: tp.Tensor, k: tp.Tensor, v: tp.Tensor, mask: tp.Tensor) -> tp.Tensor:
    """Hidden scores are a number, so a query that may see no key sees all alike."""
    kind = q.dtype
    q, k, v = (tp.cast(x, tp.float32) if kind is tp.float16 else x for x in (q, k, v))
    scores = tp.where(mask, q @ tp.transpose(k, -2, -1), -1e9)
    return tp.cast(tp.softmax(scores, -1) @ v, kind)


# Name -> function, shapes of q, k, v and a mask, dtypes, whether the mask is a bool.
ATTENTIONS: dict[str, tuple[Any, list[tuple[int, ...]], tp.dtype, bool]] = {
    "plain": (attend, [(2, 3, 10, 16)] * 3, tp.float16, False),
    "three dims": (attend, [(3, 10, 8), (3, 7, 8), (3, 7, 8)], tp.float16, False),
    "broadcast": (attend, [(2, 3, 10, 8), (3, 7, 8), (3, 7, 8)], tp.bfloat16, False),
    "wide values": (attend, [(2, 3, 10, 8), (2, 3, 7, 8), (2, 3, 7, 5)], tp.float16, False),
    "causal": (attend_causally, [(2, 3, 10, 16)] * 3, tp.bfloat16, False),
    "mask": (attend, [*[(2, 3, 10, 16)] * 3, (2, 1, 10, 10)], tp.float16, True),
    "padding": (attend, [*[(2, 3, 10, 16)] * 3, (2, 1, 1, 10)], tp.bfloat16, True),
    "bias": (attend, [*[(2, 3, 10, 16)] * 3, (3, 10, 10)], tp.float16, False),
    "some": (attend_to_some, [*[(2, 3, 10, 16)] * 3, (2, 1, 10, 10)], tp.float16, True),
    "by hand": (attend_by_hand, [(2, 10, 8)] * 3, tp.bfloat16, False),
}


@pytest.mark.parametrize("form", ["cudnn", "xla", "written out"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_attention_of_halves_is_one_operation(
    name: str, form: str, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries that see no key give zeros in every form."""
    pytest.importorskip("jax")
    from tripy.engines import xla_attention
    from tripy.engines.xla import XLAProgram

    if form == "cudnn" and not tp.devices("gpu"):
        pytest.skip("there is no GPU, or JAX cannot use it")
    place = tp.device("gpu" if form == "cudnn" else "cpu")
    flash = {"cudnn": {"gpu": "cudnn"}, "xla": {"cpu": "xla"}, "written out": {}}[form]
    monkeypatch.setattr(xla_attention, "FLASH", flash)
    monkeypatch.setattr(xla_attention, "FLASH_SCORES", 1)
    function, sizes, kind, is_bool = ATTENTIONS[name]
    if form == "xla" and function is not attend_to_some:
        kind = tp.bfloat16  # JAX has no such form of float16 on CPUs
    kinds = [kind, kind, kind, tp.bool if is_bool else kind]
    arrays = [numbers(rng, *size) for size in sizes]
    if is_bool:
        arrays[3] = arrays[3] > 0
        arrays[3][0, ..., 0, :] = False
    tensors = [tp.cast(tp.Tensor(a, device="cpu"), k) for a, k in zip(arrays, kinds)]
    infos = [tp.InputInfo(size, k) for size, k in zip(sizes, kinds)]
    exe = tp.compile(function, args=infos, engine="xla", device=place)
    graph = xla_attention.fuse_attention(exe._plan.graph, True)
    assert [v.node.primitive.name for v in graph.operations if v.node].count("attention") == 1
    (result,) = XLAProgram(graph, exe._options)([tensor.numpy() for tensor in tensors])
    with tp.config.override(default_device="cpu"):
        wide = [x if x.dtype is tp.bool else tp.cast(x, tp.float64) for x in tensors]
        expected = tp.cast(function(*wide), tp.float64).numpy()
    error = np.abs(np.asarray(result, np.float64) - expected).max() / np.abs(expected).max()
    assert error < (4e-3 if kind is tp.float16 else 3e-2)


def test_attention_whose_result_stays_wide_is_left_alone() -> None:
    pytest.importorskip("jax")
    from tripy.engines.xla_attention import fuse_attention

    def attend(q: tp.Tensor, k: tp.Tensor, v: tp.Tensor) -> tp.Tensor:
        q, k, v = (tp.cast(x, tp.float32) for x in (q, k, v))
        return tp.softmax(q @ tp.transpose(k, 1, 2), 2) @ v

    exe = tp.compile(attend, args=[tp.InputInfo((2, 40, 8), tp.float16)] * 3, engine="xla")
    assert str(fuse_attention(exe._plan.graph, True)) == str(exe._plan.graph)


# Form of float32 convolutions on GPUs -> shape of the input and arguments of tp.Conv.
CONVOLUTIONS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("narrow", (2, 8, 9, 7), {"kernel_dims": (3, 3), "groups": 2, "padding": ((1, 1),) * 2}),
    ("narrow", (2, 8, 31), {"kernel_dims": (5,), "groups": 2, "dilation": 3}),
    (
        "dilated",
        (2, 4, 17, 19),
        {"kernel_dims": (3, 3), "dilation": 2, "padding": ((2, 2), (2, 2))},
    ),
    (
        "dilated",
        (1, 4, 29, 41),
        {"kernel_dims": (2, 3), "dilation": (3, 1), "padding": ((0, 4), (1, 0))},
    ),
    ("plain", (2, 4, 9, 7), {"kernel_dims": (3, 3)}),
]


@pytest.mark.parametrize(("form", "shape", "arguments"), CONVOLUTIONS)
def test_forms_for_float32_on_gpus_are_convolutions(
    form: str, shape: tuple[int, ...], arguments: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed where the test runs: a form must be right on every device."""
    pytest.importorskip("jax")
    from tripy.engines import xla_window

    used: list[str] = []

    def noted(name: str, compute: Any) -> Any:
        return lambda *given: used.append(name) or compute(*given)

    forms = {"plain": xla_window._direct} | xla_window.FORMS["exact gpu"]
    forms = {name: noted(name, compute) for name, compute in forms.items()}
    monkeypatch.setitem(xla_window.FORMS, "exact gpu", forms)
    monkeypatch.setattr(xla_window, "_is_exact", lambda ctx, x: True)
    net = tp.Conv(shape[1], 8, **arguments)
    net.weight, net.bias = numbers(rng, *net.weight.shape), numbers(rng, *net.bias.shape)
    exe = tp.compile(net, args=[tp.InputInfo(shape, tp.float32)], engine="xla", device="cpu")
    assert set(used) == {form}
    assert exe.verify(numbers(rng, *shape)).ok
