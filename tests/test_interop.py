"""Arrays of NumPy, torch, JAX and others come in and go out, shared where that is possible."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda x: x.T,
    "part": lambda x: x[1:, ::2],
    "column": lambda x: x[:, 1],
}


def address(tensor: tp.Tensor) -> int:
    return int(tensor.numpy().ctypes.data)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def jnp() -> Any:
    return pytest.importorskip("jax.numpy")


# NumPy ----------------------------------------------------------------------------------------


def test_numpy_memory_is_shared_both_ways(rng: Rng) -> None:
    source = rng.standard_normal((3, 4))
    tensor = tp.Tensor(source)
    assert address(tensor) == source.ctypes.data
    for view in (np.asarray(tensor), tensor.numpy(), np.from_dlpack(tensor)):
        assert view.ctypes.data == source.ctypes.data
        assert np.array_equal(view, source)
    for view in (np.asarray(tensor), tensor.numpy(), np.from_dlpack(tensor)):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 1
    copies = (np.array(tensor), np.asarray(tensor, np.float32), np.asarray(tensor, copy=True))
    assert all(copy.flags.writeable and copy.ctypes.data != source.ctypes.data for copy in copies)
    with pytest.raises(tp.TripyValueError):
        np.asarray(tensor, np.float32, copy=False)


def test_numpy_layouts_are_made_contiguous(rng: Rng) -> None:
    source = rng.standard_normal((3, 4))
    for change in (*LAYOUTS.values(), np.asfortranarray, lambda x: x[::-1]):
        tensor = tp.Tensor(change(source))
        assert tensor.numpy().flags.c_contiguous
        assert np.array_equal(tensor.numpy(), change(source))


def test_read_only_and_odd_arrays_come_in(rng: Rng) -> None:
    frozen = rng.standard_normal(5)
    frozen.flags.writeable = False
    assert address(tp.Tensor(frozen)) == frozen.ctypes.data
    swapped = np.arange(3.0).astype(">f4")
    assert tp.Tensor(swapped).dtype is tp.float32
    assert tp.Tensor(swapped).tolist() == [0, 1, 2]
    raw = np.frombuffer(b"\0" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64)
    assert not raw.flags.aligned
    assert (tp.Tensor(raw) + 1.0).tolist() == [1, 2, 3]


def test_buffers_and_scalars_come_in() -> None:
    assert tp.Tensor(array.array("f", [1, 2])).tolist() == [1, 2]
    memory = bytearray(b"abc")
    tensor = tp.Tensor(memoryview(memory))
    assert (tensor.dtype, tensor.tolist()) == (tp.uint8, [97, 98, 99])
    assert tp.Tensor(ml_dtypes.bfloat16(1.5)).item() == 1.5


def test_arrays_go_straight_into_executables(torch: Any, jnp: Any) -> None:
    exe = tp.compile(lambda x: x * 2.0, args=[tp.InputInfo((2, 2), tp.float32)])
    expected = [[2, 4], [6, 8]]
    plain = [[1.0, 2.0], [3.0, 4.0]]
    for made in (np.array(plain, np.float32), torch.tensor(plain), jnp.array(plain)):
        assert exe(made).tolist() == expected
        assert exe(made.T.T).tolist() == expected
    assert exe(torch.tensor(plain).T).tolist() == [[2, 6], [4, 8]]
    assert exe(torch.tensor(plain, requires_grad=True)).tolist() == expected


# torch ----------------------------------------------------------------------------------------

TORCH = ("float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64")


@pytest.mark.parametrize("kind", [*TORCH, "bool"])
def test_torch_memory_is_shared_and_given_back_as_a_copy(kind: str, torch: Any) -> None:
    source = torch.arange(6).reshape(2, 3).to(getattr(torch, kind))
    tensor = tp.Tensor(source)
    assert str(tensor.dtype) == kind
    assert address(tensor) == source.data_ptr()
    back = torch.from_dlpack(tensor)
    assert back.dtype is source.dtype
    assert back.data_ptr() != source.data_ptr()
    assert torch.equal(back, source)


@pytest.mark.parametrize("kind", [*TORCH, "bool", "float8_e4m3fn"])
def test_torch_layouts_come_in(kind: str, torch: Any) -> None:
    source = torch.arange(12).reshape(3, 4).to(getattr(torch, kind))
    repeated = (lambda x: x[:1].expand(5, 4), lambda x: x[:0], lambda x: x[0, 0])
    for change in (*LAYOUTS.values(), *repeated):
        tensor = tp.Tensor(change(source))
        assert tensor.shape == tuple(change(source).shape)
        assert tp.cast(tensor, tp.float64).tolist() == change(source).double().tolist()


def test_torch_tensors_keep_their_sign(torch: Any) -> None:
    lazy = torch.complex(torch.ones(2), torch.tensor([1.0, -2.0])).conj().imag
    assert lazy.is_neg()
    assert tp.Tensor(lazy).tolist() == [-1, 2]


def test_results_go_to_torch(torch: Any, rng: Rng) -> None:
    x = tp.Tensor(rng.standard_normal((2, 3)).astype(np.float32))
    lazy = tp.permute(x * 2.0, (1, 0))
    taken = torch.from_dlpack(lazy)
    assert taken.tolist() == lazy.tolist()
    assert torch.from_dlpack(tp.ones((2, 2))).tolist() == [[1, 1], [1, 1]]
    assert torch.asarray(x).tolist() == x.tolist()
    exe = tp.compile(lambda x: x + 1.0, args=[tp.InputInfo((2, 3), tp.float32)])
    result = torch.from_dlpack(exe(x))
    exe(x * 5.0)
    assert np.allclose(result.numpy(), x.numpy() + 1)


def test_torch_tensors_without_memory_are_refused(torch: Any) -> None:
    for made in (torch.ones(2, device="meta"), torch.eye(2).to_sparse()):
        with pytest.raises((tp.TripyTypeError, tp.TripyDeviceError)):
            tp.Tensor(made)
    for kind in (torch.complex64, torch.uint16):
        with pytest.raises(tp.TripyTypeError, match="no equivalent"):
            tp.Tensor(torch.ones(2, dtype=kind))


# JAX ------------------------------------------------------------------------------------------

JAX = ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "int32")


@pytest.mark.parametrize("kind", [*JAX, "bool"])
def test_jax_arrays_come_in_and_go_out(kind: str, jnp: Any) -> None:
    source = jnp.arange(6).reshape(2, 3).astype(kind)
    tensor = tp.Tensor(source)
    assert str(tensor.dtype) == kind
    assert tensor.tolist() == source.tolist()
    back = jnp.from_dlpack(tensor)
    assert (str(back.dtype), back.tolist()) == (kind, source.tolist())
    assert tp.Tensor(source.T).tolist() == source.T.tolist()


@pytest.mark.parametrize("kind", ["int4", "float8_e4m3fn"])
def test_packed_jax_arrays_come_in(kind: str, jnp: Any) -> None:
    tensor = tp.Tensor(jnp.array([1, -2, 3]).astype(kind))
    assert str(tensor.dtype) == kind.removesuffix("_e4m3fn")
    assert tensor.tolist() == [1, -2, 3]


def test_jax_memory_is_shared_where_it_can_be(jnp: Any) -> None:
    source = jnp.arange(8.0)
    assert address(tp.Tensor(source)) == source.unsafe_buffer_pointer()
    memory = np.zeros(64, np.float32)
    start = -memory.ctypes.data % 64 // 4  # JAX shares aligned memory only
    tensor = tp.Tensor(memory[start : start + 8])
    assert jnp.from_dlpack(tensor).unsafe_buffer_pointer() == address(tensor)


def test_read_only_results_go_to_jax(jnp: Any) -> None:
    frozen = np.arange(3.0, dtype=np.float32)
    frozen.flags.writeable = False
    assert jnp.from_dlpack(tp.Tensor(frozen)).tolist() == [0, 1, 2]
    assert jnp.from_dlpack(tp.ones((2, 2), tp.bfloat16)).tolist() == [[1, 1], [1, 1]]


# Others ---------------------------------------------------------------------------------------


class OnlyDlpack:
    """An array that has nothing but DLPack."""

    def __init__(self, data: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.data, self.device = data, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class OnlyArray:
    """An array that has nothing but ``__array__``."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.data


class OldDlpack(OnlyDlpack):
    """A consumer and producer of the first DLPack."""

    def __dlpack__(self, *, stream: Any = None) -> Any:  # type: ignore[override]
        return self.data.__dlpack__(stream=stream)


@pytest.mark.parametrize("kind", [OnlyDlpack, OnlyArray, OldDlpack])
def test_one_protocol_is_enough(kind: Any) -> None:
    source = np.arange(3.0)
    tensor = tp.Tensor(kind(source))
    assert tensor.tolist() == [0, 1, 2]
    assert address(tensor) == source.ctypes.data


@pytest.mark.parametrize("device", [(2, 0), (2, 1), (10, 0)])
def test_arrays_on_accelerators_do_not_move_silently(device: tuple[int, int]) -> None:
    there = OnlyDlpack(np.ones(2, np.float32), device)
    exe = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)], engine="reference")
    for use in (tp.Tensor, exe, tp.Parameter):
        with pytest.raises(tp.TripyDeviceError, match=r"copy it to the host first") as caught:
            use(there)
        assert str(device) in str(caught.value)
    with pytest.raises(tp.TripyTypeError, match="'weight'") as problem:
        tp.Linear(2, 1, bias=False).load_state_dict({"weight": there})
    assert isinstance(problem.value.__cause__, tp.TripyDeviceError)


def test_memory_that_a_cpu_shares_is_no_other_device() -> None:
    class Pinned(OnlyArray):
        def __dlpack_device__(self) -> tuple[int, int]:
            return 3, 0

    assert tp.Tensor(Pinned(np.arange(2.0))).tolist() == [0, 1]


def test_packed_dtypes_do_not_go_through_dlpack() -> None:
    for kind in (tp.int4, tp.float8):
        with pytest.raises(tp.TripyTypeError, match="DLPack cannot carry"):
            np.from_dlpack(tp.ones((2,), kind))


# State dicts of torch -------------------------------------------------------------------------


def pairs(torch: Any) -> dict[str, tuple[Any, tp.Module, tuple[int, ...]]]:
    nn = torch.nn
    return {
        "Linear": (nn.Linear(3, 4), tp.Linear(3, 4), (2, 3)),
        "Conv1d": (nn.Conv1d(4, 6, 3, groups=2), tp.Conv(4, 6, (3,), groups=2), (1, 4, 9)),
        "Conv2d": (nn.Conv2d(2, 3, (2, 3)), tp.Conv(2, 3, (2, 3)), (1, 2, 5, 6)),
        "ConvTranspose2d": (
            nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
            tp.ConvTranspose(4, 6, (3, 3), stride=(2, 2), groups=2),
            (1, 4, 5, 4),
        ),
        "BatchNorm2d": (nn.BatchNorm2d(3), tp.BatchNorm(3), (2, 3, 4, 4)),
    }


@pytest.mark.parametrize("name", ["Linear", "Conv1d", "Conv2d", "ConvTranspose2d", "BatchNorm2d"])
def test_weights_of_torch_modules_fit(name: str, torch: Any, rng: Rng) -> None:
    torch.manual_seed(7)
    theirs, ours, shape = pairs(torch)[name]
    x = rng.standard_normal(shape).astype(np.float32)
    if name.startswith("BatchNorm"):
        theirs(torch.from_numpy(x) * 3 + 1)  # running statistics that say something
    has_count = "num_batches_tracked" in theirs.state_dict()
    if has_count:
        with pytest.raises(tp.TripyStateDictError) as caught:
            ours.load_state_dict(theirs.state_dict())
        assert (caught.value.missing, caught.value.unexpected) == ([], ["num_batches_tracked"])
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=not has_count)
    assert (missing, unexpected) == (set(), {"num_batches_tracked"} if has_count else set())
    weights = theirs.state_dict()
    assert address(ours.weight) == weights["weight"].data_ptr()
    theirs = theirs.eval().double()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).double()).numpy()
    assert np.allclose(ours(tp.Tensor(x)).numpy(), expected, atol=1e-5)
    exe = tp.compile(ours, args=[tp.InputInfo(shape, tp.float32)])
    assert np.allclose(exe(x).numpy(), expected, atol=1e-5)


def test_bfloat16_weights_of_torch_fit(torch: Any) -> None:
    theirs = torch.nn.Linear(3, 2).to(torch.bfloat16)
    ours = tp.Linear(3, 2, dtype=tp.bfloat16)
    assert ours.load_state_dict(theirs.state_dict()) == (set(), set())
    assert ours.weight.tolist() == theirs.weight.double().tolist()
    with pytest.raises(tp.TripyStateDictError) as caught:
        tp.Linear(3, 2).load_state_dict(theirs.state_dict())
    assert [name for name, _, _ in caught.value.mismatched] == ["weight", "bias"]
