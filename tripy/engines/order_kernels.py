"""NumPy bodies of running sums and products, of sorting, and of scatter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tripy.engines.window_kernels import WIDE, Array, Attrs, Body, DType, Inputs, Shape, widened


def _running(function: np.ufunc) -> Body:
    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        (x,) = widened(inputs)
        total = function.accumulate(x, axis=attrs["dim"], dtype=x.dtype)
        return np.asarray(total).astype(dtype, copy=False)

    return body


def _best(order: Callable[..., Array], position: bool) -> Body:
    """The first k in a stable order that has NaN as its largest element."""

    def body(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
        (x,), dim = widened(inputs), attrs["dim"]
        if not attrs["largest"]:
            ordered = order(x, axis=dim, kind="stable")
        else:  # Sorted backwards twice: equal elements keep their order.
            ordered = np.flip(order(np.flip(x, dim), axis=dim, kind="stable"), dim)
            ordered = x.shape[dim] - 1 - ordered if position else ordered
        chosen = ordered[(*[slice(None)] * dim, slice(attrs["k"]))]
        return np.asarray(chosen.astype(dtype, copy=False))

    return body


_COMBINE: dict[str, Callable[..., Any]] = {
    "add": np.add.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _scatter(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    """Targets out of range are left out; eager mode has refused them before."""
    (x, index, updates), dim = inputs, attrs["dim"]
    index = index.astype(np.int64)
    target = np.where(index < 0, index + x.shape[dim], index)
    inside = (target >= 0) & (target < x.shape[dim])
    places = list(np.nonzero(inside))
    places[dim] = target[inside]
    if attrs["reduction"] is None:
        out = x.copy()
        out[tuple(places)] = updates[inside]
        return out
    wide = WIDE.get(dtype, dtype)
    out = x.astype(wide)
    _COMBINE[attrs["reduction"]](out, tuple(places), updates[inside].astype(wide))
    return out.astype(dtype, copy=False)


BODIES: dict[str, Body] = {
    "cumsum": _running(np.add),
    "cumprod": _running(np.multiply),
    "topk": _best(np.sort, False),
    "topk_indices": _best(np.argsort, True),
    "scatter": _scatter,
}
