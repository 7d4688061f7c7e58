"""XLA rows of quantization: scaled in at least float32, rounded once."""

from __future__ import annotations

from jax import lax

from tripy.engines.xla_cast import FLOAT8, FLOAT32, FLOAT64, cast
from tripy.engines.xla_types import Array, Attrs, Context, DType, Inputs, Row, Shape


def quantize(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    # XLA multiplies by the reciprocal of what is broadcast: in float32 ties would go elsewhere.
    x, scale = (cast(value, FLOAT64) for value in inputs)
    ratio = cast(x.reshape(attrs["split"] or shape) / scale, _computed(inputs[1].dtype))
    if dtype != FLOAT8:  # the cast saturates
        ratio = lax.round(ratio, lax.RoundingMethod.TO_NEAREST_EVEN)
    return cast(ratio, dtype).reshape(shape)


def dequantize(ctx: Context, inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    x, scale = (cast(value, _computed(dtype)) for value in inputs)
    return cast(x.reshape(attrs["split"] or shape) * scale, dtype).reshape(shape)


def _computed(dtype: DType) -> DType:
    """The type to compute in."""
    return FLOAT64 if dtype == FLOAT64 else FLOAT32


ROWS: dict[str, Row] = {"quantize": quantize, "dequantize": dequantize}
