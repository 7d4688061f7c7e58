"""Nobody changes an immutable tensor through the memory that it gives out."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator


def result(x: Any) -> tp.Tensor:
    """What an executable returns."""
    made: tp.Tensor = tp.compile(lambda x: x + 0.0, args=[tp.InputInfo(x.shape, tp.float32)])(x)
    return made


def frozen(x: Any) -> tp.Tensor:
    x.flags.writeable = False
    return tp.Tensor(x)


MADE: dict[str, Callable[[Any], tp.Tensor]] = {
    "an array": tp.Tensor,
    "a frozen array": frozen,
    "an evaluated tensor": lambda x: (tp.Tensor(x) * 1.0).eval(),
    "a view": lambda x: tp.reshape(tp.Tensor(x), x.shape),
    "a result": result,
}


class Older:
    """What a consumer of the first DLPack sees."""

    def __init__(self, tensor: tp.Tensor, **options: Any) -> None:
        self.tensor, self.options = tensor, options

    def __dlpack__(self, **_: Any) -> Any:
        return self.tensor.__dlpack__(**self.options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.__dlpack_device__()


def address(array: Any) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize("how", MADE)
def test_numpy_gets_read_only_memory(how: str, rng: Rng) -> None:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    tensor = MADE[how](x.copy())
    arrays = tensor.numpy(), np.asarray(tensor), np.from_dlpack(tensor)
    for array in (*arrays, np.from_dlpack(tensor, copy=False), memoryview(tensor.numpy())):
        view: Any = np.asarray(array)
        assert address(view) == address(tensor.numpy())
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 9
    for array in (np.from_dlpack(tensor, copy=True), np.array(tensor)):
        array[:] = 9
    assert np.array_equal(tensor.numpy(), x)


@pytest.mark.parametrize("options", [{}, {"stream": None}, {"max_version": (0, 8)}])
@pytest.mark.parametrize("how", MADE)
def test_consumers_of_the_older_protocol_get_a_copy(
    how: str, options: dict[str, Any], rng: Rng
) -> None:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    tensor = MADE[how](x.copy())
    for _ in range(2):
        given = np.from_dlpack(Older(tensor, **options))
        assert np.array_equal(given, x)
        ctypes.memset(address(given), 0, given.nbytes)
    assert np.array_equal(tensor.numpy(), x)
    with pytest.raises(tp.TripyValueError, match=r"torch\.from_numpy"):
        tensor.__dlpack__(copy=False, **options)


@pytest.mark.parametrize("how", MADE)
@pytest.mark.parametrize("name", ["from_dlpack", "asarray", "as_tensor", "tensor", "of a wrapper"])
def test_torch_gets_a_copy(name: str, how: str, rng: Rng) -> None:
    """torch does not know memory that is read-only."""
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((3, 4)).astype(np.float32)
    tensor = MADE[how](x.copy())
    if name == "of a wrapper":
        taken = torch.from_dlpack(Older(tensor, max_version=(1, 0)))
    else:
        taken = getattr(torch, name)(tensor)
    assert np.array_equal(taken.numpy(), x)
    taken.zero_()
    assert np.array_equal(tensor.numpy(), x)
    assert np.array_equal((tensor + 1.0).numpy(), x + 1)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int8", "bool", "int64"])
def test_torch_gets_a_copy_of_every_dtype(kind: str) -> None:
    torch = pytest.importorskip("torch")
    tensor = tp.cast(tp.Tensor([[1, 0, 1]]), getattr(tp, kind))
    taken = torch.from_dlpack(tensor)
    assert taken.dtype is getattr(torch, kind)
    taken.zero_()
    assert tensor.tolist() == [[1, 0, 1]]


def test_results_that_torch_changed_do_not_come_again(rng: Rng) -> None:
    """A program uses the memory of results again, and its weights may be results."""
    torch = pytest.importorskip("torch")
    weight = tp.Parameter(rng.standard_normal((4, 4)).astype(np.float32))
    exe = tp.compile(lambda x: [x @ weight, weight, x], args=[tp.InputInfo((3, 4), tp.float32)])
    x = rng.standard_normal((3, 4)).astype(np.float32)
    expected = [tensor.numpy().copy() for tensor in exe(x)]
    for _ in range(4):
        results = exe(x)
        for tensor in results:
            torch.from_dlpack(tensor).fill_(np.nan)
        torch.from_dlpack(weight).zero_()
        for tensor, wanted in zip(results, expected, strict=True):
            assert np.array_equal(tensor.numpy(), wanted)


def test_sharing_with_torch_gives_a_warning(rng: Rng) -> None:
    torch = pytest.importorskip("torch")
    tensor = tp.Tensor(rng.standard_normal(4))
    with warnings.catch_warnings():  # once in a process
        warnings.simplefilter("ignore")
        shared = torch.from_numpy(tensor.numpy())
    assert shared.data_ptr() == address(tensor.numpy())
    with pytest.raises(tp.TripyValueError, match="copy=False"):
        torch.from_dlpack(tensor, copy=False)
    assert torch.from_dlpack(tensor, copy=True).tolist() == tensor.tolist()


def test_jax_shares_memory_and_leaves_it_alone(rng: Rng) -> None:
    jax = pytest.importorskip("jax")
    memory = np.zeros(1024, np.float32)
    x = memory[-address(memory) % 64 // 4 :][:512]  # JAX shares aligned memory only
    x[:] = rng.standard_normal(512)
    tensor = tp.Tensor(x)
    given = jax.numpy.from_dlpack(tensor)
    assert given.unsafe_buffer_pointer() == address(x)
    before = x.copy()
    with warnings.catch_warnings():  # that the memory is not used again is what is tested
        warnings.simplefilter("ignore")
        jax.jit(lambda x: x + 1, donate_argnums=0)(given).block_until_ready()
    assert np.array_equal(tensor.numpy(), before)


def test_tensors_on_other_devices_are_copied_too(gpu: tp.device, rng: Rng) -> None:
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((3, 4)).astype(np.float32)
    tensor = tp.Tensor(x, device=gpu)
    for _ in range(2):
        taken = torch.from_dlpack(tensor)
        assert np.array_equal(taken.cpu().numpy(), x)
        taken.zero_()
    assert np.array_equal(tensor.numpy(), x)
    with pytest.raises(tp.TripyValueError, match="copy=False"):
        torch.from_dlpack(tensor, copy=False)
