"""Table of vectors that integers look up."""

from __future__ import annotations

from tripy import dtypes
from tripy.dtypes import INTEGERS, dtype
from tripy.nn.module import check_float, check_sizes, default_parameter
from tripy.nn.quantization import QuantizedModule
from tripy.ops.index import gather
from tripy.ops.quantize import dequantize
from tripy.signature import public
from tripy.tensor import Tensor


class Embedding(QuantizedModule):
    """Looks up a row of its weight for every element of an integer input.

    Args:
        num_embeddings: number of rows.
        embedding_dim: size of a row.
        dtype: dtype of the parameters; one of float16, bfloat16, float32, float64.
        quant_dtype: dtype that the weight is quantized to: int8, int4, float8, or None.
        weight_quant_dim: dim of the weight that its scales, or blocks of them, run along.

    Attributes:
        weight: Parameter of shape (num_embeddings, embedding_dim).
        dtype: dtype of the parameters.
        quant_dtype: dtype of the quantized weight, or None.
        weight_quant_dim: dim of the scales of the weight, or None.
        weight_scale: with ``quant_dtype``, Parameter to set before a call, of rank 0, a scale per
            element of ``weight_quant_dim``, or per block in the forms of :func:`tripy.quantize`.

    Raises:
        TripyTypeError: for another dtype, or when called with an input that is not of integers.
        TripyValueError: for sizes below 1, a dim without ``quant_dtype``, or a call without scale.
        TripyShapeError: for a scale that does not fit.
        TripyIndexError: for a dim that the weight does not have; when an element is out of range
            (executables use the nearest valid one).

    Example:
        >>> tp.Embedding(4, 2)(tp.Tensor([3, 0]))
        tensor(
            [[6.0000, 7.0000],
             [0.0000, 1.0000]],
            dtype=float32, loc=cpu:0, shape=(2, 2))
    """

    _frozen = ("dtype", "quant_dtype", "weight_quant_dim")

    @public("Embedding")
    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        dtype: dtype = dtypes.float32,
        quant_dtype: dtype | None = None,
        weight_quant_dim: int | None = None,
    ) -> None:
        sizes = check_sizes(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        check_float(dtype)
        self.dtype = dtype
        self.weight = default_parameter(sizes, dtype)
        self._set_up_scales(quant_dtype, weight_quant_dim, has_input=False)

    @public("Embedding", input=INTEGERS)
    def forward(self, input: Tensor) -> Tensor:
        """Return the rows of all elements, in a shape of ``input.shape + (embedding_dim,)``."""
        if self.quant_dtype is dtypes.int8 and self._dim != 0:
            weight, scale = self._quantized_weight()
            if scale.rank < 2:  # no row has a scale of its own: programs keep the table as int8
                dim = None if self._dim is None else -1
                return dequantize(gather(weight, 0, input), scale, self.dtype, dim)
        return gather(self._weight_as_used(), 0, input)
