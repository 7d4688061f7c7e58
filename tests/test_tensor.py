"""Tensors: construction, attributes, conversions, Python values, laziness and sharing."""

from __future__ import annotations

import array
import copy
import gc
import tracemalloc
from collections.abc import Callable
from importlib import util
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator
InThreads = Callable[[int, Callable[[int], None]], None]
HAS_TORCH = util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
FLOATS = (tp.float32, tp.float16, tp.bfloat16, tp.float64)
INTEGERS = (tp.int8, tp.uint8, tp.int16, tp.int32, tp.int64)
ALL = (*FLOATS, *INTEGERS, tp.int4, tp.float8, tp.bool)
NUMPY = {
    tp.float32: np.float32,
    tp.float16: np.float16,
    tp.bfloat16: ml_dtypes.bfloat16,
    tp.float64: np.float64,
    tp.float8: ml_dtypes.float8_e4m3fn,
    tp.int4: ml_dtypes.int4,
    tp.int8: np.int8,
    tp.uint8: np.uint8,
    tp.int16: np.int16,
    tp.int32: np.int32,
    tp.int64: np.int64,
    tp.bool: np.bool_,
}


def name_of(kind: Any) -> str:
    return str(kind)


def is_evaluated(tensor: tp.Tensor) -> bool:
    return tensor._value.data is not None


# Construction -----------------------------------------------------------------------------------

PYTHON_DATA: list[tuple[Any, Any, tuple[int, ...], Any]] = [
    (True, tp.bool, (), True),
    (7, tp.int32, (), 7),
    (-(2**31), tp.int32, (), -(2**31)),
    (2**31, tp.int64, (), 2**31),
    (-(2**63), tp.int64, (), -(2**63)),
    (0.5, tp.float32, (), 0.5),
    ([], tp.float32, (0,), []),
    ((), tp.float32, (0,), []),
    ([[], []], tp.float32, (2, 0), [[], []]),
    ([[[]]], tp.float32, (1, 1, 0), [[[]]]),
    ([True, False], tp.bool, (2,), [True, False]),
    ([True, 2], tp.int32, (2,), [1, 2]),
    ([1, 2**40], tp.int64, (2,), [1, 2**40]),
    ([True, 2, 3.5], tp.float32, (3,), [1.0, 2.0, 3.5]),
    ([2**70, 1.0], tp.float32, (2,), [float(2**70), 1.0]),
    ([10**400, -(10**400), 0.5], tp.float32, (3,), [np.inf, -np.inf, 0.5]),
    ([(1, 2), [3, 4]], tp.int32, (2, 2), [[1, 2], [3, 4]]),
    (((1.0,), (2.0,)), tp.float32, (2, 1), [[1.0], [2.0]]),
    (np.float64(1.5), tp.float32, (), 1.5),
    (np.int64(5), tp.int32, (), 5),
    (np.bool_(True), tp.bool, (), True),
    ([np.int8(1), np.float16(2.5)], tp.float32, (2,), [1.0, 2.5]),
    ([ml_dtypes.bfloat16(1.5)], tp.float32, (1,), [1.5]),
    ([tp.DimensionSize(3), 4], tp.int32, (2,), [3, 4]),
    (tp.DimensionSize(3), tp.int32, (), 3),
]


@pytest.mark.parametrize(("data", "kind", "shape", "elements"), PYTHON_DATA, ids=repr)
def test_python_data(data: Any, kind: Any, shape: tuple[int, ...], elements: Any) -> None:
    tensor = tp.Tensor(data)
    assert (tensor.dtype, tensor.shape) == (kind, shape)
    assert tensor.tolist() == elements


@pytest.mark.parametrize("kind", ALL, ids=name_of)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 3), (2, 3, 4)], ids=str)
def test_arrays_keep_dtype_shape_and_values(kind: Any, shape: tuple[int, ...], rng: Rng) -> None:
    data = rng.integers(0, 8, shape).astype(NUMPY[kind])
    tensor = tp.Tensor(data)
    assert (tensor.dtype, tensor.shape) == (kind, shape)
    assert np.array_equal(tensor.numpy(), data)
    assert tensor.numpy().dtype == data.dtype


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, ::-2],
    "strided": lambda a: a[1:, ::3],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "Fortran": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "unaligned": lambda a: np.frombuffer(b"0" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_any_layout(layout: str, rng: Rng) -> None:
    data = LAYOUTS[layout](rng.standard_normal((5, 7)).astype(np.float32))
    assert np.array_equal((tp.Tensor(data) * 2.0).numpy(), data * 2)


def test_contiguous_memory_is_shared_and_never_written_through() -> None:
    data = np.arange(6, dtype=np.float32)
    tensor = tp.Tensor(data)
    assert np.shares_memory(tensor.numpy(), data)
    with pytest.raises(ValueError, match="read-only"):
        tensor.numpy()[0] = 1.0
    assert data.flags.writeable


def test_buffers() -> None:
    assert tp.Tensor(array.array("f", [1.0, 2.5])).tolist() == [1.0, 2.5]
    assert tp.Tensor(bytearray(b"ab")).dtype is tp.uint8
    assert tp.Tensor(memoryview(bytes(range(4))).cast("B", (2, 2))).tolist() == [[0, 1], [2, 3]]


def test_objects_with_array_method() -> None:
    class Image:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.full((2, 2), 7, np.int16)

    assert tp.Tensor(Image()).dtype is tp.int16
    assert (tp.ones((2, 2), tp.int16) + Image()).tolist() == [[8, 8], [8, 8]]


@needs_torch
@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS, tp.bool, tp.float8], ids=name_of)
def test_torch_tensors(kind: Any) -> None:
    import torch

    name = "float8_e4m3fn" if kind is tp.float8 else str(kind)
    source = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    tensor = tp.Tensor(source)
    assert tensor.dtype is kind
    assert tensor.tolist() == source.to(torch.float64).tolist()
    assert tp.Tensor(source.T).tolist() == source.T.to(torch.float64).tolist()


@needs_torch
def test_torch_tensors_that_require_gradients_are_detached() -> None:
    import torch

    source = torch.ones(3, requires_grad=True)
    assert tp.Tensor(source * 2).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(tp.TripyTypeError, match="no tensor can be made"):
        tp.Tensor(torch.eye(2).to_sparse())


@needs_torch
@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS, tp.bool], ids=name_of)
def test_export_to_torch(kind: Any) -> None:
    import torch

    tensor = tp.cast(tp.reshape(tp.arange(6), (2, 3)), kind)
    taken = torch.from_dlpack(tensor)
    assert str(taken.dtype) == f"torch.{kind}"
    assert taken.to(torch.float64).tolist() == tensor.tolist()
    del tensor
    gc.collect()
    assert taken.to(torch.float64).sum() == (5 if kind is tp.bool else 15)


def test_tensor_of_a_tensor_shares_elements_but_not_the_name() -> None:
    source = tp.Tensor([1.0, 2.0], name="source")
    equal = tp.Tensor(source)
    assert equal.name != "source"
    assert np.shares_memory(equal.numpy(), source.numpy())
    assert tp.Tensor(source, tp.int32, name="other").tolist() == [1, 2]
    lazy = tp.ones((2,)) + 1.0
    assert tp.Tensor(lazy).tolist() == [2.0, 2.0]


CASTS: list[tuple[Any, Any, Any]] = [
    ([1.9, -1.9, np.nan, 1e20, -1e20], tp.int32, [1, -1, 0, 2**31 - 1, -(2**31)]),
    ([300.0, -300.0], tp.int8, [127, -128]),
    ([0, 2, -1], tp.bool, [False, True, True]),
    ([np.nan, 0.0], tp.bool, [True, False]),
    ([1000.0, -1000.0, 0.3], tp.float8, [448.0, -448.0, 0.3125]),
    ([1e10, 65519.0], tp.float16, [np.inf, 65504.0]),
    ([7, -8], tp.int4, [7, -8]),
    ([True, False], tp.float64, [1.0, 0.0]),
    (np.array([1.5, 2.5]), tp.float32, [1.5, 2.5]),
    (np.array([1e10]), tp.float16, [np.inf]),
    (np.array([300, -1]), tp.uint8, [44, 255]),
]


@pytest.mark.parametrize(("data", "kind", "elements"), CASTS, ids=str)
def test_dtype_casts_the_data(data: Any, kind: Any, elements: Any) -> None:
    tensor = tp.Tensor(data, dtype=kind)
    assert tensor.dtype is kind
    assert tensor.tolist() == elements


def test_numbers_are_converted_directly() -> None:
    assert tp.Tensor(0.1, tp.float64).item() == 0.1
    assert tp.Tensor([2**53 + 1], tp.int64).item() == 2**53 + 1
    assert tp.Tensor(2**63 - 1, tp.int64).item() == 2**63 - 1


@pytest.mark.parametrize("device", ["cpu", "CPU:0", tp.device("cpu")], ids=str)
def test_device_is_kept(device: Any) -> None:
    for data in ([1.0], np.ones(1), tp.ones((1,))):
        assert tp.Tensor(data, device=device).device == tp.device("cpu:0")


# Attributes -------------------------------------------------------------------------------------


def test_attributes_are_known_without_evaluation() -> None:
    tensor = tp.exp(tp.ones((2, 3), tp.float16)) @ tp.ones((3, 4), tp.float16)
    assert (tensor.dtype, tensor.rank, tensor.ndim, tensor.shape) == (tp.float16, 2, 2, (2, 4))
    assert (tensor.size, tensor.device) == (8, tp.device("cpu"))
    assert tensor.T.shape == (4, 2)
    assert not is_evaluated(tensor)


def test_scalars_have_no_dims() -> None:
    scalar = tp.Tensor(1.0)
    assert (scalar.rank, scalar.shape, scalar.size) == (0, (), 1)


def test_names() -> None:
    first, second = tp.ones((1,)), tp.ones((1,))
    assert first.name != second.name
    assert first.name[0] == "t"
    assert first.name[1:].isdigit()
    first.name = "weights"
    assert first.eval().name == "weights"
    same = tp.Tensor([1], name="weights")
    assert same.name == first.name


def test_devices() -> None:
    assert tp.device("GPU:1") == tp.device("gpu:1") != tp.device("gpu")
    assert {tp.device("cpu"), tp.device("cpu:0")} == {tp.device(tp.device("cpu"))}
    assert (tp.device("gpu:3").kind, tp.device("gpu:3").index) == ("gpu", 3)
    assert (str(tp.device("gpu")), repr(tp.device("cpu"))) == ("gpu:0", "cpu:0")
    assert tp.devices() == tp.devices("cpu") == (tp.device("cpu"),)
    assert tp.devices("gpu") == ()
    with pytest.raises(tp.TripyAttributeError, match="frozen"):
        tp.device("cpu").index = 1
    assert copy.deepcopy(tp.device("gpu:2")) == tp.device("gpu:2")


def test_dtypes() -> None:
    assert [k.itemsize for k in ALL] == [4, 2, 2, 8, 1, 1, 2, 4, 8, 0.5, 1, 1]
    assert all(isinstance(k, tp.dtype) and str(k) == repr(k) == k.name for k in ALL)
    floating = {k for k in ALL if issubclass(k, tp.floating)}
    assert floating == {*FLOATS, tp.float8}
    assert {k for k in ALL if issubclass(k, tp.integer)} == {*INTEGERS, tp.int4}
    assert (tp.floating.itemsize, tp.integer.name) == (-1, "integer")
    assert len(set(ALL)) == 12


# Conversions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL, ids=name_of)
def test_tolist_gives_exact_python_values(kind: Any) -> None:
    values: list[Any] = [0, 1, 2, 3]
    tensor = tp.Tensor(values, kind)
    expected = {tp.bool: [False, True, True, True]}.get(kind, values)
    assert tensor.tolist() == expected
    wanted = bool if kind is tp.bool else float if issubclass(kind, tp.floating) else int
    assert {type(v) for v in tensor.tolist()} == {wanted}
    assert type(tensor[1].item()) is wanted
    assert tensor[1].item() == 1


def test_tolist_of_limits() -> None:
    assert tp.Tensor([2**63 - 1, -(2**63)]).tolist() == [2**63 - 1, -(2**63)]
    assert tp.Tensor(0.1).tolist() == float(np.float32(0.1))
    assert tp.ones((2, 0, 3)).tolist() == [[], []]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)], ids=str)
def test_one_element_converts_to_numbers(shape: tuple[int, ...]) -> None:
    tensor = tp.full(shape, -2.75)
    assert (tensor.item(), float(tensor), int(tensor), bool(tensor)) == (-2.75, -2.75, -2, True)
    assert not tp.zeros(shape, tp.int8)
    assert [10, 20, 30][tp.full(shape, 2, tp.uint8)] == 30
    assert list(range(tp.full(shape, 2, tp.int64))) == [0, 1]


def test_numbers_that_int_cannot_take() -> None:
    for number in (np.nan, np.inf, -np.inf):
        with pytest.raises(tp.TripyValueError, match="finite"):
            int(tp.Tensor(number))
        assert bool(tp.Tensor(number))


def test_numpy_arrays() -> None:
    tensor = tp.ones((2,)) * 3.0
    view = np.asarray(tensor)
    assert np.shares_memory(view, tensor.numpy())
    assert not view.flags.writeable
    assert np.asarray(tensor, dtype=np.float64).dtype == np.float64
    own = np.array(tensor)
    own[0] = 5
    assert tensor.tolist() == [3.0, 3.0]
    with pytest.raises(tp.TripyValueError, match="needs a copy"):
        np.array(tensor, dtype=np.float64, copy=False)
    assert np.concatenate([tensor, tensor]).shape == (4,)


def test_dlpack_to_numpy() -> None:
    tensor = tp.reshape(tp.arange(6), (2, 3)) + 1.0
    assert np.array_equal(np.from_dlpack(tensor), tensor.numpy())
    assert tensor.__dlpack_device__() == (1, 0)
    for kind in (tp.int4, tp.float8):
        with pytest.raises(tp.TripyTypeError, match="DLPack cannot carry"):
            np.from_dlpack(tp.ones((2,), kind))


def test_sequence_protocol() -> None:
    matrix = tp.Tensor([[1, 2], [3, 4], [5, 6]])
    assert len(matrix) == 3
    assert [row.tolist() for row in matrix] == [[1, 2], [3, 4], [5, 6]]
    first, *rest = matrix
    assert (first.shape, len(rest)) == ((2,), 2)
    assert 4 in matrix
    assert 7 not in matrix
    assert None not in matrix
    assert "4" not in matrix
    assert len(tp.ones((0, 3))) == len(list(tp.ones((0, 3)))) == 0


# Python values ----------------------------------------------------------------------------------


def adapted(value: Any, kind: Any) -> Any:
    return (tp.ones((2,), kind) + value).dtype


@pytest.mark.parametrize("kind", FLOATS, ids=name_of)
def test_python_numbers_adapt_to_floats(kind: Any) -> None:
    for value in (True, 2, 0.5, np.float64(0.5), np.int8(2), np.bool_(True), [1, 2], (0.5, 1)):
        assert adapted(value, kind) is kind
    # Half an ulp above 1 rounds to even; only float64 keeps it.
    total = tp.zeros((), kind) + (1 + 2.0**-24)
    assert total.item() == (1 + 2.0**-24 if kind is tp.float64 else 1.0)
    assert (tp.ones((), kind) * 1e300).item() == (1e300 if kind is tp.float64 else np.inf)


@pytest.mark.parametrize("kind", INTEGERS, ids=name_of)
def test_python_numbers_adapt_to_integers(kind: Any) -> None:
    for value in (True, 2, np.int64(2), [1, 2]):
        assert adapted(value, kind) is kind
    for value in (0.5, np.float32(1.0), [1, 0.5]):
        with pytest.raises(tp.TripyTypeError, match="does not adapt"):
            adapted(value, kind)
    limits = np.iinfo(NUMPY[kind])
    assert (tp.zeros((), kind) + int(limits.max)).item() == limits.max
    for value in (int(limits.max) + 1, int(limits.min) - 1):
        with pytest.raises(tp.TripyValueError, match="does not fit"):
            adapted(value, kind)


def test_python_numbers_beside_bools() -> None:
    flags = tp.Tensor([True, False])
    assert (flags + False).tolist() == [True, False]
    assert (flags == True).tolist() == [True, False]  # noqa: E712
    for value in (1, 0.5):
        with pytest.raises(tp.TripyTypeError, match="does not adapt"):
            _ = flags * value


def test_python_numbers_alone_take_their_widest_kind() -> None:
    assert tp.maximum(True, 2).dtype is tp.int32
    assert tp.maximum(1, 2**40).dtype is tp.int64
    assert tp.maximum(1, 0.5).dtype is tp.float32
    assert tp.where(tp.Tensor([True, False]), 1, 0.5).tolist() == [1.0, 0.5]
    assert tp.where(tp.Tensor([True, False]), True, False).dtype is tp.bool


def test_arrays_do_not_adapt() -> None:
    with pytest.raises(tp.TripyTypeError, match="do not mix"):
        _ = tp.ones((2,)) + np.ones(2)
    assert (tp.ones((2,)) + np.ones(2, np.float32)).tolist() == [2.0, 2.0]


def test_sizes_adapt_like_ints() -> None:
    size = tp.DimensionSize(3)
    assert (tp.ones((2,)) * size).tolist() == [3.0, 3.0]
    assert (size - tp.ones((2,), tp.int64)).dtype is tp.int64
    assert str(size * 2 + 1) == "7"
    assert [str(s) for s in (7 // size, size % 2, size / 2, 5 - size)] == ["2", "1", "1", "2"]
    assert isinstance(tp.maximum(size, 5), tp.DimensionSize)
    assert bool(size == 3)
    assert bool(size < 4)
    assert not bool(size >= 4)
    assert [1, 2, 3, 4][size] == 4
    assert tp.ones((size, 2)).shape == (3, 2)
    assert str(copy.deepcopy(size)) == str(copy.copy(size)) == "3"
    assert int(tp.DimensionSize(5, name="n")) == 5


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("symbol", BINARY)
def test_operators_with_numbers_and_arrays_on_both_sides(symbol: str, rng: Rng) -> None:
    operator = BINARY[symbol]
    x = rng.uniform(0.5, 3, (2, 3)).astype(np.float32)
    row = rng.uniform(0.5, 3, 3).astype(np.float32)
    for left, right in ((x, 1.5), (1.5, x), (x, row), (row, x), (x, list(map(float, row)))):
        expected = operator(np.asarray(left, np.float64), np.asarray(right, np.float64))
        a, b = (tp.Tensor(side) if side is x else side for side in (left, right))
        result = operator(a, b)
        assert isinstance(result, tp.Tensor)
        assert np.allclose(result.numpy(), expected, rtol=1e-6, atol=0)


def test_matrix_products_with_arrays_on_both_sides(rng: Rng) -> None:
    x = rng.standard_normal((3, 3)).astype(np.float32)
    expected = x.astype(np.float64) @ x
    for result in (tp.Tensor(x) @ x, x @ tp.Tensor(x), tp.Tensor(x) @ tp.Tensor(x)):
        assert np.allclose(result.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_bits_and_signs() -> None:
    flags, numbers = tp.Tensor([True, False]), tp.Tensor([6, -3])
    assert [(~flags).tolist(), (~numbers).tolist()] == [[False, True], [-7, 2]]
    assert [(flags & True).tolist(), (False | flags).tolist()] == [[True, False]] * 2
    assert [(numbers ^ 1).tolist(), (3 & numbers).tolist()] == [[7, -4], [2, 1]]
    assert +numbers is numbers
    assert [(-numbers).tolist(), abs(numbers).tolist()] == [[-6, 3], [6, 3]]


def test_comparison_with_other_objects_is_plain_false() -> None:
    tensor = tp.Tensor([1, 2])
    for other in (None, "12", b"12", object(), {1: 2}):
        assert (tensor == other) is False
        assert (tensor != other) is True


# Identity, copies, immutability -----------------------------------------------------------------


def test_hash_is_by_identity() -> None:
    first, second = tp.ones((1,)), tp.ones((1,))
    assert len({first, second, first}) == 2
    assert {first: "a", second: "b"}[second] == "b"


def test_copies_are_equal_tensors() -> None:
    for tensor in (tp.ones((2,)) + 1.0, tp.Parameter([2.0, 2.0])):
        for twin in (copy.copy(tensor), copy.deepcopy(tensor)):
            assert type(twin) is type(tensor)
            assert twin is not tensor
            assert twin.tolist() == tensor.tolist() == [2.0, 2.0]
    nested = copy.deepcopy({"x": [tp.ones((1,))]})
    assert nested["x"][0].tolist() == [1.0]
    assert tp.copy(tp.ones((2,)), "cpu").tolist() == [1.0, 1.0]


def test_in_place_operators_rebind() -> None:
    first = tensor = tp.Tensor([6, 7])
    tensor += 1
    tensor -= 2
    tensor *= 3
    tensor //= 2
    tensor %= 5
    tensor **= 2
    assert tensor.tolist() == [4, 16]
    assert first.tolist() == [6, 7]


def test_nothing_of_a_tensor_can_be_changed() -> None:
    tensor = tp.ones((2, 2))
    with pytest.raises(TypeError, match="immutable"):
        tensor[0, 0] = 2.0
    for attribute in ("shape", "dtype", "rank", "device", "size", "T", "unknown", "_value"):
        with pytest.raises(tp.TripyAttributeError):
            setattr(tensor, attribute, None)
    assert tensor.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_subclasses_may_have_attributes() -> None:
    class Labelled(tp.Tensor):
        def __init__(self, data: Any, label: str) -> None:
            super().__init__(data)
            self.label = label

    tensor = Labelled([1.0], "one")
    assert (tensor.label, tensor.tolist()) == ("one", [1.0])


# Laziness ---------------------------------------------------------------------------------------


def test_evaluation_changes_nothing_that_is_visible() -> None:
    tensor = tp.ones((2, 3), tp.float16) + 1.0
    before = (tensor.dtype, tensor.shape, tensor.device, tensor.name)
    assert tensor.eval() is tensor
    assert (tensor.dtype, tensor.shape, tensor.device, tensor.name) == before


def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the primitives that the reference engine computes from now on."""
    from tripy.engines import reference

    ran: list[str] = []
    run_node = reference.run_node

    def counted(node: Any, *rest: Any) -> Any:
        ran.append(node.primitive.name)
        return run_node(node, *rest)

    monkeypatch.setattr(reference, "run_node", counted)
    return ran


def test_evaluated_tensors_are_not_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = counting(monkeypatch)
    base = tp.exp(tp.Tensor([1.0, 2.0]))
    assert ran == []
    for _ in range(3):
        base.tolist()
        (base + 1.0).tolist()
    assert ran.count("exp") == 1
    assert ran.count("add") == 3


def test_interior_tensors_that_live_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = counting(monkeypatch)
    middle = tp.exp(tp.Tensor([1.0, 2.0]))
    (middle * 2.0).eval()
    middle.eval()
    assert ran.count("exp") == 1


def test_branches_share_what_they_have_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = counting(monkeypatch)
    x = tp.exp(tp.Tensor([0.5]))
    for _ in range(40):
        x = x * 0.5 + x * 0.5  # 2**40 paths
    assert abs(x.item() - np.exp(0.5)) < 1e-6
    assert ran.count("exp") == 1


def test_long_chains_need_no_recursion() -> None:
    tensor = tp.zeros((4,))
    for _ in range(20_000):
        tensor = tensor + 1.0
    assert tensor.tolist() == [20_000.0] * 4
    deep = tp.zeros((1,))
    for _ in range(20_000):
        deep = tp.relu(deep)
    del deep  # freeing a chain must not recurse either
    gc.collect()


def test_loops_whose_state_is_evaluated_do_not_grow() -> None:
    weights = tp.Tensor(np.full((16, 16), 1 / 16, np.float32))
    state = tp.ones((16, 16))

    def steps(count: int) -> int:
        nonlocal state
        for _ in range(count):
            state = tp.tanh(state @ weights).eval()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        steps(50)
        before = steps(50)
        after = steps(500)
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert state._value.node is None


def test_compiled_eager_work_gives_the_same_values(rng: Rng) -> None:
    x = rng.standard_normal((8, 8)).astype(np.float32)
    expected = np.tanh(x.astype(np.float64) @ x) + 1

    def run() -> Any:
        return (tp.tanh(tp.Tensor(x) @ tp.Tensor(x)) + 1.0).numpy()

    with tp.config.override(eager_threshold=0):
        assert np.allclose(run(), expected, rtol=1e-5, atol=1e-6)
    with tp.config.override(eager_threshold=None):
        assert np.allclose(run(), expected, rtol=1e-5, atol=1e-6)


def test_building_and_evaluating_from_several_threads(rng: Rng, in_threads: InThreads) -> None:
    data = rng.standard_normal((32, 32)).astype(np.float32)
    shared = tp.tanh(tp.Tensor(data) @ tp.Tensor(data))
    expected = np.tanh(data.astype(np.float64) @ data)
    results: dict[int, Any] = {}

    def work(index: int) -> None:
        total = shared
        for step in range(50):
            total = total + float(step * index)
        results[index] = (total - shared).numpy().mean(), shared.numpy()

    in_threads(8, work)
    for index, (difference, value) in results.items():
        assert abs(difference - 1225.0 * index) < 1e-2
        assert np.allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_names_are_unique_across_threads(in_threads: InThreads) -> None:
    names: list[str] = []
    in_threads(8, lambda _: names.extend(tp.Tensor(1).name for _ in range(200)))
    assert len(set(names)) == 1600


@pytest.mark.parametrize("threshold", [None, 0])
@pytest.mark.parametrize("kind", [tp.float32, tp.float16, tp.bfloat16])
def test_evaluated_views_are_operands(
    rng: np.random.Generator, kind: tp.dtype, threshold: Any
) -> None:
    """Transposed, stretched and sliced tensors share memory that is not in their own order."""
    x = tp.cast(tp.Tensor(rng.standard_normal((5, 4))), kind)
    views = [x.transpose(0, 1), tp.expand(x[:1], (3, 4)), x[::2, ::-1], x[:, 1:3]]
    with tp.config.override(eager_threshold=threshold):
        for view in views:
            known = view.eval().numpy().copy()
            weight = tp.Parameter(view)
            for doubled in (view + view, weight * 2, tp.permute(view, (1, 0)).T + weight):
                np.testing.assert_array_equal(doubled.numpy(), known + known)
            compiled = tp.compile(lambda a, w=weight: a + w, args=[tp.InputInfo(view.shape, kind)])
            np.testing.assert_array_equal(compiled(view).numpy(), known + known)
