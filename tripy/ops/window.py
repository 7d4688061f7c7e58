"""Forms and checks that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import errors, shapes
from tripy.graph import Value
from tripy.ops.registry import shape_error
from tripy.shapes import Shape, Size
from tripy.signature import is_integer

Pairs = tuple[tuple[Size, Size], ...]

# --- forms of kernel arguments ---------------------------------------------------------------


def window_ints(
    value: Any, count: int, argument: str, default: int = 1, minimum: int = 1
) -> tuple[int, ...]:
    """Return one int per spatial dim of an int, a sequence of ints, or None."""
    if value is None:
        return (default,) * count
    if type(value) is tuple and len(value) == count and _are_ints(value, minimum):
        return value  # as modules pass it
    items = (value,) * count if is_integer(value) else value
    if not isinstance(items, (list, tuple)) or not all(is_integer(item) for item in items):
        raise errors.error(
            errors.TripyTypeError,
            f"{argument} must be an int, or one int per spatial dim.",
            received=errors.describe(value),
            expected=f"{count} ints >= {minimum}, or one for all dims",
            fix=f"write {argument}={(max(minimum, 1),) * count}, for example",
            argument=argument,
        )
    _check_length(items, count, argument)
    result = tuple(int(item) for item in items)
    for i, item in enumerate(result):
        if item < minimum:
            raise _out_of_range(argument, item, minimum, (argument, i))
    return result


def _are_ints(values: tuple[Any, ...], minimum: int) -> bool:
    return all(type(value) is int and value >= minimum for value in values)


def _is_pair(value: Any) -> bool:
    return type(value) is tuple and len(value) == 2 and _are_ints(value, 0)


def _out_of_range(
    name: str, value: int, minimum: int, argument: errors.ArgumentPath
) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        f"{name} must be at least {minimum} in every dim.",
        received=f"{name} {value}",
        expected=f"integers >= {minimum}",
        fix="slice the input to cut cells off" if name == "padding" else f"use {name} {minimum}",
        argument=argument,
    )


def _check_length(items: Sequence[Any], count: int, argument: str) -> None:
    if len(items) != count:
        raise errors.error(
            errors.TripyShapeError,
            f"{argument} has {len(items)} entries for {count} spatial dims.",
            received=f"{argument} = {errors.brief(items)}",
            expected=f"{count} entries, one per dim of the kernel",
            fix=f"give {count} entries, or one int for all dims",
            argument=argument,
        )


def normalise_padding(padding: Any, count: int) -> Pairs | str:
    """Return (before, after) pairs, or ``"same"``, of any accepted form of padding."""
    if padding is None or (isinstance(padding, str) and padding == "valid"):
        return ((0, 0),) * count
    if isinstance(padding, str):
        if padding != "same":
            raise errors.error(
                errors.TripyValueError,
                f"there is no padding {padding!r}.",
                received=repr(padding),
                expected='"same", "valid", ints or pairs of ints',
                fix=errors.did_you_mean(padding, ("same", "valid"))
                or 'write padding="same" for outputs as large as the input',
                argument="padding",
            )
        return "same"
    if type(padding) is tuple and len(padding) == count and all(map(_is_pair, padding)):
        return padding  # as modules pass it
    items = (padding,) * count if is_integer(padding) else padding
    pairs = _as_pairs(items)
    if pairs is None:
        raise errors.error(
            errors.TripyTypeError,
            "padding is neither ints nor pairs of ints.",
            received=errors.describe(padding),
            expected=f'an int, {count} ints, {count} (before, after) pairs, "same" or "valid"',
            fix=f"write padding={((1, 1),) * count}, for example",
            argument="padding",
        )
    _check_length(pairs, count, "padding")
    for i, pair in enumerate(pairs):
        for amount in pair:
            if amount < 0:
                raise _out_of_range("padding", amount, 0, ("padding", i))
    return pairs


def _as_pairs(items: Any) -> tuple[tuple[int, int], ...] | None:
    if not isinstance(items, (list, tuple)):
        return None
    if all(is_integer(item) for item in items):
        return tuple((int(item), int(item)) for item in items)
    is_pair = [
        isinstance(item, (list, tuple)) and len(item) == 2 and all(map(is_integer, item))
        for item in items
    ]
    return tuple((int(a), int(b)) for a, b in items) if all(is_pair) else None


def same_padding(sizes: Shape, kernel: Any, stride: Any, dilation: Any) -> Pairs:
    """Return the padding that gives ceil(size / stride) outputs, the larger half at the end."""
    pairs = []
    for size, k, s, d in zip(sizes, kernel, stride, dilation):
        outputs = shapes.floordiv(size + s - 1, s)
        total = shapes.maximum((outputs - 1) * s + d * (k - 1) + 1 - size, 0)
        before = shapes.floordiv(total, 2)
        pairs.append((before, total - before))
    return tuple(pairs)


# --- checks of shape rules


def channels_first(input: Value, count: int) -> None:
    """Raise TripyShapeError unless the input has ``count`` spatial dims."""
    if len(input.shape) != count + 2:
        names = ", ".join(f"D{i}" for i in range(count))
        raise shape_error(
            f"the input has rank {len(input.shape)}, but a kernel of {count} dims needs "
            f"rank {count + 2}.",
            input,
            expected=f"shape (N, C, {names})",
            fix="add a batch dim with tp.unsqueeze(input, 0)"
            if len(input.shape) == count + 1
            else f"reshape the input to rank {count + 2}",
            argument="input",
        )


def spatial_sizes(sizes: list[Size], input: Value, what: str) -> Shape:
    """Return output sizes; each must be at least 1."""
    for d, size in enumerate(sizes):
        if not shapes.holds(1, "<=", size, f"{what} gives no output in spatial dim {d}"):
            raise shape_error(
                f"the {what} is larger than the padded input in spatial dim {d}.",
                input,
                expected="at least one output element in every spatial dim",
                fix="pad more, or use a smaller kernel or dilation",
                argument="input",
            )
    return tuple(sizes)
