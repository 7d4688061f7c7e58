"""Joining, splitting and padding; all dtypes, dtype kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import dtypes, errors, shapes
from tripy.graph import Type, Value
from tripy.ops.movement import to_shape, unsqueeze
from tripy.ops.operands import adapt
from tripy.ops.registry import apply, dim_index, option, primitive, same_dtypes, shape_error
from tripy.shapes import Shape, Size
from tripy.signature import public
from tripy.tensor import IntLike, ShapeLike, Tensor

_MOST_CHUNKS = 1 << 16  # of a dim that has fewer elements


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
        fix="slice, pad, reshape or expand the tensors to sizes that fit",
        argument=("tensors", i),
    )


primitive("pad", _padded)
primitive("concat", _concatenated)


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
            fix="leave out the call, or begin with an empty tensor: tp.zeros((0, 3))",
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
        if isinstance(number, int) and number > max(shapes.bounds(size)[1], _MOST_CHUNKS):
            raise _too_many_chunks(number, size)
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
                fix="change the sizes, or slice the tensor where parts are to be left out",
                argument="num_split_or_sizes",
            )
    parts = []
    start: Size = 0
    for part in sizes:
        parts.append(narrow(input, at, start, part))
        start = start + part
    return tuple(parts)


def _too_many_chunks(number: int, size: Size) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        "a tensor is not split into so many empty chunks.",
        received=f"{errors.brief(number)} chunks of a dim of size {size}",
        expected=f"at most {_MOST_CHUNKS}, or the size of the dim",
        fix="use a smaller number",
        argument="num_split_or_sizes",
    )


def _no_chunks(received: object) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        "a tensor is split into at least one chunk.",
        received=errors.brief(received),
        expected="a number >= 1, or sizes",
        fix="write the number of chunks, such as 2, or their sizes, such as (2, 3)",
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
            received=errors.describe(pad),
            expected="a sequence of pairs of ints",
            fix=f"write {_example_pairs(rank)}",
            argument="pad",
        )
    if len(pairs) != rank:
        raise shape_error(
            f"the number of pairs is {len(pairs)}, but the number of dims {rank}.",
            input,
            expected=f"{rank} pairs (low, high)",
            fix=f"write {_example_pairs(rank)}, with (0, 0) for dims that stay",
            argument="pad",
        )
    for i, amount in ((i, amount) for i, p in enumerate(pairs) if p for amount in p):
        if isinstance(shapes.as_size(amount), int) and amount < 0:
            raise errors.error(
                errors.TripyValueError,
                f"the padding of dim {i} is negative.",
                received=errors.brief(pad[i]),
                expected="amounts >= 0",
                fix="cut elements off with a slice: tensor[1:-1]",
                argument=("pad", i),
            )
    low = to_shape([p[0] for p in pairs if p], "pad")
    return low, to_shape([p[1] for p in pairs if p], "pad")


def _example_pairs(rank: int) -> str:
    return str([(0, 1)] * max(rank, 1))


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
        value = 0
    if input.dtype is dtypes.bool_ and type(value) is int and value == 0:
        value = False  # the default fits every dtype
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
                    expected=f"at most {limit} in dim {d}",
                    fix="pad less, or several times",
                    argument="pad",
                )
