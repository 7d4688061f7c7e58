"""Faults of XLA."""

from __future__ import annotations

import jax
import numpy as np

from .table import fault

LEAST = np.iinfo(np.int32).min


@fault(
    engine="jax",
    version="0.10.2",
    what="Squares of signed integers are taken for non-negative, although they wrap",
    instead="the product of the bits as unsigned integers, at no cost",
    where="tripy.engines.xla_elementwise:in_bits",
)
def squares_taken_for_positive() -> bool:
    x = np.array([3, 46341, 715827882], np.int32)  # the second and third squares are negative
    found = jax.jit(lambda x: x * x < 0)(x)
    return bool(np.array_equal(found, x * x < 0))


@fault(
    engine="jax",
    version="0.10.2",
    what="The magnitude of the least integer, which is itself, is taken for non-negative",
    instead="a selection between the number and its negative",
    where="tripy.engines.xla_elementwise:_abs",
)
def magnitudes_taken_for_positive() -> bool:
    x = np.array([3, LEAST], np.int32)
    return bool(np.array_equal(jax.jit(lambda x: abs(x) < 0)(x), [False, True]))
