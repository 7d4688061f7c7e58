"""Resizing by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tripy import dtypes, errors, shapes
from tripy.dtypes import ALL, FLOATS
from tripy.graph import Node, Type, Value, shape_text, volume
from tripy.ops.movement import to_shape
from tripy.ops.registry import apply, describe, option, primitive, shape_error
from tripy.shapes import Shape, Size
from tripy.signature import public
from tripy.tensor import Tensor, number_kind

if TYPE_CHECKING:
    from fractions import Fraction

_MODES = ("linear", "nearest", "cubic")
_INTERPOLATED = (*FLOATS, dtypes.int8, dtypes.uint8)


def _resized(input: Value, before: Shape, sizes: Shape, mode: str, align_corners: bool) -> Type:
    return input.dtype, sizes


def _resize_work(node: Node) -> float:
    elements = {"nearest": 1, "linear": 2, "cubic": 4}[node.attributes["mode"]]
    changed: int = sum(a != b for a, b in zip(node.attributes["before"], node.shape))
    return 2 * elements * changed * volume(node.shape)


primitive("resize", _resized, _resize_work)


def _ratio(scale: float) -> Fraction:
    """Return the ratio that a scale was written or computed as: 0.7 is 7/10, not just below."""
    from fractions import Fraction  # imports decimal

    near = Fraction(scale).limit_denominator(1 << 15)
    return near if float(near) == scale else Fraction(repr(scale))


def _scaled(size: Size, scale: Any, place: int) -> Size:
    if not 0 < scale <= shapes.LARGEST:
        raise errors.error(
            errors.TripyValueError,
            "a scale must be positive and finite.",
            received=f"the scale {errors.brief(scale)}",
            expected="numbers > 0",
            fix="write 1 for a dim that stays",
            argument=("scales", place),
        )
    ratio = _ratio(float(scale))
    if not isinstance(size, int) and ratio.numerator * shapes.bounds(size)[1] > shapes.LARGEST:
        raise errors.error(
            errors.TripyValueError,
            "a dynamic size cannot be scaled by a number of that many digits.",
            received=f"the scale {scale} of a dim of size {size}",
            expected="a scale of few digits, or a simple ratio",
            fix="round the scale, or pass output_shape",
            argument=("scales", place),
        )
    return shapes.floordiv(size * ratio.numerator, ratio.denominator)


def _given_sizes(input: Value, value: Any) -> Shape:
    items = value if isinstance(value, (list, tuple)) else (value,)
    for item in items:
        if shapes.as_size(item) is None:
            example = f"write one int per dim, for example {shape_text(input.shape)}"
            raise errors.error(
                errors.TripyTypeError,
                "output_shape must be sizes, one int per dim.",
                received=errors.describe(item),
                expected="ints or sizes",
                fix="pass factors by name: scales=(…)" if number_kind(item) is float else example,
                argument="output_shape",
                culprit=item,
            )
    return to_shape(value, "output_shape")


def _only_one(output_shape: Any, scales: Any) -> None:
    if (output_shape is None) == (scales is None):
        raise errors.error(
            errors.TripyTypeError,
            "resize needs output_shape or scales."
            if scales is None
            else "resize takes output_shape or scales, not both.",
            received="neither" if scales is None else "both",
            expected="exactly one of them",
            fix="add output_shape=(…), one size per dim, or scales=(…), one factor per dim"
            if scales is None
            else "leave out scales, or output_shape",
            argument=None if scales is None else "scales",
        )


def _new_sizes(input: Value, output_shape: Any, scales: Sequence[float] | None) -> Shape:
    """Return the sizes that exactly one of two arguments asks for."""
    _only_one(output_shape, scales)
    name, given = ("output_shape", output_shape) if scales is None else ("scales", scales)
    items: Any = _given_sizes(input, output_shape) if scales is None else scales
    if len(items) != len(input.shape):
        raise shape_error(
            f"{name} has {len(items)} entries for a tensor of rank {len(input.shape)}.",
            input,
            received=f"{describe(input)}, {name} {errors.brief(given)}",
            expected=f"{len(input.shape)} entries, one per dim",
            fix="name every dim, also those that stay, such as batch and channels",
            argument=name,
        )
    if scales is None:
        return tuple(items)
    return tuple(_scaled(size, s, i) for i, (size, s) in enumerate(zip(input.shape, items)))


def _check_empty(input: Value, sizes: Shape, argument: str) -> None:
    """Nothing can be interpolated from no elements; that a dim vanishes is a mistake."""
    for dim, (old, new) in enumerate(zip(input.shape, sizes)):
        filled = [shapes.minimum(size, 1) for size in (old, new)]
        if not shapes.holds(filled[0], "==", filled[1], f"dim {dim} is resized from or to 0"):
            raise shape_error(
                f"dim {dim} cannot be resized from {old} to {new}.",
                input,
                expected="sizes >= 1, or 0 where the input has 0",
                fix="use larger sizes or scales" if new == 0 else "make new elements with tp.pad",
                argument=argument,
            )


def _check_mode(input: Tensor, mode: str, align_corners: bool) -> None:
    option(mode, _MODES, "mode")
    if mode == "nearest" and align_corners:
        raise errors.error(
            errors.TripyValueError,
            "nearest elements have no corners to align.",
            received='align_corners=True with mode="nearest"',
            expected='align_corners=False, or mode="linear" or "cubic"',
            fix="leave out align_corners",
            argument="align_corners",
        )
    if mode != "nearest" and input.dtype not in _INTERPOLATED:
        raise errors.error(
            errors.TripyTypeError,
            f"{input.dtype} cannot be interpolated.",
            received=describe(input._value),
            expected=errors.one_of(_INTERPOLATED),
            fix='tp.cast(input, tp.float32) first, or mode="nearest"',
            argument="input",
        )


@public(input=ALL)
def resize(
    input: Tensor,
    output_shape: Any = None,
    mode: str = "linear",
    align_corners: bool = False,
    *,
    scales: Sequence[float] | None = None,
) -> Tensor:
    """Return a tensor of other sizes, interpolated separately along every dim that changes.

    Output i of a dim reads the source coordinate (i + 0.5) * old / new - 0.5.

    Args:
        input: tensor of any shape; of any dtype with ``"nearest"``, of a float dtype, int8 or uint8
            with the other modes.
        output_shape: the sizes of the result, one per dim.
        mode: ``"linear"``, ``"cubic"`` (Keys' kernel with -0.75), or ``"nearest"`` (the element
            i * old // new).
        align_corners: whether first and last elements stay where they are; coordinates are then
            i * (old - 1) / (new - 1).
        scales: factors in place of ``output_shape``, one per dim; sizes are rounded down.

    Returns:
        A tensor of the same dtype; integers are rounded half to even.

    Raises:
        TripyShapeError: for a wrong number of entries, or a dim resized from or to 0.
        TripyTypeError: for both or none of ``output_shape`` and ``scales``, or other dtypes.
        TripyValueError: for another mode, negative sizes, or corners of nearest elements.

    Example:
        >>> tp.resize(tp.Tensor([0.0, 1.0, 2.0, 3.0]), (8,)).tolist()
        [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]
        >>> tp.resize(tp.Tensor([0, 1, 2, 3]), mode="nearest", scales=(1.75,)).tolist()
        [0, 0, 1, 1, 2, 2, 3]
    """
    _check_mode(input, mode, align_corners)
    sizes = _new_sizes(input._value, output_shape, scales)
    before = input._value.shape
    _check_empty(input._value, sizes, "scales" if output_shape is None else "output_shape")
    if sizes == before:
        return input
    return apply(
        "resize", input, before=before, sizes=sizes, mode=mode, align_corners=align_corners
    )
