"""Operations on known integers and symbolic sizes: the arithmetic of shapes in a model."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tripy import dtypes, shapes
from tripy.onnx.calls import MOST_KNOWN, Call, Known, as_known, is_static
from tripy.shapes import Size

#: Returns None for what only tensors can express.
Row = Callable[[Call, Sequence[Known]], "Known | list[Known] | None"]


class _Undecided(Exception):
    """A comparison of sizes that depends on the call."""


def run(call: Call) -> list[Known] | None:
    """Run a node on known integers; None where it needs tensors."""
    row = ROWS.get(call.step.op)
    deciding = call.values[:1] if call.step.op in _OF_ONE_OPERAND else call.values
    if row is None or not any(isinstance(value, Known) for value in deciding):
        return None
    if call.step.attributes.get("broadcast"):  # in the way of old versions
        return None
    operands = [as_known(value) for value in call.values]
    present = [value for value in operands if value is not None]
    if len(present) != len(operands):
        return None
    try:
        found = row(call, present)
    except _Undecided:
        return None
    results = [found] if isinstance(found, Known) else found
    call.taken.update(range(len(operands)))  # every row here looks at all of them
    return results if results is None or all(map(_fits, results)) else None


def _fits(value: Known) -> bool:
    """Whether the integers are in the range of their dtype, so that tensors would not wrap."""
    low, high = (0, 1) if value.dtype is dtypes.bool_ else dtypes.integer_range(value.dtype)
    return all(low <= size <= high for size in value.array.flat if isinstance(size, int))


#: Operations whose other operands say how the first one is rearranged.
_OF_ONE_OPERAND = frozenset(
    ["Expand", "Gather", "ReduceProd", "ReduceSum", "Reshape", "Slice", "Split", "Squeeze"]
)


def _elementwise(function: Callable[..., Any], result: Any = None) -> Row:
    def row(call: Call, operands: Sequence[Known]) -> Known:
        made = np.frompyfunc(function, len(operands), 1)(*(value.array for value in operands))
        return Known(np.asarray(made, dtype=object), result or operands[-1].dtype)

    return row


def _compared(relation: str, negate: bool = False, swap: bool = False) -> Row:
    known = {"==": shapes.known_equal, "<=": shapes.known_less_equal}[relation]

    def function(lhs: Size, rhs: Size) -> bool:
        found = known(rhs, lhs) if swap else known(lhs, rhs)
        if found is None:
            raise _Undecided
        return found != negate

    return _elementwise(function, dtypes.bool_)


def _divided(lhs: Size, rhs: Size) -> Size:
    """Toward zero, which is toward minus infinity for sizes."""
    if isinstance(lhs, int) and isinstance(rhs, int):
        return 0 if rhs == 0 else abs(lhs) // abs(rhs) * (1 if (lhs < 0) == (rhs < 0) else -1)
    if shapes.bounds(lhs)[0] < 0 or shapes.bounds(rhs)[0] < 1:
        raise _Undecided
    return shapes.floordiv(lhs, rhs)


def _rest(call: Call, operands: Sequence[Known]) -> Known:
    """The remainders of the two modes differ below zero only."""
    is_signed = bool(call.attr("fmod", 0))
    if is_signed and any(shapes.bounds(size)[0] < 0 for size in operands[0].array.flat):
        raise _Undecided
    return _elementwise(_remainder)(call, operands)  # type: ignore[return-value]


def _remainder(lhs: Size, rhs: Size) -> Size:
    if shapes.bounds(rhs)[0] < 1:
        raise _Undecided
    return shapes.mod(lhs, rhs)


def _chosen(condition: bool, lhs: Size, rhs: Size) -> Size:
    return lhs if condition else rhs


def _cast(call: Call, operands: Sequence[Known]) -> Known | None:
    from tripy.onnx.builder import BY_NUMBER

    kind = BY_NUMBER[call.attr("to")]
    call.attr("saturate")  # of floats only
    if kind in (dtypes.int32, dtypes.int64) and operands[0].dtype is not dtypes.bool_:
        return Known(operands[0].array, kind)
    return None


def _reduced(function: Callable[[Any, Any], Any], start: int) -> Row:
    def row(call: Call, operands: Sequence[Known]) -> Known | None:
        axes = call.axes()
        array, keep = operands[0].array, bool(call.attr("keepdims", 1))
        if not axes and call.attr("noop_with_empty_axes", 0):
            return operands[0]
        if array.ndim != 1 or axes not in (None, [0], [-1]):
            return None
        total: Any = start
        for size in array:
            total = function(total, size)
        return Known(np.asarray([total] if keep else total, dtype=object), operands[0].dtype)

    return row


def _gather(call: Call, operands: Sequence[Known]) -> Known | None:
    values, index = operands
    if not is_static(index):
        return None
    position = index.array.astype(np.int64)
    taken = np.take(values.array, position, axis=call.attr("axis", 0))
    return Known(np.asarray(taken, dtype=object), values.dtype)


def _concat(call: Call, operands: Sequence[Known]) -> Known:
    joined = np.concatenate([value.array for value in operands], axis=call.attr("axis", 0))
    return Known(joined, operands[0].dtype)


def _slice(call: Call, operands: Sequence[Known]) -> Known | None:
    if call.opset < 10 or not all(map(is_static, operands[1:])):
        return None
    starts, ends, *rest = ([int(n) for n in value.array.reshape(-1)] for value in operands[1:])
    axes = rest[0] if rest else list(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    index: list[slice] = [slice(None)] * operands[0].array.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps):
        index[axis] = slice(start, end, step)
    return Known(operands[0].array[tuple(index)], operands[0].dtype)


def _squeeze(call: Call, operands: Sequence[Known]) -> Known:
    axes = call.axes()
    array = operands[0].array
    return Known(np.squeeze(array, None if axes is None else tuple(axes)), operands[0].dtype)


def _unsqueeze(call: Call, operands: Sequence[Known]) -> Known:
    return Known(np.expand_dims(operands[0].array, tuple(call.axes() or ())), operands[0].dtype)


def _reshape(call: Call, operands: Sequence[Known]) -> Known | None:
    if not is_static(operands[1]) or 0 in operands[1].array:
        return None
    call.attr("allowzero")  # no size is 0
    shape = [int(size) for size in operands[1].array]
    return Known(operands[0].array.reshape(shape), operands[0].dtype)


def _split(call: Call, operands: Sequence[Known]) -> list[Known] | None:
    array, count = operands[0].array, len(call.step.outputs)
    call.attr("axis"), call.attr("num_outputs")  # there is one axis; each output gets its part
    if array.ndim != 1 or (len(operands) > 1 and not is_static(operands[1])):
        return None
    sizes = operands[1].array.tolist() if len(operands) > 1 else call.attr("split")
    each = -(-len(array) // count)
    ends = np.cumsum([each] * count if sizes is None else sizes)[:-1].astype(int)
    return [Known(part, operands[0].dtype) for part in np.split(array, ends)]


def _range(call: Call, operands: Sequence[Known]) -> Known | None:
    if not all(map(is_static, operands)):
        return None
    numbers = range(*[int(value.array.item()) for value in operands])
    if numbers[MOST_KNOWN:]:
        return None
    return Known(np.array(numbers, dtype=object), operands[0].dtype)


def _expand(call: Call, operands: Sequence[Known]) -> Known | None:
    if not is_static(operands[1]):
        return None
    target = np.broadcast_shapes(operands[0].array.shape, tuple(map(int, operands[1].array)))
    if math.prod(target) > MOST_KNOWN:
        return None
    return Known(np.broadcast_to(operands[0].array, target), operands[0].dtype)


def _same(call: Call, operands: Sequence[Known]) -> Known:
    return operands[0]


ROWS: dict[str, Row] = {
    "Add": _elementwise(operator.add),
    "Sub": _elementwise(operator.sub),
    "Mul": _elementwise(operator.mul),
    "Neg": _elementwise(operator.neg),
    "Div": _elementwise(_divided),
    "Mod": _rest,
    "Min": _elementwise(lambda *sizes: functools.reduce(shapes.minimum, sizes)),
    "Max": _elementwise(lambda *sizes: functools.reduce(shapes.maximum, sizes)),
    "Equal": _compared("=="),
    "LessOrEqual": _compared("<="),
    "GreaterOrEqual": _compared("<=", swap=True),
    "Less": _compared("<=", negate=True, swap=True),
    "Greater": _compared("<=", negate=True),
    "Not": _elementwise(operator.not_),
    "And": _elementwise(lambda a, b: a and b),
    "Or": _elementwise(lambda a, b: a or b),
    "Where": _elementwise(_chosen),
    "Cast": _cast,
    "ReduceProd": _reduced(operator.mul, 1),
    "ReduceSum": _reduced(operator.add, 0),
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Split": _split,
    "Range": _range,
    "Expand": _expand,
    "Identity": _same,
}
