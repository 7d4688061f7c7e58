"""OpenVINO row of resize.

Interpolate takes source coordinates in float32, which is exact only where sizes change by powers
of two (nearest: grow by integers). Gathers and a weighted sum are exact for all sizes, and as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from openvino import Output
from openvino import opset15 as op

from tripy import shapes
from tripy.engines.openvino_nodes import (
    F32,
    I32,
    I64,
    INTEGER_LIMITS,
    Attrs,
    Check,
    Context,
    Inputs,
    Row,
    Shape,
    const,
    convert,
    divided_integers,
    indices,
    narrow,
    out,
    rank,
)
from tripy.engines.resize_kernels import WEIGHTS, coordinates, taps

_NATIVE = {
    "nearest": ("nearest", "asymmetric"),
    "linear": ("linear_onnx", "half_pixel"),
    "cubic": ("cubic", "half_pixel"),
}
_NATIVE_DTYPES = ("float32", "float16", "bfloat16", "int8", "uint8")


def _is_power_of_two(ratio: Any) -> bool:
    return isinstance(ratio, int) and ratio.bit_count() == 1


def _is_exact(before: Any, after: Any, mode: str) -> bool:
    """Whether float32 holds the source coordinates that Interpolate computes."""
    if shapes.mod(after, before) == 0:
        return mode == "nearest" or _is_power_of_two(shapes.floordiv(after, before))
    return shapes.mod(before, after) == 0 and _is_power_of_two(shapes.floordiv(before, after))


def _is_native(dims: Sequence[int], attrs: Attrs, after: Shape, dtype: str) -> bool:
    fits = dims[0] >= 2 and len(after) <= 5 and dtype in _NATIVE_DTYPES
    sizes = [(attrs["before"][dim], after[dim]) for dim in dims]
    exact = all(_is_exact(*pair, attrs["mode"]) for pair in sizes)
    return fits and exact and not attrs["align_corners"]


def _interpolated(ctx: Context, x: Output, dims: Sequence[int], mode: str, after: Shape) -> Output:
    kind, transformation = _NATIVE[mode]
    none = [0] * rank(x)
    y = op.interpolate(
        x,
        ctx.shape([after[dim] for dim in dims]),
        kind,
        "sizes",
        none,
        none,
        coordinate_transformation_mode=transformation,
        nearest_mode="floor",
        cube_coeff=-0.75,
        axes=indices(dims),
    )
    return out(y)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """The value at ``x``; coefficients start at the highest power."""
    total: Any = const(coefficients[0], F32)
    for coefficient in coefficients[1:]:
        total = op.add(op.multiply(total, x), const(coefficient, F32))
    return total


def _dynamic_taps(ctx: Context, attrs: Attrs, before: Any, after: Any) -> list[tuple[Output, Any]]:
    """What ``taps`` returns, as nodes."""

    def size(value: Any) -> Output:
        return convert(ctx.size(value), I32)

    zero = const(0, I32)
    number = op.range(zero, size(after), const(1, I32), "i32")
    if attrs["mode"] == "nearest":
        place = out(op.multiply(number, size(before)))
        return [(out(divided_integers(place, size(after))[0]), None)]
    step, offset, divisor = coordinates(before, after, attrs["align_corners"])
    place = out(op.add(op.multiply(number, size(step)), size(offset)))
    if attrs["mode"] == "linear":
        place = out(op.minimum(op.maximum(place, zero), size((before - 1) * divisor)))
    first, rest = divided_integers(place, size(divisor))
    fraction = op.divide(op.convert(rest, F32), op.convert(size(divisor), F32))
    found = []
    for at, weight in WEIGHTS[attrs["mode"]].items():
        index = op.maximum(op.add(first, const(at, I32)), zero)
        found.append((out(op.minimum(index, size(before - 1))), _polynomial(weight, fraction)))
    return found


def _static_taps(attrs: Attrs, before: int, after: int) -> list[tuple[Output, Any]]:
    def weight_node(weight: Any) -> Any:
        return None if weight is None else op.constant(weight.astype(np.float32))

    found = taps(attrs, before, after)
    return [(out(op.constant(at.astype(np.int32))), weight_node(weight)) for at, weight in found]


def _along(ctx: Context, x: Output, dim: int, attrs: Attrs, after: Any) -> Output:
    """Sums weighted elements of one dim."""
    before = attrs["before"][dim]
    is_static = isinstance(before, int) and isinstance(after, int)
    found = (_static_taps if is_static else partial(_dynamic_taps, ctx))(attrs, before, after)
    column = indices([-1] + [1] * (rank(x) - dim - 1))
    terms = []
    for index, weight in found:
        term = out(op.gather(x, index, const(dim, I64)))
        if weight is not None:
            term = out(op.multiply(term, op.reshape(weight, column, False)))
        terms.append(term)
    return reduce(lambda total, term: out(op.add(total, term)), terms)


def resize(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    x, exact = inputs[0], attrs["mode"] == "nearest"
    dims = [dim for dim, size in enumerate(out_shape) if attrs["before"][dim] != size]
    if not exact:
        x = convert(x, F32)
    if dims and _is_native(dims, attrs, out_shape, dtype):
        x = _interpolated(ctx, x, dims, attrs["mode"], out_shape)
    else:
        for dim in dims:
            x = _along(ctx, x, dim, attrs, out_shape[dim])
    if dtype in INTEGER_LIMITS and not exact:
        _, least, largest = INTEGER_LIMITS[dtype]
        x = out(op.clamp(op.round(x, "half_to_even"), float(least), float(largest)))
    return narrow(x, dtype)


def check_resize(dtypes: Sequence[str], attrs: Attrs, sizes: Sequence[Shape]) -> str | None:
    """Coordinates of dynamic sizes are computed in int32."""
    for before, after in zip(*sizes, strict=True):
        most = 2 * (shapes.bounds(before)[1] + 1) * (shapes.bounds(after)[1] + 1)
        if not shapes.is_static((before, after)) and before != after and most > shapes.LARGEST:
            return f"coordinates of a resize from {before} to {after} do not fit int32"
    return None


ROWS: dict[str, Row] = {"resize": resize}
CHECKS: dict[str, Check] = {"resize": check_resize}
