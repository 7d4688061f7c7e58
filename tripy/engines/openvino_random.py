"""OpenVINO row of Threefry-2x32.

The plugin needs about 20 ns for each of the 60 bitwise operations that a number takes, so the NumPy
body runs inside the model: the words are the same, and 50 times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from openvino import Op, Output
from openvino import opset15 as op

from tripy.engines import random_kernels
from tripy.engines.openvino_nodes import (
    DTYPES,
    F32,
    I32,
    Attrs,
    Check,
    Context,
    Inputs,
    Row,
    Shape,
    const,
    constant_value,
    convert,
    out,
)

__all__ = ["CHECKS", "ROWS", "Threefry"]

MOST_COUNTERS = 2**31 - 1


class Threefry(Op):  # type: ignore[misc]
    """Inputs: both key words and the number of counters, int32 of rank 0."""

    def __init__(
        self, inputs: Inputs | None = None, words: int = 1, span: int = 1, floats: int = 0
    ) -> None:
        self._attributes = {"words": words, "span": span, "floats": floats}
        super().__init__(self)
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    def validate_and_infer_types(self) -> None:
        known = constant_value(self.input_value(2))
        count = ov.Dimension(-1) if known is None else ov.Dimension(int(known))
        kind = F32 if self._attributes["floats"] else I32
        self.set_output_type(0, kind, ov.PartialShape([self._attributes["words"], count]))

    def clone_with_new_inputs(self, inputs: Inputs) -> Threefry:
        return Threefry(inputs, **self._attributes)

    def visit_attributes(self, visitor: Any) -> bool:
        """Also what keeps the plugin from sharing one node between different draws."""
        visitor.on_attributes(self._attributes)
        return True

    def has_evaluate(self) -> bool:
        return True

    def evaluate(self, outputs: Sequence[Any], inputs: Sequence[Any]) -> bool:
        *key, count = (tensor.data for tensor in inputs)
        result, body = outputs[0], random_kernels.BODIES["threefry"]
        result.shape = shape = (self._attributes["words"], int(count))
        np.copyto(result.data, body(key, self._attributes, shape, result.data.dtype))
        return True


def threefry(ctx: Context, inputs: Inputs, attrs: Attrs, out_shape: Shape, dtype: str) -> Output:
    words, size = out_shape
    count = const(size, I32) if isinstance(size, int) else convert(ctx.size(size), I32)
    floats = int(DTYPES[dtype] == F32)
    drawn = Threefry([*inputs, count], words=words, span=attrs["span"], floats=floats)
    # With float16 inference this becomes the conversion that the operation lacks.
    return out(op.convert(drawn, DTYPES[dtype]))


def check_threefry(dtypes: Sequence[str], attrs: Attrs, shapes: Sequence[Shape]) -> str | None:
    count = shapes[-1][1]
    if isinstance(count, int) and count > MOST_COUNTERS:
        return f"it counts at most {MOST_COUNTERS} numbers"
    return None


ROWS: dict[str, Row] = {"threefry": threefry}
CHECKS: dict[str, Check] = {"threefry": check_threefry}
