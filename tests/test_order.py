"""Sorting, running sums and scatter: random data, sizes known only in a call, and large inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tripy as tp

Array = np.ndarray[Any, np.dtype[Any]]
ENGINES = pytest.mark.parametrize("engine", ["reference", "openvino"])
few = settings(max_examples=40, derandomize=True, deadline=None, database=None)

FLOATS = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 3.4e38, 2.0, 1e-30])
INTEGERS = st.sampled_from([-(2**31), 2**31 - 1, 2**31 - 2, 2**24, 2**24 + 1, 0, 1, -1, 7])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)


def arrays(shape: Any, kind: str) -> st.SearchStrategy[Array]:
    elements = FLOATS if kind == "float32" else INTEGERS
    return hnp.arrays(np.dtype(kind), shape, elements=elements)


def positions(line: Array, descending: bool) -> list[int]:
    """Python's sort is stable in both directions; NaN is made larger than every number."""
    keys = [(bool(v != v), 0 if v != v else v) for v in line.tolist()]
    return sorted(range(len(keys)), key=keys.__getitem__, reverse=descending)


def argsorted(x: Array, dim: int, descending: bool) -> Array:
    rows = np.moveaxis(x, dim, -1)
    found = np.zeros(rows.shape, np.int32)
    for cell in np.ndindex(rows.shape[:-1]):
        found[cell] = positions(rows[cell], descending)
    return np.moveaxis(found, -1, dim)


def check(got: tp.Tensor, wanted: Array) -> None:
    np.testing.assert_array_equal(got.numpy(), wanted, strict=True)


# Order ------------------------------------------------------------------------------------------


@few
@given(st.data(), st.sampled_from(["float32", "int32"]), st.booleans())
def test_sorting_agrees_with_python(data: Any, kind: str, descending: bool) -> None:
    x = data.draw(SHAPES.flatmap(lambda shape: arrays(shape, kind)))
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    k = data.draw(st.integers(0, x.shape[dim]))
    index = argsorted(x, dim, descending)
    tensor = tp.Tensor(x)
    check(tp.argsort(tensor, dim, descending), index)
    check(tp.sort(tensor, dim, descending), np.take_along_axis(x, index, dim))
    values, found = tp.topk(tensor, k, dim, largest=descending)
    check(found, index.take(range(k), dim))
    check(values, np.take_along_axis(x, index, dim).take(range(k), dim))


@functools.cache
def sorters(kind: str) -> tp.Executable:
    """More than 128 elements are ordered in another way than fewer."""

    def run(x: tp.Tensor) -> list[tp.Tensor]:
        both = [tp.argsort(x, 1, down) for down in (False, True)]
        return [*both, *tp.topk(x, x.shape[0], 1), *tp.topk(x, 3, 1, largest=False)]

    sizes = ((1, 2, 3), (3, 50, 300))
    return tp.compile(run, args=[tp.InputInfo(sizes, getattr(tp, kind))], engine="openvino")


@few
@given(st.data(), st.sampled_from(["float32", "int32"]), st.integers(1, 3), st.integers(3, 300))
def test_compiled_sorting_agrees_with_python(data: Any, kind: str, rows: int, size: int) -> None:
    pool = data.draw(arrays((40,), kind))
    seed = data.draw(st.integers(0, 99))
    x = np.random.default_rng(seed).choice(pool, (rows, size))
    rising, falling = (argsorted(x, 1, down) for down in (False, True))
    got = sorters(kind)(x)
    wanted = [rising, falling]
    for index, k in ((falling, rows), (rising, 3)):
        wanted += [np.take_along_axis(x, index[:, :k], 1), index[:, :k]]
    for result, array in zip(got, wanted, strict=True):
        check(result, array)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("size", [40_000, 200_000])
def test_compiled_sorting_of_many_elements_is_stable(size: int, descending: bool) -> None:
    rng = np.random.default_rng(size)
    x = rng.integers(-50, 50, size).astype(np.float32)
    x[rng.random(size) < 0.1] = np.inf
    x[rng.random(size) < 0.1] = np.nan
    info = tp.InputInfo((size,), tp.float32)
    program = tp.compile(lambda x: tp.argsort(x, 0, descending), args=[info], engine="openvino")
    check(program(x), np.array(positions(x, descending), np.int32))


def test_the_least_integers_sort_in_both_directions() -> None:
    x = np.array([0, -(2**63), 2**63 - 1, -(2**63), 2**63 - 2], np.int64)
    check(tp.argsort(tp.Tensor(x)), np.array([1, 3, 0, 4, 2], np.int32))
    check(tp.argsort(tp.Tensor(x), descending=True), np.array([2, 4, 0, 1, 3], np.int32))


def test_openvino_refuses_to_sort_very_many_elements() -> None:
    info = tp.InputInfo(((1, 2, 2**24 + 1),), tp.float32)
    with pytest.raises(tp.TripyUnsupportedError, match=r"more than 2\^24"):
        tp.compile(tp.sort, args=[info], engine="openvino")


@ENGINES
def test_k_is_checked_in_calls(engine: str) -> None:
    infos = [tp.InputInfo(((1, 3, 9),), tp.float32), tp.DimensionInputInfo((0, 2, 9))]
    program = tp.compile(lambda x, k: tp.topk(x, k)[0], args=infos, engine=engine)
    x = np.array([1, 3, 2], np.float32)
    check(program(x, 2), np.array([3, 2], np.float32))
    check(program(x, 0), np.array([], np.float32))
    with pytest.raises(ValueError, match="fewer than k"):
        program(x, 4)


FUNCTIONS: dict[str, Callable[[tp.Tensor], tp.Tensor]] = {
    "sort": lambda x: tp.sort(x, 0),
    "argsort of bools": lambda x: tp.argsort(x > 0.0, 0),
    "topk beside": lambda x: tp.topk(x, 2)[0],
    "cumsum": lambda x: tp.cumsum(x, 0),
    "cumprod": lambda x: tp.cumprod(x, 0),
    "cumprod beside": lambda x: tp.cumprod(x, 1),
    "scatter": lambda x: tp.scatter(x, 1, tp.cast(x[:, :1], tp.int32), 1.0),
}


@ENGINES
@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_may_turn_out_empty(name: str, engine: str) -> None:
    function = FUNCTIONS[name]
    info = tp.InputInfo(((2, 3, 200), 3), tp.float32)
    program = tp.compile(lambda x: function(x[2:]), args=[info], engine=engine)
    for rows in (2, 4):
        x = np.random.default_rng(rows).random((rows, 3), np.float32)
        check(program(x), function(tp.Tensor(x[2:])).numpy())


# Running products -------------------------------------------------------------------------------


@ENGINES
def test_running_products_do_not_overflow_on_the_way(engine: str) -> None:
    x = np.array([[0.0, 1e30, 1e30, 1e30], [1e-30, 1e30, 1e30, 1e-30]], np.float32)
    info = tp.InputInfo(x.shape, tp.float32)
    program = tp.compile(lambda x: tp.cumprod(x, 1), args=[info], engine=engine)
    wanted = np.cumprod(x.astype(np.float64), 1)
    np.testing.assert_allclose(program(x).numpy(), wanted, rtol=1e-6)


# What depends on which elements there are -------------------------------------------------------


@few
@given(hnp.arrays(np.float32, SHAPES, elements=FLOATS))
def test_distinct_elements_rebuild_the_input(x: Array) -> None:
    values, first, inverse, counts = (t.numpy() for t in tp.unique(tp.Tensor(x), True, True, True))
    np.testing.assert_array_equal(values[inverse], x)
    np.testing.assert_array_equal(x.ravel()[first], values)
    assert counts.sum() == x.size
    assert first.dtype == inverse.dtype == counts.dtype == np.int32
    assert values.size == len({str(v + 0.0) for v in x.ravel().tolist()})


@few
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, min_side=0), elements=FLOATS))
def test_nonzero_lists_every_place(x: Array) -> None:
    wanted = [place for place in np.ndindex(x.shape) if x[place] != 0]
    check(tp.nonzero(tp.Tensor(x)), np.array(wanted, np.int32).reshape(len(wanted), x.ndim))


# Scatter ----------------------------------------------------------------------------------------

COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "None": lambda old, new: new,
    "add": np.add,
    "max": np.maximum,
    "min": np.minimum,
}


def scattered(x: Array, index: Array, updates: Array, dim: int, reduction: str) -> Array:
    out, size = x.copy(), x.shape[dim]
    for place in np.ndindex(index.shape):
        at = int(index[place])
        if -size <= at < size:
            target = (*place[:dim], at % size, *place[dim + 1 :])
            out[target] = COMBINE[reduction](out[target], updates[place])
    return out


@functools.cache
def scatterers(engine: str, dim: int) -> tp.Executable:
    def run(x: tp.Tensor, index: tp.Tensor, updates: tp.Tensor) -> list[tp.Tensor]:
        modes = ("add", "max", "min") if engine == "openvino" else (None, "add", "max", "min")
        return [tp.scatter(x, dim, index, updates, mode) for mode in modes]

    rows, columns = (tp.NamedDimension(name, 0, 3, 6) for name in ("rows", "columns"))
    data, places = [(1, 3, 6), (1, 3, 6)], [rows, columns]
    infos = [tp.InputInfo(data, tp.int32), *[tp.InputInfo(places, tp.int32)] * 2]
    return tp.compile(run, args=infos, engine=engine)


@few
@given(st.data(), st.integers(0, 1), st.sampled_from(["reference", "openvino"]))
def test_scatter_agrees_with_a_loop(data: Any, dim: int, engine: str) -> None:
    x = data.draw(arrays(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), "int32"))
    shape = [data.draw(st.integers(0, 6 if d == dim else x.shape[d])) for d in range(2)]
    index = data.draw(hnp.arrays(np.int32, shape, elements=st.integers(-8, 8)))
    updates = data.draw(arrays(tuple(shape), "int32"))
    modes = ("add", "max", "min") if engine == "openvino" else COMBINE
    got = scatterers(engine, dim)(x, index, updates)
    for result, mode in zip(got, modes, strict=True):
        with np.errstate(over="ignore"):
            check(result, scattered(x, index, updates, dim, mode))


def test_scatter_names_the_first_place_that_is_wrong() -> None:
    index = tp.Tensor([[0, 1], [2, -4]])
    lazy = tp.scatter(tp.ones((2, 2)), 1, index, 1.0)
    with pytest.raises(tp.TripyIndexError, match=r"2 at position \(1, 0\)"):
        lazy.eval()


@ENGINES
def test_scatter_writes_a_size(engine: str) -> None:
    infos = [tp.InputInfo(((1, 3, 9),), tp.float32), tp.InputInfo((2,), tp.int32)]
    program = tp.compile(lambda x, i: tp.scatter(x, 0, i, x.shape[0]), args=infos, engine=engine)
    got = program(np.zeros(4, np.float32), np.array([-1, 4], np.int32))
    check(got, np.array([0, 0, 0, 4], np.float32))


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_scatter_keeps_nan(reduction: str) -> None:
    x, nan = np.array([np.nan, 1.0, 2.0], np.float32), float("nan")
    got = tp.scatter(tp.Tensor(x), 0, tp.Tensor([0, 1]), tp.Tensor([3.0, nan]), reduction)
    check(got, np.array([nan, nan, 2.0], np.float32))
