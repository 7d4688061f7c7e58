"""How far the values of a graph move when every operation is rounded a little otherwise.

The reference engine runs again with the result of each operation moved by about what engines may
round it otherwise. What moves much then is what the graph amplifies: deep int8 networks, whose
values fall on the next step of the grid, sums that cancel out, comparisons of nearly equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from tripy import dtypes, shapes
from tripy.engines import plugin_kernels
from tripy.engines.reference import run_node
from tripy.graph import Graph, Node, Value, bind
from tripy.verify import Room, tolerances

RUNS = 3
_MARGIN = 1.5  # of the deviations that these runs see
# What engines may change a value by, relative to it: a few roundings.
_STEPS = {
    "float64": 2.0**-49,
    "float32": 2.0**-21,
    "tf32": 2.0**-10,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8": 2.0**-4,
}
# Primitives that only choose or move elements.
_EXACT = frozenset({
    "neg", "abs", "sign", "floor", "ceil", "round", "relu", "maximum", "minimum", "where", "max",
    "min", "gather", "take_along_dim", "reshape", "expand", "permute", "slice", "pad", "concat",
    "topk", "maxpool",
})  # fmt: skip
_SHORT = 2.0**-12  # a step that leaves bfloat16's digits alone
_CARRIER = 128.0  # steps: int8 products in floats carry the rounding of the largest value


def _per_result(inputs: Sequence[Any], result: Any) -> float:
    return float(inputs[0].size / max(result.size, 1))


def _per_channel(inputs: Sequence[Any], result: Any) -> float:
    return float(inputs[1].size / max(inputs[1].shape[0], 1))


# How many elements are added up, or multiplied, for one of the result.
_LENGTHS: dict[str, Callable[[Sequence[Any], Any], float]] = {
    "matmul": lambda inputs, result: inputs[0].shape[-1],
    "conv": _per_channel,
    "conv_transpose": _per_channel,
    "cumsum": lambda inputs, result: max(inputs[0].shape, default=1),
    "cumprod": lambda inputs, result: max(inputs[0].shape, default=1),
    **dict.fromkeys(("sum", "mean", "prod", "avgpool"), _per_result),
}


class Moved:
    """The deviations that runs of the reference engine with other roundings showed so far.

    Args:
        graph: what to run.
        buffers: its inputs, on the host.
        known: every value of the usual run, by id.
        precision: what float32 values may be computed in.
        wanted: ids of the values to watch; None watches all.
    """

    def __init__(
        self,
        graph: Graph,
        buffers: Sequence[Any],
        known: Mapping[int, Any],
        precision: str,
        wanted: Container[int] | None = None,
    ) -> None:
        self._graph = graph
        self._buffers = buffers
        self._known = known
        self._precision = precision
        self._wanted = wanted
        self._sizes = bind(graph.symbols, [b.shape for b in buffers], buffers)
        self._rooms: dict[int, Room] = {}
        self.runs = 0

    def room(self, value: Value) -> Room | None:
        """Return what a value may differ by; None where it did not move."""
        return self._rooms.get(id(value))

    def run(self) -> None:
        """Run once more."""
        rng = np.random.default_rng(self.runs)
        self.runs += 1
        made = {id(value): array for value, array in zip(self._graph.inputs, self._buffers)}
        try:
            with np.errstate(all="ignore"):
                for value in self._graph.values:
                    if id(value) not in made:
                        made[id(value)] = self._made(rng, value, made)
        finally:
            plugin_kernels.forget()

    def _made(self, rng: np.random.Generator, value: Value, made: Mapping[int, Any]) -> Any:
        if value.data is not None or value.node is None:
            return self._known[id(value)]
        result = self._moved(rng, value.node, [made[id(i)] for i in value.node.inputs])
        if self._wanted is None or id(value) in self._wanted:
            self._note(value, result)
        return result

    def _moved(self, rng: np.random.Generator, node: Node, inputs: list[Any]) -> Any:
        """Compute a node, with other roundings."""
        name = node.primitive.name
        step = self._step(node)
        if name == "quantize":
            inputs[0] = _dithered(rng, node, inputs, self._sizes)
        result = run_node(node, inputs, self._sizes)
        if not step or name in _EXACT or not result.size:
            return result
        if name in _LENGTHS:
            size = step * float(np.sqrt(_LENGTHS[name](inputs, result)))
            moved = [_times(rng, x, size) if _is_float(x) else x for x in inputs[:1]]
            result = run_node(node, [*moved, *inputs[1:]], self._sizes)
        result = _times(rng, result, step)
        if name == "dequantize" and inputs[1].size == 1:
            room = _CARRIER * step * float(inputs[1].reshape(()))
            result = _added(result, room * _noise(rng, result.shape))
        return result

    def _step(self, node: Node) -> float:
        kind = node.dtype.name
        return _STEPS.get(self._precision if kind == "float32" else kind, 0.0)

    def _note(self, value: Value, array: Any) -> None:
        """Add a run's deviation of a value."""
        known = self._known[id(value)]
        off = deviations(array, known)
        if not off.any():
            return
        finite = off[np.isfinite(off)].astype(np.float64)
        general = 0.0 if is_discrete(value) else float(np.sqrt(np.mean(finite**2)))
        extra = _MARGIN * np.maximum(off, np.float32(general))
        rtol, atol = tolerances(value, self._precision, None, None)
        usual = atol + rtol * np.abs(np.nan_to_num(known.astype(np.float32)))
        jumps = int((off > usual + _MARGIN * general).sum())
        before = self._rooms.get(id(value))
        if before is not None:
            extra, jumps = np.maximum(extra, before.extra), max(jumps, before.jumps)
        self._rooms[id(value)] = Room(extra, jumps, float(extra.max()))


def deviations(array: Any, known: Any) -> Any:
    """Differences of elements; NaN or an infinity beside something else is infinitely far off."""
    first, second = array.astype(np.float64), known.astype(np.float64)
    off = np.abs(first - second)
    off[(first == second) | (np.isnan(first) & np.isnan(second))] = 0.0
    off[np.isnan(off)] = np.inf
    return off.astype(np.float32)


def is_discrete(value: Value) -> bool:
    """Whether elements are integers or bools that no grid stands behind."""
    is_grid = value.node is not None and value.node.primitive.name == "quantize"
    return not is_grid and not issubclass(value.dtype, dtypes.floating)


def _is_float(array: Any) -> bool:
    kind = dtypes.from_numpy(array.dtype)
    return kind is not None and issubclass(kind, dtypes.floating)


def _noise(rng: np.random.Generator, shape: Any) -> Any:
    return rng.random(shape, np.float32) * np.float32(2) - np.float32(1)


def _times(rng: np.random.Generator, array: Any, step: float) -> Any:
    """Elements that are moved by up to a step of theirs, except those that no engine rounds."""
    kind = np.float64 if array.dtype == np.float64 else np.float32
    wide = array.astype(kind)
    moved = wide * (kind(1) + _noise(rng, array.shape).astype(kind) * kind(step))
    return np.where(_is_short(wide, step), wide, moved).astype(array.dtype)


def _is_short(array: Any, step: float) -> Any:
    """Whether elements look as if they were exact: whole numbers, and those of few binary digits.

    Sizes, positions and masks are made of such; of others, hardly any is taken for one.
    """
    whole = (array == np.rint(array)) & (np.abs(array) * step <= 1)
    if step > _SHORT:
        return whole
    return whole | (array == array.astype(ml_dtypes.bfloat16).astype(array.dtype))


def _added(array: Any, noise: Any) -> Any:
    kind = np.float64 if array.dtype == np.float64 else np.float32
    return (array.astype(kind) + noise).astype(array.dtype)


def _dithered(
    rng: np.random.Generator, node: Node, inputs: Sequence[Any], sizes: Mapping[str, int]
) -> Any:
    """What is quantized, moved by up to half a step: it falls on either neighbour in the grid."""
    x, scale = inputs
    if node.dtype.name not in ("int8", "int4"):
        return _times(rng, x, _STEPS.get(node.dtype.name, 0.0))
    split = shapes.substitute(node.attributes["split"], sizes)
    parts = x.reshape(split or x.shape)
    step = np.abs(scale.astype(np.float32)) * np.float32(0.5)
    return _added(parts, _noise(rng, parts.shape) * step).reshape(x.shape)
