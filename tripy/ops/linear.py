"""Matrix products."""

from __future__ import annotations

from typing import Any

from tripy import dtypes, errors, shapes
from tripy.dtypes import FLOATS, INTEGERS, MATRIX, NUMERIC
from tripy.graph import Node, Type, Value, volume
from tripy.ops.movement import unsqueeze
from tripy.ops.operands import adapt_all
from tripy.ops.registry import apply, describe, hook, primitive, same_dtypes, shape_error
from tripy.signature import public
from tripy.tensor import Tensor


def _product(input: Value, other: Value) -> Type:
    same_dtypes([input, other], ("input", "other"))
    if not shapes.holds(
        input.shape[-1], "==", other.shape[-2], "the contracted sizes of a product must be equal"
    ):
        raise _not_contracted(input, other)
    leading = shapes.broadcast(input.shape[:-2], other.shape[:-2])
    if leading is None:
        raise shape_error(
            "the leading dims of a matrix product do not broadcast.",
            input,
            other,
            expected="leading sizes that are equal, or 1 in one operand",
            fix="add or drop leading dims with tp.unsqueeze or tp.squeeze",
            argument="other",
        )
    return input.dtype, (*leading, input.shape[-2], other.shape[-1])


def _not_contracted(input: Value, other: Value) -> errors.TripyShapeError:
    return shape_error(
        "the contracted sizes of a matrix product differ.",
        input,
        other,
        expected="the last size of the left operand equals the second to last of the right one",
        fix="transpose one operand with tp.transpose(tensor, -2, -1)",
        argument="other",
    )


def _product_work(node: Node) -> float:
    return 2 * volume(node.shape) * max(volume(node.inputs[0].shape[-1:]), 1)


primitive("matmul", _product, _product_work)


def check_matrix_dtype(tensor: Tensor, argument: errors.ArgumentPath) -> None:
    """Raise TripyTypeError for a dtype that has no matrix product."""
    kind = tensor.dtype
    if kind in MATRIX:
        return
    small = kind in INTEGERS or kind is dtypes.bool_
    name = argument if isinstance(argument, str) else "operand"
    fix = f"tp.cast({name}, tp.{'int32' if small else 'float32'})"
    raise errors.error(
        errors.TripyTypeError,
        f"matrix products are not defined for {kind}.",
        received=describe(tensor._value),
        expected=errors.one_of((*FLOATS, dtypes.int32, dtypes.int64)),
        fix=fix,
        argument=argument,
    )


def _matmul(input: Tensor, other: Tensor, names: tuple[str, str]) -> Tensor:
    for tensor, name in zip((input, other), names):
        check_matrix_dtype(tensor, name)
        if tensor.rank == 0:
            raise shape_error(
                "a matrix product needs operands of rank 1 or more.",
                input._value,
                other._value,
                expected="rank 1 or more",
                fix="multiply by a number with *",
                argument=name,
            )
    same_dtypes([input._value, other._value], names)
    left, right = input._value.shape, other._value.shape
    row, column = len(left) == 1, len(right) == 1
    if row:
        input = apply("reshape", input, shape=(1, *left))
    if column:
        other = apply("reshape", other, shape=(*right, 1))
    result = apply("matmul", input, other)
    if not (row or column):
        return result
    shape = list(result._value.shape)
    if column:
        shape.pop()
    if row:
        shape.pop(-1 if column else -2)
    return apply("reshape", result, shape=tuple(shape))


@public(input=(*MATRIX, *INTEGERS, *dtypes.PACKED, *dtypes.BOOL))
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product; leading dims broadcast, vectors are rows or columns.

    Args:
        input: tensor of rank 1 or more; a float dtype, int32 or int64.
        other: tensor of rank 1 or more of the same dtype; its second to last size (for rank 1 the
            only one) equals the last size of ``input``.

    Returns:
        A tensor of the same dtype; two vectors give rank 0.

    Raises:
        TripyShapeError: for rank 0, or sizes that do not fit.
        TripyTypeError: for other dtypes, or dtypes that differ.

    Example:
        >>> tp.matmul(tp.Tensor([[1.0, 2.0]]), tp.Tensor([[3.0], [4.0]]))
        tensor([[11.0000]], dtype=float32, loc=cpu:0, shape=(1, 1))
    """
    return _matmul(input, other, ("input", "other"))


def _operator(lhs: Any, rhs: Any) -> Tensor:
    first, second = adapt_all((lhs, rhs), ("lhs", "rhs"))
    return _matmul(first, second, ("lhs", "rhs"))


@public(vec1=NUMERIC, vec2=NUMERIC)
def outer(vec1: Tensor, vec2: Tensor) -> Tensor:
    """Return all products of the elements of two vectors.

    Args:
        vec1: tensor of shape (n,) and any numeric dtype.
        vec2: tensor of shape (m,) and the same dtype.

    Returns:
        A tensor of shape (n, m).

    Raises:
        TripyShapeError: for other ranks.
        TripyTypeError: for other dtypes, or dtypes that differ.

    Example:
        >>> tp.outer(tp.Tensor([1, 2]), tp.Tensor([3, 4])).tolist()
        [[3, 4], [6, 8]]
    """
    for tensor, name in ((vec1, "vec1"), (vec2, "vec2")):
        if tensor.rank != 1:
            raise shape_error(
                f"{name} must be a vector.",
                tensor._value,
                expected="rank 1",
                fix=f"tp.flatten({name})",
                argument=name,
            )
    same_dtypes([vec1._value, vec2._value], ("vec1", "vec2"))
    return unsqueeze(vec1, 1) * unsqueeze(vec2, 0)


hook(matmul_operator=_operator)
