"""What a call of an Executable must be given, and the buffers that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import dtypes, errors, shapes, structure
from tripy.config import config
from tripy.devices import CPU, device
from tripy.graph import Graph, Spread, Value, bind
from tripy.host import from_array, is_tensor_like
from tripy.inputs import DimensionInputInfo, InputInfo
from tripy.memory import Watch
from tripy.tensor import DimensionSize, Tensor


class InputLeaf(NamedTuple):
    """One described input: its path, such as ``x`` or ``batch.images[0]``, and description."""

    path: str
    info: InputInfo | DimensionInputInfo


class _Check:
    """The expected dtype and sizes of one input."""

    __slots__ = ("dtype", "info", "numpy", "path", "shape", "symbols")

    def __init__(self, leaf: InputLeaf, value: Value) -> None:
        self.path, self.info = leaf
        self.dtype = value.dtype
        self.numpy = dtypes.to_numpy(value.dtype)
        self.shape = value.shape if shapes.is_static(value.shape) else None
        self.symbols = [
            (dim, name)
            for dim, size in enumerate(value.shape)
            for name, symbol in shapes.symbols(size).items()
            if size == shapes.symbol(*symbol)  # inputs of parts of graphs may have other sizes
        ]


class Inputs:
    """The inputs of an Executable; checks the leaves of a call."""

    def __init__(
        self,
        leaves: Sequence[InputLeaf],
        graph: Graph,
        place: device,
        watch: Watch,
        keeps_parts: bool = False,
    ) -> None:
        self.leaves = list(leaves)
        self.device = place
        self._keeps_parts = keeps_parts  # whether the program takes elements that are divided
        self._graph = graph
        self._watch = watch
        self._checks = [_Check(leaf, value) for leaf, value in zip(leaves, graph.inputs)]
        self._dynamic = bool(graph.symbols) or bool(graph.conditions)

    def buffers(self, leaves: Sequence[Any]) -> list[Any]:
        """Return the checked buffers of a call, one per input of the graph."""
        found = []
        for check, leaf in zip(self._checks, leaves):
            value = leaf._value if type(leaf) is Tensor else None
            array = leaf if value is None else value.data
            if value is not None and array is not None and value.device is not CPU:
                fits = value.shape == check.shape and value.dtype is check.dtype
                fits = fits and value.device is self.device
                fits = fits and type(array) not in (np.ndarray, Spread)
            else:
                fits = type(array) is np.ndarray and array.shape == check.shape
                fits = fits and array.dtype is check.numpy and array.flags.c_contiguous
                fits = fits and (value is None or value.device is self.device)
            found.append(array if fits else self._buffer(check, leaf))
        if self._dynamic:
            self._check_sizes(found)
        return found

    def _buffer(self, check: _Check, leaf: Any) -> Any:
        """Return the checked host buffer of one input."""
        if isinstance(leaf, Tensor):
            if leaf.device != self.device and not isinstance(leaf, DimensionSize):
                raise self._elsewhere(check, leaf.device)
            is_spread = self._keeps_parts and type(leaf._value.data) is Spread
            array = leaf._value.data if is_spread else leaf._elements()
        elif isinstance(check.info, DimensionInputInfo) and shapes.as_size(leaf) is not None:
            array = self._number(check, leaf)
        elif is_tensor_like(leaf) and not isinstance(leaf, (bool, int, float, list, tuple)):
            array, place = from_array(leaf)
            if place is not None and place != self.device:
                raise self._elsewhere(check, place)
        else:
            raise errors.error(
                errors.TripyTypeError,
                f"the input {check.path!r} is no {_noun(check)}.",
                received=errors.describe(leaf),
                expected=_EXPECTED[_noun(check)],
                fix=_FIX[_noun(check)],
                argument=structure.keys_of(check.path),
            )
        if config.enable_input_validation:
            self._check_leaf(check, array)
        if not isinstance(array, np.ndarray) or array.flags.c_contiguous:
            return array
        return np.ascontiguousarray(array)

    def _number(self, check: _Check, leaf: Any) -> Any:
        """Return the buffer of a size."""
        size: Any = shapes.as_size(leaf)
        array = np.array(max(min(size, shapes.LARGEST), -shapes.LARGEST), np.int32)
        if int(array) != size:
            raise _wrong_size(check, array, errors.brief(size), "a size that fits int32")
        return array

    def _elsewhere(self, check: _Check, place: device) -> errors.TripyDeviceError:
        return errors.error(
            errors.TripyDeviceError,
            f"the input {check.path!r} is on another device.",
            received=str(place),
            expected=str(self.device),
            fix=f"tp.copy(tensor, {str(self.device)!r})",
            argument=structure.keys_of(check.path),
        )

    def _check_leaf(self, check: _Check, array: Any) -> None:
        if array.dtype != check.numpy:
            raise errors.error(
                errors.TripyTypeError,
                f"the input {check.path!r} has another dtype.",
                received=str(dtypes.from_numpy(array.dtype) or array.dtype),
                expected=str(check.dtype),
                fix=f"convert it first: tp.cast({check.path}, tp.{check.dtype})",
                argument=structure.keys_of(check.path),
            )
        bounds = _bounds_of(check.info)
        if array.ndim != len(bounds):
            received = f"shape {array.shape} of rank {array.ndim}"
            raise _wrong_size(check, array, received, f"rank {len(bounds)}")
        for dim, (low, high) in enumerate(bounds):
            if not low <= array.shape[dim] <= high:
                received = f"size {array.shape[dim]} in dim {dim} of shape {array.shape}"
                expected = str(low) if low == high else f"{low} … {high}"
                raise _wrong_size(check, array, received, expected)
        if isinstance(check.info, DimensionInputInfo):
            b = check.info.value_bounds
            if not b.min[0] <= int(array) <= b.max[0]:
                raise _wrong_size(check, array, str(int(array)), f"{b.min[0]} … {b.max[0]}")

    def _check_sizes(self, buffers: Sequence[Any]) -> None:
        """Check equal names and the conditions that tracing left open."""
        seen: dict[str, tuple[int, str]] = {}
        for check, array in zip(self._checks, buffers):
            for dim, name in check.symbols:
                size = array.shape[dim]
                if seen.setdefault(name, (size, check.path))[0] != size:
                    raise errors.error(
                        errors.TripyShapeError,
                        f"the dimension {name!r} has two sizes in one call.",
                        received=f"{seen[name][0]} in {seen[name][1]!r}, {size} in {check.path!r}",
                        expected="one size",
                        fix=f"pass inputs whose {name} agrees, or compile with two names",
                        argument=structure.keys_of(check.path),
                    )
        if not self._graph.conditions and not self._watch:
            return
        values = bind(self._graph.symbols, [a.shape for a in buffers], buffers)
        for condition in self._graph.conditions:
            if not condition.holds(values):
                raise _broken_condition(condition, values)
        if self._watch:
            self._watch.check(values)


_EXPECTED = {
    "size": "an int or a tp.DimensionSize",
    "tensor": "a Tensor, a NumPy array or a DLPack object",
}
_FIX = {"size": "pass an int", "tensor": "wrap numbers and lists in tp.Tensor(…)"}


def _noun(check: _Check) -> str:
    return "size" if isinstance(check.info, DimensionInputInfo) else "tensor"


def _wrong_size(check: _Check, array: Any, received: str, expected: str) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        f"the input {check.path!r} does not fit its description.",
        received=received,
        expected=expected,
        fix=f"pass such a {_noun(check)}, or compile with other bounds than {check.info}",
        argument=structure.keys_of(check.path),
    )


def _broken_condition(
    condition: shapes.Condition, values: dict[str, int]
) -> errors.TripyShapeError:
    left, right = (shapes.evaluate(s, values) for s in (condition.left, condition.right))
    sizes = {str(condition.left): left, str(condition.right): right} | values
    shown = (f"{size} = {value}" for size, value in sizes.items() if size != str(value))
    return errors.error(
        errors.TripyShapeError,
        f"{condition.message}.",
        received=", ".join(shown),
        expected=f"{condition.left} {condition.relation} {condition.right}",
        fix="pass inputs whose sizes fit together",
        source=condition.source,
    )


def _bounds_of(info: InputInfo | DimensionInputInfo) -> list[tuple[int, int]]:
    if isinstance(info, DimensionInputInfo):
        return []
    return list(zip(info.shape_bounds.min, info.shape_bounds.max))
