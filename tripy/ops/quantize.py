"""Quantization: floats as small integers or float8, times a scale."""

from __future__ import annotations

from typing import Any

from tripy import dtypes, errors, shapes
from tripy.dtypes import FLOATS, QUANTIZED, dtype
from tripy.graph import Node, Type, Value, shape_text
from tripy.ops.operands import adapt
from tripy.ops.registry import (
    apply,
    check_result_dtype,
    describe,
    dim_index,
    per_element,
    primitive,
    shape_error,
)
from tripy.shapes import Shape
from tripy.signature import public
from tripy.tensor import Tensor, TensorLike


def _converted(input: Value, scale: Value, *, dtype: dtype, split: Shape) -> Type:
    return dtype, input.shape


# ``split`` is a shape of the input, blocks apart, that the scale broadcasts to; () keeps its own.
primitive("quantize", _converted, per_element(40))
primitive("dequantize", _converted)

# --- scales ----------------------------------------------------------------------------------


def layout(shape: Shape, scale: Shape, dim: int | None) -> tuple[Shape, Shape] | None:
    """Return the shapes that scale and input take to broadcast; None where they fit no mode.

    The shape of the input is () if it stays, else one with its blocks in a dim of their own.
    """
    if dim is None and not scale:
        return (), ()
    blocks_of = dim if dim is not None else 0
    if dim is not None and len(scale) == 1 and len(shape) > 1:
        fits = shapes.holds(scale[0], "==", shape[dim], "there must be one scale per channel")
        return ((*(1,) * dim, scale[0], *(1,) * (len(shape) - dim - 1)), ()) if fits else None
    if len(scale) != len(shape) or (dim is None and len(shape) != 2):
        return None
    if not _divides(scale, shape, blocks_of):
        return None
    blocks, size = scale[blocks_of], shape[blocks_of]
    length = 1 if blocks == size or blocks == 0 else shapes.floordiv(size, blocks)
    if length == 1:
        return scale, ()
    before, after = shape[:blocks_of], shape[blocks_of + 1 :]
    return (*before, blocks, 1, *after), (*before, blocks, length, *after)


def _divides(scale: Shape, shape: Shape, dim: int) -> bool:
    """Whether a scale has the sizes of the input, but at ``dim`` one that divides it."""
    message = "the sizes of the scale must be those of the input beside the blocks"
    if not all(
        shapes.holds(a, "==", b, message) for i, (a, b) in enumerate(zip(scale, shape)) if i != dim
    ):
        return False
    blocks, size = scale[dim], shape[dim]
    if blocks == 0 or blocks == size:
        return blocks == size
    rest = shapes.mod(size, blocks)
    return shapes.holds(rest, "==", 0, "the number of blocks must divide the size")


def fitting(shape: Shape, dim: int | None) -> str:
    """Return the shapes of scales that fit an input, for messages."""
    sizes: list[Any] = list(shape)
    if dim is None and len(shape) != 2:
        return "()"
    sizes[dim or 0] = f"{shape[dim or 0]} / block"
    return f"{shape_text((shape[dim],)) if dim is not None else '()'} or {shape_text(tuple(sizes))}"


def check_scale(node: Node, scale: Any) -> None:
    """Raise TripyValueError unless the elements of an evaluated scale are positive."""
    _check_positive(node.inputs[1], scale, source=node.source)


def _check_positive(value: Value, scale: Any, **slots: Any) -> None:
    wrong = scale[~(scale > 0)]
    if wrong.size:
        raise errors.error(
            errors.TripyValueError,
            "a scale must be positive.",
            received=f"{float(wrong.reshape(-1)[0]):g} in the scale, {describe(value)}",
            expected="numbers > 0",
            fix="take a scale such as the largest magnitude divided by the largest integer: "
            "tp.max(tp.abs(x)) / 127.0 for int8",
            **slots,
        )


# --- the functions ---------------------------------------------------------------------------


def _scaled(
    name: str, input: Tensor, scale: Any, dim: int | None, result: dtype, kinds: tuple[dtype, dtype]
) -> Tensor:
    """Record a primitive; ``kinds`` are the high-precision and the quantized dtype."""
    factor = adapt(scale, kinds[0], input.device, "scale")
    value = factor._value
    if value.dtype is not kinds[0]:
        raise _other_dtype(name, value, kinds[0])
    if value.data is not None and value.device.kind == "cpu":
        _check_positive(value, value.data, argument="scale")
    shape = input._value.shape
    index = None if dim is None else dim_index(dim, len(shape))
    found = layout(shape, value.shape, index)
    if found is None:
        raise _unfit(input._value, value, index)
    own, split = found
    if split and kinds[1] is dtypes.float8:
        raise _blocks_of_float8(value)
    if own and own != value.shape:
        factor = apply("reshape", factor, shape=own)
    return apply(name, input, factor, dtype=result, split=split)


def _other_dtype(name: str, scale: Value, kind: dtype) -> errors.TripyTypeError:
    owner = "input" if name == "quantize" else "result"
    return errors.error(
        errors.TripyTypeError,
        f"the scale must have the dtype of the {owner}.",
        received=describe(scale),
        expected=f"dtype {kind}",
        fix=f"tp.cast(scale, tp.{kind}), or pass Python numbers",
        argument="scale",
    )


def _unfit(input: Value, scale: Value, dim: int | None) -> errors.TripyShapeError:
    return shape_error(
        "the shape of the scale fits no mode of quantization.",
        received=f"a scale of shape {shape_text(scale.shape)} for an input of shape "
        f"{shape_text(input.shape)}" + ("" if dim is None else f", dim={dim}"),
        expected=f"shape {fitting(input.shape, dim)}"
        + ("" if dim is not None else "; or dim= and one scale per element of that dim"),
        fix=_UNFIT_FIXES.get((dim is None, len(scale.shape)))
        or "reshape the scale with tp.reshape, or compute one per tensor, channel or block",
        argument="scale",
    )


# Whether dim is None and the rank of the scale -> how to fix.
_UNFIT_FIXES = {
    (True, 1): "give dim= for one scale per channel",
    (False, 0): "leave out dim for one scale of all elements",
}


def _blocks_of_float8(scale: Value) -> errors.TripyTypeError:
    return errors.error(
        errors.TripyTypeError,
        "float8 has no block-wise quantization.",
        received=f"a scale of shape {shape_text(scale.shape)}",
        expected="one scale, or one per channel; int4 and int8 also take one per block",
        fix="use dtype=tp.int8, or one scale per channel",
        argument="scale",
    )


@public(input=FLOATS)
def quantize(input: Tensor, scale: TensorLike, dtype: dtype, dim: int | None = None) -> Tensor:
    """Divide by a scale and round to a small dtype: ``saturate(round(input / scale))``.

    Ties round to even. Integers saturate at -128 … 127 (int8) or -8 … 7 (int4), with NaN as 0;
    float8 saturates at ±448 and keeps NaN.

    Args:
        input: tensor of a float dtype.
        scale: positive numbers of the input's dtype: one; with ``dim`` one per element of that
            dim; or one per block of contiguous elements: of shape (D0 / block, D1) for an input
            of shape (D0, D1), with ``dim`` of the input's shape but for the size D / block there.
        dtype: int4, int8 or float8; blocks need an integer dtype.
        dim: the dim of channels or blocks.

    Returns:
        A tensor of the same shape.

    Raises:
        TripyTypeError: for another dtype, a scale of another dtype, or float8 with blocks.
        TripyValueError: for scales that are not positive.
        TripyShapeError: for a scale whose shape does not fit.
        TripyIndexError: for a dim that does not exist.

    Example:
        >>> x = tp.Tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
        >>> tp.quantize(x, [[1.0, 2.0], [0.5, 1.0]], tp.int4).tolist()
        [[0, 0], [2, 2], [7, 5], [7, 7]]
    """
    check_result_dtype(dtype, QUANTIZED, "use dtype=tp.int8, or tp.cast for other dtypes")
    return _scaled("quantize", input, scale, dim, dtype, (input.dtype, dtype))


@public(input=QUANTIZED)
def dequantize(input: Tensor, scale: TensorLike, dtype: dtype, dim: int | None = None) -> Tensor:
    """Convert quantized elements to floats and multiply them by their scale.

    Args:
        input: tensor of dtype int4, int8 or float8.
        scale: positive numbers of the dtype of the result, in the shapes of :func:`quantize`.
        dtype: a float dtype.
        dim: the dim of channels or blocks.

    Returns:
        A tensor of the same shape.

    Raises:
        TripyTypeError: for another dtype, a scale of another dtype, or float8 with blocks.
        TripyValueError: for scales that are not positive.
        TripyShapeError: for a scale whose shape does not fit.
        TripyIndexError: for a dim that does not exist.

    Example:
        >>> tp.dequantize(tp.Tensor([-2, 6], tp.int8), 0.25, tp.float32).tolist()
        [-0.5, 1.5]
    """
    check_result_dtype(dtype, FLOATS, "use dtype=tp.float32")
    return _scaled("dequantize", input, scale, dim, dtype, (dtype, input.dtype))
