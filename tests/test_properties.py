"""Properties that hold for all shapes, indices and sizes, tried on random ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tripy as tp
from tripy import shapes
from tripy.tensor import make_size

Array = np.ndarray[Any, np.dtype[Any]]
Test = TypeVar("Test", bound=Callable[..., None])
Draw = Callable[[st.SearchStrategy[Any]], Any]


def examples(count: int, simplified: bool = True) -> Callable[[Test], Test]:
    """The same examples in every run, none kept; failures are simplified where that is fast."""
    phases = [phase for phase in Phase if simplified or phase is Phase.generate]
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, phases=phases
    )


def numbered(shape: Sequence[int]) -> Array:
    return np.arange(math.prod(shape), dtype=np.int32).reshape(shape)


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)

# --- indexing --------------------------------------------------------------------------------


def slices(size: int) -> st.SearchStrategy[slice]:
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = st.none() | st.integers(-3, 3).filter(bool)
    return st.builds(slice, bound, bound, step)


@st.composite
def basic_indices(draw: Draw, shape: tuple[int, ...]) -> Any:
    """Ints, slices, None and ``...``."""
    kept = draw(st.integers(0, len(shape)))
    items: list[Any] = []
    for size in shape[:kept]:
        one = st.integers(-size, size - 1) | slices(size) if size else slices(size)
        items.append(draw(one))
    if draw(st.booleans()):
        items.append(...)
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    return tuple(items)


@st.composite
def advanced_indices(draw: Draw, shape: tuple[int, ...]) -> Any:
    """At least one index array among ints, slices, None and ``...``."""
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    items: list[Any] = []
    for size in shape:
        kind = draw(st.sampled_from(["array", "array", "slice", "int"] if size else ["slice"]))
        if kind == "slice":
            items.append(draw(slices(size)))
        elif kind == "int":
            items.append(draw(st.integers(-size, size - 1)))
        else:
            sides = [draw(st.sampled_from([1, side])) for side in common]
            taken = tuple(sides[draw(st.integers(0, len(sides))) :])
            items.append(draw(hnp.arrays(np.int32, taken, elements=st.integers(-size, size - 1))))
    assume(any(isinstance(item, np.ndarray) for item in items))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), ...)
    return tuple(items)


@st.composite
def masks(draw: Draw, shape: tuple[int, ...]) -> Any:
    """One mask over some dims, full slices before it, ints and slices after it."""
    first = draw(st.integers(0, len(shape) - 1))
    last = draw(st.integers(first + 1, len(shape)))
    mask = draw(hnp.arrays(np.bool_, shape[first:last]))
    items: list[Any] = [draw(slices(size)) for size in shape[:first]]
    items.append(mask)
    for size in shape[last:]:
        items.append(draw(st.integers(-size, size - 1) | slices(size) if size else slices(size)))
    return tuple(items)


def as_tripy(item: Any, form: int) -> Any:
    """An index array as an array, a tensor or a list."""
    if not isinstance(item, np.ndarray):
        return item
    if form == 2 and item.dtype == bool and not item.size:
        return item  # an empty list holds ints
    return [item, tp.Tensor(item), item.tolist() if item.ndim else int(item)][form]


def check_index(shape: tuple[int, ...], index: Any, form: int) -> None:
    x = numbered(shape)
    got = tp.Tensor(x)[tuple(as_tripy(item, form) for item in index)]
    np.testing.assert_array_equal(got.numpy(), x[index], strict=True)


@examples(250)
@given(st.data())
def test_basic_indices_are_those_of_numpy(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    check_index(shape, data.draw(basic_indices(shape)), 0)


@examples(250)
@given(st.data(), st.integers(0, 2))
def test_index_arrays_are_those_of_numpy(data: st.DataObject, form: int) -> None:
    shape = data.draw(SHAPES)
    check_index(shape, data.draw(advanced_indices(shape)), form)


@examples(150)
@given(st.data(), st.integers(0, 2))
def test_masks_are_those_of_numpy(data: st.DataObject, form: int) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    check_index(shape, data.draw(masks(shape)), form)


@examples(60)
@given(st.data())
def test_an_int_out_of_range_is_an_error(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    at = data.draw(st.integers(0, len(shape) - 1))
    wrong = data.draw(st.sampled_from([shape[at], -shape[at] - 1, 2**31, -(2**40)]))
    with pytest.raises(tp.TripyIndexError):
        tp.Tensor(numbered(shape))[(*[slice(None)] * at, wrong)]


# --- shapes of results -----------------------------------------------------------------------


@examples(150)
@given(hnp.array_shapes(min_dims=0, min_side=0, max_side=3, max_dims=4),
       hnp.array_shapes(min_dims=0, min_side=0, max_side=3, max_dims=4))  # fmt: skip
def test_broadcasting_is_that_of_numpy(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = numbered(left), numbered(right)
    try:
        expected = a + b
    except ValueError:
        with pytest.raises(tp.TripyShapeError):
            tp.Tensor(a) + tp.Tensor(b)
    else:
        got = (tp.Tensor(a) + tp.Tensor(b)).numpy()
        np.testing.assert_array_equal(got, expected, strict=True)


@examples(100)
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_side=3, max_dims=4))
def test_three_way_broadcasting(made: Any) -> None:
    c, a, b = (numbered(shape) for shape in made.input_shapes)
    got = tp.where(tp.Tensor(c % 2 == 0), tp.Tensor(a), tp.Tensor(b)).numpy()
    np.testing.assert_array_equal(got, np.where(c % 2 == 0, a, b), strict=True)


@examples(120)
@given(st.data())
def test_a_size_of_a_reshape_is_inferred(data: st.DataObject) -> None:
    x = numbered(data.draw(SHAPES))
    target = list(data.draw(SHAPES))
    inferred = data.draw(st.none() | st.integers(0, 3))
    if inferred is not None and inferred < len(target):
        target[inferred] = -1
    known = math.prod(size for size in target if size != -1)
    fits = x.size == known if -1 not in target else known > 0 and x.size % known == 0
    if not fits:
        with pytest.raises(tp.TripyShapeError):
            tp.reshape(tp.Tensor(x), target)
        return
    np.testing.assert_array_equal(
        tp.reshape(tp.Tensor(x), target).numpy(), x.reshape(target), strict=True
    )


@examples(120)
@given(st.data(), st.sampled_from(["constant", "edge", "reflect"]))
def test_padding_is_that_of_numpy(data: st.DataObject, mode: Any) -> None:
    low = 0 if mode == "constant" else 1
    x = numbered(data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=low, max_side=4)))
    most = [size - 1 if mode == "reflect" else 3 for size in x.shape]
    amounts = [(data.draw(st.integers(0, m)), data.draw(st.integers(0, m))) for m in most]
    got = tp.pad(tp.Tensor(x), amounts, mode).numpy()
    np.testing.assert_array_equal(got, np.pad(x, amounts, mode), strict=True)


@examples(100)
@given(st.data())
def test_concatenate_undoes_split(data: st.DataObject) -> None:
    x = numbered(data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    size = x.shape[dim]
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    for parts in (sizes, data.draw(st.integers(1, 6))):
        chunks = tp.split(tp.Tensor(x), parts, dim)
        assert len(chunks) == (parts if isinstance(parts, int) else len(parts))
        joined = tp.concatenate(chunks, dim).numpy()
        np.testing.assert_array_equal(joined, x, strict=True)


# --- symbolic sizes --------------------------------------------------------------------------

BOUNDS = {"a": (0, 7), "b": (1, 5), "c": (2, 9), "d": (-4, 4)}
SYMBOLS = {name: shapes.symbol(name, low, low, high) for name, (low, high) in BOUNDS.items()}
Values = Mapping[str, int]


@dataclass(frozen=True)
class Expression:
    """A size, and what Python computes for it."""

    size: shapes.Size
    value: Callable[[Values], int]

    def __repr__(self) -> str:
        return str(self.size)


def symbol(name: str) -> Expression:
    return Expression(SYMBOLS[name], lambda values: values[name])


def constant(number: int) -> Expression:
    return Expression(number, lambda values: number)


def combined(made: tuple[str, Expression, Expression]) -> Expression:
    name, left, right = made
    on_sizes, on_ints = OPERATIONS[name]
    size = on_sizes(left.size, right.size)
    return Expression(size, lambda values: on_ints(left.value(values), right.value(values)))


def positive(e: Expression) -> Expression:
    """A divisor that is never 0."""
    return Expression(shapes.maximum(e.size, 1), lambda values: max(e.value(values), 1))


OPERATIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "min": (shapes.minimum, min),
    "max": (shapes.maximum, max),
}
DIVISIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "//": (shapes.floordiv, operator.floordiv),
    "%": (shapes.mod, operator.mod),
}
OPERATIONS |= DIVISIONS
LEAVES = st.sampled_from(sorted(BOUNDS)).map(symbol) | st.integers(-6, 9).map(constant)


def deeper(children: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    divisors = children.map(positive) | st.sampled_from([-3, -1, 1, 2, 3, 4, 6]).map(constant)
    plain = st.sampled_from(["+", "-", "*", "min", "max"])
    return st.tuples(plain, children, children).map(combined) | st.tuples(
        st.sampled_from(sorted(DIVISIONS)), children, divisors
    ).map(combined)


EXPRESSIONS = st.recursive(LEAVES, deeper, max_leaves=8)
VALUES = st.fixed_dictionaries({name: st.integers(*pair) for name, pair in BOUNDS.items()})
MANY = st.lists(VALUES, min_size=4, max_size=8)


@examples(400)
@given(EXPRESSIONS, MANY)
def test_sizes_have_the_values_of_python(e: Expression, many: list[Values]) -> None:
    low, high = shapes.bounds(e.size)
    for values in many:
        value = e.value(values)
        assert shapes.evaluate(e.size, values) == value
        assert low <= value <= high
    assert set(shapes.symbols(e.size)) <= set(BOUNDS)


@examples(300)
@given(EXPRESSIONS, EXPRESSIONS, MANY)
def test_what_is_known_about_sizes_is_true(
    e: Expression, f: Expression, many: list[Values]
) -> None:
    equal, less = shapes.known_equal(e.size, f.size), shapes.known_less_equal(e.size, f.size)
    for values in many:
        assert equal in (None, e.value(values) == f.value(values))
        assert less in (None, e.value(values) <= f.value(values))


@examples(200)
@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS)
def test_equal_sizes_have_one_form(a: Expression, b: Expression, c: Expression) -> None:
    x, y, z = a.size, b.size, c.size
    for left, right in [
        (x + y, y + x),
        (x * y, y * x),
        ((x + y) + z, x + (y + z)),
        ((x * y) * z, x * (y * z)),
        (x * (y + z), x * y + x * z),
        (x - y, -(y - x)),
        (x - x, 0),
        (shapes.minimum(x, y), shapes.minimum(y, x)),
        (shapes.maximum(x, y), shapes.maximum(y, x)),
    ]:
        assert left == right
        assert hash(left) == hash(right)
        assert shapes.known_equal(left, right) is True


@examples(200)
@given(EXPRESSIONS, st.sampled_from(["b", "c"]), st.integers(1, 6))
def test_whole_quotients_are_simplified(a: Expression, name: str, n: int) -> None:
    x, y = a.size, SYMBOLS[name] * n
    assert shapes.floordiv(x * n, n) == x
    assert shapes.mod(x * n, n) == 0
    assert shapes.floordiv(x * n + n * 2, n) == x + 2
    assert shapes.floordiv(x * y, y) == x
    assert shapes.mod(x * y, y) == 0


INPUTS = ["a", "b", "c"]
INPUT_SIZES = st.recursive(
    st.sampled_from(INPUTS).map(symbol) | st.integers(-6, 9).map(constant), deeper, max_leaves=6
)


@pytest.mark.parametrize("engine", ["reference", "openvino"])
@examples(15, simplified=False)
@given(st.lists(INPUT_SIZES, min_size=4, max_size=8), MANY)
def test_engines_compute_sizes(engine: str, several: list[Expression], many: list[Values]) -> None:
    bounds = [BOUNDS[name] for name in INPUTS]
    infos = [tp.DimensionInputInfo((low, low, high)) for low, high in bounds]
    executable = tp.compile(
        lambda a, b, c: [make_size(e.size) for e in several], args=infos, engine=engine
    )
    for values in many:
        got = executable(*(values[name] for name in INPUTS))
        assert [int(tensor) for tensor in got] == [e.value(values) for e in several]


# --- programs with sizes that vary -----------------------------------------------------------

Step = Callable[[Any], Any]


def cut(dim: int, low: Callable[[Any], Any], high: Callable[[Any], Any], step: int | None) -> Step:
    return lambda x: x[(*[slice(None)] * dim, slice(low(x.shape[dim]), high(x.shape[dim]), step))]


#: Bounds of slices as functions of the size of the dim.
ENDS: dict[str, Callable[[Any], Any]] = {
    "None": lambda n: None,
    "0": lambda n: 0,
    "1": lambda n: 1,
    "-1": lambda n: -1,
    "-3": lambda n: -3,
    "9": lambda n: 9,
    "n//2": lambda n: n // 2,
    "n-1": lambda n: n - 1,
    "n-2": lambda n: n - 2,
    "1-n": lambda n: 1 - n,
}


@dataclass(frozen=True)
class Named:
    """A step with a name to show."""

    name: str
    run: Step

    def __repr__(self) -> str:
        return self.name


@st.composite
def cuts(draw: Draw) -> Named:
    low, high = (draw(st.sampled_from(sorted(ENDS))) for _ in range(2))
    dim, step = draw(st.integers(0, 1)), draw(st.sampled_from([None, 1, 2, -1, -2]))
    run = cut(dim, ENDS[low], ENDS[high], step)
    return Named(f"cut({dim}, {low}:{high}:{step})", run)


def pieces(number: int, dim: int) -> Named:
    def run(x: Any) -> Any:
        parts = tp.split(x, number, dim)
        return tp.concatenate([parts[-1], *parts[:-1]], dim)

    return Named(f"pieces({number}, {dim})", run)


FIXED = [
    Named("swap", lambda x: tp.transpose(x, 0, 1)),
    Named("double", lambda x: tp.concatenate([x, x * 2], 0)),
    Named("beside", lambda x: tp.concatenate([x, x + 1], 1)),
    Named("turn", lambda x: tp.reshape(x, (x.shape[1], x.shape[0]))),
    Named("flat", lambda x: tp.unsqueeze(tp.flatten(x), 0)),
    Named("column", lambda x: tp.reshape(x, (-1, 1))),
    Named("stacked", lambda x: tp.flatten(tp.stack([x, x], 1), 1)),
    Named("pad", lambda x: tp.pad(x, [(1, 0), (0, 2)])),
    Named("pad size", lambda x: tp.pad(x, [(0, x.shape[1]), (1, 1)])),
    Named("outer", lambda x: tp.unsqueeze(tp.flatten(x), 1) + x[0:1, 0:1]),
    Named("sums", lambda x: x + tp.sum(x, 0, keepdim=True)),
    Named("iota", lambda x: x + tp.iota(x.shape, 1, tp.int32)),
    Named("expand", lambda x: tp.flatten(tp.expand(x, (2, -1, -1)), 0, 1)),
]
STEPS = st.sampled_from(FIXED) | cuts() | st.builds(pieces, st.integers(1, 3), st.integers(0, 1))
PROGRAMS = st.lists(STEPS, min_size=1, max_size=4)
SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=4)


def run_program(program: Sequence[Named], x: Any) -> Any:
    for step in program:
        x = step.run(x)
    return x


def agrees(program: Sequence[Named], sizes: Sequence[tuple[int, int]], engine: str) -> None:
    """The compiled program and the eager one give the same, or fail alike, for all sizes."""
    info = tp.InputInfo(((1, 4, 6), (1, 3, 6)), tp.int32)
    executable = tp.compile(lambda x: run_program(program, x), args=[info], engine=engine)
    for shape in sizes:
        x = numbered(shape) + 1
        try:
            expected = run_program(program, tp.Tensor(x)).numpy()
        except tp.TripyShapeError:
            with pytest.raises(tp.TripyShapeError):
                executable(x)
        else:
            np.testing.assert_array_equal(executable(x).numpy(), expected, strict=True)


@examples(200)
@given(PROGRAMS, SIZES)
def test_compiled_programs_follow_the_sizes(
    program: list[Named], sizes: list[tuple[int, int]]
) -> None:
    agrees(program, sizes, "reference")


@examples(60, simplified=False)
@given(PROGRAMS, SIZES)
def test_openvino_follows_the_sizes(program: list[Named], sizes: list[tuple[int, int]]) -> None:
    agrees(program, sizes, "openvino")
