"""Attention, the normalisations that use the statistics of their input, and Embedding."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import tripy as tp

from ..cases import FLOATS, INTEGERS, Array, Case, Row, Shape, case, row, t

# --- scaled dot-product attention ------------------------------------------------------------


def scores_of(
    q: Array,
    k: Array,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    """Scores of every key, -inf where it is not seen."""
    scores = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    return np.asarray(scores)


def served(q: Array, *arrays: Array) -> list[Array]:
    """Keys and values with one head for each head of the query."""
    return [np.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in arrays]


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    enable_gqa: bool = False,
    **options: Any,
) -> Array:
    if enable_gqa:
        k, v = served(q, k, v)
    scores = scores_of(q, k, mask, **options)
    highest = scores.max(-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isinf(highest), 0, highest))
    total = powers.sum(-1, keepdims=True)
    return np.asarray(powers @ v / np.where(total == 0, 1, total))


def attention_scale(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    enable_gqa: bool = False,
    **options: Any,
) -> Array:
    """The largest value, times what an error of the row's scores does to an exponential."""
    q, k, v = map(np.abs, (q, k, v))
    if enable_gqa:
        k, v = served(q, k, v)
    scores = scores_of(q, k, scale=options.get("scale")).max(-1, keepdims=True, initial=0)
    largest = v.max((-1, -2), keepdims=True, initial=0)
    return np.asarray((1 + scores) * largest * np.ones(v.shape[-1]))


def in_torch(*tensors: Any, **options: Any) -> Any:
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(*tensors, **options)


def attending(q: Shape, k: Shape, v: Shape, mask: Any = None, **options: Any) -> Case:
    """All sizes are dynamic but the heads that are shared."""
    fixed = (len(q) - 3,) if "enable_gqa" in options else ()
    specs = [t(*shape, static=fixed) for shape in (q, k, v)] + ([] if mask is None else [mask])
    is_known = 0 not in (*q, *k) and not (mask and options.get("is_causal"))
    return case(
        lambda *tensors: tp.scaled_dot_product_attention(*tensors, **options),
        *specs,
        oracle=functools.partial(attention, **options),
        scale=functools.partial(attention_scale, **options),
        label=f"{options}",
        grows=mask is None or not isinstance(mask.values, tuple),
        torch=functools.partial(in_torch, **options) if is_known else None,
    )


def flags(*shape: int, **options: Any) -> Any:
    return t(*shape, dtype="bool", **options)


NOTHING = -math.inf
LEFT_OUT = (0.5, NOTHING, -1.0, NOTHING, NOTHING, NOTHING)  # the second query sees no key
ATTENTION = row(
    "scaled_dot_product_attention",
    FLOATS,
    [
        attending((3, 4), (5, 4), (5, 2)),
        attending((1, 1), (1, 1), (1, 1)),
        attending((2, 3, 4), (2, 5, 4), (2, 5, 3)),
        attending((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), scale=0.3),
        attending((2, 1, 3, 4), (3, 5, 4), (1, 1, 5, 2)),
        attending((1, 2, 2, 3, 2), (2, 1, 2, 4, 2), (2, 1, 2, 4, 3)),
        attending((3, 4), (5, 4), (5, 2), is_causal=True),
        attending((2, 5, 4), (2, 3, 4), (2, 3, 2), is_causal=True, scale=-1),
        attending((3, 4), (5, 4), (5, 2), flags(3, 5)),
        attending((2, 3, 3, 4), (2, 3, 5, 4), (2, 3, 5, 2), flags(2, 1, 1, 5)),
        attending((2, 3, 4), (2, 5, 4), (2, 5, 2), flags(5)),
        attending((2, 3, 4), (2, 5, 4), (2, 5, 2), flags(3, 1)),
        attending((2, 3, 4), (2, 5, 4), (2, 5, 2), flags(3, 5), is_causal=True),
        attending((3, 4), (5, 4), (5, 2), flags(values=(False,))),
        attending((3, 4), (5, 4), (5, 2), t(3, 5)),
        attending((2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4), t(2, 1, 1, 5)),
        attending((2, 3, 4), (2, 5, 4), (2, 5, 2), t(3, 5), is_causal=True, scale=0.25),
        attending((2, 4), (3, 4), (3, 2), t(2, 3, values=LEFT_OUT)),
        attending((4, 3, 4), (2, 5, 4), (2, 5, 2), enable_gqa=True),
        attending(
            (2, 6, 3, 4),
            (2, 2, 5, 4),
            (2, 2, 5, 2),
            flags(1, 6, 1, 5, static=(1,)),
            enable_gqa=True,
        ),
        attending((2, 4, 3, 4), (2, 1, 3, 4), (2, 1, 3, 2), enable_gqa=True, is_causal=True),
        attending((0, 3, 4), (0, 5, 4), (0, 5, 2)),
        attending((2, 0, 4), (2, 5, 4), (2, 5, 2), is_causal=True),
        attending((3, 4), (0, 4), (0, 2), flags(3, 0)),
        attending((3, 4), (0, 4), (0, 2)),
        attending((3, 0), (5, 0), (5, 2), scale=2),
    ],
    ("query", "key", "value"),
)

# --- modules ---------------------------------------------------------------------------------

EPS = 1e-3


def module(make: Callable[[Any], Any], names: Sequence[str]) -> Callable[..., Any]:
    """A module of the input's dtype that gets its weights as further inputs."""

    def run(x: Any, *weights: Any) -> Any:
        made = make(x.dtype)
        made.load_state_dict(dict(zip(names, weights, strict=True)))
        return made(x)

    return run


def standardised(x: Array, dims: tuple[int, ...]) -> Array:
    centred = x - x.mean(dims, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(dims, keepdims=True) + EPS))


def mean_scale(x: Array, dims: tuple[int, ...]) -> Array:
    """The largest element, in standard deviations: what the mean is rounded to."""
    spread = np.sqrt(x.var(dims, keepdims=True) + EPS)
    return np.asarray(np.abs(x).max(dims, keepdims=True, initial=0) / spread + 0 * x)


def root_scaled(x: Array, dims: tuple[int, ...]) -> Array:
    return np.asarray(x / np.sqrt((x**2).mean(dims, keepdims=True) + EPS))


def grouped(function: Callable[..., Array], groups: int) -> Callable[[Array], Array]:
    """A function of the last dim, for groups of channels and all spatial dims."""

    def run(x: Array) -> Array:
        flat = x.reshape(len(x), groups, math.prod(x.shape[1:]) // groups)
        return function(flat, (2,)).reshape(x.shape) if x.size else x

    return run


def normed(
    make: Callable[[Any], Any],
    normal: Callable[[Array], Array],
    scale: Callable[[Array], Array],
    x: Any,
    weight: Shape,
    torch: Callable[..., Any] | None,
    has_bias: bool = True,
    trailing_dims: bool = False,
) -> Case:
    """Weights belong to the trailing dims of the input, or to dim 1."""
    names = ("weight", "bias")[: 1 + has_bias]
    specs = [t(*weight, constant=True) for _ in names]
    column = weight if trailing_dims else (-1,) + (1,) * (len(x.shape) - 2)

    def affine(values: Array, w: Array, b: Array | float = 0.0) -> Array:
        offset = b.reshape(column) if isinstance(b, np.ndarray) else b
        return np.asarray(values * w.reshape(column) + offset)

    return case(
        module(make, names),
        x,
        *specs,
        oracle=lambda x, *weights: affine(normal(x), *weights),
        scale=lambda x, *weights: affine(scale(x), *map(np.abs, weights)),
        terms=4,
        torch=None if 0 in x.shape else torch,
    )


def torch_function(name: str, *options: Any, **more: Any) -> Callable[..., Any]:
    def run(x: Any, *weights: Any) -> Any:
        from torch.nn import functional

        given = dict(zip(("weight", "bias"), weights))
        return getattr(functional, name)(x, *options, **given, eps=EPS, **more)

    return run


def trailing(name: str, x: Shape, weight: Shape, **options: Any) -> Case:
    """LayerNorm or RMSNorm; the dims that are normalised have known sizes."""
    dims = tuple(range(-len(weight), 0))
    static = tuple(range(len(x) - len(weight), len(x)))
    is_layer = name == "LayerNorm"
    normal, scale = (standardised, mean_scale) if is_layer else (root_scaled, root_scaled)
    return normed(
        lambda d: getattr(tp, name)(weight if len(weight) > 1 else weight[0], d, eps=EPS),
        lambda array: normal(array, dims),
        lambda array: np.abs(scale(array, dims)),
        t(*x, **{"static": static} | options),
        weight,
        torch_function("layer_norm" if is_layer else "rms_norm", weight),
        has_bias=is_layer,
        trailing_dims=True,
    )


def of_channels(make: Callable[[Any], Any], groups: int, x: Shape, torch: Any) -> Case:
    normal, scale = grouped(standardised, groups), grouped(mean_scale, groups)
    return normed(make, normal, scale, t(*x, static=(1,)), x[1:2], torch)


def group_norm(groups: int, x: Shape) -> Case:
    made = functools.partial(tp.GroupNorm, groups, x[1], eps=EPS)
    return of_channels(lambda d: made(dtype=d), groups, x, torch_function("group_norm", groups))


def instance_norm(x: Shape) -> Case:
    is_known = math.prod(x[2:]) > 1  # torch refuses one element
    torch = torch_function("instance_norm") if is_known else None
    return of_channels(lambda d: tp.InstanceNorm(x[1], d, eps=EPS), x[1], x, torch)


TRAILING: tuple[tuple[Shape, Shape], ...] = (
    ((3,), (3,)),
    ((2, 5), (5,)),
    ((2, 1), (1,)),
    ((2, 3, 4), (3, 4)),
    ((0, 3), (3,)),
    ((2, 1, 3, 2, 2), (2, 2)),
)

# --- attention with projections --------------------------------------------------------------

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def heads_of(x: Array, count: int) -> Array:
    return np.swapaxes(x.reshape(*x.shape[:2], count, x.shape[2] // count), 1, 2)


def multi_head(shared: int, function: Callable[..., Array], **options: Any) -> Callable[..., Array]:
    """Two heads of two elements, of a query that is also key and value."""

    def run(x: Array, *weights: Array) -> Array:
        q, k, v = (x @ w.T for w in weights[:3])
        q, k, v = heads_of(q, 2), heads_of(k, shared), heads_of(v, shared)
        found = np.swapaxes(function(q, k, v, enable_gqa=True, **options), 1, 2)
        return np.asarray(found.reshape(*x.shape[:2], 4) @ weights[3].T)

    return run


def projected(shared: int, **options: Any) -> Case:
    names = [f"{name}.weight" for name in PROJECTIONS]
    run = module(lambda d: tp.MultiHeadAttention(4, 2, shared, bias=False, dtype=d), names)
    sizes = ((4, 4), (2 * shared, 4), (2 * shared, 4), (4, 4))

    def magnitude(*arrays: Array) -> Array:
        return multi_head(shared, attention_scale)(*map(np.abs, arrays))

    return case(
        run,
        t(2, 3, 4, static=(2,), values="near one"),
        *(t(*size, constant=True, values="near one") for size in sizes),
        oracle=multi_head(shared, attention, **options),
        scale=magnitude,
        roundings=2,
    )


LOOKED_UP = case(
    module(lambda d: tp.Embedding(5, 3), ["weight"]),
    t(2, 3, values="index 5"),
    t(5, 3, dtype="float32", constant=True),
    oracle=lambda i, w: w[np.asarray(i, np.int64)],
    out="float32",
    exact=True,
)

ROWS: list[Row] = [
    ATTENTION,
    row("LayerNorm", FLOATS, [trailing("LayerNorm", *sizes) for sizes in TRAILING]
        + [replace(trailing("LayerNorm", (2, 3), (3,), static=()), grows=False)]),
    row("RMSNorm", FLOATS, [trailing("RMSNorm", *sizes) for sizes in TRAILING]),
    row("GroupNorm", FLOATS, [
        group_norm(1, (2, 3)), group_norm(2, (2, 4)), group_norm(2, (1, 4, 3)),
        group_norm(3, (2, 6, 2, 3)), group_norm(2, (2, 4, 0)),
    ]),
    row("InstanceNorm", FLOATS, [
        instance_norm(x) for x in ((2, 3, 4), (1, 2, 3, 2), (2, 2, 1), (0, 2, 3), (1, 2, 2, 1, 3))
    ]),
    row("MultiHeadAttention", FLOATS, [projected(2), projected(1)]),
    row("Embedding index", INTEGERS, [LOOKED_UP]),
]  # fmt: skip
