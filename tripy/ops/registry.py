"""The table of primitives and the one way to record a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tripy import errors, shapes
from tripy.devices import CPU, device
from tripy.dtypes import dtype
from tripy.graph import Node, Primitive, Type, Value, shape_text, volume
from tripy.tensor import HOOKS, Tensor, wrap

PRIMITIVES: dict[str, Primitive] = {}


def per_element(operations: float) -> Callable[[Node], float]:
    """Return the work of a primitive that takes so many operations for an element."""
    return lambda node: operations * volume(node.shape)


def input_volume(node: Node) -> float:
    """The work of a primitive that takes one operation for an element of its first input."""
    return volume(node.inputs[0].shape)


_ONCE = per_element(1)


def primitive(name: str, infer: Callable[..., Type], work: Callable[[Node], float] = _ONCE) -> None:
    """Add a primitive; ``infer`` gets the input values and the attributes."""
    PRIMITIVES[name] = Primitive(name, infer, work)


def apply(name: str, *inputs: Tensor, **attributes: Any) -> Tensor:
    """Record one application of a primitive and return its lazy result."""
    record = PRIMITIVES[name]
    values = tuple([tensor._value for tensor in inputs])
    result = record.infer(*values, **attributes)
    if len(result[1]) > shapes.MAX_RANK:
        raise _too_many_dims(len(result[1]))
    source = errors.capture()
    node = Node(record, values, attributes, result, source)
    place = values[0].device if values else CPU
    traced = is_mixed = False
    for value in values:
        value.uses += 1
        if value.traced:
            traced = True
        if value.device is not place:
            is_mixed = True
    if not traced and (_is_symbolic(result[1]) or any(map(_is_symbolic, attributes.values()))):
        traced = True  # sizes depend on inputs, even if the elements do not
    if is_mixed:
        place = common_device(values)
        if not traced:
            node.inputs = tuple([moved(value, place) for value in values])
    return wrap(Value(result[0], result[1], place, node, None, traced, source))


def _is_symbolic(item: Any) -> bool:
    """Whether a dynamic size is in an attribute, such as the start of a window of a weight."""
    return type(item) is shapes.Dim or (type(item) is tuple and any(map(_is_symbolic, item)))


def _too_many_dims(rank: int) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        f"the result would have {rank} dims.",
        received=f"rank {rank}",
        expected=f"at most {shapes.MAX_RANK} dims, as in NumPy",
        fix="merge dims with tp.flatten or tp.reshape",
    )


def create(name: str, place: device, **attributes: Any) -> Tensor:
    """Record a primitive without inputs on a device."""
    record = PRIMITIVES[name]
    result = record.infer(**attributes)
    source = errors.capture()
    node = Node(record, (), attributes, result, source)
    traced = any(map(_is_symbolic, (*result[1], *attributes.values())))
    return wrap(Value(result[0], result[1], place, node, None, traced, source))


def common_device(values: Sequence[Value]) -> device:
    """Return the device of an operation; rank-0 values follow those of higher rank."""
    traced = [value for value in values if value.traced and value.shape]
    if traced:  # constants of a function being compiled may be anywhere
        return traced[0].device
    ranked = [value for value in values if value.shape] or [values[0]]
    for value in ranked[1:]:
        if value.device != ranked[0].device:
            raise errors.error(
                errors.TripyDeviceError,
                "the operands are on different devices.",
                received=" and ".join(f"{describe(v)} on {v.device}" for v in (ranked[0], value)),
                expected="operands on one device",
                fix=f"tp.copy(tensor, {str(ranked[0].device)!r})",
            )
    return ranked[0].device


def moved(value: Value, place: device) -> Value:
    """Return a value that is on a device: itself, or an evaluated copy."""
    if value.device == place:
        return value
    if value.data is None:
        HOOKS["evaluate"]((value,))
    data = HOOKS["put"](HOOKS["fetch"](value.data), place)
    return Value(value.dtype, value.shape, place, data=data, source=value.source)


def describe(value: Value) -> str:
    """Return ``name of shape (…), dtype`` for messages."""
    owner = value.owner() if value.owner is not None else None
    name = f"{owner.name} of " if owner is not None else ""
    return f"{name}shape {shape_text(value.shape)}, {value.dtype}"


def same(value: Value, **attributes: Any) -> Type:
    """Shape and dtype rule: those of the input."""
    return value.dtype, value.shape


def shape_error(
    problem: str, *values: Value, expected: object = None, **slots: Any
) -> errors.TripyShapeError:
    """Return a TripyShapeError that shows the operands and where they were made."""
    slots.setdefault("received", " and ".join(describe(v) for v in values))
    made = {describe(v).split(" of ")[0]: v.source for v in values if v.node is not None}
    return errors.error(errors.TripyShapeError, problem, expected=expected, made_at=made, **slots)


def dim_index(dim: int, rank: int, argument: errors.ArgumentPath = "dim") -> int:
    """Return a dim counted from the front; TripyIndexError outside -rank … rank-1."""
    index = dim.__index__()
    if -rank <= index < rank:
        return index % rank
    allowed = f"{-rank} … {rank - 1}" if rank else "none: a tensor of rank 0 has no dims"
    raise errors.error(
        errors.TripyIndexError,
        f"the dim {index} does not exist in a tensor of rank {rank}.",
        received=f"{index}",
        expected=allowed,
        fix="count dims from 0, or from -1 at the end"
        if rank
        else "make it a vector with tp.reshape(tensor, (1,)) first",
        argument=argument,
    )


def dim_indices(
    dims: int | Sequence[int] | None, rank: int, argument: str = "dim"
) -> tuple[int, ...]:
    """Return sorted dims; None means all. A dim given twice is TripyValueError."""
    if dims is None:
        return tuple(range(rank))
    if not isinstance(dims, (list, tuple)):
        return (dim_index(dims, rank, argument),)  # type: ignore[arg-type]
    result = sorted(dim_index(dim, rank, (argument, i)) for i, dim in enumerate(dims))
    if len(set(result)) != len(result):
        raise errors.error(
            errors.TripyValueError,
            "a dim is given twice.",
            received=errors.brief(dims),
            expected="different dims, after counting negative ones from the end",
            fix=f"write {tuple(sorted(set(result)))}",
            argument=argument,
        )
    return tuple(result)


def same_dtypes(values: Sequence[Value], names: Sequence[errors.ArgumentPath]) -> None:
    """Raise TripyTypeError unless all values have one dtype."""
    first = values[0]
    for value, name in zip(values[1:], names[1:]):
        if value.dtype is not first.dtype:
            member = "operand" if len(name) == 1 else f"{name[0]}[{name[-1]}]"
            shown = name if isinstance(name, str) else member
            raise errors.error(
                errors.TripyTypeError,
                f"the dtypes {first.dtype} and {value.dtype} do not mix.",
                received=f"{describe(first)} and {describe(value)}",
                expected="operands of one dtype",
                fix=f"cast one of them, for example tp.cast({shown}, tp.{first.dtype})",
                argument=name,
            )


def stretches(given: shapes.Shape, wanted: shapes.Shape, message: str) -> bool:
    """Whether a shape broadcasts to another one, and does not enlarge it."""
    return len(given) <= len(wanted) and all(
        shapes.holds(size, "stretches to", other, message)
        for size, other in zip(reversed(given), reversed(wanted))
    )


def check_result_dtype(kind: dtype, accepted: Sequence[dtype], fix: str) -> None:
    """Raise TripyTypeError unless a result may have the dtype."""
    if kind not in accepted:
        raise errors.error(
            errors.TripyTypeError,
            f"the result cannot have the dtype {kind} here.",
            received=f"dtype={kind}",
            expected=errors.one_of(accepted),
            fix=fix,
            argument="dtype",
        )


def option(value: str, allowed: Sequence[str], argument: str) -> str:
    """Raise TripyValueError unless an option string is one of the allowed ones."""
    if value not in allowed:
        raise errors.error(
            errors.TripyValueError,
            f"{argument} has no option {value!r}.",
            received=repr(value),
            expected=errors.one_of(map(repr, allowed)),
            fix=errors.did_you_mean(value, allowed) or f"write {argument}={allowed[0]!r}",
            argument=argument,
        )
    return value


def hook(**functions: Callable[..., Any]) -> None:
    """Make functions reachable from Tensor's methods and operators."""
    HOOKS.update(functions)


def float_group(kind: dtype) -> bool:
    """Whether a dtype is float16 or bfloat16, which compute in float32."""
    return kind.name in ("float16", "bfloat16")
