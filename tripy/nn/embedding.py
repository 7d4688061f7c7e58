"""Embedding layer."""

from __future__ import annotations

from tripy import dtypes
from tripy.dtypes import INTEGERS, dtype
from tripy.nn.module import Module, check_float, check_sizes, default_parameter
from tripy.ops.index import gather
from tripy.signature import public
from tripy.tensor import Tensor


class Embedding(Module):
    """Looks up one vector per integer.

    Args:
        num_embeddings: number of vectors.
        embedding_dim: size of a vector.
        dtype: dtype of the vectors; one of float16, bfloat16, float32, float64.

    Attributes:
        weight: Parameter of shape (num_embeddings, embedding_dim).
        dtype: dtype of the vectors.

    Raises:
        TripyTypeError: for another dtype, or when called with floats.
        TripyValueError: for sizes below 1.

    Example:
        >>> tp.Embedding(4, 2)(tp.Tensor([3, 0])).tolist()
        [[6.0, 7.0], [0.0, 1.0]]
    """

    _frozen = ("dtype",)
    weight: Tensor

    @public("Embedding")
    def __init__(
        self, num_embeddings: int, embedding_dim: int, dtype: dtype = dtypes.float32
    ) -> None:
        sizes = check_sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        check_float(dtype)
        self.dtype = dtype
        self.weight = default_parameter(sizes, dtype)

    @public("Embedding", input=INTEGERS)
    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors of an integer tensor, of shape input.shape + (embedding_dim,)."""
        return gather(self.weight, 0, input)
