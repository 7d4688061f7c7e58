"""NumPy definitions of the operations, for wide arrays: float64, Python ints or bool."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from .cases import FLOATING, Array, integer_range
from .compare import round_integer, round_to

Pairs = Sequence[tuple[int, int]]


def elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    """A function of Python numbers on broadcast arrays."""

    def oracle(*arrays: Array) -> Array:
        broadcast = np.broadcast_arrays(*arrays)
        rows = zip(*(x.ravel() for x in broadcast), strict=True)
        flat = np.empty(broadcast[0].size, object)
        for i, values in enumerate(rows):
            flat[i] = function(*values)
        return flat.reshape(broadcast[0].shape)

    return oracle


# Elementwise.


def relu(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0))


def silu(x: Array) -> Array:
    return np.where(np.isneginf(x), np.nan, x * special.expit(x))


def gelu(x: Array) -> Array:
    return np.asarray(x * special.ndtr(x))


def gelu_tanh(x: Array) -> Array:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    # 0.5·(1 + tanh(y)) without its cancellation is the logistic function of 2y.
    return np.asarray(x * special.expit(2 * inner))


def floor_divide(a: Array, b: Array) -> Array:
    if a.dtype == object or b.dtype == object:
        return elementwise(lambda x, y: x // y if y else 0)(a, b)
    return np.asarray(np.floor_divide(a, b))


def remainder(a: Array, b: Array) -> Array:
    if a.dtype == object or b.dtype == object:
        return elementwise(lambda x, y: x % y if y else 0)(a, b)
    return np.asarray(np.remainder(a, b))


def _integer_power(base: int, exponent: int) -> int:
    if exponent >= 0:
        return pow(base, exponent, 2**64)
    return base ** (-exponent % 2) if abs(base) == 1 else 0


def power(a: Array, b: Array) -> Array:
    integers = a.dtype == object
    return elementwise(_integer_power)(a, b) if integers else np.asarray(np.power(a, b))


def invert(x: Array) -> Array:
    return np.asarray(~x)


def cast(source: str, target: str) -> Callable[[Array], Array]:
    """Conversion of wide values of one dtype to another."""

    def from_float(value: float) -> Any:
        if target == "bool":
            return value != 0
        low, high = integer_range(target)
        if math.isnan(value):
            return 0
        if math.isinf(value):
            return high if value > 0 else low
        return max(low, min(high, int(value)))

    def oracle(x: Array) -> Array:
        if target in FLOATING:
            if source in FLOATING:
                return round_to(x, target)
            return elementwise(lambda v: round_integer(int(v), target))(x)
        if source in FLOATING:
            return elementwise(from_float)(x)
        return np.asarray(x != 0) if target == "bool" else x.astype(object)

    return oracle


# Reductions.


def mean(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    if x.dtype != object:
        count = x.size // max(1, np.sum(x, axis=axis, keepdims=keepdims).size) if x.size else 0
        return np.asarray(np.sum(x, axis=axis, keepdims=keepdims) / np.float64(count))
    total = np.asarray(np.sum(x, axis=axis, keepdims=keepdims), object)
    return np.asarray(total // (x.size // total.size)) if total.size else total


def softmax(x: Array, axis: int | None = None) -> Array:
    return np.asarray(special.softmax(x, axis=axis)) if x.size else x


def log_softmax(x: Array, axis: int | None = None) -> Array:
    return np.asarray(special.log_softmax(x, axis=axis)) if x.size else x


# Products.


def matmul(a: Array, b: Array) -> Array:
    if a.dtype == object:  # sums of no products would be None
        zero = np.zeros(1, object)
        a = np.concatenate([a, np.broadcast_to(zero, (*a.shape[:-1], 1))], -1)
        dim = -2 if b.ndim > 1 else -1
        end = list(b.shape)
        end[dim] = 1
        b = np.concatenate([b, np.broadcast_to(zero, end)], dim)
    return np.asarray(np.matmul(a, b))


# Indexed access.


def clamped(index: Array, size: int) -> Array:
    flat = index.astype(np.int64)
    return np.clip(np.where(flat < 0, flat + size, flat), 0, size - 1)


def gather(x: Array, index: Array, axis: int) -> Array:
    return np.asarray(np.take(x, clamped(index, x.shape[axis]), axis))


def take_along(x: Array, index: Array, axis: int) -> Array:
    index = clamped(index, x.shape[axis])
    beside = list(np.broadcast_shapes(*(_without(s.shape, axis) for s in (x, index))))
    xs = [*beside[: axis % x.ndim], x.shape[axis], *beside[axis % x.ndim :]]
    ids = [*beside[: axis % x.ndim], index.shape[axis], *beside[axis % x.ndim :]]
    x, index = np.broadcast_to(x, xs), np.broadcast_to(index, ids)
    return np.asarray(np.take_along_axis(x, index, axis))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


def split(x: Array, parts: int | Sequence[int], axis: int = 0) -> list[Array]:
    """Chunks of ceil(size / n), the last ones shorter or empty; or of the sizes given."""
    size = x.shape[axis]
    if isinstance(parts, int):
        chunk = -(-size // parts)
        ends = [min(size, chunk * (i + 1)) for i in range(parts)]
    else:
        ends = list(itertools.accumulate(parts))
    starts = [0, *ends[:-1]]
    return [x.take(range(a, b), axis) for a, b in zip(starts, ends, strict=True)]


# Windows.


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def pairs(padding: Any, x: Array, kernel: Sequence[int], stride: Any, dilation: Any) -> Pairs:
    count = len(kernel)
    if padding == "same":
        sizes = zip(x.shape[2:], kernel, stride, dilation, strict=True)
        return [_same(*row) for row in sizes]
    if padding in (None, "valid"):
        return [(0, 0)] * count
    items = [padding] * count if isinstance(padding, int) else padding
    return [(p, p) if isinstance(p, int) else tuple(p) for p in items]


def each(value: Any, count: int, default: int = 1) -> tuple[int, ...]:
    if value is None:
        return (default,) * count
    return (value,) * count if isinstance(value, int) else tuple(value)


def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    padding: Any = None,
    stride: Any = None,
    groups: int | None = None,
    dilation: Any = None,
) -> Array:
    """Cross-correlation, one output cell after the other."""
    kernel, count = w.shape[2:], w.ndim - 2
    stride, dilation = each(stride, count), each(dilation, count)
    amounts = pairs(padding, x, kernel, stride, dilation)
    x = np.pad(x, [(0, 0), (0, 0), *amounts])
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    rows = zip(x.shape[2:], extents, stride, strict=True)
    sizes = [(n - e) // s + 1 for n, e, s in rows]
    out = np.zeros((x.shape[0], w.shape[0], *sizes))
    per_group, in_group = w.shape[0] // (groups or 1), w.shape[1]
    for o in range(w.shape[0]):
        first = o // per_group * in_group
        for cell in np.ndindex(*sizes):
            begin = [i * s for i, s in zip(cell, stride, strict=True)]
            taken = tuple(
                slice(a, a + e, d) for a, e, d in zip(begin, extents, dilation, strict=True)
            )
            patch = x[(slice(None), slice(first, first + in_group), *taken)]
            out[(slice(None), o, *cell)] = (patch * w[o]).sum(tuple(range(1, x.ndim)))
    return out if b is None else out + b.reshape(-1, *(1,) * count)


def conv_transpose(
    x: Array,
    w: Array,
    b: Array | None = None,
    padding: Any = None,
    stride: Any = None,
    groups: int | None = None,
    dilation: Any = None,
    output_padding: Any = None,
) -> Array:
    """Every input cell adds its products to the output cells that it reaches."""
    kernel, count = w.shape[2:], w.ndim - 2
    stride, dilation = each(stride, count), each(dilation, count)
    extra = each(output_padding, count, 0)
    geometry = list(zip(x.shape[2:], kernel, stride, dilation, extra, strict=True))
    if padding == "same":
        totals = [d * (k - 1) + 1 + e - s for _, k, s, d, e in geometry]
        amounts: Pairs = [(total // 2, total - total // 2) for total in totals]
    else:
        amounts = pairs(padding, x, kernel, stride, dilation)
    full = [(n - 1) * s + d * (k - 1) + e + 1 for n, k, s, d, e in geometry]
    in_group, out_group = x.shape[1] // (groups or 1), w.shape[1]
    out = np.zeros((x.shape[0], out_group * (groups or 1), *full))
    for c in range(x.shape[1]):
        first = c // in_group * out_group
        channels = slice(first, first + out_group)
        for cell, tap in itertools.product(np.ndindex(*x.shape[2:]), np.ndindex(*kernel)):
            rows = zip(cell, tap, stride, dilation, strict=True)
            target = tuple(i * s + k * d for i, k, s, d in rows)
            products = x[(slice(None), c, *cell)][:, None] * w[(c, slice(None), *tap)]
            out[(slice(None), channels, *target)] += products
    ends = zip(amounts, full, strict=True)
    inner: Any = (..., *(slice(low, size - high) for (low, high), size in ends))
    out = np.asarray(out[inner])
    return out if b is None else out + b.reshape(-1, *(1,) * count)


def _windows(
    size: int, kernel: int, stride: int, pads: tuple[int, int], ceil_mode: bool
) -> list[tuple[int, int]]:
    """First cell and end of every window, which may lie in the padding or beyond it."""
    low, high = pads
    span = size + low + high - kernel
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    starts = [i * stride - low for i in range(count)]
    return [(a, a + kernel) for a in starts if a < size or not ceil_mode]


def _pool(
    reduce: Callable[[Array, int, int], Any],
    x: Array,
    kernel: Sequence[int],
    stride: Any,
    padding: Any,
    ceil_mode: bool,
) -> Array:
    """``reduce`` gets the real cells of a window, and its cells with and without padding."""
    count = len(kernel)
    stride = each(stride, count)
    amounts = pairs(padding, x, kernel, stride, (1,) * count)
    geometry = list(zip(x.shape[2:], kernel, stride, amounts, strict=True))
    windows = [_windows(*row, ceil_mode) for row in geometry]
    out = np.empty((*x.shape[:2], *map(len, windows)), x.dtype)
    for cell in np.ndindex(*out.shape[2:]):
        chosen = [w[i] for w, i in zip(windows, cell, strict=True)]
        real = [(max(a, 0), min(b, n)) for (a, b), n in zip(chosen, x.shape[2:], strict=True)]
        padded = math.prod(
            min(b, n + high) - a
            for (a, b), (n, _, _, (_, high)) in zip(chosen, geometry, strict=True)
        )
        inner: Any = (..., *(slice(a, b) for a, b in real))
        patch = x[inner]
        cells = math.prod(patch.shape[2:])
        flat = patch.reshape(*patch.shape[:2], cells)
        out[(slice(None), slice(None), *cell)] = reduce(flat, padded, cells)
    return out


def maxpool(
    x: Array, kernel: Sequence[int], stride: Any = None, padding: Any = None, ceil: bool = False
) -> Array:
    return _pool(lambda cells, _, __: cells.max(-1), x, kernel, stride, padding, ceil)


def avgpool(
    x: Array,
    kernel: Sequence[int],
    stride: Any = None,
    padding: Any = None,
    include: bool = True,
    ceil: bool = False,
) -> Array:
    def average(cells: Array, padded: int, real: int) -> Any:
        total, count = cells.sum(-1), padded if include else real
        return total // count if x.dtype == object else total / count

    return _pool(average, x, kernel, stride, padding, ceil)


def batchnorm(x: Array, w: Array, b: Array, mean: Array, variance: Array, eps: float) -> Array:
    columns = (-1,) + (1,) * (x.ndim - 2)
    w, b, mean, variance = (v.reshape(columns) for v in (w, b, mean, variance))
    return np.asarray((x - mean) / np.sqrt(variance + eps) * w + b)
