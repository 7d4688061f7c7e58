"""Scaled dot-product attention.

A composite: OpenVINO fuses the chain into one kernel; its own attention it takes apart first.
"""

from __future__ import annotations

import math

from tripy import dtypes, shapes
from tripy.dtypes import BOOL, FLOATS
from tripy.graph import shape_text
from tripy.ops.create import arange
from tripy.ops.elementwise import cast, where
from tripy.ops.linear import matmul
from tripy.ops.movement import reshape, transpose, unsqueeze
from tripy.ops.reduce import any, softmax
from tripy.ops.registry import apply, float_group, same_dtypes, shape_error, stretches
from tripy.ops.unary import rsqrt
from tripy.shapes import Shape, Size
from tripy.signature import public
from tripy.tensor import Tensor, make_size


@public(query=FLOATS, key=FLOATS, value=FLOATS, attn_mask=(*FLOATS, *BOOL))
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(scale·Q·Kᵀ + mask)·V (Vaswani et al., 2017).

    Args:
        query: tensor of shape (…, L, E); float16, bfloat16, float32 or float64.
        key: tensor of shape (…, S, E) and the same dtype; leading dims broadcast.
        value: tensor of shape (…, S, Ev) and the same dtype.
        attn_mask: tensor that broadcasts to (…, L, S): bool, where True lets a query see a key,
            or of the dtype of ``query``, which is added to the scores.
        is_causal: whether query i sees the keys j <= i only; a mask then applies as well.
        scale: factor of the scores; None is 1/√E.
        enable_gqa: whether each head (third dim from the end) of ``key`` and ``value`` serves a
            run of neighbouring heads of ``query``.

    Returns:
        A tensor of shape (…, L, Ev); a query that may see no key gives zeros.

    Raises:
        TripyShapeError: for ranks below 2, or sizes that do not fit.
        TripyTypeError: for other dtypes, or dtypes that differ.

    Example:
        >>> keys = tp.Tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> mask = tp.Tensor([[True, False], [True, True]])
        >>> tp.scaled_dot_product_attention(keys, keys, keys, mask).tolist()[0]
        [1.0, 0.0]
    """
    _check_dtypes(query, key, value, attn_mask)
    _check_ranks(query=query, key=key, value=value, least=3 if enable_gqa else 2)
    if enable_gqa:
        key, value = _repeated(key, query, "key"), _repeated(value, query, "value")
    sizes = _score_sizes(query, key, value)
    if attn_mask is not None:
        _check_mask(attn_mask, sizes)
    kind = query.dtype
    if float_group(kind):
        query, key, value = (cast(tensor, dtypes.float32) for tensor in (query, key, value))
    causal = _causal(*sizes[-2:]) if is_causal else None
    return cast(_attend(query, key, value, attn_mask, causal, scale), kind)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: Tensor | None,
    scale: float | None,
) -> Tensor:
    factor = _default_scale(query) if scale is None else float(scale)
    scores = matmul(query * factor, transpose(key, -2, -1))
    if mask is None:
        scores = scores if causal is None else where(causal, scores, -math.inf)
        return matmul(softmax(scores, -1), value)
    mask = mask if mask.rank else reshape(mask, (1,))
    allowed = mask
    if mask.dtype is not dtypes.bool_:
        mask = cast(mask, scores.dtype)
        scores, allowed = scores + mask, mask != -math.inf
    allowed = allowed if causal is None else allowed & causal
    if allowed is mask or causal is not None:
        scores = where(allowed, scores, -math.inf)
    result = matmul(softmax(scores, -1), value)
    return where(any(allowed, -1, keepdim=True), result, 0)  # NaN where no key is seen


def _default_scale(query: Tensor) -> Tensor | float:
    size = query._value.shape[-1]
    if isinstance(size, int):
        return 1 / math.sqrt(size or 1)
    return rsqrt(cast(make_size(size), query.dtype))


def _causal(queries: Size, keys: Size) -> Tensor:
    """Return whether query i sees key j; counted in float32, which engines compare at once."""
    rows, columns = (arange(make_size(size)) for size in (queries, keys))
    return columns <= unsqueeze(rows, 1)


def _repeated(tensor: Tensor, query: Tensor, name: str) -> Tensor:
    """Return keys or values with one head for each head of the query."""
    wanted, shape = query._value.shape[-3], tensor._value.shape
    heads = shape[-3]
    if shapes.known_equal(heads, wanted):
        return tensor
    fits = heads != 0 and shapes.holds(
        shapes.mod(wanted, heads), "==", 0, f"the heads of {name} divide those of query"
    )
    if not fits:
        raise shape_error(
            f"the {heads} heads of {name} do not divide the {wanted} heads of query.",
            query._value,
            tensor._value,
            expected="a third dim from the end that divides that of query",
            fix="use as many heads, or a divisor of their number",
            argument=name,
        )
    runs = (*shape[:-2], shapes.floordiv(wanted, heads), *shape[-2:])
    grouped = apply("expand", unsqueeze(tensor, -3), shape=runs)
    return apply("reshape", grouped, shape=(*shape[:-3], wanted, *shape[-2:]))


# --- checks ----------------------------------------------------------------------------------


def _check_dtypes(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    tensors = [tensor._value for tensor in (query, key, value)]
    same_dtypes(tensors, ("query", "key", "value"))
    if mask is not None and mask.dtype is not dtypes.bool_:
        same_dtypes([query._value, mask._value], ("query", "attn_mask"))


def _check_ranks(least: int, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if tensor.rank < least:
            raise shape_error(
                f"{name} needs at least {least} dims.",
                tensor._value,
                expected="shape (…, heads, length, size)"
                if least > 2
                else "shape (…, length, size)",
                fix=f"add leading dims with tp.unsqueeze({name}, 0)",
                argument=name,
            )


def _score_sizes(query: Tensor, key: Tensor, value: Tensor) -> Shape:
    """Return the shape (…, L, S) of the scores."""
    q, k, v = (tensor._value.shape for tensor in (query, key, value))
    check_equal(query, key, -1, "key", "query and key must have vectors of one size")
    check_equal(key, value, -2, "value", "key and value must have one length")
    leading = shapes.broadcast(q[:-2], k[:-2], v[:-2])
    if leading is None:
        raise shape_error(
            "the leading dims of query, key and value do not broadcast.",
            *(tensor._value for tensor in (query, key, value)),
            expected="leading sizes that are equal, or 1",
            fix="repeat key and value for every head, or pass enable_gqa=True",
            argument="value" if shapes.broadcast(q[:-2], k[:-2]) else "key",
        )
    return (*leading, q[-2], k[-2])


def check_equal(first: Tensor, second: Tensor, dim: int, name: str, rule: str) -> None:
    """Raise TripyShapeError unless a dim has one size in both tensors."""
    sizes = [tensor._value.shape[dim] for tensor in (first, second)]
    if not shapes.holds(sizes[0], "==", sizes[1], rule):
        raise shape_error(
            f"{rule}, not {sizes[0]} and {sizes[1]}.",
            first._value,
            second._value,
            expected=f"equal sizes of dim {dim}",
            fix="pass tensors of shape (…, length, size) that agree, for example after tp.permute",
            argument=name,
        )


def _check_mask(mask: Tensor, scores: Shape) -> None:
    if not stretches(mask._value.shape, scores, "attn_mask broadcasts to the scores"):
        raise shape_error(
            f"attn_mask does not broadcast to the scores of shape {shape_text(scores)}.",
            mask._value,
            expected="aligned from the last dim, sizes are equal or 1",
            fix="reshape a mask of keys, of shape (N, S), to (N, 1, 1, S)"
            if len(scores) == 4
            else "reshape the mask with tp.reshape or tp.unsqueeze",
            argument="attn_mask",
        )
