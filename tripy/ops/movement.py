"""Shape and movement functions; all dtypes, dtype kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import errors, shapes
from tripy.graph import Type, Value, shape_text
from tripy.ops.elementwise import adapt
from tripy.ops.registry import (
    apply,
    describe,
    dim_index,
    dim_indices,
    hook,
    option,
    primitive,
    same_dtypes,
    shape_error,
)
from tripy.shapes import Shape, Size
from tripy.signature import public
from tripy.tensor import IntLike, ShapeLike, Tensor

# --- primitives ------------------------------------------------------------------------------


def _with_shape(input: Value, shape: Shape) -> Type:
    return input.dtype, shape


def _permuted(input: Value, perm: tuple[int, ...]) -> Type:
    return input.dtype, tuple(input.shape[p] for p in perm)


def _sliced(input: Value, starts: Shape, steps: tuple[int, ...], sizes: Shape) -> Type:
    return input.dtype, sizes


def _padded(input: Value, value: Value, low: Shape, high: Shape, mode: str) -> Type:
    sizes = (s + a + b for s, a, b in zip(input.shape, low, high))
    return input.dtype, tuple(sizes)


def _concatenated(*inputs: Value, dim: int) -> Type:
    same_dtypes(inputs, [("tensors", i) for i in range(len(inputs))])
    first = inputs[0]
    total: Size = first.shape[dim]
    for i, value in enumerate(inputs[1:], 1):
        if len(value.shape) != len(first.shape):
            raise _does_not_join(first, value, i, "the same rank")
        for d, (a, b) in enumerate(zip(first.shape, value.shape)):
            if d != dim and not shapes.holds(a, "==", b, f"sizes of dim {d} must be equal"):
                raise _does_not_join(first, value, i, f"equal sizes in every dim but {dim}")
        total = total + value.shape[dim]
    return first.dtype, (*first.shape[:dim], total, *first.shape[dim + 1 :])


def _does_not_join(first: Value, value: Value, i: int, expected: str) -> errors.TripyShapeError:
    return shape_error(
        f"tensor {i} does not fit tensor 0.",
        first,
        value,
        expected=expected,
        argument=("tensors", i),
    )


primitive("reshape", _with_shape, lambda node: 0.0)
primitive("expand", _with_shape)
primitive("permute", _permuted)
primitive("slice", _sliced)
primitive("pad", _padded)
primitive("concat", _concatenated)

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
                received=str(items),
                expected="sizes >= 0" + (", or -1 once" if keep else ""),
                argument=argument if single is not None else (argument, i),
            )
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
        raise shape_error("there are no two dims to swap.", input._value, expected="rank >= 2")
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
            argument="sizes",
        )
    if -1 in wanted[:added]:
        raise errors.error(
            errors.TripyValueError,
            "-1 keeps a size of the input, but this dim is new.",
            received=shape_text(wanted),
            argument="sizes",
        )
    kept = tuple(o if w == -1 else w for o, w in zip(old, wanted[added:]))
    for d, (o, w) in enumerate(zip(old, kept)):
        if o != 1 and not shapes.holds(o, "==", w, f"dim {d} is not stretched from 1"):
            raise shape_error(
                f"dim {d} has size {o} and cannot become {w}.",
                input._value,
                expected="equal sizes, or size 1 in the input",
                argument="sizes",
            )
    return apply("expand", input, shape=(*wanted[:added], *kept))


@public()
def concatenate(tensors: Sequence[Tensor], dim: int) -> Tensor:
    """Join tensors along a dim.

    Args:
        tensors: at least one tensor; all of one dtype and of equal sizes beside ``dim``.
        dim: the dim along which they are joined.

    Returns:
        A tensor whose size at ``dim`` is the sum; a single tensor is returned as it is.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: when ranks or other sizes differ.
        TripyTypeError: when dtypes differ.
        TripyValueError: for an empty sequence.

    Example:
        >>> tp.concatenate([tp.Tensor([1, 2]), tp.Tensor([3])], 0)
        tensor([1, 2, 3], dtype=int32, loc=cpu:0, shape=(3,))
    """
    _require_some(tensors)
    at = dim_index(dim, tensors[0].rank)
    if len(tensors) == 1:
        return tensors[0]
    return apply("concat", *tensors, dim=at)


def _require_some(tensors: Sequence[Tensor]) -> None:
    if not tensors:
        raise errors.error(
            errors.TripyValueError,
            "there is nothing to join.",
            received="an empty sequence",
            expected="at least one tensor",
            argument="tensors",
        )


@public()
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of equal shape along a new dim.

    Args:
        tensors: at least one tensor; all of one dtype and shape.
        dim: where the new dim stands in the result.

    Returns:
        A tensor of rank + 1.

    Raises:
        TripyIndexError: for a position that does not exist.
        TripyShapeError: when shapes differ.
        TripyTypeError: when dtypes differ.
        TripyValueError: for an empty sequence.

    Example:
        >>> tp.stack([tp.Tensor([1, 2]), tp.Tensor([3, 4])], 1).tolist()
        [[1, 3], [2, 4]]
    """
    _require_some(tensors)
    first = tensors[0]._value
    at = dim_index(dim, len(first.shape) + 1)
    for i, tensor in enumerate(tensors[1:], 1):
        same_rank = len(tensor._value.shape) == len(first.shape)
        pairs = zip(first.shape, tensor._value.shape)
        if not same_rank or not all(
            shapes.holds(a, "==", b, "stacked shapes must be equal") for a, b in pairs
        ):
            raise _does_not_join(first, tensor._value, i, "equal shapes")
    parts = [unsqueeze(tensor, at) for tensor in tensors]
    return parts[0] if len(parts) == 1 else apply("concat", *parts, dim=at)


@public()
def split(
    input: Tensor, num_split_or_sizes: IntLike | ShapeLike, dim: int = 0
) -> tuple[Tensor, ...]:
    """Cut a tensor into chunks along a dim.

    Args:
        input: tensor of rank 1 or more, of any dtype.
        num_split_or_sizes: a number n gives n chunks of ceil(size / n), the last ones shorter or
            empty; a sequence gives chunks of exactly these sizes.
        dim: the dim that is cut.

    Returns:
        A tuple of tensors of the same dtype.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: when the sizes do not add up to the size of the dim.
        TripyValueError: for no chunks, or a negative size.

    Example:
        >>> [part.shape for part in tp.split(tp.arange(5), 3)]
        [(2,), (2,), (1,)]
    """
    at = dim_index(dim, input.rank)
    size = input._value.shape[at]
    number = shapes.as_size(num_split_or_sizes)
    if number is not None:
        sizes = tuple(_equal_chunks(size, number))
    else:
        sizes = to_shape(num_split_or_sizes, "num_split_or_sizes")
        if not sizes:
            raise _no_chunks(num_split_or_sizes)
        total: Size = sum(sizes)
        if not shapes.holds(total, "==", size, "the sizes of a split must add up"):
            raise shape_error(
                f"the sizes add up to {total}, but dim {at} has size {size}.",
                input._value,
                expected=f"sizes whose sum is {size}",
                argument="num_split_or_sizes",
            )
    parts = []
    start: Size = 0
    for part in sizes:
        parts.append(narrow(input, at, start, part))
        start = start + part
    return tuple(parts)


def _no_chunks(received: object) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        "a tensor is split into at least one chunk.",
        received=str(received),
        expected="a number >= 1, or sizes",
        argument="num_split_or_sizes",
    )


def _equal_chunks(size: Size, number: Size) -> list[Size]:
    if not isinstance(number, int) or number <= 0:
        raise _no_chunks(number)
    chunk = shapes.floordiv(size + number - 1, number)
    rest = [shapes.maximum(size - chunk * i, 0) for i in range(number)]
    return [shapes.minimum(chunk, left) for left in rest]


def narrow(input: Tensor, dim: int, start: Size, size: Size) -> Tensor:
    """Return ``size`` neighbouring elements along a dim, from ``start``."""
    old = input._value.shape
    if start == 0 and size == old[dim]:
        return input
    starts: list[Size] = [0] * len(old)
    starts[dim] = start
    sizes = (*old[:dim], size, *old[dim + 1 :])
    return apply("slice", input, starts=tuple(starts), steps=(1,) * len(old), sizes=sizes)


def _pad_amounts(input: Value, pad: Any) -> tuple[Shape, Shape]:
    rank = len(input.shape)
    pairs = [p if isinstance(p, (list, tuple)) and len(p) == 2 else None for p in pad]
    if None in pairs or any(shapes.as_size(s) is None for p in pairs if p for s in p):
        raise errors.error(
            errors.TripyTypeError,
            "padding is given as one (low, high) pair per dim.",
            received=str(pad),
            expected="a sequence of pairs of ints",
            argument="pad",
        )
    if len(pairs) != rank:
        raise shape_error(
            f"there are {len(pairs)} pairs for {rank} dims.",
            input,
            expected=f"{rank} pairs (low, high)",
            argument="pad",
        )
    low = to_shape([p[0] for p in pairs if p], "pad")
    return low, to_shape([p[1] for p in pairs if p], "pad")


@public()
def pad(input: Tensor, pad: Any, mode: str = "constant", value: Any = 0) -> Tensor:
    """Add elements before and after every dim.

    Args:
        input: tensor of any shape and dtype.
        pad: one pair (low, high) of ints >= 0 per dim.
        mode: ``"constant"``, ``"reflect"`` (mirrored without the edge) or ``"edge"``.
        value: the number to add with ``"constant"``; it adapts to the dtype.

    Returns:
        A larger tensor of the same dtype.

    Raises:
        TripyShapeError: for a wrong number of pairs, a reflection not smaller than the dim, or the
            edge of an empty dim.
        TripyTypeError: for padding of another form, or a value that does not adapt.
        TripyValueError: for negative padding or another mode.

    Example:
        >>> tp.pad(tp.Tensor([1, 2]), [(1, 2)])
        tensor([0, 1, 2, 0, 0], dtype=int32, loc=cpu:0, shape=(5,))
    """
    option(mode, ("constant", "reflect", "edge"), "mode")
    if not isinstance(pad, (list, tuple)):
        pad = [pad]
    low, high = _pad_amounts(input._value, pad)
    if mode != "constant":
        _check_mirror(input._value, low, high, mode)
        value = 0 if input.dtype.name != "bool" else False
    fill = adapt(value, input.dtype, input.device, "value")
    return apply("pad", input, fill, low=low, high=high, mode=mode)


def _check_mirror(input: Value, low: Shape, high: Shape, mode: str) -> None:
    for d, size in enumerate(input.shape):
        for amount in (low[d], high[d]):
            limit = size - 1 if mode == "reflect" else size * shapes.LARGEST
            if amount != 0 and not shapes.holds(
                amount, "<=", limit, f"{mode} padding of dim {d} needs more elements"
            ):
                raise shape_error(
                    f"{mode} padding of {amount} needs more than the {size} elements of dim {d}.",
                    input,
                    argument="pad",
                )


hook(
    reshape=reshape,
    flatten=flatten,
    squeeze=squeeze,
    unsqueeze=unsqueeze,
    permute=permute,
    transpose=transpose,
)
