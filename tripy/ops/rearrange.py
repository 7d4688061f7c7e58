"""Repeating and reordering elements; all dtypes, dtype kept."""

from __future__ import annotations

from collections.abc import Sequence

from tripy import errors, shapes
from tripy.ops.joining import concatenate
from tripy.ops.movement import to_shape
from tripy.ops.registry import apply, dim_index, dim_indices, shape_error
from tripy.shapes import Size
from tripy.signature import public
from tripy.tensor import IntLike, ShapeLike, Tensor


@public()
def repeat(input: Tensor, repeats: IntLike, dim: int) -> Tensor:
    """Repeat every element along a dim, in a row.

    Args:
        input: tensor of rank 1 or more, of any dtype.
        repeats: how often; 0 gives an empty dim.
        dim: the dim that grows.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyValueError: for a negative number.

    Example:
        >>> tp.repeat(tp.Tensor([1, 2]), 2, 0)
        tensor([1, 1, 2, 2], dtype=int32, loc=cpu:0, shape=(4,))
    """
    sizes = input._value.shape
    at = dim_index(dim, len(sizes))
    (times,) = to_shape(repeats, "repeats")
    before, after = sizes[: at + 1], sizes[at + 1 :]
    column = apply("reshape", input, shape=(*before, 1, *after))
    stretched = apply("expand", column, shape=(*before, times, *after))
    return apply("reshape", stretched, shape=(*sizes[:at], sizes[at] * times, *after))


@public()
def tile(input: Tensor, reps: ShapeLike) -> Tensor:
    """Repeat the whole input along dims.

    Args:
        input: tensor of any shape and dtype.
        reps: how often per dim; shorter ones get leading 1s, longer ones prepend dims.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyValueError: for a negative number.

    Example:
        >>> tp.tile(tp.Tensor([1, 2]), 2)
        tensor([1, 2, 1, 2], dtype=int32, loc=cpu:0, shape=(4,))
    """
    times = to_shape(reps, "reps")
    sizes = input._value.shape
    rank = max(len(times), len(sizes))
    times = (*(1,) * (rank - len(times)), *times)
    sizes = (*(1,) * (rank - len(sizes)), *sizes)
    pairs = list(zip(times, sizes))
    split = tuple(s for t, n in pairs for s in ((n,) if t == 1 else (1, n)))
    stretched = tuple(s for t, n in pairs for s in ((n,) if t == 1 else (t, n)))
    blocks = apply("expand", apply("reshape", input, shape=split), shape=stretched)
    return apply("reshape", blocks, shape=tuple(t * n for t, n in pairs))


@public()
def flip(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Reverse the order of elements along dims.

    Args:
        input: tensor of any shape and dtype.
        dim: dims to reverse; None means all.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.flip(tp.Tensor([1, 2, 3]))
        tensor([3, 2, 1], dtype=int32, loc=cpu:0, shape=(3,))
    """
    sizes = input._value.shape
    dims = dim_indices(dim, len(sizes))
    if not dims:
        return input
    starts = tuple(shapes.maximum(s - 1, 0) if d in dims else 0 for d, s in enumerate(sizes))
    steps = tuple(-1 if d in dims else 1 for d in range(len(sizes)))
    return apply("slice", input, starts=starts, steps=steps, sizes=sizes)


@public()
def roll(
    input: Tensor, shifts: int | Sequence[int], dim: int | Sequence[int] | None = None
) -> Tensor:
    """Shift elements along dims; what leaves at the end comes in at the start.

    Args:
        input: tensor of any shape and dtype.
        shifts: how far, one number per dim.
        dim: the dims; None shifts the flattened input and keeps its shape.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: when there are not as many shifts as dims.
        TripyValueError: for a dim given twice.

    Example:
        >>> tp.roll(tp.Tensor([1, 2, 3]), 1)
        tensor([3, 1, 2], dtype=int32, loc=cpu:0, shape=(3,))
    """
    amounts = _ints(shifts)
    if dim is None:
        sizes = input._value.shape
        flat = apply("reshape", input, shape=(shapes.product(sizes),))
        for amount in amounts:
            flat = _rolled(flat, amount, 0)
        return apply("reshape", flat, shape=sizes)
    dims = _ints(dim)
    if len(dims) != len(amounts):
        raise shape_error(
            "there must be one shift per dim.",
            received=f"{len(amounts)} shifts for {len(dims)} dims",
            expected="sequences of equal length",
            fix="give every dim its shift, or leave dim out to shift the flattened input",
            argument="shifts",
        )
    dim_indices(dims, input.rank)
    for amount, at in zip(amounts, dims):
        input = _rolled(input, amount, dim_index(at, input.rank))
    return input


def _ints(value: int | Sequence[int]) -> list[int]:
    return [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)]  # type: ignore[arg-type]


def _rolled(input: Tensor, amount: int, dim: int) -> Tensor:
    size = input._value.shape[dim]
    if size == 0:
        return input
    start = shapes.mod(-amount, shapes.maximum(size, 1))
    return concatenate([_from(input, dim, start, size - start), _from(input, dim, 0, start)], dim)


def _from(input: Tensor, dim: int, start: Size, size: Size) -> Tensor:
    sizes = input._value.shape
    starts = tuple(start if d == dim else 0 for d in range(len(sizes)))
    wanted = (*sizes[:dim], size, *sizes[dim + 1 :])
    return apply("slice", input, starts=starts, steps=(1,) * len(sizes), sizes=wanted)


@public()
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Turn groups of f² channels into f times larger images (Shi et al., 2016).

    Args:
        input: tensor of shape (…, C·f², H, W) and any dtype.
        upscale_factor: the factor f.

    Returns:
        A tensor of shape (…, C, H·f, W·f) with
        out[c, h·f + i, w·f + j] = in[c·f² + i·f + j, h, w].

    Raises:
        TripyShapeError: for rank below 3, or channels that f² does not divide.
        TripyValueError: for a factor below 1.

    Example:
        >>> tp.pixel_shuffle(tp.reshape(tp.arange(4), (4, 1, 1)), 2).tolist()
        [[[0.0, 1.0], [2.0, 3.0]]]
    """
    factor = int(upscale_factor)
    if factor < 1:
        raise errors.error(
            errors.TripyValueError,
            "the factor must be at least 1.",
            received=str(factor),
            expected="an int >= 1",
            fix="write the factor by which height and width grow, for example 2",
            argument="upscale_factor",
        )
    sizes = input._value.shape
    if len(sizes) < 3 or (isinstance(sizes[-3], int) and sizes[-3] % factor**2):
        raise shape_error(
            f"the channels must be divisible by {factor**2}.",
            input._value,
            expected=f"shape (…, C·{factor**2}, H, W)",
            fix=f"make a multiple of {factor**2} channels, or take another factor",
            argument="input",
        )
    *leading, channels, height, width = sizes
    groups = shapes.floordiv(channels, factor**2)
    split = apply("reshape", input, shape=(*leading, groups, factor, factor, height, width))
    n = len(leading)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    mixed = apply("permute", split, perm=order)
    return apply("reshape", mixed, shape=(*leading, groups, height * factor, width * factor))
