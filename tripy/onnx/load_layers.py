"""One row per ONNX operation: convolution, pooling, normalisation, images and quantization."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tripy import dtypes, shapes
from tripy.dtypes import dtype
from tripy.onnx.builder import BY_NUMBER
from tripy.onnx.calls import Call, Check, Result, Row, Step, attribute_check, later
from tripy.onnx.load_elementwise import check_saturation
from tripy.onnx.load_movement import as_matrix
from tripy.ops import reduce
from tripy.ops.convolution import conv, conv_transpose
from tripy.ops.create import full
from tripy.ops.elementwise import cast, maximum, minimum
from tripy.ops.movement import permute, reshape
from tripy.ops.pooling import avgpool, maxpool
from tripy.ops.registry import apply
from tripy.ops.window import same_padding
from tripy.tensor import Tensor

# Windows -------------------------------------------------------------------------------------


def _window(call: Call, kernel: Sequence[int]) -> dict[str, Any]:
    """Stride, dilation and padding in the forms of tripy."""
    count = len(kernel)
    stride = tuple(call.attr("strides", (1,) * count))
    dilation = tuple(call.attr("dilations", (1,) * count))
    pads = call.attr("pads", (0,) * (2 * count))
    padding: Any = list(zip(pads[:count], pads[count:]))
    mode = call.attr("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "VALID"):
        padding = {"SAME_UPPER": "same", "VALID": "valid"}[mode]
    elif mode == "SAME_LOWER":
        sizes = call.tensor()._value.shape[2:]
        if not shapes.is_static(sizes):
            raise call.unsupported("auto_pad=SAME_LOWER needs static sizes")
        padding = [
            (after, before) for before, after in same_padding(sizes, kernel, stride, dilation)
        ]
    return {"stride": stride, "dilation": dilation, "padding": padding}


def _kernel(call: Call, weight: Tensor) -> Any:
    kernel = weight._value.shape[2:]
    if tuple(call.attr("kernel_shape", kernel)) != kernel:
        raise call.unsupported("kernel_shape is not that of the weights")
    return kernel


def convolution(call: Call) -> Tensor:
    weight = call.tensor(1)
    window = _window(call, _kernel(call, weight))
    groups = call.attr("group", 1)
    return conv(call.tensor(), weight, call.optional(2), groups=groups, **window)


def transposed_convolution(call: Call) -> Tensor:
    weight = call.tensor(1)
    kernel = _kernel(call, weight)
    window = _window(call, kernel)
    extra = list(call.attr("output_padding", (0,) * len(kernel)))
    options = {"groups": call.attr("group", 1), "output_padding": extra}
    return conv_transpose(call.tensor(), weight, call.optional(2), **window, **options)


def max_pool(call: Call) -> Tensor:
    kernel = call.attr("kernel_shape")
    window = _window(call, kernel)
    del window["dilation"]
    return maxpool(call.tensor(), kernel, **window, ceil_mode=bool(call.attr("ceil_mode", 0)))


def average_pool(call: Call) -> Tensor:
    kernel = call.attr("kernel_shape")
    window = _window(call, kernel)
    del window["dilation"]
    include, ceil = bool(call.attr("count_include_pad", 0)), bool(call.attr("ceil_mode", 0))
    x = call.tensor()
    return avgpool(x, kernel, **window, count_include_pad=include, ceil_mode=ceil)


def global_mean(call: Call) -> Tensor:
    x = call.tensor()
    return reduce.mean(x, list(range(2, x.rank)), True)


def global_maximum(call: Call) -> Tensor:
    x = call.tensor()
    return reduce.max(x, list(range(2, x.rank)), True)


# Normalisation -------------------------------------------------------------------------------


def _standardised(x: Tensor, dims: Sequence[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / deviation in at least float32, the mean and the inverse deviation."""
    wide = cast(x, dtypes.float32) if x.dtype in (dtypes.float16, dtypes.bfloat16) else x
    mean = reduce.mean(wide, list(dims), True)
    centred = wide - mean
    variance = reduce.mean(centred * centred, list(dims), True)
    deviation = apply("sqrt", variance + eps)
    return centred / deviation, mean, 1.0 / deviation


def _channels(x: Tensor, rank: int) -> Tensor:
    """A vector of channels, shaped to broadcast over (N, C, …)."""
    return reshape(x, (-1, *[1] * (rank - 2)))


def layer_norm(call: Call) -> Sequence[Tensor]:
    x, scale = call.tensor(), call.tensor(1)
    axis = call.attr("axis", -1)
    dims = range(axis % x.rank, x.rank)
    result, mean, inverse = _standardised(x, dims, call.attr("epsilon", 1e-5))
    result = cast(result, x.dtype) * scale
    return [result + call.tensor(2) if call.has(2) else result, mean, inverse]


def instance_norm(call: Call) -> Tensor:
    x = call.tensor()
    result = _standardised(x, range(2, x.rank), call.attr("epsilon", 1e-5))[0]
    scale, bias = (_channels(call.tensor(i), x.rank) for i in (1, 2))
    return cast(result, x.dtype) * scale + bias


def group_norm(call: Call) -> Tensor:
    x, groups = call.tensor(), call.attr("num_groups")
    batch, channels, *space = x._value.shape
    inner = (shapes.floordiv(channels, groups), *space)
    grouped = apply("reshape", x, shape=(batch, groups, *inner))
    result = _standardised(grouped, range(2, grouped.rank), call.attr("epsilon", 1e-5))[0]
    result = apply("reshape", cast(result, x.dtype), shape=x._value.shape)
    return result * _channels(call.tensor(1), x.rank) + _channels(call.tensor(2), x.rank)


def batch_norm(call: Call) -> Tensor:
    x = call.tensor()
    weights = [cast(call.tensor(i), x.dtype) for i in range(1, 5)]
    return apply("batchnorm", x, *weights, eps=call.attr("epsilon", 1e-5))


def softmax(function: Callable[[Tensor, int], Tensor]) -> Row:
    def row(call: Call) -> Tensor:
        x = call.tensor()
        if call.opset >= 13:
            return function(x, call.attr("axis", -1))
        axis = call.attr("axis", 1) % max(x.rank, 1)
        flat = as_matrix(x, axis)
        return reshape(function(flat, 1), x.shape)

    return row


# Images --------------------------------------------------------------------------------------


def _blocks(call: Call, order: str) -> Tensor:
    """Moves blocks of channels to space."""
    x, block = call.tensor(), call.attr("blocksize")
    batch, channels, height, width = x._value.shape
    depth = shapes.floordiv(channels, block * block)
    split, perm = {
        "DCR": ((block, block, depth), (0, 3, 4, 1, 5, 2)),
        "CRD": ((depth, block, block), (0, 1, 4, 2, 5, 3)),
    }[order]
    x = permute(apply("reshape", x, shape=(batch, *split, height, width)), perm)
    return apply("reshape", x, shape=(batch, depth, height * block, width * block))


def depth_to_space(call: Call) -> Tensor:
    return _blocks(call, call.attr("mode", "DCR"))


def space_to_depth(call: Call) -> Tensor:
    x, block = call.tensor(), call.attr("blocksize")
    batch, channels, *space = x._value.shape
    perm = {"DCR": (0, 3, 5, 1, 2, 4), "CRD": (0, 1, 3, 5, 2, 4)}[call.attr("mode", "DCR")]
    height, width = (shapes.floordiv(size, block) for size in space)
    x = apply("reshape", x, shape=(batch, channels, height, block, width, block))
    x = permute(x, perm)
    return apply("reshape", x, shape=(batch, channels * (block * block), height, width))


def resize(call: Call) -> Result:
    """The coordinates of ONNX that ``tp.resize`` has too."""
    x, mode, is_old = call.tensor(), call.attr("mode", "nearest"), _is_old(call)
    target = _target_sizes(call, x)
    coordinates = call.attr("coordinate_transformation_mode", "half_pixel")
    coordinates = "asymmetric" if is_old else coordinates
    rounding = call.attr("nearest_mode", "floor" if is_old else "round_prefer_floor")
    pairs = [(shapes.as_size(new), old) for new, old in zip(target, x._value.shape)]
    if mode == "nearest":
        is_floor = coordinates == "asymmetric" and rounding == "floor"
        is_centred = coordinates == "half_pixel" and rounding.startswith("round")
        fits = is_floor or (is_centred and all(_is_multiple(*pair) for pair in pairs))
    else:
        fits = coordinates in ("half_pixel", "align_corners") or (
            coordinates == "pytorch_half_pixel" and all(new != 1 or old == 1 for new, old in pairs)
        )
    if not fits:
        rounded = f" rounded by {rounding}" if mode == "nearest" else ""
        raise call.unsupported(f"{mode} resizing with {coordinates} coordinates{rounded}")
    options = {"align_corners": True} if coordinates == "align_corners" else {}
    return later("resize", x, target, mode, **options)


def _is_old(call: Call) -> bool:
    return call.opset < 11 or call.step.op == "Upsample"


def _is_multiple(new: Any, old: Any) -> bool:
    return bool(new == old or (old != 0 and shapes.mod(new, old) == 0))


def _target_sizes(call: Call, x: Tensor) -> list[Any]:
    axes = list(call.attr("axes", range(x.rank)))
    target: list[Any] = list(x.shape)
    if not _is_old(call) and call.has(3):
        for axis, new in zip(axes, call.sizes(3)):
            target[axis] = new
        return target
    at = 1 if _is_old(call) else 2
    factors = call.numbers(at) if call.has(at) else call.attr("scales")
    for axis, factor in zip(axes, factors):
        target[axis] = _scaled_size(call, x.shape[axis], factor)
    return target


def _scaled_size(call: Call, size: Any, factor: float) -> Any:
    """Only sizes that the factor reaches exactly: coordinates are those of in and out sizes."""
    if float(factor).is_integer():
        return size * int(factor)
    if type(size) is int and (size * factor).is_integer():
        return int(size * factor)
    raise call.unsupported(f"a size that {factor} times the input does not reach exactly")


# Quantization --------------------------------------------------------------------------------


_NUMBERS = {kind: number for number, kind in BY_NUMBER.items()}
_UINT8 = _NUMBERS[dtypes.uint8]


def _grid(call: Call, kind: dtype) -> tuple[Tensor, bool]:
    """The zero point in the dtype of arithmetic, and whether it is 0 everywhere."""
    if not call.has(2):
        return full((), 0, kind), True
    point = call.tensor(2)
    return cast(point, kind), not point._value.traced and not any(call.numbers(2))


def _along(call: Call, x: Tensor, scale: Tensor) -> tuple[Tensor, int | None]:
    """The scale and the dim that it goes along; one element counts for all."""
    axis, block = call.attr("axis", 1), call.attr("block_size", 0)
    sizes = [(scale.shape[d], n) for d, n in enumerate(x.shape)] if scale.rank == x.rank else []
    if block and (not sizes or any(a * block != b for a, b in sizes[axis % x.rank :][:1])):
        raise call.unsupported("the scale is not one per block")
    if scale.size == 1:
        return reshape(scale, ()), None
    return scale, axis % x.rank


def _broadcast(values: Tensor, dim: int | None, rank: int) -> Tensor:
    if dim is None or values.rank != 1:
        return reshape(values, ()) if values.size == 1 else values
    return reshape(values, [-1 if d == dim else 1 for d in range(rank)])


def _refuse_blocks(call: Call) -> None:
    if call.attr("block_size", 0):
        raise call.unsupported("blocks of this dtype, or with zero points")


def quantize_linear(call: Call) -> Result:
    x = call.tensor()
    scale, dim = _along(call, x, cast(call.tensor(1), x.dtype))
    kind = BY_NUMBER.get(call.attr("output_dtype", 0) or _UINT8)
    kind = call.operand(2).dtype if call.has(2) else kind
    if kind is None or call.attr("output_dtype", 0) not in (0, _NUMBERS[kind]):
        raise call.unsupported("the dtype of the result is not understood")
    check_saturation(call, kind)
    point, is_zero = _grid(call, x.dtype)
    if is_zero and kind in (dtypes.int8, *dtypes.PACKED):
        return later("quantize", x, scale, kind, dim)
    _refuse_blocks(call)
    low, high = dtypes.integer_range(kind)
    steps = apply("round", x / _broadcast(scale, dim, x.rank)) + _broadcast(point, dim, x.rank)
    return cast(minimum(maximum(steps, float(low)), float(high)), kind)


def dequantize_linear(call: Call) -> Result:
    x, scale = call.tensor(), call.tensor(1)
    if call.attr("output_dtype", 0) not in (0, _NUMBERS[scale.dtype]):
        raise call.unsupported("a result of another dtype than the scale")
    scale, dim = _along(call, x, scale)
    point, is_zero = _grid(call, scale.dtype)
    if is_zero and x.dtype in (dtypes.int8, *dtypes.PACKED):
        return later("dequantize", x, scale, scale.dtype, dim)
    _refuse_blocks(call)
    shifted = cast(x, scale.dtype)
    shifted = shifted if is_zero else shifted - _broadcast(point, dim, x.rank)
    return shifted * _broadcast(scale, dim, x.rank)


def _dilated(step: Step) -> str | None:
    return "dilations" if any(d != 1 for d in step.attributes.get("dilations", ())) else None


def _max_pool_check(step: Step) -> str | None:
    return "the indices as a result" if step.used(1) else _dilated(step)


def _resize_check(step: Step) -> str | None:
    attributes = step.attributes
    if attributes.get("mode", "nearest") == "cubic" and not math.isclose(
        attributes.get("cubic_coeff_a", -0.75), -0.75
    ):
        return "another cubic coefficient than -0.75"
    for name, allowed in _RESIZE.items():
        if attributes.get(name, allowed[0]) not in allowed:
            return f"{name}={attributes[name]!r}"
    return None


_RESIZE: dict[str, tuple[Any, ...]] = {
    "mode": ("nearest", "linear", "cubic"),
    "coordinate_transformation_mode": (
        "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
    ),
    "antialias": (0,),
    "exclude_outside": (0,),
    "keep_aspect_ratio_policy": ("stretch",),
}  # fmt: skip

ROWS: dict[str, Row] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_mean,
    "GlobalMaxPool": global_maximum,
    "LayerNormalization": layer_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "BatchNormalization": batch_norm,
    "Softmax": softmax(reduce.softmax),
    "LogSoftmax": softmax(reduce.log_softmax),
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Resize": resize,
    "Upsample": resize,
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
}
CHECKS: dict[str, Check] = {
    "MaxPool": _max_pool_check,
    "AveragePool": _dilated,
    "ConvTranspose": lambda step: "output_shape" if "output_shape" in step.attributes else None,
    "BatchNormalization": attribute_check("training_mode", (0,), 0),
    "GroupNormalization": lambda step: "the form before opset 21" if step.opset < 21 else None,
    "DepthToSpace": attribute_check("mode", ("DCR", "CRD"), "DCR"),
    "Resize": _resize_check,
    "Upsample": _resize_check,
}
