"""Running sums and products, sorting, and what depends on which elements are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.dtypes import BOOL, NUMERIC
from tripy.graph import Type, Value, shape_text
from tripy.ops.registry import (
    apply,
    describe,
    dim_index,
    input_volume,
    per_element,
    primitive,
    same,
)
from tripy.shapes import Size
from tripy.signature import public
from tripy.tensor import IntLike, Tensor

_ORDERED = (*NUMERIC, *BOOL)


def _best(input: Value, dim: int, k: Size, largest: bool) -> Type:
    size = input.shape[dim]
    if not shapes.holds(0, "<=", k, "k is negative"):
        fix = "count from 0; largest=False chooses the smallest elements"
        raise _wrong_k(f"{k} elements cannot be chosen.", k, f"0 … {size}", fix, input)
    if not shapes.holds(k, "<=", size, f"there are fewer than k elements along dim {dim}"):
        problem = f"{k} elements cannot be chosen from {size} along dim {dim}."
        raise _wrong_k(problem, k, f"0 … {size}", "choose no more than the dim has", input)
    return input.dtype, (*input.shape[:dim], k, *input.shape[dim + 1 :])


def _best_indices(input: Value, dim: int, k: Size, largest: bool) -> Type:
    return dtypes.int32, _best(input, dim, k, largest)[1]


def _wrong_k(
    problem: str, k: Size, expected: str, fix: str, input: Value
) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        problem,
        received=f"k = {k} for {describe(input)}",
        expected=expected,
        fix=fix,
        argument="k",
    )


primitive("cumsum", same, per_element(50))
primitive("cumprod", same)
primitive("topk", _best, input_volume)
primitive("topk_indices", _best_indices, input_volume)


@public(input=NUMERIC)
def cumsum(input: Tensor, dim: int) -> Tensor:
    """Return the sums of all elements up to each one along a dim.

    Args:
        input: tensor of rank 1 or more, of any numeric dtype.
        dim: the dim to add along.

    Returns:
        A tensor of the same shape and dtype; integers wrap, halves accumulate in float32.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.cumsum(tp.Tensor([1, 2, 3]), 0)
        tensor([1, 3, 6], dtype=int32, loc=cpu:0, shape=(3,))
    """
    return apply("cumsum", input, dim=dim_index(dim, input.rank))


@public(input=NUMERIC)
def cumprod(input: Tensor, dim: int) -> Tensor:
    """Return the products of all elements up to each one along a dim.

    Args:
        input: tensor of rank 1 or more, of any numeric dtype.
        dim: the dim to multiply along.

    Returns:
        A tensor of the same shape and dtype; integers wrap, halves accumulate in float32.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for bool, int4 and float8.

    Example:
        >>> tp.cumprod(tp.Tensor([1, 2, 3]), 0)
        tensor([1, 2, 6], dtype=int32, loc=cpu:0, shape=(3,))
    """
    return apply("cumprod", input, dim=dim_index(dim, input.rank))


def _sorted(name: str, input: Tensor, dim: int, descending: bool) -> Tensor:
    at = dim_index(dim, input.rank)
    return apply(name, input, dim=at, k=input._value.shape[at], largest=descending)


@public(input=_ORDERED)
def sort(input: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """Sort elements along a dim; NaN counts as larger than every number.

    Args:
        input: tensor of rank 1 or more, bool or of any numeric dtype.
        dim: the dim to sort along.
        descending: whether the largest elements come first.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for int4 and float8.

    Example:
        >>> tp.sort(tp.Tensor([3, 1, 2]))
        tensor([1, 2, 3], dtype=int32, loc=cpu:0, shape=(3,))
    """
    return _sorted("topk", input, dim, descending)


@public(input=_ORDERED)
def argsort(input: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """Return the indices that sort a tensor along a dim; equal elements keep their order.

    Args:
        input: tensor of rank 1 or more, bool or of any numeric dtype.
        dim: the dim to sort along.
        descending: whether the largest elements come first.

    Returns:
        An int32 tensor of the same shape, for :func:`take_along_dim`.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for int4 and float8.

    Example:
        >>> tp.argsort(tp.Tensor([3, 1, 2]))
        tensor([1, 2, 0], dtype=int32, loc=cpu:0, shape=(3,))
    """
    return _sorted("topk_indices", input, dim, descending)


@public(input=NUMERIC)
def topk(input: Tensor, k: IntLike, dim: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest elements along a dim, in descending order, and where they are.

    Args:
        input: tensor of any numeric dtype; NaN counts as larger than every number.
        k: how many elements, from 0 to the size of the dim.
        dim: the dim to choose along.
        largest: whether the largest are chosen; otherwise the smallest, in ascending order.

    Returns:
        The values and their int32 indices, with size k at ``dim``; of equal elements the one with
        the lower index comes first. A tensor of rank 0 and k = 1 give the tensor itself and 0.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for bool, int4 and float8.
        TripyValueError: for k out of range.

    Example:
        >>> values, indices = tp.topk(tp.Tensor([1, 5, 3]), 2)
        >>> values.tolist(), indices.tolist()
        ([5, 3], [1, 2])
    """
    size: Any = shapes.as_size(k)
    if input.rank == 0 and dim == -1:
        if size != 1:
            problem, fix = f"{size} elements cannot be chosen from a tensor of rank 0.", "write k=1"
            raise _wrong_k(problem, size, "1", fix, input._value)
        vector = apply("reshape", input, shape=(1,))
        index = apply("topk_indices", vector, dim=0, k=1, largest=largest)
        return input, apply("reshape", index, shape=())
    at = dim_index(dim, input.rank)
    values = apply("topk", input, dim=at, k=size, largest=largest)
    return values, apply("topk_indices", input, dim=at, k=size, largest=largest)


# --- shapes that depend on values ------------------------------------------------------------


def _known(input: Tensor, what: str, fix: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Return the elements, in a type that NumPy sorts."""
    value = input._value
    if value.traced:
        raise errors.error(
            errors.TripyCompileError,
            f"the shape of {what} depends on values, which cannot be compiled.",
            received=f"an input of shape {shape_text(value.shape)} that is not known yet",
            expected="a tensor whose elements are known",
            fix=fix,
            argument="input",
        )
    elements = np.asarray(input._elements())
    return elements.astype(np.float32) if input.dtype is dtypes.bfloat16 else elements


@public(input=_ORDERED)
def unique(
    input: Tensor,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """Return the sorted distinct elements of the flattened input; every NaN is the same element.

    Args:
        input: tensor of any shape, bool or of any numeric dtype; evaluated at once.
        return_index: whether to return where each value occurs first, in the flattened input.
        return_inverse: whether to return, in the input's shape, which value each element is.
        return_counts: whether to return how often each value occurs.

    Returns:
        A vector of the values; a tuple of it and the int32 tensors that were asked for, if any.

    Raises:
        TripyCompileError: for a traced tensor.
        TripyTypeError: for int4 and float8.

    Example:
        >>> tp.unique(tp.Tensor([3, 1, 3]))
        tensor([1, 3], dtype=int32, loc=cpu:0, shape=(2,))
    """
    elements = _known(input, "the distinct elements", "leave it out of the compiled function")
    flags: Any = (return_index, return_inverse, return_counts)
    values, *places = np.unique(elements, *flags) if any(flags) else (np.unique(elements),)
    parts = [values.astype(dtypes.to_numpy(input.dtype)), *(p.astype(np.int32) for p in places)]
    tensors = tuple(Tensor(part, device=input.device) for part in parts)
    return tensors if any(flags) else tensors[0]


@public(input=_ORDERED)
def nonzero(input: Tensor) -> Tensor:
    """Return the indices of the elements that are not zero, in row-major order.

    Args:
        input: tensor of any shape, bool or of any numeric dtype; evaluated at once.

    Returns:
        An int32 tensor of shape (number of such elements, rank of the input).

    Raises:
        TripyCompileError: for a traced tensor.
        TripyTypeError: for int4 and float8.

    Example:
        >>> tp.nonzero(tp.Tensor([[0, 5], [7, 0]])).tolist()
        [[0, 1], [1, 0]]
    """
    fix = "use tp.where(condition, tensor, other), which keeps the shape"
    places = np.argwhere(_known(input, "the non-zero elements", fix))
    return Tensor(places.astype(np.int32), device=input.device)
