"""What the processor can do that decides which of OpenVINO's kernels are right."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import numpy as np

from tripy.engines.openvino_import import op, ov

#: Instructions that add products of bytes in 32 bits.
_EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}
_X86 = ("x86_64", "amd64", "i386", "i686")
_SYSTEM = Path("/proc/cpuinfo")


@functools.cache
def adds_bytes_exactly() -> bool:
    """Whether products of int8 are right; without VNNI, x86 adds pairs of them in 16 bits."""
    if platform.machine().lower() not in _X86:
        return True
    found = _instructions()
    return not _EXACT.isdisjoint(found) if found else _is_shown()


@functools.cache
def truncates_bfloat16() -> bool:
    """Whether kernels cut float32 off instead of rounding it, as on processors without AVX-512."""
    return "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _instructions() -> set[str]:
    """Names of what the processor has; empty where the system does not list them."""
    try:
        with _SYSTEM.open() as lines:
            return next((set(line.split()) for line in lines if line.startswith("flags")), set())
    except OSError:
        return set()


def _is_shown() -> bool:
    """Whether a product of the largest integers is right."""
    size, f32 = 64, np.float32
    x = op.parameter([1, size], f32)
    limits = [op.constant(f32(limit)) for limit in (0, 255, 0, 255)]
    weights = op.convert(op.constant(np.full((16, size), 127, np.int8)), f32)
    scaled = op.multiply(weights, op.constant(np.ones((16, 1), f32)))
    product = op.matmul(op.fake_quantize(x, *limits, levels=256), scaled, False, True)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    model = ov.Core().compile_model(ov.Model([op.result(product)], [x]), "CPU", options)
    (result,) = model([np.full((1, size), 255, f32)]).to_tuple()
    return bool((result == 255 * 127 * size).all())
