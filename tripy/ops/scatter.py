"""Writing updates to indexed places of a copy."""

from __future__ import annotations

from tripy import errors, shapes
from tripy.dtypes import ALL, INTEGERS, NUMERIC
from tripy.graph import Type, Value, shape_text
from tripy.ops.operands import adapt
from tripy.ops.registry import apply, dim_index, option, primitive, same_dtypes, shape_error
from tripy.signature import public
from tripy.tensor import DimensionSize, Tensor, TensorLike


def _scattered(input: Value, index: Value, updates: Value, dim: int, reduction: str | None) -> Type:
    if len(index.shape) != len(input.shape):
        raise shape_error(
            "input and index need the same rank.",
            input,
            index,
            expected=f"an index of rank {len(input.shape)}",
            fix="add dims with tp.unsqueeze",
            argument="index",
        )
    for d, (part, size) in enumerate(zip(index.shape, input.shape)):
        if d != dim and not shapes.holds(part, "<=", size, f"the index is larger in dim {d}"):
            raise shape_error(
                f"beside dim {dim} the index must not be larger than the input.",
                input,
                index,
                expected=f"at most {size} in dim {d}",
                fix=f"slice the index, or scatter along dim {d}",
                argument="index",
            )
    _check_updates(index, updates)
    return input.dtype, input.shape


def _check_updates(index: Value, updates: Value) -> None:
    fits = len(index.shape) == len(updates.shape) and all(
        shapes.holds(a, "==", b, f"index and updates differ in dim {d}")
        for d, (a, b) in enumerate(zip(index.shape, updates.shape))
    )
    if not fits:
        raise shape_error(
            "index and updates need the same shape.",
            index,
            updates,
            expected=f"updates of shape {shape_text(index.shape)}, or one Python number",
            fix="tp.expand(updates, index.shape) where they broadcast",
            argument="updates",
        )


primitive("scatter", _scattered)


@public(input=ALL, index=INTEGERS)
def scatter(
    input: Tensor, dim: int, index: Tensor, updates: TensorLike, reduction: str | None = None
) -> Tensor:
    """Return a copy with updates written to, or combined with, indexed places along a dim.

    Args:
        input: tensor of rank 1 or more, of any dtype.
        dim: the dim that is indexed.
        index: integer tensor of the same rank, beside ``dim`` not larger than the input; negative
            values count from the end. A value out of range raises at evaluation in eager mode;
            executables leave its update out.
        updates: tensor of the shape of ``index`` and the dtype of ``input``, or a Python number.
        reduction: ``"add"``, ``"max"`` or ``"min"`` combine with the value that is there, for
            numeric dtypes; None replaces it.

    Returns:
        A tensor of the input's shape and dtype. Without a reduction the last of several updates
        of one place wins on the reference engine, and any of them on others.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: when ranks or sizes do not fit.
        TripyTypeError: for dtypes that do not fit.
        TripyValueError: for an unknown reduction.

    Example:
        >>> zeros = tp.zeros((2, 3), tp.int32)
        >>> index, updates = tp.Tensor([[2, 0], [1, 1]]), tp.Tensor([[1, 2], [3, 4]])
        >>> tp.scatter(zeros, 1, index, updates, "add").tolist()
        [[2, 0, 1], [0, 7, 0]]
    """
    at = dim_index(dim, input.rank)
    if reduction is not None:
        option(reduction, ("add", "max", "min"), "reduction")
        _require_numeric(input, reduction)
    values = adapt(updates, input.dtype, input.device, "updates")
    same_dtypes([input._value, values._value], ("input", "updates"))
    if values.rank == 0 and (values is not updates or isinstance(updates, DimensionSize)):
        values = apply("expand", values, shape=index._value.shape)
    return apply("scatter", input, index, values, dim=at, reduction=reduction)


def _require_numeric(input: Tensor, reduction: str) -> None:
    if input.dtype not in NUMERIC:
        raise errors.error(
            errors.TripyTypeError,
            f"reduction={reduction!r} cannot combine values of the dtype {input.dtype}.",
            received=f"input of dtype {input.dtype}",
            expected=errors.one_of(NUMERIC),
            fix="leave out the reduction, or cast first: tp.cast(input, tp.int32)",
            argument="input",
        )
