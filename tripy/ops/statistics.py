"""Reductions that are composites: variance, norms and log-sum-exp."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tripy import shapes
from tripy.dtypes import FLOATS
from tripy.ops.elementwise import cast, in_float32, where
from tripy.ops.joining import pad
from tripy.ops.movement import squeeze
from tripy.ops.reduce import max, mean, min, sum
from tripy.ops.registry import apply, dim_indices
from tripy.signature import public
from tripy.tensor import Tensor, make_size


def _count(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the number of elements along dims, as a rank-0 tensor of the input's dtype."""
    size = make_size(shapes.product(input._value.shape[d] for d in dims))
    return cast(size, input.dtype)


@public(input=FLOATS)
def var(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    correction: float = 1,
) -> Tensor:
    """Return Σ(x - mean)² / max(0, count - correction) along dims.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.
        correction: subtracted from the number of elements.

    Returns:
        A tensor of the same dtype; NaN or inf where count <= correction.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.var(tp.Tensor([1.0, 2.0, 3.0, 4.0]))
        tensor(1.6667, dtype=float32, loc=cpu:0, shape=())
    """
    dims = dim_indices(dim, input.rank)

    def variance(x: Tensor) -> Tensor:
        centred = x - mean(x, dims, keepdim=True)
        divisor = apply("relu", _count(x, dims) - float(correction))
        return sum(centred * centred, dims, keepdim) / divisor

    return in_float32(variance, input)


@public(input=FLOATS)
def std(
    input: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    correction: float = 1,
) -> Tensor:
    """Return the square root of :func:`var` along dims.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.
        correction: subtracted from the number of elements.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.std(tp.Tensor([1.0, 3.0]), correction=0)
        tensor(1.0000, dtype=float32, loc=cpu:0, shape=())
    """
    return in_float32(lambda x: apply("sqrt", var(x, dim, keepdim, correction)), input)


@public(input=FLOATS)
def norm(
    input: Tensor,
    ord: float = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
) -> Tensor:
    """Return the vector norm (Σ|x|^ord)^(1 / ord) along dims.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        ord: the order; inf takes the largest and -inf the smallest |x|, 0 counts non-zeros.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for an empty extent with ord ±inf.
        TripyTypeError: for other dtypes.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.norm(tp.Tensor([3.0, 4.0]))
        tensor(5.0000, dtype=float32, loc=cpu:0, shape=())
    """

    def vector_norm(x: Tensor) -> Tensor:
        size = apply("abs", x)
        if math.isinf(ord):
            return (max if ord > 0 else min)(size, dim, keepdim)
        if ord == 0:
            return sum(cast(x != 0.0, x.dtype), dim, keepdim)
        if ord == 2:
            return apply("sqrt", sum(x * x, dim, keepdim))
        if ord == 1:
            return sum(size, dim, keepdim)
        return sum(size ** float(ord), dim, keepdim) ** (1.0 / float(ord))

    return in_float32(vector_norm, input)


@public(input=FLOATS)
def logsumexp(
    input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False
) -> Tensor:
    """Return log Σ e^x along dims, computed stably; -inf for no elements.

    Args:
        input: tensor of any shape; float16, bfloat16, float32 or float64.
        dim: dims to reduce; None means all, an empty sequence none.
        keepdim: whether reduced dims stay, with size 1.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for other dtypes.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.logsumexp(tp.Tensor([1000.0, 1000.0]))
        tensor(1000.6932, dtype=float32, loc=cpu:0, shape=())
    """
    dims = dim_indices(dim, input.rank)
    may_be_empty = [shapes.bounds(input._value.shape[d])[0] == 0 for d in dims]

    def stable(x: Tensor) -> Tensor:
        if any(may_be_empty):  # e^-inf adds nothing, and there is a maximum
            ends = [(0, int(d in dims)) for d in range(x.rank)]
            x = pad(x, ends, value=-math.inf)
        top = max(x, dims, keepdim=True)
        finite = apply("abs", top) < math.inf
        shift = where(finite, top, 0.0)
        total = apply("log", sum(apply("exp", x - shift), dims, keepdim=True)) + shift
        return total if keepdim else squeeze(total, dims)

    return in_float32(stable, input)
