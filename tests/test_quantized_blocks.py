"""Weights that are quantized in blocks, more of them than small constants have elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator


@pytest.mark.parametrize("kind", [tp.int8, tp.int4])
@pytest.mark.parametrize("block", [16, 64, 1024])
def test_many_blocks_of_weights(kind: tp.dtype, block: int, rng: Rng) -> None:
    weight = rng.standard_normal((1152, 1024)).astype(np.float32)
    x = rng.standard_normal((2, 1024)).astype(np.float32)
    limit = {"int8": 127, "int4": 7}[kind.name]
    scale = np.abs(weight.reshape(1152, -1, block)).max(-1) / np.float32(limit)
    linear = tp.Linear(1024, 1152, bias=False, quant_dtype=kind, weight_quant_dim=1)
    linear.load_state_dict({"weight": weight, "weight_scale": scale})
    ratio = weight.reshape(1152, -1, block) / scale[..., None]
    wide = (np.rint(ratio) * scale[..., None].astype(float)).reshape(weight.shape)
    executable = tp.compile(linear, args=[tp.InputInfo(x.shape, tp.float32)], engine="openvino")
    assert " quantize(" not in str(executable.graph)
    wanted = x.astype(float) @ wide.T
    assert np.abs(executable(x).numpy() - wanted).max() < 5e-6 * np.abs(wanted).max()


def test_tables_of_many_blocks(rng: Rng) -> None:
    table = rng.standard_normal((4096, 512)).astype(np.float32)
    scale = tp.Tensor(np.abs(table.reshape(4096, -1, 16)).max(-1) / np.float32(127))

    def rows(at: Any) -> Any:
        q = tp.quantize(tp.Tensor(table), scale, tp.int8, 1)
        return tp.gather(tp.dequantize(q, scale, tp.float32, 1), 0, at)

    at = np.array([[5, 4095, 0]], np.int32)
    executable = tp.compile(rows, args=[tp.InputInfo((1, 3), tp.int32)], engine="openvino")
    np.testing.assert_allclose(executable(at).numpy(), rows(tp.Tensor(at)).numpy(), rtol=1e-6)
