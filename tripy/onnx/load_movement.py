"""One row per ONNX operation: products, shapes, movement and indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tripy import dtypes, shapes
from tripy.onnx.calls import (
    Call,
    Check,
    Known,
    Result,
    Row,
    attribute_check,
    is_float,
    known,
    later,
    narrow,
    unified,
)
from tripy.ops import joining, movement
from tripy.ops.create import arange, full
from tripy.ops.elementwise import cast, maximum, minimum, where
from tripy.ops.index import gather, take_along_dim
from tripy.ops.linear import matmul
from tripy.ops.registry import apply
from tripy.shapes import Size
from tripy.tensor import Tensor, make_size

# Shapes and movement -------------------------------------------------------------------------


def shape(call: Call) -> Known:
    sizes = _sizes(call.operand(0))
    return known(sizes[call.attr("start", 0) : call.attr("end", len(sizes))], dtypes.int64)


def _sizes(value: Any) -> tuple[Size, ...]:
    return value.array.shape if isinstance(value, Known) else tuple(value._value.shape)


def size(call: Call) -> Known:
    return known(shapes.product(_sizes(call.operand(0))), dtypes.int64)


def constant_of_shape(call: Call) -> Tensor:
    value = call.attr("value")
    if value is None:
        return full(call.sizes(0), 0.0)
    element = Tensor(value)
    return full(call.sizes(0), element.item(), element.dtype)


def range_(call: Call) -> Tensor:
    kind = call.operand(0).dtype
    if kind in dtypes.INTEGERS:
        start, stop, step = (call.sizes(i)[0] for i in range(3))
        return arange(start, stop, step, kind)
    start, stop, step = (call.numbers(i)[0] for i in range(3))
    return arange(start, stop, step, kind)


def dropout(call: Call) -> Sequence[Tensor]:
    """As in inference: every element is kept."""
    x = call.tensor()
    is_training = call.opset < 7 and not call.attr("is_test", 0)
    if is_training or (call.has(2) and any(call.numbers(2))):
        raise call.unsupported("elements are dropped at random in training")
    return [x, full(x.shape, True, dtypes.bool_)]


def reshape(call: Call) -> Tensor:
    x = call.tensor()
    sizes = list(call.attr("shape", ())) if call.opset < 5 else call.sizes(1)
    if not call.attr("allowzero", 0):
        sizes = [x.shape[i] if type(s) is int and s == 0 else s for i, s in enumerate(sizes)]
    return movement.reshape(x, sizes)


def as_matrix(x: Tensor, axis: int) -> Tensor:
    """Merge the dims before an axis, and those from it on."""
    sizes = x._value.shape
    parts = (shapes.product(sizes[:axis]), shapes.product(sizes[axis:]))
    return apply("reshape", x, shape=parts)


def flatten(call: Call) -> Tensor:
    x, axis = call.tensor(), call.attr("axis", 1)
    return as_matrix(x, axis if axis >= 0 else axis + x.rank)


def transpose(call: Call) -> Tensor:
    x = call.tensor()
    return movement.permute(x, call.attr("perm", tuple(reversed(range(x.rank)))))


def squeeze(call: Call) -> Tensor:
    return movement.squeeze(call.tensor(), call.axes())


def unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(), call.axes() or []
    rank = x.rank + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = movement.unsqueeze(x, axis)
    return x


def concat(call: Call) -> Tensor:
    return joining.concatenate(call.tensors(), call.attr("axis"))


def split(call: Call) -> Sequence[Tensor]:
    sizes = list(call.attr("split", ())) or (call.sizes(1) if call.has(1) else None)
    parts = sizes or len(call.step.outputs)
    if call.attr("num_outputs", len(call.step.outputs)) != len(call.step.outputs):
        raise call.unsupported("num_outputs is not the number of outputs")
    return joining.split(call.tensor(), parts, call.attr("axis", 0))


def slice_(call: Call) -> Tensor:
    x = call.tensor()
    if call.opset < 10:
        starts, ends = list(call.attr("starts")), list(call.attr("ends"))
        axes, steps = call.attr("axes"), None
    else:
        starts, ends = call.sizes(1), call.sizes(2)
        axes = call.ints(3) if call.has(3) else None
        steps = call.ints(4) if call.has(4) else None
    index = [slice(None)] * x.rank
    for i, axis in enumerate(axes if axes is not None else range(len(starts))):
        index[axis] = slice(starts[i], ends[i], steps[i] if steps else 1)
    return x[tuple(index)] if index else x


def expand(call: Call) -> Tensor:
    x = call.tensor()
    target = shapes.broadcast(x._value.shape, tuple(call.integers(1)))
    if target is None:
        raise call.unsupported("the sizes do not broadcast")
    return movement.expand(x, [s if isinstance(s, int) else make_size(s) for s in target])


def tile(call: Call) -> Result:
    return later("tile", call.tensor(), call.ints(1))


def pad(call: Call) -> Tensor:
    x = call.tensor()
    amounts = list(call.attr("pads", ())) if call.opset < 11 else call.sizes(1)
    axes = call.ints(3) if call.has(3) else list(range(x.rank))
    pairs: list[tuple[Any, Any]] = [(0, 0)] * x.rank
    for i, axis in enumerate(axes):
        pairs[axis] = amounts[i], amounts[i + len(axes)]
    x = x[tuple(_cropped(low, high) for low, high in pairs)] if x.rank else x
    grown = [tuple(_at_least_zero(n) for n in pair) for pair in pairs]
    value = call.numbers(2)[0] if call.has(2) else call.attr("value", 0)
    value = value if is_float(x) or x.dtype is dtypes.bool_ else int(value)
    return joining.pad(x, grown, call.attr("mode", "constant"), value)


def _cropped(low: Any, high: Any) -> slice:
    """Negative padding cuts."""
    first, last = (-n if type(n) is int and n < 0 else 0 for n in (low, high))
    return slice(first, -last if last else None)


def _at_least_zero(amount: Any) -> Any:
    return max(amount, 0) if type(amount) is int else amount


# Indices -------------------------------------------------------------------------------------


def gather_(call: Call) -> Tensor:
    return gather(call.tensor(), call.attr("axis", 0), narrow(call.tensor(1)))


def gather_elements(call: Call) -> Tensor:
    x, index, axis = call.tensor(), narrow(call.tensor(1)), call.attr("axis", 0)
    axis %= x.rank
    beside = [slice(0, n) if d != axis else slice(None) for d, n in enumerate(index.shape)]
    return take_along_dim(x[tuple(beside)], axis, index)


def scatter_elements(call: Call) -> Result:
    reduction = call.attr("reduction", "none")
    x, updates = unified([call.tensor(), call.tensor(2)])
    index = narrow(call.tensor(1))
    kind = None if reduction == "none" else reduction
    return later("scatter", x, call.attr("axis", 0), index, updates, kind)


def _limited(index: Tensor) -> Tensor:
    """Positions in int32; those beyond it are none either way."""
    if index.dtype is dtypes.int64:
        index = minimum(maximum(index, -(2**30)), 2**30)
    return cast(index, dtypes.int32)


def one_hot(call: Call) -> Tensor:
    """Positions compared with the class numbers; negative ones count from the end."""
    depth, (off, on) = call.sizes(1)[0], joining.split(call.tensor(2), 2)
    index = _limited(call.tensor())
    axis = call.attr("axis", -1)
    axis = axis if axis >= 0 else axis + index.rank + 1
    index = movement.unsqueeze(where(index < 0, index + depth, index), axis)
    column = [depth if d == axis else 1 for d in range(index.rank)]
    classes = movement.reshape(arange(depth, dtype=dtypes.int32), column)
    return where(index == classes, on, off)


def cumsum(call: Call) -> Result:
    x, axis = call.tensor(), call.ints(1)[0]
    x = later("flip", x, axis) if call.attr("reverse", 0) else x
    total = later("cumsum", x, axis)
    if call.attr("exclusive", 0):
        total = total - x
    return later("flip", total, axis) if call.attr("reverse", 0) else total


def topk(call: Call) -> Result:
    count = call.sizes(1)[0] if call.has(1) else call.attr("k")
    options = {"dim": call.attr("axis", -1), "largest": bool(call.attr("largest", 1))}
    values, index = later("topk", call.tensor(), count, **options)
    return [values, cast(index, dtypes.int64)]


def triangle(call: Call) -> Result:
    diagonal = call.ints(1)[0] if call.has(1) else 0
    return later("triu" if call.attr("upper", 1) else "tril", call.tensor(), diagonal)


def einsum(call: Call) -> Result:
    return later("einsum", call.attr("equation"), *call.tensors())


def gemm(call: Call) -> Tensor:
    lhs, rhs = call.tensor(0), call.tensor(1)
    lhs = movement.transpose(lhs, 0, 1) if call.attr("transA", 0) else lhs
    rhs = movement.transpose(rhs, 0, 1) if call.attr("transB", 0) else rhs
    product = _scaled(matmul(lhs, rhs), call.attr("alpha", 1.0))
    return product + _scaled(call.tensor(2), call.attr("beta", 1.0)) if call.has(2) else product


def _scaled(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1.0 else x * (factor if is_float(x) else int(factor))


ROWS: dict[str, Row] = {
    "MatMul": lambda call: matmul(*call.tensors()),
    "Gemm": gemm,
    "Einsum": einsum,
    "Shape": shape,
    "Size": size,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "Identity": lambda call: call.operand(0),
    "Dropout": dropout,
    "Reshape": reshape,
    "Flatten": flatten,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "Gather": gather_,
    "GatherElements": gather_elements,
    "ScatterElements": scatter_elements,
    "OneHot": one_hot,
    "CumSum": cumsum,
    "TopK": topk,
    "Trilu": triangle,
}


_CONSTANTS = {"value", "value_float", "value_floats", "value_int", "value_ints"}
CHECKS: dict[str, Check] = {
    "Constant": lambda step: (
        None if set(step.attributes) <= _CONSTANTS else "strings or sparse data"
    ),
    "Pad": attribute_check("mode", ("constant", "reflect", "edge"), "constant"),
    "ScatterElements": attribute_check("reduction", ("none", "add", "max", "min"), "none"),
}
