"""Rows of the XLA engine for convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from tripy.engines.window_kernels import BFLOAT16, FLOAT16, FLOAT32, WIDE
from tripy.engines.xla_elementwise import wide
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class Window(NamedTuple):
    """Geometry of a convolution; `spread` is the distance of input cells."""

    stride: Ints
    padding: Pairs
    spread: Ints
    dilation: Ints
    groups: int


# A form takes input, weight (O, I / groups, *kernel), bias (none or one) and the window.
Form = Callable[[Context, Array, Array, Inputs, Window], Array]

# --- arithmetic ------------------------------------------------------------------------------

#: Types that float32 products are cast to on a GPU; a CPU gains nothing from fewer bits.
LOWER = {"bfloat16": BFLOAT16, "float16": FLOAT16}


def _precision(ctx: Context, x: Array) -> lax.Precision:
    exact = ctx.precision == "float32" and x.dtype not in WIDE
    return lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT


def _is_exact(ctx: Context, x: Array) -> bool:
    """Whether cuDNN works without tensor cores: its Winograd forms add no bias, so nothing may."""
    return ctx.platform == "gpu" and ctx.precision == "float32" and x.dtype == FLOAT32


def _work_type(ctx: Context, dtype: DType) -> DType:
    """cuDNN sums halves in float32 and rounds once; XLA:CPU would round more often."""
    if ctx.platform == "cpu":
        return WIDE.get(dtype, dtype)
    return LOWER.get(ctx.precision, dtype) if dtype == FLOAT32 else dtype


def _biased(out: Array, bias: Inputs) -> Array:
    """A broadcast of dim 1 in the type of the sum is what XLA fuses into cuDNN's convolution."""
    for values in bias:
        out = out + lax.broadcast_in_dim(values.astype(out.dtype), out.shape, (1,))
    return out


def _padded(x: Array, config: Sequence[tuple[int, int, int]], fill: Any = 0) -> Array:
    """x with cells added around (cut off where negative) and between those of its last dims."""
    lead = ((0, 0, 0),) * (x.ndim - len(config))
    return lax.pad(x, jnp.asarray(fill, x.dtype), (*lead, *config))


def _tap(x: Array, tap: Ints, space: Shape, w: Window) -> Array:
    """The cells of x that one weight of the kernel meets."""
    first = [t * d for t, d in zip(tap, w.dilation)]
    last = [f + (n - 1) * s + 1 for f, n, s in zip(first, space, w.stride)]
    lead = x.ndim - len(tap)
    starts, limits = (*(0,) * lead, *first), (*x.shape[:lead], *last)
    return lax.slice(x, starts, limits, (*(1,) * lead, *w.stride))


def _extents(kernel: Shape, w: Window) -> Ints:
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, w.dilation))


def _space(x: Array, weight: Array, w: Window) -> Shape:
    """Spatial sizes of the result."""
    sizes = [
        (n - 1) * gap + 1 + low + high
        for n, gap, (low, high) in zip(x.shape[2:], w.spread, w.padding)
    ]
    extents = _extents(weight.shape[2:], w)
    return tuple((n - e) // s + 1 for n, e, s in zip(sizes, extents, w.stride))


# --- forms of a convolution ------------------------------------------------------------------


def _numbers(rank: int, swapped: bool = False) -> lax.ConvDimensionNumbers:
    plain = tuple(range(rank))
    weight = (1, 0, *plain[2:]) if swapped else plain
    return lax.ConvDimensionNumbers(plain, weight, plain)


def _direct(
    ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window, swapped: bool = False
) -> Array:
    out = lax.conv_general_dilated(
        x,
        weight,
        w.stride,
        w.padding,
        lhs_dilation=w.spread,
        rhs_dilation=w.dilation,
        dimension_numbers=_numbers(x.ndim, swapped),
        feature_group_count=w.groups,
        precision=_precision(ctx, x),
        preferred_element_type=x.dtype,
    )
    if _is_exact(ctx, x):
        out = lax.optimization_barrier(out)  # type: ignore[no-untyped-call]
    return _biased(out, bias)


def _planar(ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window) -> Array:
    """One spatial dim as two."""
    unit = Window((1, *w.stride), ((0, 0), *w.padding), (1, *w.spread), (1, *w.dilation), w.groups)
    return _direct(ctx, jnp.expand_dims(x, 2), jnp.expand_dims(weight, 2), bias, unit)[:, :, 0]


def _deep(ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window) -> Array:
    """Many spatial dims: the first become images, with a convolution for each weight there."""
    x, weight, inside = wide(x), wide(weight), DEPTH[ctx.platform]
    lead, ones = x.ndim - 2 - inside, (1,) * inside
    space, last = _space(x, weight, w), range(x.ndim - inside, x.ndim)
    config = [(*pad, gap - 1) for pad, gap in zip(w.padding[:lead], w.spread)]
    x = _padded(x, [*config, *[(0, 0, 0)] * inside])
    sizes = (*space[:lead], *x.shape[2 + lead :])
    outer = Window((*w.stride[:lead], *ones), (), (), (*w.dilation[:lead], *ones), w.groups)
    inner = Window(w.stride[lead:], w.padding[lead:], w.spread[lead:], w.dilation[lead:], w.groups)
    total: Any = 0
    for tap in np.ndindex(*weight.shape[2 : 2 + lead]):
        cells = _tap(x, (*tap, *(0,) * inside), sizes, outer)
        images = cells.transpose(0, *range(2, 2 + lead), 1, *last)
        images = images.reshape(-1, x.shape[1], *x.shape[2 + lead :])
        total += _direct(ctx, images, weight[(slice(None), slice(None), *tap)], (), inner)
    total = total.reshape(x.shape[0], *space[:lead], *total.shape[1:])
    return _biased(total.transpose(0, lead + 1, *range(1, lead + 1), *last), bias)


def _taps(ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window) -> Array:
    """Few channels per group: elementwise products that XLA fuses into one loop."""
    space, batch = _space(x, weight, w), x.shape[0]
    x = _padded(x, [(*pad, 0) for pad in w.padding])
    x = x.reshape(batch, w.groups, -1, *x.shape[2:])
    weight = wide(weight.reshape(w.groups, -1, *weight.shape[1:]))
    shape = (*x.shape[:2], weight.shape[1], *space)
    total: Any = 0
    for channel, *tap in np.ndindex(*weight.shape[2:]):
        cells = wide(_tap(x[:, :, channel], tuple(tap), space, w))
        factor = weight[(slice(None), slice(None), channel, *tap)]
        cells = lax.broadcast_in_dim(cells, shape, (0, 1, *range(3, len(shape))))
        total += cells * lax.broadcast_in_dim(factor, shape, (1, 2))
    return _biased(total.reshape(batch, -1, *space), bias)


def _product(ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window) -> Array:
    """Windows that do not overlap: one matrix product."""
    kernel, space, rank = weight.shape[2:], _space(x, weight, w), x.ndim - 2
    cells = _disjoint(x, kernel, space, w)
    cells = cells.reshape(x.shape[0], w.groups, -1, *cells.shape[2:])
    filters = weight.reshape(w.groups, -1, *weight.shape[1:])
    inner = (2, *range(4, 4 + 2 * rank, 2))
    out = lax.dot_general(
        filters,
        cells,
        ((tuple(range(2, 3 + rank)), inner), ((0,), (1,))),
        precision=_precision(ctx, x),
        preferred_element_type=WIDE.get(x.dtype, x.dtype),
    )
    out = jnp.moveaxis(out, 2, 0).reshape(x.shape[0], weight.shape[0], *space)
    return _biased(out, bias)


def _by_remainder(ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window) -> Array:
    """A dilated convolution as plain ones: the cells of each remainder become an image."""
    space, rank = _space(x, weight, w), x.ndim - 2
    counts = [-(-n // d) for n, d in zip(space, w.dilation)]
    sizes = [n + k - 1 for n, k in zip(counts, weight.shape[2:])]
    ends = [n * d for n, d in zip(sizes, w.dilation)]
    config = [(low, e - n - low, 0) for e, n, (low, _) in zip(ends, x.shape[2:], w.padding)]
    grid = [size for pair in zip(sizes, w.dilation) for size in pair]
    cells = _padded(x, config).reshape(*x.shape[:2], *grid)
    first, second = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
    images = cells.transpose(0, *second, 1, *first).reshape(-1, x.shape[1], *sizes)
    ones = (1,) * rank
    plain = Window(ones, ((0, 0),) * rank, ones, ones, w.groups)
    out = _direct(ctx, images, weight, bias, plain)
    parts = jnp.moveaxis(out.reshape(x.shape[0], *w.dilation, -1, *counts), 1 + rank, 1)
    return _interleaved(parts, (0,) * rank, space)


def _disjoint(x: Array, kernel: Shape, space: Shape, w: Window) -> Array:
    """The windows of x, (N, C, space1, kernel1, space2, …)."""
    steps = [s if n > 1 else e for s, n, e in zip(w.stride, space, _extents(kernel, w))]
    ends = [n * s for n, s in zip(space, steps)]
    config = [(low, e - low - d, 0) for e, d, (low, _) in zip(ends, x.shape[2:], w.padding)]
    grid = [size for pair in zip(space, steps) for size in pair]
    x = _padded(x, config).reshape(*x.shape[:2], *grid)
    taps = [slice(0, e, d) for e, d in zip(_extents(kernel, w), w.dilation)]
    return x[(..., *(part for tap in taps for part in (slice(None), tap)))]


#: Weights per output channel up to which a grouped convolution is written out.
TAPS = 128
#: Channels per group up to which it is.
NARROW = 4
#: Cells of a kernel, and windows, from which those that do not overlap are a product on GPUs, too.
LARGE, MANY = 64, 4096
#: Sizes that the images of a dilated convolution need, to be plain ones.
IMAGE = 8
#: Spatial dims up to which the platform's own convolution is fast.
DEPTH = {"cpu": 2, "gpu": 3}
#: Form of each kind of convolution on each platform, and of what GPUs do without tensor cores;
#: others are `_direct`, or `_deep`.
FORMS: dict[str, dict[str, Form]] = {
    "cpu": {
        "scale": _taps,
        "depthwise line": _taps,
        "depthwise": _taps,
        "narrow": _taps,
        "pointwise": _product,
        "whole": _product,
        "large patches": _product,
        "patches": _product,
        "line": _planar,
    },
    "gpu": {
        "scale": _taps,
        "depthwise line": _planar,
        "whole": _product,
        "large patches": _product,
    },
}
FORMS["exact gpu"] = FORMS["gpu"] | {"narrow": _taps, "dilated": _by_remainder}


def _kind(x: Array, weight: Array, w: Window) -> str:
    kernel, space = weight.shape[2:], _space(x, weight, w)
    taps = math.prod(weight.shape[1:])
    if max(w.spread) > 1:
        return "spread"
    is_large = math.prod(kernel) >= LARGE and x.shape[0] * math.prod(space) >= MANY
    parts = min(n // d for n, d in zip(space, w.dilation)) if w.groups == 1 else 0
    is_dilated = len(kernel) == 2 and max(w.stride) == 1 < max(w.dilation) and parts >= IMAGE
    apart = all(s >= e or n == 1 for s, e, n in zip(w.stride, _extents(kernel, w), space))
    kinds = [
        ("scale", taps == 1 < w.groups),
        ("depthwise line", weight.shape[1] == len(kernel) == 1 < w.groups and taps <= TAPS),
        ("depthwise", weight.shape[1] == 1 < w.groups and taps <= TAPS),
        ("pointwise", math.prod(kernel) == 1),
        ("whole", math.prod(space) == 1),
        ("large patches", apart and is_large),
        ("patches", apart),
        ("narrow", w.groups > 1 and weight.shape[1] <= NARROW and taps <= TAPS),
        ("line", len(kernel) == 1),
        ("dilated", is_dilated),
    ]
    return next((name for name, holds in kinds if holds), "plain")


def _convolve(ctx: Context, x: Array, weight: Array, bias: Inputs, w: Window) -> Array:
    if x.size == 0 or weight.size == 0:
        shape = (x.shape[0], weight.shape[0], *_space(x, weight, w))
        return _biased(jnp.zeros(shape, x.dtype), bias)
    usual = _direct if x.ndim - 2 <= DEPTH[ctx.platform] else _deep
    forms = FORMS["exact gpu" if _is_exact(ctx, x) else ctx.platform]
    form = forms.get(_kind(x, weight, w), usual)
    return form(ctx, x, weight, bias, w)


def _conv(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, weight, *bias = (value.astype(_work_type(ctx, dtype)) for value in inputs)
    stride, padding = tuple(attrs["stride"]), tuple(map(tuple, attrs["padding"]))
    w = Window(stride, padding, (1,) * len(stride), tuple(attrs["dilation"]), attrs["groups"])
    return _convolve(ctx, x, weight, bias, w).astype(dtype)


# --- forms of a transposed convolution -------------------------------------------------------


class Dim(NamedTuple):
    """A spatial dim of a transposed convolution: cell i adds to i * stride - cut + k * spacing."""

    size: int
    kernel: int
    stride: int
    spacing: int
    cut: int
    out: int


# A form takes input, weight (I, O / groups, *kernel), bias, the dims and the groups.
TransposedForm = Callable[[Context, Array, Array, Inputs, list[Dim], int], Array]


def _reach(d: Dim, taps: int, step: int, first: int, count: int) -> tuple[int, int]:
    """Padding for `count` outputs b, each the sum of x[first + b - j * step] over j < taps."""
    low = (taps - 1) * step - first
    return low, count - d.size - low + (taps - 1) * step


def _flipped(weight: Array, groups: int) -> Array:
    """(I, O / groups, *kernel) as the weight (O, I / groups, *kernel) of a convolution."""
    weight = lax.rev(weight, tuple(range(2, weight.ndim)))
    parts = weight.reshape(groups, -1, *weight.shape[1:])
    return jnp.swapaxes(parts, 1, 2).reshape(-1, parts.shape[1], *weight.shape[2:])


def _spread(dims: list[Dim], groups: int) -> Window:
    lows = [d.spacing * (d.kernel - 1) - d.cut for d in dims]
    sizes = [(d.size - 1) * d.stride + 1 for d in dims]
    padding = tuple(
        (low, d.out - size - low + d.spacing * (d.kernel - 1))
        for d, low, size in zip(dims, lows, sizes)
    )
    gaps, spacings = tuple(d.stride for d in dims), tuple(d.spacing for d in dims)
    return Window((1,) * len(dims), padding, gaps, spacings, groups)


def _dilated(
    ctx: Context, x: Array, weight: Array, bias: Inputs, dims: list[Dim], groups: int
) -> Array:
    """A convolution of the input with zeros between its cells."""
    return _convolve(ctx, x, _flipped(weight, groups), bias, _spread(dims, groups))


def _gradient(
    ctx: Context, x: Array, weight: Array, bias: Inputs, dims: list[Dim], groups: int
) -> Array:
    """What XLA takes for the gradient of a convolution: the reversed weight as it lies."""
    if groups > 1 or x.ndim > 5:
        return _dilated(ctx, x, weight, bias, dims, groups)
    weight = lax.rev(weight, tuple(range(2, weight.ndim)))
    return _direct(ctx, x, weight, bias, _spread(dims, groups), swapped=True)


def _interleaved(parts: Array, starts: Sequence[int], space: Sequence[int]) -> Array:
    """(N, O, *phases, *blocks) as (N, O, *space), cut to the cells of the result."""
    rank = len(space)
    order = [axis for dim in range(rank) for axis in (2 + rank + dim, 2 + dim)]
    sizes = [parts.shape[2 + dim] * parts.shape[2 + rank + dim] for dim in range(rank)]
    out = parts.transpose(0, 1, *order).reshape(*parts.shape[:2], *sizes)
    cells = (slice(start, start + size) for start, size in zip(starts, space))
    return out[(slice(None), slice(None), *cells)]


def _blocks(
    ctx: Context, x: Array, weight: Array, bias: Inputs, dims: list[Dim], groups: int
) -> Array:
    """One convolution whose channels are the cells of a block of `stride`, without spacing."""
    rank, phases = len(dims), [d.stride for d in dims]
    taps = [-(-d.kernel // d.stride) for d in dims]
    weight = _padded(weight, [(0, t * s - d.kernel, 0) for t, s, d in zip(taps, phases, dims)])
    per_group = weight.shape[1]
    grid = [size for pair in zip(taps, phases) for size in pair]
    weight = weight.reshape(weight.shape[0], per_group, *grid)
    order = (0, 1, *range(3, 3 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2))
    weight = weight.transpose(*order).reshape(weight.shape[0], -1, *taps)
    firsts = [d.cut // d.stride for d in dims]
    counts = [(d.cut + d.out - 1) // d.stride - first + 1 for d, first in zip(dims, firsts)]
    steps = tuple(d.spacing for d in dims)
    padding = tuple(map(_reach, dims, taps, steps, firsts, counts))
    w = Window((1,) * rank, padding, (1,) * rank, steps, groups)
    repeated = [jnp.repeat(values, math.prod(phases)) for values in bias]
    out = _convolve(ctx, x, _flipped(weight, groups), repeated, w)
    out = out.reshape(x.shape[0], groups * per_group, *phases, *counts)
    return _interleaved(out, [d.cut % d.stride for d in dims], [d.out for d in dims])


class Phase(NamedTuple):
    """What the outputs phase, phase + stride, … of one dim sum: some weights, a padding."""

    taps: slice
    step: int
    padding: tuple[int, int]


def _phase(d: Dim, phase: int) -> Phase | None:
    """A phase of a dim; None where no weight reaches."""
    shared = math.gcd(d.stride, d.spacing)
    every, step, place = d.stride // shared, d.spacing // shared, d.cut + phase
    for first in range(min(d.kernel, every)):
        start, rest = divmod(place - first * d.spacing, d.stride)
        if rest == 0:
            number = len(range(first, d.kernel, every))
            padding = _reach(d, number, step, start, -(-d.out // d.stride))
            return Phase(slice(first, None, every), step, padding)
    return None


def _by_phase(
    ctx: Context, x: Array, weight: Array, bias: Inputs, dims: list[Dim], groups: int
) -> Array:
    """A convolution with part of the kernel for each remainder of the place by the stride."""
    counts, channels = [-(-d.out // d.stride) for d in dims], groups * weight.shape[1]
    nothing = _biased(jnp.zeros((x.shape[0], channels, *counts), x.dtype), bias)
    parts = []
    for phases in np.ndindex(*(d.stride for d in dims)):
        reached = [p for p in map(_phase, dims, phases) if p is not None]
        if len(reached) < len(dims):
            parts.append(nothing)
            continue
        part = _flipped(weight[(slice(None), slice(None), *(p.taps for p in reached))], groups)
        ones, steps = (1,) * len(dims), tuple(p.step for p in reached)
        w = Window(ones, tuple(p.padding for p in reached), ones, steps, groups)
        parts.append(_convolve(ctx, x, part, bias, w))
    stacked = jnp.stack(parts, 2).reshape(*nothing.shape[:2], *(d.stride for d in dims), *counts)
    return _interleaved(stacked, (0,) * len(dims), [d.out for d in dims])


TRANSPOSED: dict[str, TransposedForm] = {
    "phases": _by_phase,
    "blocks": _blocks,
    "gradient": _gradient,
    "dilated": _dilated,
}
#: Forces a form, for measurements.
FORM: str | None = None
#: Convolutions up to which phases are computed one by one.
PHASES = 8
#: Channels up to which blocks without overlap are faster on tensor cores than cuDNN's own form.
BLOCK_CHANNELS = 256


def transposed_form(ctx: Context, x: Array, dims: Sequence[Dim], groups: int) -> str:
    """The form in which a transposed convolution is computed."""
    strides = [d.stride for d in dims]
    spaced = any(d.stride > 1 < d.spacing for d in dims)
    if FORM is not None:
        return "phases" if FORM == "blocks" and spaced else FORM
    if max(strides) == 1:
        return "dilated"
    overlaps = any(d.kernel > d.stride for d in dims)
    if ctx.platform == "gpu" and x.dtype.itemsize == 2 and groups == 1 and not spaced:
        in_blocks = not overlaps and len(dims) == 2 and x.shape[1] <= BLOCK_CHANNELS
        return "blocks" if in_blocks else "dilated"
    few = math.prod(strides) <= PHASES and groups == 1 and overlaps
    is_slow = x.dtype.itemsize > 2  # without tensor cores the zeros that blocks add cost more
    return "phases" if spaced or (few and is_slow) else "blocks"


def _conv_transpose(
    ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType
) -> Array:
    x, weight, *bias = (value.astype(_work_type(ctx, dtype)) for value in inputs)
    cuts = [low for low, _ in attrs["padding"]]
    sizes = (x.shape[2:], weight.shape[2:], attrs["stride"], attrs["dilation"], cuts, shape[2:])
    dims = [Dim(*values) for values in zip(*sizes)]
    if x.size == 0 or weight.size == 0:
        return _biased(jnp.zeros(shape, dtype), bias)
    form = TRANSPOSED[transposed_form(ctx, x, dims, attrs["groups"])]
    return form(ctx, x, weight, bias, dims, attrs["groups"]).astype(dtype)


ROWS: dict[str, Row] = {"conv": _conv, "conv_transpose": _conv_transpose}
