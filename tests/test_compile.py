"""Compiling and executables: inputs, outputs, dynamic sizes, checks, memory, threads, precision."""

from __future__ import annotations

import collections
import dataclasses
import functools
import gc
import inspect
import logging
import threading
from collections.abc import Callable
from importlib import util
from typing import Any, NamedTuple

import numpy as np
import pytest

import tripy as tp
from tripy.engines import base

Rng = np.random.Generator
InThreads = Callable[[int, Callable[[int], None]], None]
ENGINES = ("openvino", "reference")
both_engines = pytest.mark.parametrize("engine", ENGINES)
needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="torch is not installed")
F32 = tp.float32


def info(*sizes: Any, dtype: Any = tp.float32) -> tp.InputInfo:
    return tp.InputInfo(sizes, dtype)


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def numbers(rng: Rng, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def relative_error(result: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(result, np.float64) - expected).max() / np.abs(expected).max())


class Pair(NamedTuple):
    left: Any
    right: Any


Point = collections.namedtuple("Point", ["x", "y"])


@dataclasses.dataclass
class Batch:
    images: Any
    scale: Any = 2.0


@dataclasses.dataclass(frozen=True)
class Frozen:
    images: Any
    note: str = "note"


# What is compiled -------------------------------------------------------------------------------


class Doubling(tp.Module):
    def __init__(self) -> None:
        self.factor = tp.Parameter([2.0])

    def forward(self, x: tp.Tensor) -> tp.Tensor:
        return x * self.factor

    def thrice(self, x: tp.Tensor) -> tp.Tensor:
        return x * 3.0


CALLABLES: dict[str, tuple[Any, float]] = {
    "function": (tp.relu, 1.0),
    "lambda": (lambda x: x + 4.0, 5.0),
    "module": (Doubling(), 2.0),
    "bound method": (Doubling().thrice, 3.0),
    "partial": (functools.partial(tp.maximum, rhs=7.0), 7.0),
    "class": (tp.Tensor, 1.0),
    "sequential": (tp.Sequential(tp.relu, lambda x: x + 1.0), 2.0),
}


@both_engines
@pytest.mark.parametrize("name", CALLABLES)
def test_any_callable_is_compiled(name: str, engine: str) -> None:
    function, expected = CALLABLES[name]
    exe = tp.compile(function, args=[info(2)], engine=engine)
    assert exe(ones(2)).tolist() == [expected] * 2


def test_function_is_called_once() -> None:
    calls = []

    def function(x: tp.Tensor) -> tp.Tensor:
        calls.append(x)
        return x + 1.0

    exe = tp.compile(function, args=[info(2)])
    exe(ones(2))
    exe(ones(2))
    assert len(calls) == 1


def test_changing_a_module_later_has_no_effect() -> None:
    module = Doubling()
    exe = tp.compile(module, args=[info(1)])
    module.factor = [5.0]
    assert exe(ones(1)).tolist() == [2.0]
    assert module(tp.ones((1,))).tolist() == [5.0]


# Parameters of the executable -------------------------------------------------------------------


def combined(x: tp.Tensor, y: Any = 2.0, *rest: Any, scale: Any = 1.0, **more: Any) -> tp.Tensor:
    total = x + y
    for item in (*rest, *more.values()):
        total = total + item
    return total * scale


FORMS: list[tuple[list[Any], dict[str, Any], list[str], float]] = [
    ([info(2)], {}, ["x"], 3.0),
    ([info(2), 5], {}, ["x"], 6.0),
    ([info(2), info(2)], {}, ["x", "y"], 2.0),
    ([info(2), 1.0, info(2), 3.0], {}, ["x", "rest0"], 6.0),
    ([info(2), 1.0, 3.0, info(2)], {}, ["x", "rest1"], 6.0),
    ([], {"x": info(2), "scale": info(2)}, ["x", "scale"], 3.0),
    ([info(2)], {"z": info(2), "w": 4.0}, ["x", "z"], 8.0),
    ([info(2), tp.ones((2,))], {"scale": 3.0}, ["x"], 6.0),
    ([info(2), np.full(2, 9, np.float32)], {}, ["x"], 10.0),
]


@both_engines
@pytest.mark.parametrize(("args", "kwargs", "names", "expected"), FORMS, ids=lambda f: str(f)[:40])
def test_descriptions_become_parameters_and_the_rest_constants(
    args: list[Any], kwargs: dict[str, Any], names: list[str], expected: float, engine: str
) -> None:
    exe = tp.compile(combined, args=args, kwargs=kwargs, engine=engine)
    assert list(exe.input_infos) == names == list(exe.__signature__.parameters)
    assert exe(*(ones(2) for _ in names)).tolist() == [expected] * 2
    by_name = {name: ones(2) for name in reversed(names)}
    assert exe(**by_name).tolist() == [expected] * 2


def test_function_without_inputs() -> None:
    exe = tp.compile(lambda: (tp.arange(3) * 2.0, 5))
    assert exe.input_infos == {}
    assert exe()[0].tolist() == [0.0, 2.0, 4.0]
    assert exe()[1] == 5


def test_unused_inputs_stay_parameters() -> None:
    exe = tp.compile(lambda x, unused: x + 1.0, args=[info(2), info((1, 2, 3))])
    assert list(exe.input_infos) == ["x", "unused"]
    assert exe(ones(2), ones(3)).tolist() == [2.0, 2.0]
    with pytest.raises(tp.TripyShapeError, match="unused"):
        exe(ones(2), ones(4))


STRUCTURES: dict[str, tuple[Callable[[Any], Any], Any, Any, list[str]]] = {
    "dict": (
        lambda d: d["a"] - d["b"], {"a": info(2), "b": info(2)},
        {"b": ones(2), "a": ones(2) * 3}, ["arg.a", "arg.b"],
    ),
    "list": (
        lambda s: s[0] - s[1], [info(2), info(2)],
        (ones(2) * 3, ones(2)), ["arg[0]", "arg[1]"],
    ),
    "tuple": (lambda s: s[0] * s[1], (info(2), 2.0), [ones(2)], ["arg[0]"]),
    "namedtuple": (
        lambda p: p.left - p.right, Pair(info(2), info(2)), Pair(ones(2) * 3, ones(2)),
        ["arg[0]", "arg[1]"],
    ),
    "dataclass": (lambda b: b.images * b.scale, Batch(info(2)), Batch(ones(2)), ["arg.images"]),
    "frozen dataclass": (
        lambda b: b.images + 1.0, Frozen(info(2)), Frozen(ones(2), "x"), ["arg.images"]
    ),
    "nested": (
        lambda d: d["a"][0].images * d["b"]["c"][1],
        {"a": [Batch(info(2))], "b": {"c": (1, info(2))}},
        {"a": (Batch(ones(2)),), "b": {"c": [None, ones(2) * 2]}},
        ["arg.a[0].images", "arg.b.c[1]"],
    ),
}  # fmt: skip


@both_engines
@pytest.mark.parametrize("name", STRUCTURES)
def test_structured_inputs(name: str, engine: str) -> None:
    function, described, given, paths = STRUCTURES[name]
    exe = tp.compile(lambda arg: function(arg), args=[described], engine=engine)
    assert list(exe.input_infos) == paths
    assert exe(given).tolist() == [2.0, 2.0]
    assert exe(arg=given).tolist() == [2.0, 2.0]
    assert exe.__signature__.parameters["arg"].annotation is type(described)


def test_constants_of_a_structure_may_be_left_out() -> None:
    exe = tp.compile(lambda d: d["x"] * d["factor"], args=[{"x": info(2), "factor": 3.0}])
    for given in ({"x": ones(2)}, {"x": ones(2), "factor": object()}):
        assert exe(given).tolist() == [3.0, 3.0]
    with pytest.raises(tp.TripyTypeError, match="another structure"):
        exe({"x": ones(2), "other": 1})
    with pytest.raises(tp.TripyTypeError, match="another structure"):
        exe({"factor": 3.0})


# Results ----------------------------------------------------------------------------------------


@both_engines
def test_structure_of_the_result_is_kept(engine: str) -> None:
    def function(x: tp.Tensor) -> Any:
        y = x + 1.0
        inner = {"y": y, "text": "text", "none": None}
        return [x, (y, 3, 2.5, True), inner, Pair(y, x), Point(1, y), Batch(y), Frozen(x)]

    result = tp.compile(function, args=[info(1)], engine=engine)(ones(1))
    assert isinstance(result, list)
    assert [t.tolist() for t in (result[0], result[1][0], result[2]["y"])] == [[1.0], [2.0], [2.0]]
    assert result[1][1:] == (3, 2.5, True)
    assert (result[2]["text"], result[2]["none"]) == ("text", None)
    assert isinstance(result[3], Pair)
    assert isinstance(result[4], Point)
    assert isinstance(result[5], Batch)
    assert isinstance(result[6], Frozen)
    assert (result[3].right.tolist(), result[4].x, result[5].scale) == ([1.0], 1, 2.0)
    assert (result[6].images.tolist(), result[6].note) == ([1.0], "note")


def test_output_infos() -> None:
    def function(x: tp.Tensor) -> Any:
        return {"twice": x * 2.0, "parts": [tp.sum(x, 0) > 0.0, 1]}

    batch = tp.NamedDimension("batch", 1, 2, 8)
    exe = tp.compile(function, args=[info(batch, 3)])
    assert exe.output_infos == {
        "output.twice": info((1, 2, 8), 3),
        "output.parts[0]": info(3, dtype=tp.bool),
    }
    assert tp.compile(tp.relu, args=[info(2)]).output_infos == {"output": info(2)}
    sizes = tp.compile(lambda x: (x.shape[0] * 2, x), args=[info((1, 2, 8))])
    assert sizes.output_infos["output[0]"] == tp.DimensionInputInfo((2, 4, 16))


def owns_memory(tensors: list[tp.Tensor], inputs: list[Any]) -> bool:
    arrays = [t.numpy() for t in tensors]
    others = [(a, b) for i, a in enumerate(arrays) for b in (*arrays[i + 1 :], *inputs)]
    return not any(np.shares_memory(a, b) for a, b in others)


@both_engines
def test_results_own_their_memory(engine: str) -> None:
    def function(x: tp.Tensor) -> Any:
        y = x + 1.0
        return x, x, y, y, tp.reshape(y, (2, 1)), tp.ones((2,)), tp.reshape(x, (2, 1))

    exe = tp.compile(function, args=[info(2)], engine=engine)
    x = ones(2)
    first = list(exe(x))
    second = list(exe(x * 5))
    assert owns_memory([*first, *second], [x])
    assert [t.tolist() for t in first[:3]] == [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]
    assert second[2].tolist() == [6.0, 6.0]
    x[:] = 9
    assert first[0].tolist() == [1.0, 1.0]


@both_engines
def test_later_calls_do_not_overwrite_results(engine: str, rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.tanh(x) @ x, args=[info((1, 4, 8), 4)], engine=engine)
    x = numbers(rng, 4, 4)
    kept = exe(x)
    before = kept.numpy().copy()
    for size in (4, 4):
        exe(numbers(rng, size, 4))
    assert np.array_equal(kept.numpy(), before)
    results = [exe(numbers(rng, 4, 4)) for _ in range(20)]
    assert owns_memory(results, [])
    del exe
    gc.collect()
    assert np.array_equal(kept.numpy(), before)


def test_results_go_straight_into_executables_and_eager_work(rng: Rng) -> None:
    exe = tp.compile(lambda x: x * 2.0, args=[info(3)])
    x = numbers(rng, 3)
    assert np.array_equal((exe(exe(x)) + 1.0).numpy(), x * 4 + 1)


# Inputs at a call -------------------------------------------------------------------------------


@both_engines
def test_inputs_of_any_layout_are_taken_and_never_changed(engine: str, rng: Rng) -> None:
    exe = tp.compile(lambda x: tp.relu(x) - 1.0, args=[info(3, 4)], engine=engine)
    base = numbers(rng, 8, 6)
    layouts = [
        base[::2, :4][:3],
        base[:4, :3].T,
        np.asfortranarray(base[:3, :4]),
        base[2::-1, 4:0:-1],
    ]
    layouts.append(np.broadcast_to(base[0, :4], (3, 4)))
    read_only = base[:3, :4].copy()
    read_only.flags.writeable = False
    big_endian = base[:3, :4].astype(">f4")
    for x in (*layouts, read_only, big_endian):
        before = x.copy()
        assert np.array_equal(exe(x).numpy(), np.maximum(before, 0) - 1)
        assert np.array_equal(x, before)
    lazy = tp.Tensor(base[:3, :4]) + 1.0
    assert np.array_equal(exe(lazy).numpy(), np.maximum(base[:3, :4] + 1, 0) - 1)


@needs_torch
@both_engines
def test_torch_tensors_are_inputs(engine: str) -> None:
    import torch

    exe = tp.compile(lambda x: x + 1.0, args=[info(2, 3)], engine=engine)
    source = torch.arange(6, dtype=torch.float32).reshape(3, 2)
    assert exe(source.T).tolist() == (source.T + 1).tolist()
    assert exe(torch.zeros(2, 3, requires_grad=True)).tolist() == [[1.0] * 3] * 2


@both_engines
@pytest.mark.parametrize(
    "kind", ["float32", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "bool"]
)
def test_every_dtype_passes_through(kind: str, engine: str, rng: Rng) -> None:
    dtype = getattr(tp, kind)
    x = tp.cast(tp.Tensor(rng.integers(0, 5, (3, 4)).astype(np.int32)), dtype)
    exe = tp.compile(
        lambda x: tp.permute(x, (1, 0)), args=[tp.InputInfo((3, 4), dtype)], engine=engine
    )
    assert exe(x).dtype is dtype
    assert exe(x).tolist() == tp.permute(x, (1, 0)).tolist()


@both_engines
def test_scalars_and_empty_tensors(engine: str) -> None:
    exe = tp.compile(lambda x: x + 1.0, args=[info()], engine=engine)
    assert exe(np.float32(2)).item() == exe(np.array(2, np.float32)).item() == 3.0
    empty = tp.compile(lambda x: tp.sum(x * 2.0, 0), args=[info((0, 2, 4), 3)], engine=engine)
    assert empty(ones(0, 3)).tolist() == [0.0, 0.0, 0.0]
    assert empty(ones(2, 3)).tolist() == [4.0, 4.0, 4.0]
    nothing = tp.compile(lambda x: x + 1.0, args=[info(0, 3)], engine=engine)
    assert nothing(ones(0, 3)).shape == (0, 3)


# Dynamic sizes ----------------------------------------------------------------------------------


@both_engines
def test_sizes_vary_between_bounds(engine: str, rng: Rng) -> None:
    def function(x: tp.Tensor) -> Any:
        rows, columns = x.shape
        assert isinstance(rows, tp.DimensionSize)
        assert columns == 3
        flat = tp.reshape(x, (rows * columns,))
        return flat, tp.ones([rows + 1]), tp.reshape(x, (-1, 1)), x[rows // 2 :], tp.sum(x) / rows

    exe = tp.compile(function, args=[info((1, 2, 6), 3)], engine=engine)
    for rows in (1, 2, 5, 6, 2):
        x = numbers(rng, rows, 3)
        flat, more, column, tail, mean = exe(x)
        assert np.array_equal(flat.numpy(), x.ravel())
        assert more.shape == (rows + 1,)
        assert column.shape == (rows * 3, 1)
        assert np.array_equal(tail.numpy(), x[rows // 2 :])
        assert abs(mean.item() - x.astype(np.float64).sum() / rows) < 1e-5


@both_engines
def test_named_sizes_are_one_size(engine: str, rng: Rng) -> None:
    batch = tp.NamedDimension("batch", 1, 4, 16)

    def function(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
        assert x.shape[0] == y.shape[0]
        assert x.shape[0] >= 1
        return tp.concatenate([x, y], 1)

    exe = tp.compile(function, args=[info(batch, 2), info(batch, 3)], engine=engine)
    x, y = numbers(rng, 5, 2), numbers(rng, 5, 3)
    assert np.array_equal(exe(x, y).numpy(), np.concatenate([x, y], 1))
    with pytest.raises(tp.TripyShapeError, match="'batch' has two sizes") as caught:
        exe(x, y[:4])
    assert "5 in 'x', 4 in 'y'" in str(caught.value)
    assert exe.input_infos["x"].dimension_names == {0: "batch"}
    assert "1 <= batch <= 16" in repr(exe)


@both_engines
def test_sizes_as_inputs(engine: str) -> None:
    def function(n: tp.DimensionSize, x: tp.Tensor) -> tp.Tensor:
        assert isinstance(n, tp.DimensionSize)
        return tp.expand(x, (n * 2, x.shape[0]))

    exe = tp.compile(function, args=[tp.DimensionInputInfo((1, 2, 4)), info(3)], engine=engine)
    for n in (1, np.int64(4), tp.DimensionSize(3), tp.Tensor(2)):
        assert exe(n, ones(3)).shape == (int(n) * 2, 3)
    for n in (0, 5):
        with pytest.raises(tp.TripyShapeError, match="'n' does not fit"):
            exe(n, ones(3))
    assert exe.__signature__.parameters["n"].annotation is tp.DimensionSize
    assert isinstance(exe.input_infos["n"], tp.DimensionInputInfo)


def test_equal_bounds_are_plain_ints() -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        assert type(x.shape[0]) is int
        return tp.concatenate([row for row in x], 0)  # noqa: C416

    assert tp.compile(function, args=[info((3, 3, 3), 2)])(ones(3, 2)).shape == (6,)


def two_sums(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
    return tp.relu(x) + y


def joined(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
    return tp.concatenate([x, y], 1)


def product(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
    return x @ y


def halved(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
    return tp.reshape(x, (2, -1)) * tp.sum(y)


def indexed(x: tp.Tensor, y: tp.Tensor) -> tp.Tensor:
    return x[3] * tp.sum(y)


CONDITIONS: dict[Any, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    two_sums: ((2, 3), (1, 3), (4, 3)),
    joined: ((3, 2), (3, 4), (2, 4)),
    product: ((3, 2), (2, 3), (4, 3)),
    halved: ((4, 3), (1, 1), (1, 1)),
    indexed: ((4, 3), (1, 1), (1, 1)),
}


@both_engines
@pytest.mark.parametrize("function", CONDITIONS, ids=lambda f: f.__name__)
def test_open_conditions_are_checked_at_the_call(function: Any, engine: str) -> None:
    good, other, bad = CONDITIONS[function]
    exe = tp.compile(function, args=[info((1, 2, 4), (1, 2, 4))] * 2, engine=engine)
    x, y = ones(*good), ones(*other)
    assert np.array_equal(exe(x, y).numpy(), function(tp.Tensor(x), tp.Tensor(y)).numpy())
    wrong = (ones(3, 1), y) if bad == other else (x, ones(*bad))
    with pytest.raises(tp.TripyShapeError) as caught:
        exe(*wrong)
    text = str(caught.value)
    line = inspect.getsourcelines(function)[1] + 1
    assert f"{__file__}:{line}, in {function.__name__}" in text
    assert "  found while running\n" in text
    assert "exe(*wrong)" in text
    with pytest.raises(tp.TripyException):
        function(*map(tp.Tensor, wrong)).eval()


BOUNDS = [(ones(0, 3), "dim 0"), (ones(5, 3), "dim 0"), (ones(2, 2), "dim 1"), (ones(2), "rank 1")]


@both_engines
@pytest.mark.parametrize(("x", "what"), BOUNDS, ids=lambda b: str(getattr(b, "shape", b)))
def test_bounds_are_checked(x: Any, what: str, engine: str) -> None:
    exe = tp.compile(tp.relu, args=[info((1, 2, 4), 3)], engine=engine)
    for given in (x, tp.Tensor(x)):
        with pytest.raises(tp.TripyShapeError, match=what):
            exe(given)


def test_checks_come_in_the_published_order() -> None:
    exe = tp.compile(lambda x, y: x + y, args=[info((1, 2, 4), 3), info((1, 2, 4), 3)])
    order: list[tuple[tuple[Any, ...], type[Exception], str]] = [
        ((1, 2, 3), tp.TripyTypeError, "too many arguments"),
        ((ones(9, 9), "text"), tp.TripyShapeError, "'x'"),
        ((ones(2, 3), "text"), tp.TripyTypeError, "'y' is no tensor"),
        ((np.ones((9, 9)), ones(2, 3)), tp.TripyTypeError, "another dtype"),
        ((ones(2), ones(2, 3)), tp.TripyShapeError, "rank 1"),
        ((ones(2, 3), ones(3, 3)), tp.TripyShapeError, "do not broadcast"),
    ]
    for given, kind, text in order:
        with pytest.raises(kind, match=text):
            exe(*given)


@both_engines
def test_wrong_inputs_are_memory_safe_without_validation(engine: str) -> None:
    exe = tp.compile(lambda x: x * 2.0, args=[info((1, 2, 4), 3)], engine=engine)
    with tp.config.override(enable_input_validation=False):
        assert exe(ones(2, 3)).tolist() == [[2.0] * 3] * 2
        for wrong in (ones(9, 3), ones(3), ones(2, 2), np.ones((2, 3)), np.ones((2, 3), np.int8)):
            try:
                assert isinstance(exe(wrong), tp.Tensor)
            except (tp.TripyException, IndexError, ValueError):
                continue


# Descriptions -----------------------------------------------------------------------------------


def test_input_info() -> None:
    batch = tp.NamedDimension("batch", 1, 8, 64)
    described = tp.InputInfo([batch, 3, (2, 4, 8), tp.DimensionSize(5)], tp.float16)
    assert described.shape_bounds == tp.Bounds((1, 3, 2, 5), (8, 3, 4, 5), (64, 3, 8, 5))
    assert (described.rank, described.dtype) == (4, tp.float16)
    assert described.dimension_names == {0: "batch"}
    assert str(described) == ("InputInfo(shape=(batch=(1, 8, 64), 3, (2, 4, 8), 5), dtype=float16)")
    assert described == tp.InputInfo(((1, 8, 64), 3, [2, 4, 8], 5), tp.float16)
    assert hash(described) == hash(tp.InputInfo(((1, 8, 64), 3, [2, 4, 8], 5), tp.float16))
    assert described != tp.InputInfo(((1, 8, 64), 3, [2, 4, 8], 5), tp.float32)
    assert described != "InputInfo"
    assert tp.InputInfo((), F32).rank == 0
    assert tp.InputInfo(np.int64(3), F32) == tp.InputInfo((3,), F32)
    assert not described.shape_bounds.is_static()
    assert tp.InputInfo((2, 3), F32).shape_bounds.is_static()


def test_other_descriptions() -> None:
    size = tp.DimensionInputInfo([1, 2, 4])
    assert size.value_bounds == tp.Bounds((1,), (2,), (4,))
    assert size == tp.DimensionInputInfo((1, 2, 4))
    assert len({size, tp.DimensionInputInfo((1, 2, 4)), tp.DimensionInputInfo((1, 3, 4))}) == 2
    named = tp.NamedDimension("batch", 1, 2, 4)
    assert (named.name, named.bounds) == ("batch", tp.Bounds(1, 2, 4))
    with pytest.raises(dataclasses.FrozenInstanceError):
        named.bounds.min = 0


# Engines, devices, precision --------------------------------------------------------------------


def test_engine_and_device_are_shown() -> None:
    exe = tp.compile(lambda x, n: x, args=[info((1, 2, 4)), tp.DimensionInputInfo((1, 2, 3))])
    assert (exe.engine, exe.device, exe.precision) == ("openvino", tp.device("cpu"), "float32")
    assert (
        repr(exe)
        == str(exe)
        == (
            "Executable(x: Tensor, n: DimensionSize) -> Tensor\n"
            "    engine=openvino, device=cpu:0, precision=float32\n"
            "    x: float32 (x.shape[0],), 1 <= x.shape[0] <= 4\n"
            "    n: size, 1 … 3\n"
            "    output: float32 (x.shape[0],)"
        )
    )
    assert exe.__signature__.return_annotation is tp.Tensor
    for device in ("cpu", tp.device("cpu:0")):
        assert tp.compile(tp.relu, args=[info(2)], device=device).device == tp.device("cpu")
    reference = tp.compile(tp.relu, args=[info(2)], engine="reference", device="cpu")
    assert reference.engine == "reference"


@pytest.mark.parametrize("engine", ["xla", "reference"])
def test_what_openvino_lacks_runs_on_the_next_engine(
    engine: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "xla":
        pytest.importorskip("jax")
    others = base.NAMES[: base.NAMES.index(engine)]
    installed = base.is_installed
    hidden = set(others) - {"openvino"}
    monkeypatch.setattr(base, "is_installed", lambda n: n not in hidden and installed(n))
    with caplog.at_level(logging.WARNING, "tripy"):
        exe = tp.compile(lambda x: tp.exp(x), args=[info(2, dtype=tp.float64)])
    assert exe.engine == engine
    assert f"the engine {engine!r} is used, because" in caplog.text
    assert "exp" in caplog.text
    assert exe(np.array([0.0, 1.0])).tolist() == pytest.approx([1.0, np.exp(1.0)], rel=1e-15)
    with pytest.raises(tp.TripyUnsupportedError, match="exp") as caught:
        tp.compile(lambda x: tp.exp(x), args=[info(2, dtype=tp.float64)], engine="openvino")
    assert isinstance(caught.value, NotImplementedError)


def test_what_is_written_twice_is_computed_once(rng: Rng) -> None:
    def function(x: tp.Tensor) -> list[tp.Tensor]:
        first, second = tp.exp(x * 0.5 + 1.0), tp.exp(x * 0.5 + 1.0)
        other = tp.exp(x * 0.5 + 1)
        return [first, first * second - other, tp.exp(x * 0.25 + 1.0), tp.sum(x, 0), tp.sum(x, 0)]

    exe = tp.compile(function, args=[tp.InputInfo((3, 4), tp.float32)])
    assert str(exe.graph).count("= exp(") == 2
    x = rng.standard_normal((3, 4)).astype(np.float32)
    for result, expected in zip(exe(x), function(tp.Tensor(x)), strict=True):
        np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("level", range(6))
def test_optimisation_levels_agree(level: int, rng: Rng) -> None:
    conv = tp.Conv(3, 4, (3, 3))
    conv.load_state_dict({"bias": numbers(rng, 4), "weight": numbers(rng, 4, 3, 3, 3)})
    x = numbers(rng, 1, 3, 6, 6)
    exe = tp.compile(conv, level, args=[info(1, 3, 6, 6)])
    assert np.allclose(exe(x).numpy(), conv(tp.Tensor(x)).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", [None, "float32", tp.float32], ids=str)
def test_float32_is_float32(precision: Any, rng: Rng) -> None:
    x, y = numbers(rng, 256, 256), numbers(rng, 256, 256)
    exe = tp.compile(lambda x, y: x @ y, args=[info(256, 256)] * 2, precision=precision)
    assert exe.engine == "openvino"
    assert exe.precision == "float32"
    assert relative_error(exe(x, y), x.astype(np.float64) @ y) < 1e-6


def test_eager_float32_is_float32(rng: Rng) -> None:
    x, y = numbers(rng, 256, 256), numbers(rng, 256, 256)
    for threshold in (0, None):
        with tp.config.override(eager_threshold=threshold):
            result = tp.Tensor(x) @ tp.Tensor(y)
            assert relative_error(result, x.astype(np.float64) @ y) < 1e-6


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_only_used_when_asked_for(precision: str, rng: Rng) -> None:
    x, y = numbers(rng, 64, 64), numbers(rng, 64, 64)
    exe = tp.compile(lambda x, y: x @ y, args=[info(64, 64)] * 2, precision=precision)
    assert exe.precision == precision
    assert f"precision={precision}" in repr(exe)
    result = exe(x, y)
    assert result.dtype is tp.float32
    assert relative_error(result, x.astype(np.float64) @ y) < 2e-2


# Default parameters -----------------------------------------------------------------------------


def warned(caplog: pytest.LogCaptureFixture, function: Any, *infos: Any) -> str:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "tripy.compile"):
        tp.compile(function, args=list(infos))
    return "\n".join(record.getMessage() for record in caplog.records)


def test_default_parameters_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    linear = tp.Linear(2, 3)
    network = tp.Sequential(linear, tp.relu)
    assert "default values 0, 1, 2, …: 0.weight, 0.bias." in warned(caplog, network, info(1, 2))
    text = warned(caplog, lambda x: network(x), info(1, 2))
    assert "Linear.weight, Linear.bias" in text
    linear.bias = [0.0, 0.0, 0.0]
    assert "0.bias" not in warned(caplog, network, info(1, 2))
    linear.weight = ones(3, 2)
    assert warned(caplog, network, info(1, 2)) == ""
    many = tp.Sequential(*(tp.Linear(2, 2) for _ in range(6)))
    assert "and 4 more" in warned(caplog, many, info(1, 2))


def test_parameters_appear_under_their_state_dict_names(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tripy"):
        tp.compile(tp.Sequential({"first": tp.Linear(2, 3)}), args=[info(1, 2)])
    assert "first.weight" in caplog.text
    assert "first.bias" in caplog.text


# Inside the trace -------------------------------------------------------------------------------


def test_traced_tensors_print_their_name() -> None:
    texts: list[str] = []

    def function(x: tp.Tensor) -> tp.Tensor:
        y = x * 2.0
        y.name = "doubled"
        texts.extend([str(x), repr(y), str(x.shape[0] * 2)])
        return y

    tp.compile(function, args=[info((1, 2, 4), 3)])
    assert texts == [
        "tensor(x, dtype=float32, loc=cpu:0, shape=(x.shape[0], 3))",
        "tensor(doubled, dtype=float32, loc=cpu:0, shape=(x.shape[0], 3))",
        "2*x.shape[0]",
    ]


EVALUATIONS: dict[str, Callable[[Any], Any]] = {
    "eval": lambda x: x.eval(),
    "item": lambda x: tp.sum(x).item(),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "asarray": np.asarray,
    "dlpack": np.from_dlpack,
    "bool": lambda x: bool(tp.all(x > 0.0)),
    "float": lambda x: float(tp.sum(x)),
    "int": lambda x: int(tp.sum(x)),
    "if": lambda x: 1 if tp.sum(x) > 0.0 else 2,
    "contains": lambda x: 1.0 in x,
    "allclose": lambda x: tp.allclose(x, x),
    "equal": lambda x: tp.equal(x, tp.ones((2,))),
    "mask": lambda x: x[x > 0.0],
    "size": lambda x: int(x.shape[0]) if isinstance(x.shape[0], tp.Tensor) else x.eval(),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_traced_tensors_cannot_be_evaluated(name: str) -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        EVALUATIONS[name](x)
        return x

    for size in (2, (1, 2, 4)):
        with pytest.raises(tp.TripyCompileError):
            tp.compile(function, args=[info(size)])


def test_tensors_that_depend_on_no_input_may_be_evaluated() -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        table = tp.arange(3) * 2.0
        return x * float(table[2]) if table.tolist() == [0.0, 2.0, 4.0] else x

    assert tp.compile(function, args=[info(2)])(ones(2)).tolist() == [4.0, 4.0]


def test_traced_tensors_stay_in_their_own_function() -> None:
    leaked: list[tp.Tensor] = []

    def function(x: tp.Tensor) -> tp.Tensor:
        leaked.append(x)
        twice = tp.compile(lambda y: y * 2.0, args=[info(2)])
        return x + twice(tp.ones((2,)))

    assert tp.compile(function, args=[info((2, 3, 4))])(ones(2)).tolist() == [3.0, 3.0]
    (x,) = leaked
    uses: list[Callable[[Any], Any]] = [
        lambda y: y + x[:2],
        lambda y: (y, x),
        lambda y: tp.ones((x.shape[0],)) + 1.0,
        lambda y: tp.reshape(y, (1, 2)) + tp.arange(x.shape[0] * 0 + 2),
    ]
    for use in uses[:3]:
        with pytest.raises(tp.TripyCompileError, match="another function being compiled"):
            tp.compile(use, args=[info(2)])
    assert tp.compile(uses[3], args=[info(2)])(ones(2)).tolist() == [[1.0, 2.0]]
    for evaluate in (lambda: (x + 1.0).eval(), lambda: twice_of(x), lambda: int(x.shape[0])):
        with pytest.raises(tp.TripyCompileError):
            evaluate()


def twice_of(x: tp.Tensor) -> tp.Tensor:
    return tp.compile(lambda y: y * 2.0, args=[info((2, 3, 4))])(x)


def test_failed_compiles_leave_nothing_behind() -> None:
    for _ in range(3):
        with pytest.raises(tp.TripyCompileError):
            tp.compile(lambda x: x.item(), args=[info(1)])
        assert (tp.ones((2,)) + 1.0).tolist() == [2.0, 2.0]
    assert tp.compile(tp.relu, args=[info(2)])(ones(2)).tolist() == [1.0, 1.0]


# Threads ----------------------------------------------------------------------------------------


@both_engines
def test_threads_call_one_executable(engine: str, rng: Rng, in_threads: InThreads) -> None:
    weights = numbers(rng, 16, 16)
    exe = tp.compile(lambda x: x @ tp.Tensor(weights), args=[info((1, 4, 32), 16)], engine=engine)
    data = [numbers(rng, 1 + i * 3, 16) for i in range(8)]

    def work(index: int) -> None:
        expected = data[index].astype(np.float64) @ weights
        for _ in range(40):
            assert np.allclose(exe(data[index]).numpy(), expected, rtol=1e-4, atol=1e-4)

    in_threads(8, work)


def test_compiling_affects_only_its_own_thread(in_threads: InThreads) -> None:
    inside, done = threading.Event(), threading.Event()
    seen: list[Any] = []

    def slow(x: tp.Tensor) -> tp.Tensor:
        inside.set()
        assert done.wait(10)
        return x + 1.0

    def work(index: int) -> None:
        if index == 0:
            seen.append(tp.compile(slow, args=[info(2)])(ones(2)).tolist())
            return
        assert inside.wait(10)
        seen.append((tp.ones((2,)) + 1.0).tolist())
        seen.append(tp.compile(tp.relu, args=[info(2)])(ones(2)).tolist())
        done.set()

    in_threads(2, work)
    assert seen == [[2.0, 2.0], [1.0, 1.0], [2.0, 2.0]]


# Verification -----------------------------------------------------------------------------------


def test_verify_compares_with_the_reference_engine(rng: Rng) -> None:
    exe = tp.compile(lambda x: {"y": tp.exp(x) @ x, "n": 3}, args=[info((1, 4, 8), 4)])
    report = exe.verify(numbers(rng, 4, 4))
    assert report
    assert [row.path for row in report.outputs] == ["output.y"]
    assert not exe.verify(numbers(rng, 4, 4), rtol=0.0, atol=-1.0).ok


# Long graphs ------------------------------------------------------------------------------------


def climb(x: tp.Tensor, steps: int) -> tp.Tensor:
    for step in range(steps):
        x = tp.relu(x * 1.0001) if step % 2 else x + 0.001
    return x


def climbed(x: Any, steps: int) -> Any:
    for step in range(steps):
        x = np.maximum(x * 1.0001, 0) if step % 2 else x + 0.001
    return x


@pytest.mark.parametrize("engine", ["reference", "openvino", "xla"])
def test_long_elementwise_chains_compile(engine: str, rng: np.random.Generator) -> None:
    """Beyond 128 operations in a row OpenVINO gets other settings."""
    if engine == "xla":
        pytest.importorskip("jax")
    exe = tp.compile(
        lambda x: climb(x, 200), args=[tp.InputInfo((4, 5), tp.float32)], engine=engine
    )
    x = rng.standard_normal((4, 5)).astype(np.float32)
    expected = climbed(x.astype(np.float64), 200)
    assert np.allclose(exe(x).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_twenty_thousand_operations_need_no_recursion(rng: np.random.Generator) -> None:
    info, x = tp.InputInfo((3,), tp.float64), rng.standard_normal(3)
    exe = tp.compile(lambda x: climb(x, 13_333), args=[info], engine="reference")
    expected = climbed(x, 13_333)
    assert np.allclose(exe(x).numpy(), expected, rtol=1e-9)
    assert np.allclose(climb(tp.Tensor(x), 13_333).numpy(), expected, rtol=1e-9)
