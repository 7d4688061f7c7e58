"""Tensors with a pattern: triangles, diagonals, grids and one-hot codes."""

from __future__ import annotations

from typing import Any

from tripy import dtypes, errors, shapes
from tripy.counting import too_wide
from tripy.devices import default_device
from tripy.dtypes import ALL, INTEGERS, dtype
from tripy.ops.create import arange, full
from tripy.ops.elementwise import cast
from tripy.ops.joining import concatenate
from tripy.ops.movement import permute, to_shape, unsqueeze
from tripy.ops.operands import adapt
from tripy.ops.registry import apply, create, describe, dim_index, option, same_dtypes, shape_error
from tripy.signature import public
from tripy.tensor import IntLike, Tensor, make_size


def _offset(input: Tensor) -> Tensor:
    """Return column - row over the last two dims, as int32."""
    rows, columns = input._value.shape[-2:]
    row = arange(make_size(rows), dtype=dtypes.int32)
    column = arange(make_size(columns), dtype=dtypes.int32)
    return unsqueeze(column, 0) - unsqueeze(row, 1)


def _triangle(input: Tensor, keep: Tensor) -> Tensor:
    zero = adapt(False if input.dtype is dtypes.bool_ else 0, input.dtype, input.device, "tensor")
    return apply("where", keep, input, zero)


def _require_matrix(tensor: Tensor) -> None:
    if tensor.rank < 2:
        raise shape_error(
            "a triangle needs rows and columns.",
            tensor._value,
            expected="rank 2 or more",
            fix="add a dim first: tp.unsqueeze(tensor, 0)",
            argument="tensor",
        )


@public(tensor=ALL)
def tril(tensor: Tensor, diagonal: int = 0) -> Tensor:
    """Keep the elements on and below a diagonal of the last two dims; zero elsewhere.

    Args:
        tensor: tensor of rank 2 or more, of any dtype.
        diagonal: the last diagonal to keep, counted to the right of the main one.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyShapeError: for rank 0 and 1.

    Example:
        >>> tp.tril(tp.ones((2, 3))).tolist()
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    _require_matrix(tensor)
    return _triangle(tensor, _offset(tensor) <= int(diagonal))


@public(tensor=ALL)
def triu(tensor: Tensor, diagonal: int = 0) -> Tensor:
    """Keep the elements on and above a diagonal of the last two dims; zero elsewhere.

    Args:
        tensor: tensor of rank 2 or more, of any dtype.
        diagonal: the first diagonal to keep, counted to the right of the main one.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TripyShapeError: for rank 0 and 1.

    Example:
        >>> tp.triu(tp.ones((2, 3))).tolist()
        [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    _require_matrix(tensor)
    return _triangle(tensor, _offset(tensor) >= int(diagonal))


@public()
def linspace(start: float, stop: float, num: int, dtype: dtype = dtypes.float32) -> Tensor:
    """Return ``num`` evenly spaced numbers from start to stop, both ends exact.

    Args:
        start: first number.
        stop: last number.
        num: how many, at least 0; one gives ``start``.
        dtype: data type of the result.

    Returns:
        A tensor of shape (num,).

    Raises:
        TripyValueError: for a negative number.

    Example:
        >>> tp.linspace(0, 1, 5)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=float32, loc=cpu:0, shape=(5,))
    """
    if num < 0:
        raise errors.error(
            errors.TripyValueError,
            "there cannot be a negative number of values.",
            received=f"num={num}",
            expected="an int >= 0",
            fix="write how many values the result has",
            argument="num",
        )
    if num > shapes.LARGEST_64:
        raise too_wide(int(num))
    low, high, count = float(start), float(stop), int(num)
    steps = max(count - 1, 0)
    step = (high - low) / max(steps, 1)
    values = create("arange", default_device(), start=low, step=step, size=steps, dtype=dtype)
    last = full((min(count, 1),), high if steps else low, dtype)
    return concatenate([values, last], 0)


@public()
def eye(n: IntLike, m: IntLike | None = None, dtype: dtype = dtypes.float32) -> Tensor:
    """Return ones on the main diagonal and zeros elsewhere.

    Args:
        n: number of rows.
        m: number of columns; None is ``n``.
        dtype: data type of the result.

    Returns:
        A tensor of shape (n, m).

    Raises:
        TripyValueError: for a negative size.

    Example:
        >>> tp.eye(2, dtype=tp.int32)
        tensor(
            [[1, 0],
             [0, 1]],
            dtype=int32, loc=cpu:0, shape=(2, 2))
    """
    sizes = to_shape((n, n if m is None else m), "n")
    row = arange(make_size(sizes[0]), dtype=dtypes.int32)
    column = arange(make_size(sizes[1]), dtype=dtypes.int32)
    return cast(unsqueeze(row, 1) == unsqueeze(column, 0), dtype)


@public(input=ALL)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Put a vector on a diagonal, or take a diagonal of a matrix.

    Args:
        input: tensor of rank 1 or 2, of any dtype.
        diagonal: which diagonal, counted to the right of the main one.

    Returns:
        For rank 1 of n elements a matrix of n + |diagonal| rows; for rank 2 a vector.

    Raises:
        TripyShapeError: for other ranks.

    Example:
        >>> tp.diag(tp.Tensor([1, 2])).tolist()
        [[1, 0], [0, 2]]
    """
    offset = int(diagonal)
    below, right = max(-offset, 0), max(offset, 0)
    if input.rank == 1:
        return _on_diagonal(input, below, right)
    if input.rank != 2:
        raise shape_error(
            "diag takes a vector or a matrix.",
            input._value,
            expected="rank 1 or 2",
            fix="take one matrix or vector of the tensor by indexing it",
            argument="input",
        )
    rows, columns = input._value.shape
    length = shapes.maximum(shapes.minimum(rows - below, columns - right), 0)
    flat = apply("reshape", input, shape=(shapes.product(input._value.shape),))
    steps = arange(make_size(length), dtype=dtypes.int32)
    return apply(
        "gather", flat, steps * make_size(columns + 1) + _start(below, right, columns), dim=0
    )


def _start(below: int, right: int, columns: Any) -> Any:
    return make_size(columns * below + right)


def _on_diagonal(input: Tensor, below: int, right: int) -> Tensor:
    size = input._value.shape[0] + below + right
    fill = adapt(False if input.dtype is dtypes.bool_ else 0, input.dtype, input.device, "input")
    row = apply("pad", input, fill, low=(right,), high=(below,), mode="constant")
    matrix = apply("expand", row, shape=(size, size))
    return _triangle(matrix, _offset(matrix) == right - below)


@public(input=INTEGERS)
def one_hot(
    input: Tensor, num_classes: int, dim: int = -1, dtype: dtype = dtypes.float32
) -> Tensor:
    """Return 1 at every index along a new dim, 0 elsewhere.

    Args:
        input: integer tensor of any shape; indices outside 0 … num_classes - 1 give all zeros.
        num_classes: size of the new dim, at least 1.
        dim: where the new dim stands in the result.
        dtype: data type of the result.

    Returns:
        A tensor of rank + 1.

    Raises:
        TripyIndexError: for a position that does not exist.
        TripyTypeError: for an input that is not of an integer dtype.
        TripyValueError: for num_classes below 1.

    Example:
        >>> tp.one_hot(tp.Tensor([0, 2]), 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if num_classes < 1:
        raise errors.error(
            errors.TripyValueError,
            "num_classes must be at least 1.",
            received=str(num_classes),
            expected="an int >= 1",
            fix="write the number of classes, for example the largest index + 1",
            argument="num_classes",
        )
    at = dim_index(dim, input.rank + 1)
    column = unsqueeze(input, at)
    if input.dtype not in (dtypes.int32, dtypes.int64):
        column = cast(column, dtypes.int32)
    classes = arange(int(num_classes), dtype=column.dtype)
    shape = tuple(int(num_classes) if d == at else 1 for d in range(input.rank + 1))
    return cast(column == apply("reshape", classes, shape=shape), dtype)


@public(tensors=ALL)
def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return the coordinates of a grid, one tensor per axis.

    Args:
        tensors: rank-1 tensors of one dtype, of any dtype.
        indexing: ``"ij"``, or ``"xy"`` to swap the first two dims of the results.

    Returns:
        A tuple of as many tensors, each of shape (n0, n1, …).

    Raises:
        TripyShapeError: for no tensors, or another rank.
        TripyTypeError: for dtypes that differ.
        TripyValueError: for another option.

    Example:
        >>> [g.tolist() for g in tp.meshgrid(tp.Tensor([1, 2]), tp.Tensor([3, 4]))]
        [[[1, 1], [2, 2]], [[3, 4], [3, 4]]]
    """
    option(indexing, ("ij", "xy"), "indexing")
    other = next((i for i, t in enumerate(tensors) if t.rank != 1), None)
    if not tensors or other is not None:
        raise shape_error(
            "a grid is made of vectors.",
            *(t._value for t in tensors),
            received=" and ".join(describe(t._value) for t in tensors) or "no tensor",
            expected="at least one tensor of rank 1",
            fix="flatten tensors first: tp.flatten(tensor)",
            argument="tensors" if other is None else (other,),
        )
    same_dtypes([t._value for t in tensors], [("tensors", i) for i in range(len(tensors))])
    shape = tuple(t._value.shape[0] for t in tensors)
    grids = []
    for axis, tensor in enumerate(tensors):
        column = tuple(size if d == axis else 1 for d, size in enumerate(shape))
        grids.append(apply("expand", apply("reshape", tensor, shape=column), shape=shape))
    if indexing == "xy" and len(tensors) > 1:
        order = (1, 0, *range(2, len(tensors)))
        grids = [permute(grid, order) for grid in grids]
    return tuple(grids)
