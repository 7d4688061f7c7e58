"""Indexing ``tensor[…]`` and gather."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.devices import device
from tripy.dtypes import ALL, INTEGERS
from tripy.graph import Type, Value, shape_text
from tripy.ops.elementwise import maximum, minimum, where
from tripy.ops.registry import apply, dim_index, hook, primitive, shape_error
from tripy.shapes import Size
from tripy.signature import public
from tripy.tensor import Tensor, is_tensor_like, make_size


def _gathered(input: Value, index: Value, dim: int) -> Type:
    return input.dtype, (*input.shape[:dim], *index.shape, *input.shape[dim + 1 :])


def _taken(input: Value, index: Value, dim: int) -> Type:
    if len(index.shape) != len(input.shape):
        raise shape_error(
            "input and index need the same rank.",
            input,
            index,
            expected=f"an index of rank {len(input.shape)}",
            fix="add dims with tp.unsqueeze, or pick whole slices with tp.gather",
            argument="index",
        )
    beside = [i for i in range(len(input.shape)) if i != dim]
    merged = shapes.broadcast(*[tuple(v.shape[i] for i in beside) for v in (input, index)])
    if merged is None:
        raise shape_error(
            f"beside dim {dim} the sizes must be equal or 1.",
            input,
            index,
            expected="sizes that are equal, or 1 in one of them",
            fix="slice or expand one of them",
            argument="index",
        )
    result = list(merged)
    result.insert(dim, index.shape[dim])
    return input.dtype, tuple(result)


primitive("gather", _gathered)
primitive("take_along_dim", _taken)


@public(input=ALL, index=INTEGERS)
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Pick slices of a tensor along a dim.

    Args:
        input: tensor of rank 1 or more, of any dtype.
        dim: the dim that is indexed.
        index: integer tensor of any rank; negative values count from the end. A value out of
            range raises at evaluation in eager mode; executables use the nearest valid one.

    Returns:
        A tensor of shape ``input.shape[:dim] + index.shape + input.shape[dim + 1:]``.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyTypeError: for an index that is not of an integer dtype.

    Example:
        >>> tp.gather(tp.Tensor([10, 20, 30]), 0, tp.Tensor([2, 0]))
        tensor([30, 10], dtype=int32, loc=cpu:0, shape=(2,))
    """
    return apply("gather", input, index, dim=dim_index(dim, input.rank))


@public(input=ALL, index=INTEGERS)
def take_along_dim(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Pick elements along a dim, one index per element of the result.

    Args:
        input: tensor of rank 1 or more, of any dtype.
        dim: the dim that is indexed.
        index: integer tensor of the same rank; sizes beside ``dim`` are equal or 1. Values out of
            range are treated as by :func:`gather`.

    Returns:
        A tensor whose size at ``dim`` is that of ``index``.

    Raises:
        TripyIndexError: for a dim that does not exist.
        TripyShapeError: when ranks or sizes do not fit.
        TripyTypeError: for an index that is not of an integer dtype.

    Example:
        >>> tp.take_along_dim(tp.Tensor([[1, 2], [3, 4]]), 1, tp.Tensor([[1], [0]])).tolist()
        [[2], [3]]
    """
    return apply("take_along_dim", input, index, dim=dim_index(dim, input.rank))


# --- tensor[…] -------------------------------------------------------------------------------

_EXPECTED = "ints, slices, ..., None, integer or bool tensors, lists or arrays"


def getitem(input: Tensor, index: Any) -> Tensor:
    """Return ``input[index]``."""
    items = _expand_ellipsis(input, index if isinstance(index, tuple) else (index,))
    advanced = [i for i in items if _is_array_index(i)]
    if not advanced:
        return _basic(input, items)
    if len(items) == 1 and isinstance(items[0], Tensor) and items[0].dtype in INTEGERS:
        return gather(input, 0, items[0])
    return _advanced(input, items)


hook(getitem=getitem)


def _is_array_index(item: Any) -> bool:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return False
    return shapes.as_size(item) is None


def _coverage(item: Any) -> int:
    """Return how many dims of the input one index item covers."""
    if item is None:
        return 0
    return item.rank if isinstance(item, Tensor) and item.dtype is dtypes.bool_ else 1


def _checked_array(item: Any, place: device) -> Tensor:
    if isinstance(item, Tensor):
        tensor = item
    elif isinstance(item, (bool, float, str)) or not is_tensor_like(item):
        raise _bad_index(item)
    else:
        empty = isinstance(item, (list, tuple)) and len(item) == 0
        tensor = _narrowed(Tensor(item, dtypes.int32 if empty else None, place))
    if tensor.dtype not in (*INTEGERS, dtypes.bool_):
        raise _bad_index(item)
    return tensor


def _narrowed(index: Tensor) -> Tensor:
    """Return NumPy's int64 indices as int32, which every engine has, where they fit."""
    if index.dtype is not dtypes.int64:
        return index
    elements = index._host()
    narrow = elements.astype(np.int32)
    same = np.array_equal(narrow, elements)
    return Tensor(narrow, device=index.device) if same else index


def _bad_index(item: Any) -> errors.TripyTypeError:
    is_tensor = isinstance(item, Tensor)
    return errors.error(
        errors.TripyTypeError,
        f"{'this tensor' if is_tensor else errors.brief(item)} cannot be used as an index.",
        received=errors.describe(item),
        expected=_EXPECTED,
        fix="tp.cast(index, tp.int32)" if is_tensor else "use ints, or a slice of ints",
        argument="index",
        culprit=item,
    )


def _expand_ellipsis(input: Tensor, items: tuple[Any, ...]) -> list[Any]:
    """Replace ``...`` by full slices and append the missing ones."""
    place = input.device
    converted = [_checked_array(i, place) if _is_array_index(i) else i for i in items]
    rank = input.rank
    covered = sum(_coverage(i) for i in converted if i is not Ellipsis)
    dots = [n for n, i in enumerate(converted) if i is Ellipsis]
    if covered > rank or len(dots) > 1:
        raise errors.error(
            errors.TripyIndexError,
            "there are too many indices." if len(dots) < 2 else "... can stand only once.",
            received=f"{covered} indices for shape {shape_text(input._value.shape)}"
            if len(dots) < 2
            else f"{len(dots)} times ...",
            expected=f"at most {rank} indices" if len(dots) < 2 else "... at most once",
            fix="remove an index" if len(dots) < 2 else "write : for single dims",
            argument="index",
        )
    missing = [slice(None)] * (rank - covered)
    at = dots[0] if dots else len(converted)
    return [*converted[:at], *missing, *converted[at + bool(dots) :]]


def _position(item: Any, size: Size, dim: int) -> Size:
    """Return the start of an int index, wrapped and checked where that can be decided."""
    position = shapes.as_size(item)
    assert position is not None
    inside = shapes.holds(position, "<=", size - 1, f"index {position} of dim {dim}")
    if not inside or not shapes.holds(-size, "<=", position, f"index {position} of dim {dim}"):
        raise errors.error(
            errors.TripyIndexError,
            f"the index {position} is out of range for dim {dim} of size {size}.",
            received=str(position),
            expected=f"{-size} … {size - 1}",
            fix="use a slice, which is cut at the ends",
            argument="index",
        )
    return shapes.wrap(position, size)


def _slice_bounds(item: slice, size: Size) -> tuple[Size, int, Size]:
    """Return start, step and number of elements of a slice, as Python clamps them."""
    raw = [None if m is None else shapes.as_size(m) for m in (item.start, item.stop, item.step)]
    for member, given in zip(raw, (item.start, item.stop, item.step)):
        if given is not None and member is None:
            raise _bad_index(given)
    step = 1 if raw[2] is None else raw[2]
    if not isinstance(step, int) or step == 0:
        raise errors.error(
            errors.TripyValueError,
            "the step of a slice cannot be 0." if step == 0 else "a slice needs a known step.",
            received=f"the step {step}",
            expected="an int other than 0",
            fix="leave out the step for all elements",
            argument="index",
        )
    low: Size = 0 if step > 0 else -1
    high: Size = size if step > 0 else size - 1
    start = (low if step > 0 else high) if raw[0] is None else _clamp(raw[0], size, low, high)
    stop = (high if step > 0 else low) if raw[1] is None else _clamp(raw[1], size, low, high)
    distance = stop - start if step > 0 else start - stop
    length = shapes.floordiv(distance + (abs(step) - 1), abs(step))
    count = shapes.maximum(length, 0)
    return (start if count != 0 else 0), step, count


def _clamp(position: Size, size: Size, low: Size, high: Size) -> Size:
    return shapes.minimum(shapes.maximum(shapes.wrap(position, size), low), high)


def _basic(input: Tensor, items: Sequence[Any]) -> Tensor:
    """Apply ints, slices and None: one slice and one reshape."""
    starts: list[Size] = []
    steps: list[int] = []
    sizes: list[Size] = []
    shape: list[Size] = []
    for item in items:
        if item is None:
            shape.append(1)
            continue
        dim = len(starts)
        size = input._value.shape[dim]
        if isinstance(item, slice):
            start, step, count = _slice_bounds(item, size)
            shape.append(count)
        else:
            start, step, count = _position(item, size, dim), 1, 1
        starts.append(start)
        steps.append(step)
        sizes.append(count)
    result = input
    if tuple(sizes) != input._value.shape or any(s != 1 for s in steps):
        result = apply("slice", input, starts=tuple(starts), steps=tuple(steps), sizes=tuple(sizes))
    if tuple(shape) != result._value.shape:
        result = apply("reshape", result, shape=tuple(shape))
    return result


def _mask_to_indices(mask: Tensor, input: Tensor, dim: int) -> list[Tensor]:
    if mask._value.traced or input._value.traced:
        raise errors.error(
            errors.TripyCompileError,
            "a bool mask gives a shape that depends on values, which cannot be compiled.",
            received=f"a mask of shape {shape_text(mask._value.shape)}",
            expected="ints, slices or integer tensors",
            fix="use tp.where(mask, tensor, other), which keeps the shape",
            argument="index",
        )
    covered = input._value.shape[dim : dim + mask.rank]
    if mask._value.shape != covered:
        raise shape_error(
            "the mask does not fit the dims that it covers.",
            input._value,
            mask._value,
            expected=f"a mask of shape {shape_text(covered)}",
            fix="make the mask of the tensor itself, such as tensor[tensor > 0]",
            argument="index",
        )
    positions = np.nonzero(mask._host())
    return [Tensor(np.asarray(p, np.int32), device=input.device) for p in positions]


def _advanced(input: Tensor, items: Sequence[Any]) -> Tensor:
    """NumPy's advanced indexing as slices, then one gather over the flattened indexed dims."""
    has_arrays = [_is_array_index(i) or shapes.as_size(i) is not None for i in items]
    at = [n for n, is_array in enumerate(has_arrays) if is_array]
    together = at == list(range(at[0], at[-1] + 1))
    basic: list[Any] = []
    indices: list[tuple[int, Tensor]] = []  # (dim after the basic step, index)
    dim = source = 0
    for item, is_array in zip(items, has_arrays):
        if not is_array:
            basic.append(item)
            source += item is not None
            dim += 1
            continue
        for index in _as_indices(item, input, source):
            basic.append(slice(None))
            indices.append((dim, index))
            dim += 1
            source += 1
    sliced = _basic(input, basic)
    position = _result_position(indices, together)
    return _gather_dims(sliced, indices, position)


def _as_indices(item: Any, input: Tensor, dim: int) -> list[Tensor]:
    if isinstance(item, Tensor) and item.dtype is dtypes.bool_:
        if item.rank == 0:
            raise _bad_index(item)
        return _mask_to_indices(item, input, dim)
    if isinstance(item, Tensor) and shapes.as_size(item) is None:
        return [item]
    return [make_size(_position(item, input._value.shape[dim], dim))]


def _result_position(indices: Sequence[tuple[int, Tensor]], together: bool) -> int:
    return indices[0][0] if together else 0


def _gather_dims(input: Tensor, indices: Sequence[tuple[int, Tensor]], position: int) -> Tensor:
    """Gather along several dims at once with broadcast indices."""
    dims = [dim for dim, _ in indices]
    kind = next((i.dtype for _, i in indices if i.rank), indices[0][1].dtype)
    wide = dtypes.int64 if kind is dtypes.int64 else dtypes.int32
    if shapes.broadcast(*[i._value.shape for _, i in indices]) is None:
        raise shape_error(
            "the index tensors do not broadcast.",
            *(i._value for _, i in indices),
            expected="aligned from the last dim, sizes are equal or one of them is 1",
            fix="add dims of size 1 with tp.unsqueeze",
            argument="index",
        )
    if len(dims) == 1:
        gathered = apply("gather", input, indices[0][1], dim=dims[0])
        return _move(gathered, dims[0], indices[0][1].rank, position)
    return _gather_flat(input, dims, [i.cast(wide) for _, i in indices], position)


def _gather_flat(input: Tensor, dims: list[int], indices: list[Tensor], position: int) -> Tensor:
    shape = input._value.shape
    rest = [d for d in range(len(shape)) if d not in dims]
    moved = apply("permute", input, perm=(*dims, *rest))
    total = shapes.product(shape[d] for d in dims)
    flat = apply("reshape", moved, shape=(total, *(shape[d] for d in rest)))
    linear: Any = 0
    for dim, index in zip(dims, indices):
        linear = linear * make_size(shape[dim]) + _wrapped(index, shape[dim], dim)
    gathered = apply("gather", flat, linear, dim=0)
    return _move(gathered, 0, linear.rank, position)


def _wrapped(index: Tensor, size: Size, dim: int) -> Tensor:
    """Return an index with negative values wrapped, and values checked where they are known."""
    value = index._value
    if not value.traced:
        _check_range(index, size, dim)
    elements = make_size(size)
    limited = _limit(index, elements) if value.traced else index
    return where(limited < 0, limited + elements, limited)


def _limit(index: Tensor, elements: Any) -> Tensor:
    return maximum(minimum(index, elements - 1), 0 - elements)


def _check_range(index: Tensor, size: Size, dim: int) -> None:
    elements = index._elements()
    if not isinstance(size, int) or not elements.size:
        return
    wrong = (elements < -size) | (elements >= size)
    if wrong.any():
        where = tuple(int(p) for p in np.argwhere(wrong)[0])
        raise errors.error(
            errors.TripyIndexError,
            f"an index is out of range for dim {dim} of size {size}.",
            received=f"{elements[where]} at position {where} of the index",
            expected=f"{-size} … {size - 1}",
            fix=_RANGE_FIX,
            argument="index",
        )


_RANGE_FIX = "limit the index: tp.minimum(index, size - 1)"


def _move(tensor: Tensor, start: int, count: int, position: int) -> Tensor:
    """Move ``count`` dims from ``start`` so that they begin at ``position``."""
    if start == position or count == 0:
        return tensor
    order = list(range(tensor.rank))
    block = order[start : start + count]
    rest = order[:start] + order[start + count :]
    return apply("permute", tensor, perm=(*rest[:position], *block, *rest[position:]))
