"""Eager work on GPUs: node by node, each kind of node as a jitted function that is kept."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from tripy import dtypes, errors
from tripy.engines.base import describe_refusals
from tripy.engines.reference import VALUE_CHECKS
from tripy.engines.xla_memory import FAILURES, PLATFORMS, device_of, failure, put
from tripy.engines.xla_ops import ROWS, refusal
from tripy.engines.xla_types import Context
from tripy.graph import Value


@functools.lru_cache(maxsize=4096)
def _operation(name: str, attributes: Any, shape: Any, result: Any, platform: str) -> Any:
    """Return the jitted function of a kind of node."""
    row, numpy = ROWS[name], dtypes.to_numpy(result)
    return jax.jit(lambda *x: row(Context(platform=platform), x, dict(attributes), shape, numpy))


def compute(value: Value) -> None:
    """Compute one value whose inputs are known, on its device; the result is kept in it."""
    node = value.node
    if value.data is not None or node is None:
        return
    for source in node.inputs:
        if isinstance(source.data, np.ndarray):
            source.data = put(source.data, value.device)
    name, attributes = node.primitive.name, tuple(node.attributes.items())
    if name in VALUE_CHECKS:
        VALUE_CHECKS[name](node, np.asarray(node.inputs[1].data))
    refused = refusal(node)
    if refused is not None:
        raise errors.error(
            errors.TripyUnsupportedError,
            describe_refusals("xla", [refused]),
            received=f"a tensor on {value.device}",
            expected="operations that the engine of the device has",
            fix="copy the inputs to the CPU: tp.copy(tensor, 'cpu')",
            source=node.source,
        )
    platform = PLATFORMS[value.device.kind]
    try:
        function = _operation(name, attributes, node.shape, node.dtype, platform)
        with jax.enable_x64(True), jax.default_device(device_of(value.device)):
            value.settle(function(*(i.data for i in node.inputs)))
    except errors.TripyException:
        raise
    except FAILURES as problem:
        raise failure(f"compute {node.label}", problem, node.source) from problem
