"""NumPy bodies of the sliding-window primitives: convolutions and pooling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Sequence[Array]
Attrs = Mapping[str, Any]
Shape = tuple[int, ...]
DType = np.dtype[Any]
#: Called as body(inputs, attrs, shape, dtype) with the shape and dtype of the result.
Body = Callable[[Inputs, Attrs, Shape, DType], Array]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
FLOAT16, BFLOAT16 = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)

#: Compute type of elementwise functions and products; other dtypes compute in themselves.
WIDE = {FLOAT16: FLOAT32, BFLOAT16: FLOAT32}
#: Type in which sums and products over many elements are kept.
ACCUMULATOR = {FLOAT16: FLOAT64, BFLOAT16: FLOAT64, FLOAT32: FLOAT64}
#: Python ints make the sum of int64 values exact.
WINDOW_ACCUMULATOR = ACCUMULATOR | {
    np.dtype(name): np.dtype(wide)
    for name, wide in [("i1", "i8"), ("u1", "i8"), ("i2", "i8"), ("i4", "i8"), ("i8", "O")]
}
#: Upper limit of the patch matrix that a convolution holds at once.
BLOCK_BYTES = 8 << 20


def widened(inputs: Inputs) -> list[Array]:
    """The inputs in their compute type."""
    return [x.astype(WIDE.get(x.dtype, x.dtype), copy=False) for x in inputs]


def constant_pad(x: Array, padding: Sequence[tuple[int, int]], value: Any = 0) -> Array:
    """x with `value` around its last len(padding) dimensions."""
    if not any(map(any, padding)):
        return x
    lead, space = x.shape[: x.ndim - len(padding)], x.shape[x.ndim - len(padding) :]
    grown = (low + size + high for size, (low, high) in zip(space, padding, strict=True))
    out = np.full((*lead, *grown), value, x.dtype)
    out[_inner(space, padding)] = x
    return out


def _inner(space: Sequence[int], padding: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
    """Index of the part of a padded array that is not padding."""
    return ..., *(slice(low, low + size) for size, (low, _) in zip(space, padding, strict=True))


def _with_bias(out: Array, bias: Inputs, dtype: DType) -> Array:
    for values in bias:
        out += values.reshape(-1, *[1] * (out.ndim - 2))
    return out.astype(dtype, copy=False)


def _patches(x: Array, kernel: Shape, attrs: Attrs) -> Array:
    """View (N, C, *kernel, *output) of the padded input: the cells that each weight meets."""
    rank = len(kernel)
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, attrs["dilation"], strict=True))
    view = sliding_window_view(x, extent, axis=tuple(range(2, 2 + rank)))
    steps = (slice(None, None, step) for step in (*attrs["stride"], *attrs["dilation"]))
    view = view[(slice(None), slice(None), *steps)]
    return view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))


def _blocks(batch: int, rows: int, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of images and of output rows whose patches stay below BLOCK_BYTES."""
    count = max(1, BLOCK_BYTES // max(1, row_bytes))
    images, lines = max(1, count // rows), min(rows, count)
    for n in range(0, batch, images):
        for row in range(0, rows, lines):
            yield slice(n, n + images), slice(row, row + lines)


def _conv(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, weight, *bias = widened(inputs)
    groups, kernel, space = attrs["groups"], weight.shape[2:], shape[2:]
    depth = math.prod(weight.shape[1:])
    filters = weight.reshape(groups, -1, depth)
    patches = _patches(constant_pad(x, attrs["padding"]), kernel, attrs)
    out = np.empty(shape, x.dtype)
    row_bytes = x.itemsize * groups * depth * math.prod(space[1:])
    kernel_axes = (slice(None),) * len(kernel)
    for images, rows in _blocks(shape[0], space[0], row_bytes):
        block = patches[(images, slice(None), *kernel_axes, rows)]
        target = out[images, :, rows]
        columns = block.reshape(len(target), groups, depth, math.prod(target.shape[2:]))
        target[...] = (filters @ columns).reshape(target.shape)
    return _with_bias(out, bias, dtype)


def _conv_transpose(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    """Each kernel tap adds a matrix product of all cells to its strided part of the output."""
    x, weight, *bias = widened(inputs)
    groups, padding = attrs["groups"], attrs["padding"]
    (batch, channels, *space), (_, per_group, *kernel) = x.shape, weight.shape
    depth = channels // groups
    cells = x.reshape(batch, groups, depth, math.prod(space))
    taps = weight.reshape(groups, depth, per_group, math.prod(kernel)).transpose(3, 0, 2, 1)
    sizes = [low + size + high for size, (low, high) in zip(shape[2:], padding, strict=True)]
    full = np.zeros((batch, groups * per_group, *sizes), x.dtype)
    geometry = list(zip(space, attrs["stride"], attrs["dilation"], strict=True))
    for tap, matrix in zip(np.ndindex(*kernel), np.ascontiguousarray(taps), strict=True):
        reached: tuple[Any, ...] = tuple(
            slice(t * dilation, t * dilation + size * stride, stride)
            for t, (size, stride, dilation) in zip(tap, geometry, strict=True)
        )
        full[(..., *reached)] += (matrix @ cells).reshape(batch, groups * per_group, *space)
    return _with_bias(full[_inner(shape[2:], padding)], bias, dtype)


def _pool(combine: np.ufunc, x: Array, attrs: Attrs, space: Shape, fill: Any) -> Array:
    """Combine the cells of every window, one dimension after the other."""
    windows = list(zip(attrs["kernel"], attrs["stride"], space, strict=True))
    needed = [(out - 1) * stride + kernel for kernel, stride, out in windows]
    lows = [low for low, _ in attrs["padding"]]
    highs = [max(0, n - d - p) for n, d, p in zip(needed, x.shape[2:], lows, strict=True)]
    x = constant_pad(x, list(zip(lows, highs, strict=True)), fill)
    for axis, (kernel, stride, out) in enumerate(windows, start=2):
        lead = (slice(None),) * axis
        taps = (x[(*lead, slice(t, t + out * stride, stride))] for t in range(kernel))
        x = functools.reduce(combine, taps)
    return x


def _maxpool(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    lowest = np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf
    return _pool(np.maximum, inputs[0], attrs, shape[2:], lowest)


def _window_counts(x: Array, attrs: Attrs, space: Shape) -> Array:
    """Number of cells that every average divides by, shaped like one channel of the output."""
    counts = []
    geometry = zip(
        x.shape[2:], attrs["kernel"], attrs["stride"], attrs["padding"], space, strict=True
    )
    for size, kernel, stride, (low, high), out in geometry:
        first, last = (-low, size + high) if attrs["count_include_pad"] else (0, size)
        starts = np.arange(out) * stride - low
        counts.append(np.minimum(starts + kernel, last) - np.maximum(starts, first))
    return functools.reduce(np.multiply.outer, counts)


def _avgpool(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    (x,) = inputs
    total = _pool(np.add, x.astype(WINDOW_ACCUMULATOR.get(dtype, dtype)), attrs, shape[2:], 0)
    divide = np.floor_divide if dtype.kind in "iu" else np.true_divide
    return np.asarray(divide(total, _window_counts(x, attrs, shape[2:]))).astype(dtype)


BODIES: dict[str, Body] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
}
