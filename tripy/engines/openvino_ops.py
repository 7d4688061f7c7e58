"""The OpenVINO row of every primitive, and what the CPU plugin cannot compute exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
from openvino import Node, Output
from openvino import opset15 as op

from tripy.engines import (
    openvino_order,
    openvino_plugin,
    openvino_quantize,
    openvino_random,
    openvino_resize,
    openvino_window,
)
from tripy.engines.openvino_nodes import (
    DTYPES,
    F16,
    F32,
    I32,
    I64,
    INTEGER_LIMITS,
    Attrs,
    Binary,
    Check,
    Context,
    Inputs,
    Row,
    Shape,
    Unary,
    atan2,
    cast,
    compare,
    const,
    constant_value,
    convert,
    divided,
    divided_floats,
    divided_integers,
    equal_integers,
    exp,
    expm1,
    filled,
    float_to_float,
    gelu,
    in_float32,
    indices,
    invert,
    is_bool,
    is_integer,
    known_size,
    less_bools,
    less_equal_bools,
    less_equal_integers,
    less_integers,
    log1p,
    magnitude,
    narrow,
    negative,
    out,
    power,
    rank,
    relu,
    settled,
    size_of,
    wide,
    wide_integers,
)

__all__ = ["DTYPES", "ROWS", "Context", "Row", "refusal"]

#: Modules with rows, and checks of what the plugin cannot do exactly, of a family each.
FAMILIES = (
    openvino_order,
    openvino_plugin,
    openvino_quantize,
    openvino_random,
    openvino_resize,
    openvino_window,
)
NARROWED = {"int64": "int32", "float64": "float32"}
PACKED = ("int4", "float8")
#: Products of two digits of base 256 that float32 adds exactly.
MOST_LIMB_PRODUCTS = 256


def unary(make: Unary, lift: Unary = wide) -> Row:
    """Row of an elementwise function of one input, computed in the type that `lift` gives."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
        return narrow(make(lift(inputs[0])), dtype)

    return row


def binary(floats: Binary, integers: Binary | None = None, bools: Binary | None = None) -> Row:
    """Row of an elementwise function of two inputs, with one formula per kind of dtype."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
        lhs, rhs = map(wide_integers, inputs)
        kinds = (is_bool(lhs), bools), (is_integer(lhs), integers)
        make = next((formula for present, formula in kinds if present and formula), floats)
        return narrow(make(lhs, rhs), dtype)

    return row


def limit(x: Output) -> float | None:
    """The number that a constant of one element holds; of bfloat16 Python gets wrong ones."""
    node = x.get_node()
    is_known = node.get_type_name() == "Constant" and x.get_element_type() in (F16, F32)
    is_one = is_known and math.prod(node.get_data().shape) == 1
    return float(node.get_data().reshape(())) if is_one else None


def minimum(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    """A ReLU below a number is a clamp, which the plugin fuses with the convolution before it."""
    for x, other in (inputs, inputs[::-1]):
        node, most = x.get_node(), limit(other)
        is_relu = node.get_type_name() == "Relu" and rank(x) == len(out_shape)
        if is_relu and most is not None and most >= 0:
            return out(op.clamp(node.input_value(0), 0.0, most))
    return binary(op.minimum)(ctx, inputs, attrs, out_shape, dtype)


# Reductions.


def without_dims(x: Output, attrs: Attrs, dims: Sequence[int]) -> Output:
    """Drops the reduced dims of size 1 unless they are kept."""
    return x if attrs["keepdim"] else out(op.squeeze(x, indices(dims)))


def reduction(
    make: Callable[..., Output | Node],
    integers: Callable[[Output, int], Output] | None = None,
) -> Row:
    """Native reduction, or one dim after the other where that is inexact for int32."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
        dims, x = attrs["dims"], wide(inputs[0])
        if not dims:
            return inputs[0]
        if integers is None or not is_integer(x):
            return narrow(make(x, indices(dims), attrs["keepdim"]), dtype)
        return narrow(without_dims(reduce(integers, dims, x), attrs, dims), dtype)

    return row


def mean(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    """The plugin gives 0 for nothing."""
    if 0 in [known_size(inputs[0], dim) for dim in attrs["dims"]]:
        return narrow(filled(ctx, math.nan, out_shape, "float32"), dtype)
    return reduction(op.reduce_mean)(ctx, inputs, attrs, out_shape, dtype)


def extreme(mode: str) -> Callable[[Output, Output, bool], Output | Node]:
    """Halved meanwhile, because the plugin starts from the largest finite value, not from inf."""
    native = {"max": op.reduce_max, "min": op.reduce_min}[mode]

    def make(x: Output, dims: Output, keepdim: bool) -> Output | Node:
        if all(known_size(x, dim) == 1 for dim in dims.get_node().get_data()):
            return x if keepdim else op.squeeze(x, dims)  # both factors would go, too
        halved = native(op.multiply(x, const(0.5, F32)), dims, keepdim)
        return op.multiply(halved, const(2.0, F32))

    return make


def product(x: Output, dims: Output, keepdim: bool) -> Node:
    result = op.reduce_prod(x, dims, keepdim)
    # Used twice, it is not fused with what follows, which would take integers through float32.
    return op.bitwise_or(result, result) if is_integer(x) else result


def sum_of_integers(x: Output, dim: int) -> Output:
    """The last running sum: ReduceSum goes through float32."""
    first = [int(dim == d) for d in range(rank(x))]
    started = op.pad(x, indices(first), indices([0] * rank(x)), "constant", const(0, x))
    running = op.cumsum(started, const(dim, I64))
    return out(op.slice(running, *map(indices, ([-1], [np.iinfo(np.int64).max], [1], [dim]))))


def extreme_of_integers(mode: str) -> Callable[[Output, int], Output]:
    def make(x: Output, dim: int) -> Output:
        return op.topk(x, const(1, I32), dim, mode, "none", "i32").output(0)

    return make


def position(mode: str) -> Row:
    """Index of the first extreme or NaN; TopK breaks ties as it likes."""

    def row(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
        x, dim = settled(inputs[0]), attrs["dim"]
        size, last = size_of(x, dim), indices([dim])
        column = indices([-1 if d == dim else 1 for d in range(rank(x))])
        numbers = op.reshape(op.range(const(0, I32), size, const(1, I32), "i32"), column, False)
        if is_integer(x):
            hits = equal_integers(x, extreme_of_integers(mode)(x, dim))
            score = op.select(hits, numbers, size)
        else:
            score = op.select(op.equal(x, extreme(mode)(x, last, True)), numbers, size)
            score = op.select(op.is_nan(x), op.subtract(numbers, size), score)
        first = op.reduce_min(score, last, attrs["keepdim"])
        return out(op.select(op.less(first, const(0, I32)), op.add(first, size), first))

    return row


def softmax(make: Callable[..., Node]) -> Row:
    def row(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
        return narrow(make(wide(inputs[0]), attrs["dim"]), dtype)

    return row


# Matrix products.


def limbs(x: Output) -> list[Output]:
    """int32 as four digits of base 256 in float32, the last one signed."""
    digits = [x]
    for _ in range(3):
        digit = out(op.bitwise_and(digits[-1], const(255, I32)))
        above = op.bitwise_right_shift(digits[-1], const(8, I32))
        digits[-1:] = [digit, out(above)]
    return [convert(digit, F32) for digit in digits]


def matmul(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    if 0 in (known_size(inputs[0], -1), known_size(inputs[1], -2)):
        return filled(ctx, 0, out_shape, dtype)
    lhs, rhs = inputs
    one = constant_value(rhs)
    if one is not None and one.size == 1 and dtype == "float32":
        # A factor: the plugin mistakes the rank of a product with a constant of one element.
        y = op.multiply(lhs, out(op.constant(one.reshape(()))))
        return out(op.reshape(y, ctx.shape(out_shape), special_zero=False))
    if 1 < rank(lhs) < rank(rhs):  # no kernel of attention takes scores of a lower rank
        lhs = out(op.unsqueeze(lhs, indices(list(range(rank(rhs) - rank(lhs))))))
    if lhs.get_partial_shape().is_dynamic and rhs.get_partial_shape().is_static and rank(rhs) > 2:
        # A constant with batch dims becomes a fully connected layer, which does not broadcast.
        lhs = out(op.broadcast(lhs, ctx.shape([*out_shape[:-1], int(rhs.get_shape()[-2])])))
    if dtype != "int32":
        return narrow(op.matmul(lhs, rhs, False, False), dtype)
    left, right = limbs(lhs), limbs(rhs)
    total = None
    for place in range(4):
        for i in range(place + 1):
            product = op.convert(op.matmul(left[i], right[place - i], False, False), I32)
            term = op.multiply(product, const(1 << 8 * place, I32))
            total = term if total is None else op.add(total, term)
    return out(total)


# Counting.


def is_static(numbers: Sequence[Any]) -> bool:
    return all(isinstance(number, int | float) for number in numbers)


def arange_constant(start: float, step: float, count: int, dtype: str) -> Output:
    values: Any = start + np.arange(count) * step
    if dtype in INTEGER_LIMITS and values.dtype.kind == "f":
        values = np.clip(values, *INTEGER_LIMITS[dtype][1:])
    stored = dtype if dtype in INTEGER_LIMITS else "float32"
    if dtype == "bool":
        values = values != 0
    numbers = out(op.constant(values.astype(stored)))
    return float_to_float(numbers, dtype) if stored == "float32" else narrow(numbers, dtype)


def common_denominator(numbers: Sequence[Any]) -> int:
    """What makes all numbers whole; symbolic ones are."""
    return max(n.as_integer_ratio()[1] if isinstance(n, float) else 1 for n in numbers)


def arange(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    """Counted in int32 times the common denominator of start and step."""
    numbers, (count,) = [attrs["start"], attrs["step"]], out_shape
    if is_static([*numbers, count]):
        return arange_constant(numbers[0], numbers[1], count, dtype)
    scale = common_denominator(numbers)
    zero, one = const(0, I32), const(1, I32)
    places = op.range(zero, convert(ctx.size(count), I32), one, "i32")
    start, step = (
        const(int(number * scale), I32)
        if isinstance(number, int | float)
        else op.multiply(convert(ctx.size(number), I32), const(scale, I32))
        for number in numbers
    )
    values = out(op.add(start, op.multiply(places, step)))
    if dtype in INTEGER_LIMITS and scale == 1:
        return narrow(values, dtype)
    scaled = op.divide(op.convert(values, F32), const(float(scale), F32))
    return cast(ctx, [out(scaled)], {}, out_shape, dtype)


# What the plugin cannot do exactly.


def check_conv(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    if len(attrs["stride"]) > 3:
        return "convolutions have at most 3 spatial dims"
    if not all(isinstance(size, int) for size in shapes[1]):
        return "the weight of a convolution needs known sizes"
    return None


def check_avgpool(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    dtype = dtypes[0]
    if dtype not in INTEGER_LIMITS:
        return None
    if math.prod(attrs["kernel"]) * INTEGER_LIMITS[dtype][2] > 2**24:
        return f"sums of {dtype} windows do not fit float32 exactly"
    return None


def check_matmul(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    if dtypes[0] != "int32":
        return None
    size = shapes[0][-1]
    if not isinstance(size, int) or size > MOST_LIMB_PRODUCTS:
        return f"int32 products of more than {MOST_LIMB_PRODUCTS} terms are not exact"
    return None


def check_arange(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    numbers = [attrs["start"], attrs["step"]]
    if is_static([*numbers, *shapes[-1]]) or common_denominator(numbers) <= 2**8:
        return None
    return "a range of symbolic length needs start and step with few fraction bits"


CHECKS: dict[str, Check] = {
    "conv": check_conv,
    "conv_transpose": check_conv,
    "avgpool": check_avgpool,
    "matmul": check_matmul,
    "arange": check_arange,
    **{name: check for family in FAMILIES for name, check in family.CHECKS.items()},
}


def refusal(
    name: str,
    dtypes: Sequence[str],
    out_dtype: str,
    attrs: Mapping[str, Any],
    shapes: Sequence[tuple[Any, ...]],
    out_shape: tuple[Any, ...],
) -> str | None:
    """Why the CPU plugin cannot compute a node exactly, None if it can."""
    used = [*dtypes, out_dtype]
    for dtype in used:
        if dtype in NARROWED:
            return f"{dtype} would be computed as {NARROWED[dtype]}"
        if dtype == "int4" or (dtype in PACKED and name != "cast"):
            return f"{dtype} values are not supported"
    check = CHECKS.get(name)
    return check(dtypes, attrs, [*shapes, out_shape]) if check else None


# The rows.


#: Computed in float32 or int32 and rounded once.
PLAIN: dict[str, Unary] = {
    "abs": magnitude,
    "exp": exp,
    "log": op.log,
    "log1p": log1p,
    "expm1": expm1,
    "sqrt": op.sqrt,
    "sin": op.sin,
    "cos": op.cos,
    "tan": op.tan,
    "asin": op.asin,
    "acos": op.acos,
    "atan": op.atan,
    "sinh": op.sinh,
    "cosh": op.cosh,
    "erf": op.erf,
    "invert": invert,
}
#: Functions with steps.
STEPPED: dict[str, Unary] = {
    "sign": op.sign,
    "floor": op.floor,
    "ceil": op.ceil,
    "round": partial(op.round, mode="half_to_even"),
}
#: Left in bfloat16, so that the plugin fuses them with convolutions and matrix products.
FUSED: dict[str, Unary] = {
    "neg": negative,
    "relu": relu,
    "tanh": op.tanh,
    "sigmoid": op.sigmoid,
}

TABLE: dict[str, Row] = {
    **{name: unary(make) for name, make in PLAIN.items()},
    **{name: unary(make, settled) for name, make in STEPPED.items()},
    **{name: unary(make, wide_integers) for name, make in FUSED.items()},
    "gelu": gelu,
    "add": binary(op.add),
    "sub": binary(op.subtract),
    "mul": binary(op.multiply),
    "div": binary(in_float32(op.divide)),
    "maximum": binary(op.maximum),
    "minimum": minimum,
    "floordiv": binary(partial(divided, divided_floats, 0), partial(divided, divided_integers, 0)),
    "mod": binary(partial(divided, divided_floats, 1), partial(divided, divided_integers, 1)),
    "pow": power,
    "atan2": binary(in_float32(atan2)),
    "eq": binary(compare(op.equal), equal_integers, op.equal),
    "lt": binary(compare(op.less), less_integers, less_bools),
    "le": binary(compare(op.less_equal), less_equal_integers, less_equal_bools),
    "bit_and": binary(op.bitwise_and, bools=op.logical_and),
    "bit_or": binary(op.bitwise_or, bools=op.logical_or),
    "bit_xor": binary(op.bitwise_xor, bools=op.logical_xor),
    "cast": cast,
    "sum": reduction(op.reduce_sum, sum_of_integers),
    "prod": reduction(product),
    "mean": mean,
    "max": reduction(extreme("max"), extreme_of_integers("max")),
    "min": reduction(extreme("min"), extreme_of_integers("min")),
    "all": reduction(op.reduce_logical_and),
    "any": reduction(op.reduce_logical_or),
    "argmax": position("max"),
    "argmin": position("min"),
    "softmax": softmax(op.softmax),
    "log_softmax": softmax(op.log_softmax),
    "matmul": matmul,
    "arange": arange,
    **{name: row for family in FAMILIES for name, row in family.ROWS.items()},
}


def unless_empty(row: Row) -> Row:
    """Results known to be empty need no operation; some of the plugin fail or write beyond them."""

    def guarded(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
        if any(isinstance(size, int) and size == 0 for size in out_shape):
            return filled(ctx, 0, out_shape, dtype)
        return row(ctx, inputs, attrs, out_shape, dtype)

    return guarded


ROWS: dict[str, Row] = {name: unless_empty(row) for name, row in TABLE.items()}
