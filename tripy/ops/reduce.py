"""Reductions, softmax, and the comparisons that return a Python bool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tripy import dtypes, shapes
from tripy.dtypes import ALL, BOOL, FLOATS, INTEGERS, NUMERIC
from tripy.graph import Type, Value
from tripy.ops.elementwise import cast
from tripy.ops.registry import (
    apply,
    dim_index,
    dim_indices,
    hook,
    input_volume,
    per_element,
    primitive,
    same,
    same_dtypes,
    shape_error,
)
from tripy.shapes import Shape
from tripy.signature import public
from tripy.tensor import Tensor, make_size


def reduced_shape(shape: Shape, dims: Sequence[int], keepdim: bool) -> Shape:
    """Return a shape with ``dims`` dropped or, with ``keepdim``, set to 1."""
    if keepdim:
        return tuple(1 if d in dims else size for d, size in enumerate(shape))
    return tuple(size for d, size in enumerate(shape) if d not in dims)


def _reduction(input: Value, dims: tuple[int, ...], keepdim: bool) -> Type:
    return input.dtype, reduced_shape(input.shape, dims, keepdim)


def _extreme(input: Value, dims: tuple[int, ...], keepdim: bool) -> Type:
    _require_elements(input, dims)
    return _reduction(input, dims, keepdim)


def _extreme_index(input: Value, dim: int, keepdim: bool) -> Type:
    _require_elements(input, (dim,))
    return dtypes.int32, reduced_shape(input.shape, (dim,), keepdim)


def _require_elements(input: Value, dims: Sequence[int]) -> None:
    for dim in dims:
        if not shapes.holds(1, "<=", input.shape[dim], f"nothing to reduce along dim {dim}"):
            raise shape_error(
                f"dim {dim} is empty: there is no extreme, and no integer mean, of nothing.",
                input,
                expected="at least one element",
                fix="leave out empty dims, or join a value that always loses first",
                argument="input",
            )


for _name in ("sum", "prod", "mean", "all", "any"):
    primitive(_name, _reduction, input_volume)
primitive("max", _extreme, input_volume)
primitive("min", _extreme, input_volume)
primitive("argmax", _extreme_index, input_volume)
primitive("argmin", _extreme_index, input_volume)
primitive("softmax", same, per_element(60))
primitive("log_softmax", same, per_element(60))


def _reduce(name: str, input: Tensor, dim: int | Sequence[int] | None, keepdim: bool) -> Tensor:
    return apply(name, input, dims=dim_indices(dim, input.rank), keepdim=keepdim)


@public(input=NUMERIC)
def sum(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the sum of elements along dims; 0 for no elements.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype; integers wrap, halves accumulate in float32.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for bool, int4 and float8.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.sum(tp.Tensor([[1, 2], [3, 4]]), 0)
        tensor([4, 6], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _reduce("sum", input, dim, keepdim)


@public(input=NUMERIC)
def prod(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the product of elements along dims; 1 for no elements.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype; integers wrap.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for bool, int4 and float8.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.prod(tp.Tensor([[1, 2], [3, 4]]), 0)
        tensor([3, 8], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _reduce("prod", input, dim, keepdim)


@public(input=NUMERIC)
def mean(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the mean of elements along dims; integers floor-divide the exact sum.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype; NaN for floats without elements.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for integers without elements.
        TripyTypeError: for bool, int4 and float8.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.mean(tp.Tensor([[1.0, 2.0], [3.0, 4.0]]), 0)
        tensor([2.0000, 3.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    if input.dtype not in INTEGERS:
        return _reduce("mean", input, dim, keepdim)
    dims = dim_indices(dim, input.rank)
    _require_elements(input._value, dims)
    count = make_size(shapes.product(input._value.shape[d] for d in dims))
    if input.dtype is dtypes.int64:  # the sum may not fit, those of quotients and rests do
        rests = apply("sum", input % count, dims=dims, keepdim=keepdim)
        return apply("sum", input // count, dims=dims, keepdim=keepdim) + rests // count
    total = apply("sum", cast(input, dtypes.int64), dims=dims, keepdim=keepdim)
    return cast(total // count, input.dtype)


@public(input=NUMERIC)
def max(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the largest element along dims; NaN where there is one.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for an empty extent.
        TripyTypeError: for bool, int4 and float8.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.max(tp.Tensor([[1, 5], [3, 4]]), 0)
        tensor([3, 5], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _reduce("max", input, dim, keepdim)


@public(input=NUMERIC)
def min(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the smallest element along dims; NaN where there is one.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for an empty extent.
        TripyTypeError: for bool, int4 and float8.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.min(tp.Tensor([[1, 5], [3, 4]]), 0)
        tensor([1, 4], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _reduce("min", input, dim, keepdim)


@public(input=BOOL)
def all(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return whether all elements along dims are True; True for no elements.

    Args:
        input: bool tensor of any shape.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A bool tensor.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.all(tp.Tensor([[True, False], [True, True]]), 0)
        tensor([True, False], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return _reduce("all", input, dim, keepdim)


@public(input=BOOL)
def any(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return whether any element along dims is True; False for no elements.

    Args:
        input: bool tensor of any shape.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A bool tensor.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.any(tp.Tensor([[True, False], [True, False]]), 0)
        tensor([True, False], dtype=bool, loc=cpu:0, shape=(2,))
    """
    return _reduce("any", input, dim, keepdim)


def _index_of(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is not None:
        return apply(name, input, dim=dim_index(dim, input.rank), keepdim=keepdim)
    total = shapes.product(input._value.shape)
    flat = apply("reshape", input, shape=(total,))
    index = apply(name, flat, dim=0, keepdim=False)
    return apply("reshape", index, shape=(1,) * input.rank) if keepdim else index


@public(input=NUMERIC)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first largest element along a dim; of the first NaN where one is.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: the dim to reduce; None gives an index into the flattened input.
        keepdim: whether the reduced dim stays, with size 1.

    Returns:
        An int32 tensor.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for an empty extent.
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.argmax(tp.Tensor([[1, 5], [3, 4]]), 1)
        tensor([1, 1], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _index_of("argmax", input, dim, keepdim)


@public(input=NUMERIC)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first smallest element along a dim; of the first NaN where one is.

    Args:
        input: tensor of any shape and any numeric dtype.
        dim: the dim to reduce; None gives an index into the flattened input.
        keepdim: whether the reduced dim stays, with size 1.

    Returns:
        An int32 tensor.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for an empty extent.
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.argmin(tp.Tensor([[1, 5], [3, 4]]), 1)
        tensor([0, 0], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return _index_of("argmin", input, dim, keepdim)


def _normalised(name: str, input: Tensor, dim: int | None) -> Tensor:
    if dim is not None:
        return apply(name, input, dim=dim_index(dim, input.rank))
    flat = apply("reshape", input, shape=(shapes.product(input._value.shape),))
    return apply("reshape", apply(name, flat, dim=0), shape=input._value.shape)


@public(input=FLOATS)
def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Return e^(x - max) divided by its sum along a dim.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        dim: the dim that sums to 1; None normalises over all elements.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.softmax(tp.Tensor([0.0, 0.0, 0.0, 0.0]))
        tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=float32, loc=cpu:0, shape=(4,))
    """
    return _normalised("softmax", input, dim)


@public(input=FLOATS)
def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Return the logarithm of :func:`softmax`, computed stably.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        dim: the dim to normalise along; None normalises over all elements.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.

    Example:
        >>> tp.log_softmax(tp.Tensor([0.0, 0.0]))
        tensor([-0.6931, -0.6931], dtype=float32, loc=cpu:0, shape=(2,))
    """
    return _normalised("log_softmax", input, dim)


# --- comparisons that return a Python bool ---------------------------------------------------


@public(input=NUMERIC, other=NUMERIC)
def allclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Return whether all elements satisfy |x - y| <= atol + rtol·|y|, computed in float64.

    Args:
        input: tensor of any numeric dtype; evaluated at once.
        other: tensor of the same dtype, broadcasting with ``input``.
        rtol: relative tolerance.
        atol: absolute tolerance.
        equal_nan: whether NaN is close to NaN.

    Returns:
        A Python bool; infinities of equal sign are close.

    Raises:
        TripyCompileError: for a traced tensor.
        TripyShapeError: for shapes that do not broadcast.
        TripyTypeError: for other dtypes, or dtypes that differ.

    Example:
        >>> tp.allclose(tp.Tensor([1.0]), tp.Tensor([1.0 + 1e-7]))
        True
    """
    same_dtypes([input._value, other._value], ("input", "other"))
    if shapes.broadcast(input._value.shape, other._value.shape) is None:
        raise shape_error(
            "the shapes do not broadcast.",
            input._value,
            other._value,
            expected="aligned from the last dim, sizes are equal or one of them is 1",
            fix="reshape one operand with tp.reshape or tp.unsqueeze",
            argument="other",
        )
    x, y = (np.asarray(t._elements()).astype(np.float64) for t in (input, other))
    with np.errstate(all="ignore"):
        return bool(np.allclose(x, y, float(rtol), float(atol), equal_nan))


@public(input=ALL, other=ALL)
def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have one shape and equal elements; NaN is unequal.

    Args:
        input: tensor of any dtype; evaluated at once.
        other: tensor of the same dtype.

    Returns:
        A Python bool.

    Raises:
        TripyCompileError: for a traced tensor.
        TripyTypeError: for dtypes that differ.

    Example:
        >>> tp.equal(tp.Tensor([1, 2]), tp.Tensor([1, 2]))
        True
    """
    same_dtypes([input._value, other._value], ("input", "other"))
    x, y = input._elements(), other._elements()
    return bool(np.array_equal(np.asarray(x), np.asarray(y)))


hook(any=any)
