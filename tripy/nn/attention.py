"""Attention layer."""

from __future__ import annotations

from tripy import dtypes, shapes
from tripy.dtypes import BOOL, FLOATS, dtype
from tripy.nn.linear import Linear
from tripy.nn.module import Module, check_divides, check_input_dtype, check_sizes
from tripy.ops.attention import check_equal, scaled_dot_product_attention
from tripy.ops.movement import permute
from tripy.ops.registry import apply, shape_error
from tripy.signature import public
from tripy.tensor import Tensor


class MultiHeadAttention(Module):
    """Attends to keys with several heads at once (Vaswani et al., 2017).

    Projects query, key and value, applies :func:`tripy.scaled_dot_product_attention` with
    embed_dim / num_heads elements per head, and projects the joined heads.

    Args:
        embed_dim: size E of the last dim of inputs and result.
        num_heads: number of query heads.
        num_kv_heads: number of key and value heads, each of which serves a run of query heads;
            None is num_heads.
        bias: whether the projections add a bias.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.

    Attributes:
        q_proj: Linear of the query.
        k_proj: Linear of the key.
        v_proj: Linear of the value.
        out_proj: Linear of the joined heads.
        embed_dim: size of the last dim.
        num_heads: number of query heads.
        num_kv_heads: number of key and value heads.
        dtype: dtype of the parameters.

    Raises:
        TripyShapeError: when called with other ranks or sizes.
        TripyTypeError: for another dtype.
        TripyValueError: for sizes below 1, or numbers of heads that do not divide.

    Example:
        >>> layer = tp.MultiHeadAttention(4, num_heads=2)
        >>> layer(tp.ones((1, 3, 4)), is_causal=True).shape
        (1, 3, 4)
    """

    _frozen = ("embed_dim", "num_heads", "num_kv_heads", "dtype")

    @public("MultiHeadAttention")
    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        bias: bool = True,
        dtype: dtype = dtypes.float32,
    ) -> None:
        shared = num_heads if num_kv_heads is None else num_kv_heads
        sizes = check_sizes(embed_dim=embed_dim, num_heads=num_heads, num_kv_heads=shared)
        self.embed_dim, self.num_heads, self.num_kv_heads = sizes
        check_divides(num_heads=self.num_heads, embed_dim=self.embed_dim)
        check_divides(num_kv_heads=self.num_kv_heads, num_heads=self.num_heads)
        self.dtype = dtype
        width = self.embed_dim // self.num_heads * self.num_kv_heads
        self.q_proj = Linear(self.embed_dim, self.embed_dim, bias, dtype)
        self.k_proj = Linear(self.embed_dim, width, bias, dtype)
        self.v_proj = Linear(self.embed_dim, width, bias, dtype)
        self.out_proj = Linear(self.embed_dim, self.embed_dim, bias, dtype)

    @public(
        "MultiHeadAttention", query=FLOATS, key=FLOATS, value=FLOATS, attn_mask=(*FLOATS, *BOOL)
    )
    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Return what a query of shape (N, L, E) finds in a key and a value of shape (N, S, E).

        Without a key it is the query, without a value it is the key. The mask broadcasts to
        (N, num_heads, L, S).
        """
        key = query if key is None else key
        value = key if value is None else value
        for name, tensor in (("query", query), ("key", key), ("value", value)):
            self._check(name, tensor)
        check_equal(query, key, 0, "key", "query and key must have one batch size")
        check_equal(key, value, 0, "value", "key and value must have one batch size")
        check_equal(key, value, 1, "value", "key and value must have one length")
        shared = self.num_kv_heads
        result = scaled_dot_product_attention(
            _split(self.q_proj(query), self.num_heads),
            _split(self.k_proj(key), shared),
            _split(self.v_proj(value), shared),
            attn_mask,
            is_causal,
            enable_gqa=shared != self.num_heads,
        )
        return self.out_proj(_join(result))  # type: ignore[no-any-return]

    def _check(self, name: str, tensor: Tensor) -> None:
        check_input_dtype(self, tensor, self.q_proj.weight, name)
        shape = tensor._value.shape
        fits = len(shape) == 3 and shapes.holds(
            shape[-1], "==", self.embed_dim, f"the last size of {name} is embed_dim"
        )
        if not fits:
            raise shape_error(
                f"{name} must have 3 dims, the last of size {self.embed_dim}.",
                tensor._value,
                expected=f"shape (batch, length, {self.embed_dim})",
                fix=f"add a batch dim with tp.unsqueeze({name}, 0)"
                if len(shape) == 2
                else "reshape it, or build the module with another embed_dim",
                argument=name,
            )


def _split(input: Tensor, heads: int) -> Tensor:
    """Return (N, heads, L, size) of (N, L, heads·size)."""
    batch, length, width = input._value.shape
    split = apply("reshape", input, shape=(batch, length, heads, width // heads))
    return permute(split, (0, 2, 1, 3))


def _join(heads: Tensor) -> Tensor:
    batch, count, length, size = heads._value.shape
    moved = permute(heads, (0, 2, 1, 3))
    return apply("reshape", moved, shape=(batch, length, count * size))
