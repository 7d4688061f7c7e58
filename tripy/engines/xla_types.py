"""What the rows of the XLA engine share: their form, and the arithmetic that a program may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from tripy.engines.window_kernels import WIDE
from tripy.errors import Source

Array = Any  # a jax.Array, or what stands for one while a program is traced
DType = Any  # a NumPy dtype
Attrs = Mapping[str, Any]
Inputs = Sequence[Array]
Shape = tuple[int, ...]


class Context(NamedTuple):
    """How the program that a row belongs to is built.

    Attributes:
        precision: lowest arithmetic allowed inside for float32 products, as in ``tp.compile``.
        platform: where it runs, in JAX's words: ``cpu`` or ``gpu``.
        source: the user's line of the node that the row is traced for.
        scopes: names of nodes in the compiled program, by ``id`` of their source.
    """

    precision: str = "float32"
    platform: str = "cpu"
    source: Source = ()
    scopes: Mapping[int, str] = MappingProxyType({})


def sum_type(ctx: Context, lhs: Array, rhs: Array, dtype: DType) -> DType:
    """Return the type that a matrix product should have, before it is cast to ``dtype``.

    On GPUs cuBLAS adds halves up in float32 and rounds once, and a bias is fused only into such
    results; products of vectors become loops, which add in the type of their result.
    """
    is_vector = min(lhs.ndim, rhs.ndim) < 2 or 1 in (lhs.shape[-2], rhs.shape[-1])
    return dtype if ctx.platform == "gpu" and not is_vector else WIDE.get(dtype, dtype)


# Rows get sizes that are known: programs are specialised. They are traced with 64-bit types on.
Row = Callable[[Context, Inputs, Attrs, Shape, DType], Array]
# Why a node cannot be computed exactly, None if it can: dtype names, attributes, input shapes.
Check = Callable[[Sequence[str], Attrs, Sequence[Any]], str | None]
