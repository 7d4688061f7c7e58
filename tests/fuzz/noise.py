"""How far a right result may be off: the reference run again with every rounding moved at random.

This is Monte Carlo arithmetic: each result of an operation that rounds is changed by a random part
of its last place, and each quantized one by a step of its grid. What moves the result of a program
is what another order of the same sums would move. So ill-conditioned results and those behind a
discontinuity (a sort, a floor, a comparison) get the tolerance that they need, and others none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tripy import dtypes, shapes
from tripy.engines.kernels import BODIES
from tripy.graph import Graph, Node, bind


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: What rounds nothing: moves, selections and integers.
EXACT = _set(
    "reshape expand permute slice gather take_along_dim concat pad where max min maximum minimum"
    " argmax argmin topk topk_indices maxpool relu abs neg floor round ceil sign eq le lt all any"
    " invert bit_and bit_or bit_xor arange size threefry floordiv"
)
#: What keeps small whole numbers exact; inputs have no name.
WHOLE = _set("add sub mul sum matmul conv conv_transpose cumsum cumprod prod scatter cast") | {""}
#: What engines may compute otherwise from infinities and NaN, as the conformance suite lets them.
FREE = _set(
    "resize gelu softmax log_softmax scatter relu max min maximum minimum maxpool"
    " argmax argmin topk topk_indices"
)
STEP = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}
HALF = ("float16", "bfloat16")
#: What counts as nothing: below it engines may flush to zero.
TINY = {"float16": 2.0**-20}


class Noise:
    """One way to move the roundings of a run."""

    def __init__(self, seed: int, level: float, precision: str = "float32", wide: bool = False):
        self.rng = np.random.default_rng(seed)
        self.level, self.precision, self.wide = level, precision, wide

    def step(self, kind: str) -> float:
        if kind == "float64" or self.precision == "float32":
            return STEP[kind]
        return max(STEP[kind], STEP[self.precision])

    def moved(self, node: Node | None, x: Any, kind: str, inputs: Sequence[Any]) -> Any:
        """A result as an engine might have rounded it."""
        name = "" if node is None else node.primitive.name
        if name == "quantize":
            return self._off_by_one(x)
        if kind not in STEP or not x.size:
            return x
        if name in FREE or (name == "conv" and self.precision != "float32"):
            x = self._freed(name, x, [i for i in inputs if i.dtype.kind == "f"])
        if self.rng.random() < 0.5:
            x = np.where(np.abs(x) < TINY.get(kind, 2e-38), x * 0, x)
        if name not in EXACT and not (name in WHOLE and all(map(self._is_whole, (x, *inputs)))):
            x = self._rounded(name, x, kind, inputs)
        if self.precision == "bfloat16" and kind == "float32" and self.rng.random() < 0.5:
            x = x.astype(ml_dtypes.bfloat16).astype(x.dtype)  # where numbers become equal
        return x

    def _rounded(self, name: str, x: Any, kind: str, inputs: Sequence[Any]) -> Any:
        step = self.step(kind) * self.level
        if name == "dequantize":  # carries the rounding of 128 times its scale
            return x + np.float32(step) * 128 * inputs[1].max() * self.rng.uniform(-1, 1, x.shape)
        if name == "gelu":  # the sum of 1 and a function near -1 has an absolute error
            x = x + step * inputs[0] * self.rng.uniform(-1, 1, x.shape)
        return x * (1 + step * self.rng.uniform(-1, 1, x.shape))

    def _freed(self, name: str, x: Any, inputs: Sequence[Any]) -> Any:
        """What comes of infinities and NaN may be an operand, or something else."""
        if all(np.isfinite(i).all() for i in inputs):
            return x
        is_free = ~np.isfinite(x)
        if name in ("resize", "conv"):  # multiply them by weights of 0
            is_free = np.ones(x.shape, bool)
        if name == "gelu":
            is_free |= ~np.isfinite(inputs[0])
        shape = x.shape if self.rng.random() < 0.5 else ()
        other: Any = self.rng.choice([-1.0, 0.0, 2.0, np.inf, np.nan], shape)
        if name in ("maximum", "minimum") and self.rng.random() < 0.5:
            other = inputs[self.rng.integers(len(inputs))]
        return np.where(is_free, other, x)

    def _off_by_one(self, x: Any) -> Any:
        if x.dtype.kind not in "iu" and x.dtype != ml_dtypes.int4:
            return x
        low, high = (-8, 7) if x.dtype == ml_dtypes.int4 else (-128, 127)
        moved = x.astype(np.int32) + self.rng.choice([-1, 0, 0, 1], x.shape)
        return np.clip(moved, low, high).astype(x.dtype)

    def _is_whole(self, x: Any) -> bool:
        """Whether every element is a small multiple of a quarter, which no arithmetic rounds."""
        most = 64 if self.precision == "bfloat16" else 4096
        with np.errstate(all="ignore"):
            scaled = np.asarray(x, np.float64) * 4
            return bool(((scaled == np.rint(scaled)) & (np.abs(x) < most)).all())


def _float_type(kind: str, wide: bool) -> Any:
    return np.dtype(np.float64) if wide and kind in STEP else None


def interpret(
    graph: Graph, inputs: Sequence[Any], noise: Noise | None, wide: bool = False
) -> list[Any]:
    """The outputs of a graph in NumPy; ``wide`` computes all floats in float64."""
    sizes = bind(graph.symbols, [a.shape for a in inputs], inputs)
    known: dict[int, Any] = {}
    for value, array in zip(graph.inputs, inputs):
        known[id(value)] = _leaf(array, value.dtype.name, noise, wide)
    with np.errstate(all="ignore"):
        for value in graph.values:
            if id(value) in known:
                continue
            node, data = value.node, value.data
            if data is not None or node is None:
                is_rounded = noise is not None and noise.precision == "bfloat16"
                x = _leaf(np.asarray(data), value.dtype.name, noise if is_rounded else None, wide)
            else:
                x = _result(node, [known[id(i)] for i in node.inputs], sizes, noise, wide)
            known[id(value)] = x
    return [known[id(value)] for value in graph.outputs]


def _leaf(x: Any, kind: str, noise: Noise | None, wide: bool) -> Any:
    x = x.astype(np.float64) if wide and kind in STEP else x
    return x if noise is None else noise.moved(None, x, kind, ()).astype(x.dtype)


def _result(
    node: Node, inputs: Sequence[Any], sizes: Mapping[str, int], noise: Noise | None, wide: bool
) -> Any:
    attributes = {k: shapes.substitute(v, sizes) for k, v in node.attributes.items()}
    shape: Any = shapes.substitute(node.shape, sizes)
    name, kind = node.primitive.name, node.dtype.name
    if name in ("gather", "take_along_dim"):
        attributes["clamp"] = True
    dtype = _float_type(kind, wide) or dtypes.to_numpy(node.dtype)
    if noise is not None and any(i.dtype.kind == "f" for i in inputs):
        inputs = (
            [_unsigned(i, noise) for i in inputs] if name in ("div", "atan2", "pow") else inputs
        )
    x = np.asarray(BODIES[name](inputs, attributes, shape, dtype))
    return x if noise is None else noise.moved(node, x, kind, inputs).astype(x.dtype)


def _unsigned(x: Any, noise: Noise) -> Any:
    """Zeros of either sign."""
    if x.dtype.kind != "f" or (x != 0).all():
        return x
    return np.where(x == 0, np.copysign(0.0, noise.rng.uniform(-1, 1, x.shape)), x).astype(x.dtype)


# --- tolerances ------------------------------------------------------------------------------


def spreads(
    graph: Graph, inputs: Sequence[Any], wanted: Sequence[Any], noises: Sequence[Noise]
) -> list[Any]:
    """How far each element of the results moves at most; infinite where it may be anything."""
    found = [np.zeros(x.shape) for x in wanted]
    for noise in noises:
        moved = interpret(graph, inputs, noise, noise.wide)
        for at, (x, y) in enumerate(zip(moved, wanted)):
            found[at] = np.maximum(found[at], distance(x, y))
    return found


def distance(x: Any, y: Any) -> Any:
    """The difference of each element; infinite between a number and what is none."""
    with np.errstate(all="ignore"):
        a, b = x.astype(np.float64), y.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if x.dtype.kind in "iub" and x.dtype.itemsize == 8:
            same = x == y
        far = np.abs(a - b)
        return np.where(same, 0.0, np.where(np.isnan(far), np.inf, np.maximum(far, 1e-300)))


def allowed(spread: Any, wanted: Any, factor: float, step: float) -> Any:
    """The tolerance of each element: what it and its neighbours move, and its last places."""
    if wanted.dtype.kind in "iub" or not wanted.size:
        return factor * spread
    with np.errstate(all="ignore"):
        size = np.abs(wanted.astype(np.float64))
        usual = np.median(spread[np.isfinite(spread)]) if np.isfinite(spread).any() else 0.0
        finite = size[np.isfinite(size)]
        floor = step * (finite.max() if finite.size else 0.0) / 16 + TINY.get(
            str(wanted.dtype), 2e-38
        )
        limit = factor * spread + factor * usual / 2 + 4 * step * size + floor
        return np.where(np.isfinite(size), limit, factor * spread)
