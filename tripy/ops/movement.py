"""Shape and movement functions; all dtypes, dtype kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import errors, shapes
from tripy.counting import too_wide
from tripy.graph import Type, Value, shape_text
from tripy.ops.registry import (
    apply,
    describe,
    dim_index,
    dim_indices,
    hook,
    primitive,
    shape_error,
)
from tripy.shapes import Shape, Size
from tripy.signature import public
from tripy.tensor import ShapeLike, Tensor

# --- primitives ------------------------------------------------------------------------------


def _with_shape(input: Value, shape: Shape) -> Type:
    return input.dtype, shape


def _permuted(input: Value, perm: tuple[int, ...]) -> Type:
    return input.dtype, tuple(input.shape[p] for p in perm)


def _sliced(input: Value, starts: Shape, steps: tuple[int, ...], sizes: Shape) -> Type:
    return input.dtype, sizes


primitive("reshape", _with_shape, lambda node: 0.0)
primitive("expand", _with_shape)
primitive("permute", _permuted)
primitive("slice", _sliced)

# --- helpers ---------------------------------------------------------------------------------


def to_shape(sizes: Any, argument: str = "shape", keep: bool = False) -> Shape:
    """Return sizes as ints and Dims; ``keep`` allows -1."""
    single = shapes.as_size(sizes)
    items = (single,) if single is not None else tuple(shapes.as_size(s) for s in sizes)
    for i, size in enumerate(items):
        if isinstance(size, int) and size < (-1 if keep else 0):
            raise errors.error(
                errors.TripyValueError,
                f"the size {size} is negative.",
                received=errors.brief(items),
                expected="sizes >= 0" + (", or -1 once" if keep else ""),
                fix="write -1 for a size to infer" if keep else "write numbers of 0 or more",
                argument=argument if single is not None else (argument, i),
            )
        if isinstance(size, int) and size > shapes.LARGEST_64:
            raise too_wide(size)
    return items  # type: ignore[return-value]


def _inferred(input: Value, sizes: Shape) -> Shape:
    """Replace the one -1 of a reshape by what the volume leaves."""
    unknown = [i for i, size in enumerate(sizes) if size == -1]
    if len(unknown) > 1:
        raise errors.error(
            errors.TripyValueError,
            "only one size can be inferred.",
            received=shape_text(sizes),
            expected="at most one -1",
            fix="write all sizes but one",
            argument="shape",
        )
    total = shapes.product(input.shape)
    known = shapes.product(size for size in sizes if size != -1)
    if not unknown:
        rest: Size = total
        fits = shapes.holds(total, "==", known, "reshape keeps the number of elements")
    else:
        rest = 0 if known == 0 else shapes.floordiv(total, known)
        product = rest * known
        fits = known != 0 and shapes.holds(
            product, "==", total, "the inferred size of a reshape must be whole"
        )
    if not fits:
        raise shape_error(
            "the number of elements does not fit the new shape.",
            input,
            received=f"{describe(input)} ({total} elements), new shape {shape_text(sizes)}",
            expected="equal numbers of elements" + (", -1 not beside 0" if unknown else ""),
            fix="change a size" if unknown else "write -1 for one size, and it is inferred",
            argument="shape",
        )
    return tuple(rest if size == -1 else size for size in sizes)


# --- public functions ------------------------------------------------------------------------


@public()
def reshape(input: Tensor, shape: ShapeLike) -> Tensor:
    """Return the elements, in row-major order, in another shape.

    Args:
        input: tensor of any shape and dtype.
        shape: the new sizes; one of them may be -1, which is then inferred.

    Returns:
        A tensor of the new shape and the same dtype.

    Raises:
        TripyShapeError: when the numbers of elements differ, or for -1 beside a size 0.
        TripyValueError: for more than one -1, or other negative sizes.

    Example:
        >>> tp.reshape(tp.Tensor([1, 2, 3, 4]), (2, -1)).shape
        (2, 2)
    """
    sizes = _inferred(input._value, to_shape(shape, keep=True))
    return apply("reshape", input, shape=sizes)


@public()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the dims from ``start_dim`` to ``end_dim`` into one.

    Args:
        input: tensor of any shape and dtype; rank 0 becomes (1,).
        start_dim: first dim to merge.
        end_dim: last dim to merge, included.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyValueError: when the start comes after the end.

    Example:
        >>> tp.flatten(tp.ones((2, 3, 4)), 1).shape
        (2, 12)
    """
    sizes = input._value.shape or (1,)
    start = dim_index(start_dim, len(sizes), "start_dim")
    end = dim_index(end_dim, len(sizes), "end_dim")
    if start > end:
        raise errors.error(
            errors.TripyValueError,
            "start_dim comes after end_dim.",
            received=f"start_dim={start_dim}, end_dim={end_dim} of rank {len(sizes)}",
            expected="start_dim <= end_dim, after counting negative ones from the end",
            fix="swap them",
            argument="start_dim",
        )
    merged = shapes.product(sizes[start : end + 1])
    return apply("reshape", input, shape=(*sizes[:start], merged, *sizes[end + 1 :]))


@public()
def squeeze(input: Tensor, dims: int | Sequence[int] | None = None) -> Tensor:
    """Drop dims of size 1.

    Args:
        input: tensor of any shape and dtype.
        dims: the dims to drop; None drops every dim known to be 1.

    Returns:
        A tensor of lower rank and the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for a dim of another size.

    Example:
        >>> tp.squeeze(tp.ones((1, 3, 1)), 0).shape
        (3, 1)
    """
    sizes = input._value.shape
    if dims is None:
        drop = tuple(d for d, size in enumerate(sizes) if size == 1)
    else:
        drop = dim_indices(dims, len(sizes), "dims")
    for d in drop:
        if not shapes.holds(sizes[d], "==", 1, f"only a dim of size 1 is dropped (dim {d})"):
            raise shape_error(
                f"dim {d} has size {sizes[d]} and cannot be dropped.",
                input._value,
                expected="size 1",
                fix="leave out dims: then every dim of size 1 is dropped",
                argument="dims",
            )
    if not drop:
        return input
    return apply("reshape", input, shape=tuple(s for d, s in enumerate(sizes) if d not in drop))


@public()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Insert a dim of size 1.

    Args:
        input: tensor of any shape and dtype.
        dim: where the new dim stands in the result, from -(rank + 1) to rank.

    Returns:
        A tensor of rank + 1 and the same dtype.

    Raises:
        TripyIndexError: for a position that does not exist.

    Example:
        >>> tp.unsqueeze(tp.ones((2, 3)), 1).shape
        (2, 1, 3)
    """
    sizes = input._value.shape
    at = dim_index(dim, len(sizes) + 1)
    return apply("reshape", input, shape=(*sizes[:at], 1, *sizes[at:]))


@public()
def permute(input: Tensor, perm: Sequence[int]) -> Tensor:
    """Reorder dims: dim i of the result is dim ``perm[i]`` of the input.

    Args:
        input: tensor of any shape and dtype.
        perm: every dim once; negative ones count from the end.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyValueError: when ``perm`` is no permutation of the dims.

    Example:
        >>> tp.permute(tp.ones((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
    """
    rank = input.rank
    order = tuple(dim_index(p, rank, ("perm", i)) for i, p in enumerate(perm))
    if len(set(order)) != rank or len(order) != rank:
        raise errors.error(
            errors.TripyValueError,
            "perm is no permutation of the dims.",
            received=f"perm={tuple(perm)} for rank {rank}",
            expected=f"each of 0 … {rank - 1} once",
            fix=f"write a reordering of {tuple(range(rank))}",
            argument="perm",
        )
    return apply("permute", input, perm=order)


@public()
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Swap two dims.

    Args:
        input: tensor of rank 2 or more, of any dtype.
        dim0: one dim.
        dim1: the other dim.

    Returns:
        A tensor of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: for rank 0 and 1.

    Example:
        >>> tp.transpose(tp.ones((2, 3)), 0, 1).shape
        (3, 2)
    """
    rank = input.rank
    if rank < 2:
        raise shape_error(
            "there are no two dims to swap.",
            input._value,
            expected="rank 2 or more",
            fix="add a dim with tp.unsqueeze(input, 0)",
            argument="input",
        )
    order = list(range(rank))
    first, second = dim_index(dim0, rank, "dim0"), dim_index(dim1, rank, "dim1")
    order[first], order[second] = second, first
    return apply("permute", input, perm=tuple(order))


@public()
def expand(input: Tensor, sizes: ShapeLike) -> Tensor:
    """Stretch dims of size 1 and prepend dims, as broadcasting does.

    Args:
        input: tensor of any shape and dtype.
        sizes: the sizes of the result; -1 keeps a size of the input.

    Returns:
        A tensor of shape ``sizes`` and the same dtype.

    Raises:
        TripyShapeError: for fewer sizes than dims, or a size that is not stretched from 1.
        TripyValueError: for -1 in a dim that the input does not have.

    Example:
        >>> tp.expand(tp.Tensor([[1], [2]]), (-1, 3)).shape
        (2, 3)
    """
    wanted = to_shape(sizes, "sizes", keep=True)
    old = input._value.shape
    added = len(wanted) - len(old)
    if added < 0:
        raise shape_error(
            "there are fewer sizes than dims.",
            input._value,
            expected=f"at least {len(old)} sizes",
            fix="write -1 for sizes that stay",
            argument="sizes",
        )
    if -1 in wanted[:added]:
        raise errors.error(
            errors.TripyValueError,
            "-1 keeps a size of the input, but this dim is new.",
            received=shape_text(wanted),
            expected="sizes >= 0 for new dims",
            fix="write the size itself",
            argument="sizes",
        )
    kept = tuple(o if w == -1 else w for o, w in zip(old, wanted[added:]))
    for d, (o, w) in enumerate(zip(old, kept)):
        if not shapes.holds(o, "stretches to", w, f"dim {d} is not stretched from 1"):
            raise shape_error(
                f"dim {d} has size {o} and cannot become {w}.",
                input._value,
                expected="equal sizes, or size 1 in the input",
                fix="write -1 for sizes that stay",
                argument="sizes",
            )
    return apply("expand", input, shape=(*wanted[:added], *kept))


hook(
    reshape=reshape,
    flatten=flatten,
    squeeze=squeeze,
    unsqueeze=unsqueeze,
    permute=permute,
    transpose=transpose,
)
