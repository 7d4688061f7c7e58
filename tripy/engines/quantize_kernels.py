"""NumPy bodies of quantization: scaled in at least float32, rounded once."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from tripy.engines.window_kernels import FLOAT32, FLOAT64, Array, Attrs, Body, DType, Inputs, Shape

FLOAT8 = np.dtype(ml_dtypes.float8_e4m3fn)
LIMITS = {np.dtype(np.int8): (-128, 127), np.dtype(ml_dtypes.int4): (-8, 7)}


def bodies(cast: Callable[[Array, DType], Array]) -> dict[str, Body]:
    """The bodies on top of the conversion rules."""

    def quantize(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        x, scale = _computed(inputs, inputs[1].dtype)
        ratio = x.reshape(attrs["split"] or shape) / scale
        if dtype == FLOAT8:
            return cast(ratio, dtype).reshape(shape)
        whole = np.clip(np.rint(ratio), *LIMITS[dtype])
        return np.where(whole == whole, whole, 0).astype(dtype).reshape(shape)

    def dequantize(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        x, scale = _computed(inputs, dtype)
        return cast(x.reshape(attrs["split"] or shape) * scale, dtype).reshape(shape)

    return {"quantize": quantize, "dequantize": dequantize}


def _computed(inputs: Inputs, dtype: DType) -> list[Array]:
    """The inputs in the type to compute in."""
    kind = FLOAT64 if dtype == FLOAT64 else FLOAT32
    return [x.astype(kind, copy=False) for x in inputs]
