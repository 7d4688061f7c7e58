"""One row per ONNX operation: arithmetic, selection and reductions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from tripy import dtypes
from tripy.onnx.builder import BY_NUMBER
from tripy.onnx.calls import Call, Check, Result, Row, Step, attribute_check, is_float, unified
from tripy.ops import reduce
from tripy.ops.activation import gelu
from tripy.ops.elementwise import cast, maximum, minimum, where
from tripy.ops.movement import reshape
from tripy.ops.registry import apply
from tripy.tensor import Tensor


def unary(name: str) -> Row:
    """A primitive of one input."""
    return lambda call: apply(name, call.tensor())


def binary(function: Callable[[Any, Any], Any]) -> Row:
    """A function of two operands of one dtype."""
    return lambda call: function(*aligned(call, *call.tensors()))


def aligned(call: Call, lhs: Tensor, rhs: Tensor) -> tuple[Tensor, Tensor]:
    """Before opset 7 the second operand is laid beside the dims of the first from one on."""
    axis = call.attr("axis") if call.opset < 7 and call.attr("broadcast", 0) else None
    if axis is None:
        return lhs, rhs
    after = lhs.rank - axis % max(lhs.rank, 1) - rhs.rank
    return lhs, reshape(rhs, (*rhs.shape, *[1] * after))


def variadic(function: Callable[[Any, Any], Any]) -> Row:
    """A function of two operands, applied one after the other."""
    return lambda call: functools.reduce(function, call.tensors())


def function(make: Callable[[Tensor], Any]) -> Row:
    """A function of one tensor."""
    return lambda call: make(call.tensor())


# Elementwise ---------------------------------------------------------------------------------


def divide(lhs: Tensor, rhs: Tensor) -> Tensor:
    """Integers divide toward zero."""
    if is_float(lhs):
        return lhs / rhs
    quotient = lhs // rhs
    if lhs.dtype is dtypes.uint8:
        return quotient
    rest = lhs % rhs
    below = (rest != 0) & ((lhs < 0) ^ (rhs < 0))
    return quotient + cast(below, lhs.dtype)


def mod(call: Call) -> Tensor:
    lhs, rhs = call.tensors()
    if not call.attr("fmod", 0):
        return lhs % rhs
    if lhs.dtype is dtypes.uint8:
        return lhs % rhs
    rest = apply("abs", lhs) % apply("abs", rhs)
    return where(lhs < 0, -rest, rest)


def power(call: Call) -> Tensor:
    """The exponent may have a dtype of its own; the result has that of the base."""
    base, exponent = aligned(call, call.tensor(0), call.tensor(1))
    if base.dtype is exponent.dtype or is_float(base):
        return base ** cast(exponent, base.dtype)
    if not is_float(exponent):
        return base ** cast(exponent, base.dtype)
    return cast(cast(base, exponent.dtype) ** exponent, base.dtype)


def clip(call: Call) -> Tensor:
    x = call.tensor()
    low, high = call.attr("min"), call.attr("max")  # attributes before opset 11
    low, high = (call.optional(i) if call.has(i) else v for i, v in ((1, low), (2, high)))
    x = x if low is None else _limited(maximum, x, low)
    return x if high is None else _limited(minimum, x, high)


def _limited(function: Callable[[Any, Any], Tensor], x: Tensor, limit: Any) -> Tensor:
    return function(*unified([x, limit]) if isinstance(limit, Tensor) else (x, limit))


def softplus(x: Tensor) -> Tensor:
    return maximum(x, 0.0) + apply("log1p", apply("exp", -apply("abs", x)))


def leaky_relu(call: Call) -> Tensor:
    x = call.tensor()
    return where(x >= 0.0, x, x * call.attr("alpha", 0.01))


def prelu(call: Call) -> Tensor:
    x, slope = call.tensors()
    if call.opset < 7 and slope.rank == 1 and x.rank > 2:  # one slope per channel
        slope = reshape(slope, (-1, *[1] * (x.rank - 2)))
    return where(x >= 0.0, x, x * slope)


def elu(call: Call) -> Result:
    x = call.tensor()
    return where(x > 0.0, x, apply("expm1", x) * call.attr("alpha", 1.0))


def selu(call: Call) -> Result:
    x = call.tensor()
    alpha, gamma = call.attr("alpha", 1.6732631921768188), call.attr("gamma", 1.0507010221481323)
    return where(x > 0.0, x, apply("expm1", x) * alpha) * gamma


def hard_sigmoid(call: Call) -> Tensor:
    x = call.tensor() * call.attr("alpha", 0.2) + call.attr("beta", 0.5)
    return minimum(maximum(x, 0.0), 1.0)


def hard_swish(x: Tensor) -> Tensor:
    return x * minimum(maximum(x + 3.0, 0.0), 6.0) / 6.0


def cast_to(call: Call) -> Tensor:
    x, kind = call.tensor(), BY_NUMBER[call.attr("to")]
    check_saturation(call, kind)
    return cast(x, kind)


def check_saturation(call: Call, kind: dtypes.dtype) -> None:
    """Only float8 has results beyond its largest number, and here they saturate."""
    if kind is dtypes.float8 and not call.attr("saturate", 1):
        raise call.unsupported("saturate=0 is not understood")
    call.seen.add("saturate")


def cast_like(call: Call) -> Tensor:
    kind = call.tensor(1).dtype
    check_saturation(call, kind)
    return cast(call.tensor(), kind)


def is_inf(call: Call) -> Result:
    x = call.tensor()
    positive, negative = call.attr("detect_positive", 1), call.attr("detect_negative", 1)
    low, high = -math.inf if negative else math.inf, math.inf if positive else -math.inf
    return ((x == low) | (x == high)) & (low <= high)


def select(call: Call) -> Tensor:
    return where(call.tensor(), *call.tensors(1))


def mean_of(call: Call) -> Tensor:
    tensors = call.tensors()
    return functools.reduce(lambda a, b: a + b, tensors) / float(len(tensors))


# Reductions ----------------------------------------------------------------------------------


def reduction(function: Callable[..., Tensor]) -> Row:
    def row(call: Call) -> Tensor:
        axes, is_noop = call.axes(), call.attr("noop_with_empty_axes", 0)
        if not axes:
            axes = [] if is_noop else None
        return function(call.tensor(), axes, bool(call.attr("keepdims", 1)))

    return row


def _norm(x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    return apply("sqrt", reduce.sum(x * x, dim, keepdim))


def _log_sum_exp(x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    high = reduce.max(x, dim, True)
    high = where(apply("abs", high) == math.inf, 0.0, high)
    total = apply("log", reduce.sum(apply("exp", x - high), dim, True)) + high
    return total if keepdim else reduce.sum(total, dim, False)


def _extreme(numbers: Callable[..., Tensor], bools: Callable[..., Tensor]) -> Row:
    def function(x: Tensor, dim: Any, keepdim: bool) -> Tensor:
        return (bools if x.dtype is dtypes.bool_ else numbers)(x, dim, keepdim)

    return reduction(function)


def position(function: Callable[..., Tensor]) -> Row:
    """Where an extreme is, in int64 as in the standard."""

    def row(call: Call) -> Tensor:
        found = function(call.tensor(), call.attr("axis", 0), bool(call.attr("keepdims", 1)))
        return cast(found, dtypes.int64)

    return row


# Operations that are one primitive.
UNARY = {
    "Abs": "abs", "Neg": "neg", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Sign": "sign",
    "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Sin": "sin", "Cos": "cos", "Tan": "tan",
    "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh", "Tanh": "tanh",
    "Erf": "erf", "Sigmoid": "sigmoid", "Relu": "relu", "Not": "invert", "BitwiseNot": "invert",
}  # fmt: skip

ROWS: dict[str, Row] = {
    **{op: unary(name) for op, name in UNARY.items()},
    "Reciprocal": function(lambda x: 1.0 / x),
    "Atanh": function(lambda x: (apply("log1p", x) - apply("log1p", -x)) * 0.5),
    "Softplus": function(softplus),
    "Softsign": function(lambda x: x / (apply("abs", x) + 1.0)),
    "Mish": function(lambda x: x * apply("tanh", softplus(x))),
    "HardSwish": function(hard_swish),
    "IsNaN": function(lambda x: x != x),
    "IsInf": is_inf,
    "Gelu": lambda call: gelu(call.tensor(), call.attr("approximate", "none")),
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Elu": elu,
    "Selu": selu,
    "HardSigmoid": hard_sigmoid,
    "Clip": clip,
    "Cast": cast_to,
    "CastLike": cast_like,
    "Add": binary(lambda a, b: a + b),
    "Sub": binary(lambda a, b: a - b),
    "Mul": binary(lambda a, b: a * b),
    "Div": binary(divide),
    "Mod": mod,
    "Pow": power,
    "Min": variadic(minimum),
    "Max": variadic(maximum),
    "Sum": variadic(lambda a, b: a + b),
    "Mean": mean_of,
    "Equal": binary(lambda a, b: a == b),
    "Less": binary(lambda a, b: a < b),
    "LessOrEqual": binary(lambda a, b: a <= b),
    "Greater": binary(lambda a, b: a > b),
    "GreaterOrEqual": binary(lambda a, b: a >= b),
    **{op: binary(lambda a, b: a & b) for op in ("And", "BitwiseAnd")},
    **{op: binary(lambda a, b: a | b) for op in ("Or", "BitwiseOr")},
    **{op: binary(lambda a, b: a ^ b) for op in ("Xor", "BitwiseXor")},
    "Where": select,
    "ReduceSum": reduction(reduce.sum),
    "ReduceMean": reduction(reduce.mean),
    "ReduceProd": reduction(reduce.prod),
    "ReduceMax": _extreme(reduce.max, reduce.any),
    "ReduceMin": _extreme(reduce.min, reduce.all),
    "ReduceL1": reduction(lambda x, dim, keepdim: reduce.sum(apply("abs", x), dim, keepdim)),
    "ReduceL2": reduction(_norm),
    "ReduceSumSquare": reduction(lambda x, dim, keepdim: reduce.sum(x * x, dim, keepdim)),
    "ReduceLogSumExp": reduction(_log_sum_exp),
    "ArgMax": position(reduce.argmax),
    "ArgMin": position(reduce.argmin),
}


def _type_check(step: Step) -> str | None:
    return None if step.attributes.get("to") in BY_NUMBER else "a dtype that tripy lacks"


CHECKS: dict[str, Check] = {
    "Cast": _type_check,
    "ArgMax": attribute_check("select_last_index", (0,), 0),
    "ArgMin": attribute_check("select_last_index", (0,), 0),
}
