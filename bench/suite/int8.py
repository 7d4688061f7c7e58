"""Quantized ONNX models, from ONNX Runtime's quantizer; everybody reads the same one."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.nets.plans import Array

PRODUCTS = ["Conv", "ConvTranspose", "MatMul", "Gemm"]


@contextmanager
def _silent() -> Iterator[None]:
    """Without the quantizer's advice."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def quantized(model: bytes, x: Array) -> bytes:
    """int8 weights per output channel, and inputs of products with the scales that `x` has."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: list[Any] = [{"x": x}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    with tempfile.TemporaryDirectory() as name, _silent():
        given, prepared, done = (Path(name, f"{part}.onnx") for part in ("a", "b", "c"))
        given.write_bytes(model)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            *(prepared, done, Reader()),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=PRODUCTS,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
        return done.read_bytes()
