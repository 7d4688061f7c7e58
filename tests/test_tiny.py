"""One second: the published example, eager and compiled, on both engines."""

from __future__ import annotations

import numpy as np

import tripy as tp


def test_published_convolution_eager_and_compiled() -> None:
    input = tp.reshape(tp.arange(16, dtype=tp.float32), (1, 1, 4, 4))
    conv = tp.Conv(in_channels=1, out_channels=1, kernel_dims=(2, 2), dtype=tp.float32)
    expected = [[[[24.0, 30.0, 36.0], [48.0, 54.0, 60.0], [72.0, 78.0, 84.0]]]]
    assert conv(input).tolist() == expected
    batch = tp.NamedDimension("batch", 1, 1, 8)
    for engine in ("openvino", "reference"):
        exe = tp.compile(conv, args=[tp.InputInfo((batch, 1, 4, 4), tp.float32)], engine=engine)
        assert exe(input).tolist() == expected
        assert exe(np.ones((5, 1, 4, 4), np.float32)).shape == (5, 1, 3, 3)
