"""Attention of halves as one operation of the XLA engine: found in graphs, computed by cuDNN."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from tripy import dtypes
from tripy.engines.xla_cast import FLOAT32
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape, sum_type
from tripy.graph import Graph, Node, Primitive, Type, Value, renewed, replaced, rewritten, volume
from tripy.ops.registry import PRIMITIVES

_HALVES = (dtypes.float16, dtypes.bfloat16)
_MOVEMENT = ("permute", "reshape", "expand")


# --- finding it --------------------------------------------------------------------------------


def _type(q: Value, k: Value, v: Value, *_: Value, **__: Any) -> Type:
    return q.dtype, (*q.shape[:-1], v.shape[-1])


#: softmax(scale · Q·K + bias, where the mask holds)·V of halves, rounded once.
ATTENTION = Primitive("attention", _type, lambda node: volume(node.shape))


class _Scaled(NamedTuple):
    """Halves that were cast to float32, times a number."""

    halves: Value
    factor: float = 1.0


class _Scores(NamedTuple):
    """What a softmax is taken of: a product, a bias that was added, and a mask."""

    product: Node
    factor: float
    bias: Value | None
    mask: Value | None
    fill: float  # what takes the place of scores that the mask hides


def _operation(value: Value, name: str) -> Node | None:
    """Return the node that computes a value, if it is of this primitive."""
    node = None if value.is_leaf else value.node
    return node if node is not None and node.primitive.name == name else None


def _number(value: Value) -> float | None:
    """Return a constant of one element."""
    data = value.data
    return float(np.asarray(data)) if data is not None and value.shape == () else None


def _scaled(value: Value) -> _Scaled | None:
    """Return the halves that a float32 value was made of; None where it was not."""
    if cast := _operation(value, "cast"):
        return _Scaled(cast.inputs[0]) if cast.inputs[0].dtype in _HALVES else None
    for name in _MOVEMENT:
        if (node := _operation(value, name)) and (found := _scaled(node.inputs[0])):
            result = (found.halves.dtype, node.shape)
            moved = Node(node.primitive, (found.halves,), node.attributes, result, node.source)
            made = Value(*result, value.device, moved, traced=value.traced, source=value.source)
            return found._replace(halves=made)
    if node := _operation(value, "mul"):
        for factor, other in (node.inputs, node.inputs[::-1]):
            if (number := _number(factor)) is not None and (found := _scaled(other)):
                return found._replace(factor=number * found.factor)
    return None


def _scores(value: Value) -> _Scores | None:
    """Take apart what a softmax is taken of."""
    mask = bias = None
    fill = -math.inf
    if (where := _operation(value, "where")) and (number := _number(where.inputs[2])) is not None:
        (mask, value, _), fill = where.inputs, number
    if add := _operation(value, "add"):
        value, bias = add.inputs
    factor = 1.0
    if (mul := _operation(value, "mul")) and (number := _number(mul.inputs[1])) is not None:
        value, factor = mul.inputs[0], number
    product = _operation(value, "matmul")
    return None if product is None else _Scores(product, factor, bias, mask, fill)


def _is_causal(mask: Value) -> bool:
    if mask.data is None or len(mask.shape) != 2 or mask.shape[0] != mask.shape[1]:
        return False
    data = np.asarray(mask.data)
    return bool(np.array_equal(data, np.tril(np.ones_like(data))))


def _attention(product: Node, is_alone: bool) -> Node | None:
    """Return the attention that a product ends; None where it ends none."""
    softmax = _operation(product.inputs[0], "softmax")
    values = _scaled(product.inputs[1])
    if softmax is None or values is None or softmax.attributes["dim"] != len(softmax.shape) - 1:
        return None
    scores = _scores(softmax.inputs[0])
    sides = [] if scores is None else [_scaled(value) for value in scores.product.inputs]
    queries, keys = (*sides, None, None)[:2]
    if scores is None or queries is None or keys is None or values.factor != 1:
        return None
    kind = values.halves.dtype
    if {queries.halves.dtype, keys.halves.dtype} != {kind}:
        return None
    causal = scores.mask is not None and scores.fill == -math.inf and _is_causal(scores.mask)
    extra = {"bias": scores.bias, "mask": None if causal else scores.mask}
    known = {name: value for name, value in extra.items() if value is not None}
    scale = scores.factor * queries.factor * keys.factor
    attributes = {"scale": scale, "causal": causal, "extra": (*known,), "alone": is_alone}
    attributes["fill"] = scores.fill
    inputs = (queries.halves, keys.halves, values.halves, *known.values())
    return Node(ATTENTION, inputs, attributes, (kind, product.shape), product.source)


def _uncast(value: Value) -> Value:
    """Return the halves that were cast to float32 and back, or the value."""
    back = _operation(value, "cast")
    there = None if back is None else _operation(back.inputs[0], "cast")
    if there is None or there.dtype is not dtypes.float32 or value.dtype not in _HALVES:
        return value
    return there.inputs[0] if there.inputs[0].dtype is value.dtype else value


def fuse_attention(graph: Graph, is_alone: bool) -> Graph:
    """Make one node of every attention whose result is rounded to the halves that it takes.

    Args:
        graph: what to rewrite.
        is_alone: whether the program runs on one device.
    """
    users: dict[int, list[Value]] = defaultdict(list)
    for value in graph.operations:
        for used in value.node.inputs if value.node else ():
            users[id(used)].append(value)
    users.update({id(value): [] for value in graph.outputs})

    def is_rounded(value: Value, kind: dtypes.dtype) -> bool:
        ways = [
            (_operation(user, "cast") is not None and user.dtype is kind)
            or (_operation(user, "where") is not None and is_rounded(user, kind))
            for user in users[id(value)]
        ]
        return bool(ways) and all(ways)

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        made = renewed(value, inputs)
        product = _operation(made, "matmul")
        if product is None or product.dtype is not dtypes.float32:
            return _uncast(made)
        node = _attention(product, is_alone)
        if node is None or not is_rounded(value, node.dtype):
            return made
        halves = Value(node.dtype, node.shape, value.device, node, None, True, value.source)
        result, wide = (product.dtype, product.shape), {"dtype": product.dtype}
        return replaced(value, Node(PRIMITIVES["cast"], (halves,), wide, result, product.source))

    return rewritten(graph, changed)


# --- computing it ------------------------------------------------------------------------------

#: What `jax.nn.dot_product_attention` calls the form of a platform; others are written out.
FLASH = {"gpu": "cudnn"}
#: Scores from which it is used; fewer stay in the cache, and the other form has faster launches.
FLASH_SCORES = 1 << 20


class _Extra(NamedTuple):
    """What comes to the scores: float32 numbers, and whether a query sees a key."""

    bias: Array | None = None
    mask: Array | None = None


def _flash_bias(extra: _Extra, shape: Shape) -> Array | None:
    """Bias and mask as one bias."""
    if extra.mask is None:
        return extra.bias if extra.bias is None else jnp.broadcast_to(extra.bias, shape)
    bias = np.float32(0) if extra.bias is None else extra.bias
    return jnp.broadcast_to(jnp.where(extra.mask, bias, np.float32(-np.inf)), shape)


def _flash(ctx: Context, q: Array, k: Array, v: Array, extra: _Extra, attrs: Attrs) -> Array | None:
    """Scores that never leave the chip; None where the sizes do not allow it."""
    *lead, length, size = q.shape
    keys, rank = k.shape[-1], len(lead)
    shapes = {(*x.shape[:-2], x.shape[-1 if x is v else -2]) for x in (k, v)}
    if ctx.platform not in FLASH or not attrs["alone"] or attrs["fill"] != -math.inf:
        return None
    if math.prod(q.shape[:-1]) * keys < max(FLASH_SCORES, 1):
        return None
    if rank not in (1, 2) or shapes != {(*lead, size)}:
        return None
    around = jnp.broadcast_shapes((1,) * rank, *(x.shape[:-2] for x in extra if x is not None))
    bias, seen = _flash_bias(extra, (*around, length, keys)), None
    if bias is not None:
        seen = jnp.any(bias > -np.inf, axis=-1, keepdims=True)
        bias = jnp.maximum(bias, jnp.finfo(q.dtype).min).astype(q.dtype)
        bias = bias.reshape((-1, *bias.shape[-3:]))
    by_token = [
        x.reshape(-1, *x.shape[-3:]).transpose(0, 2, 1, 3) for x in (q, jnp.swapaxes(k, -1, -2), v)
    ]
    attend: Any = jax.nn.dot_product_attention  # its types know none of the names of `FLASH`
    options = {"scale": attrs["scale"], "is_causal": attrs["causal"]}
    try:
        out = attend(*by_token, bias=bias, implementation=FLASH[ctx.platform], **options)
    except (NotImplementedError, RuntimeError, ValueError):
        return None  # cuDNN or the GPU is too old, or does not do these sizes
    out = out.transpose(0, 2, 1, 3).reshape(q.shape)
    return out if seen is None else jnp.where(seen, out, np.nan)  # NaN, as 0 / 0 is


def _written_out(ctx: Context, q: Array, k: Array, v: Array, extra: _Extra, attrs: Attrs) -> Array:
    """Products of halves with float32 sums, and a float32 softmax, which is rounded."""
    scores = _scores_of(q, k) * np.float32(attrs["scale"])
    if extra.bias is not None:
        scores = scores + extra.bias
    mask = jnp.tril(jnp.ones(scores.shape[-2:], bool)) if attrs["causal"] else extra.mask
    if mask is not None:
        scores = jnp.where(mask, scores, np.float32(attrs["fill"]))
    powers = jnp.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
    weights = (powers / powers.sum(-1, keepdims=True)).astype(v.dtype)
    return _mixed(weights, v, sum_type(ctx, weights, v, v.dtype))


def _is_by_head(*arrays: Array) -> bool:
    return all(x.ndim > 2 and x.shape[:-2] == arrays[0].shape[:-2] for x in arrays)


def _scores_of(q: Array, k: Array) -> Array:
    """Q·K; with heads, of arrays in which all heads of a token lie side by side."""
    if not _is_by_head(q, k):
        return jnp.matmul(q, k, preferred_element_type=FLOAT32)
    by_token = jnp.swapaxes(q, -3, -2), jnp.moveaxis(k, -1, -3)
    return jnp.einsum("...qhd,...khd->...hqk", *by_token, preferred_element_type=FLOAT32)


def _mixed(weights: Array, v: Array, kind: DType) -> Array:
    """Weights·V; with heads, so that all heads of a token lie side by side in the result."""
    if not _is_by_head(weights, v):
        return jnp.matmul(weights, v, preferred_element_type=kind)
    by_token = jnp.swapaxes(v, -3, -2)
    out = jnp.einsum("...hqk,...khd->...qhd", weights, by_token, preferred_element_type=kind)
    return jnp.swapaxes(out, -3, -2)


def _row(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    q, k, v, *others = inputs
    extra = _Extra(**dict(zip(attrs["extra"], others)))
    out = _flash(ctx, q, k, v, extra, attrs)
    return (_written_out(ctx, q, k, v, extra, attrs) if out is None else out).astype(dtype)


ROWS: dict[str, Row] = {"attention": _row}
