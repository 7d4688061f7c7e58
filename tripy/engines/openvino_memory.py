"""Memory that OpenVINO shares with NumPy, and the infer requests that it is bound to."""

from __future__ import annotations

import ctypes
import math
import sys
from typing import Any

import numpy as np

from tripy import dtypes
from tripy.engines import openvino_forks as forks
from tripy.engines.openvino_import import ov
from tripy.engines.openvino_nodes import DTYPES


def writable(array: Any) -> Any:
    """Return the array under a writable alias, as OpenVINO wants even what it only reads."""
    if array.flags.writeable:
        return array
    buffer = (ctypes.c_uint8 * array.nbytes).from_address(array.ctypes.data)
    return np.frombuffer(buffer, array.dtype).reshape(array.shape) if array.size else array.copy()


def to_tensor(array: Any, kind: dtypes.dtype) -> Any:
    """Share the memory of a contiguous array with OpenVINO."""
    array = writable(array)
    if kind in _SHARED:
        return ov.Tensor(array, shared_memory=True)
    storage = np.uint16 if kind is dtypes.bfloat16 else np.uint8
    return ov.Tensor(array.view(storage), list(array.shape), DTYPES[kind.name])


_SHARED = tuple(k for k in dtypes.ALL if k not in (dtypes.bfloat16, dtypes.bool_, *dtypes.PACKED))

_ALIGNMENT = 64  # bytes of a cache line and of the widest vector store


class _Buffer:
    """Memory of a result, used again once nobody but this buffer holds it.

    Fresh memory costs a page fault per 4 KiB, which for images is more than the call.
    """

    __slots__ = ("_idle", "_memory", "array", "tensor")

    def __init__(self, shape: tuple[int, ...], numpy: Any, kind: dtypes.dtype) -> None:
        count = math.prod(shape) * numpy.itemsize
        self._memory: Any = np.empty(count + _ALIGNMENT, np.uint8)
        start = -self._memory.ctypes.data % _ALIGNMENT
        self.array: Any = self._memory[start : start + count].view(numpy).reshape(shape)
        self.tensor = to_tensor(self.array, kind)
        self._idle = sys.getrefcount(self._memory)

    def fits(self, shape: Any) -> bool:
        """Whether it has the shape, and no view of it is alive (views refer to the memory)."""
        return self.array.shape == shape and sys.getrefcount(self._memory) == self._idle


class Request:
    """An infer request and the memory bound to it; used by one call at a time.

    What is bound already is not bound again: that is half of the cost of a small call.
    """

    __slots__ = ("__weakref__", "_bound", "_buffers", "_inputs", "infer")

    def __init__(self, infer: Any, inputs: int, outputs: int) -> None:
        self.infer = infer
        forks.keep(self)
        self._inputs: list[Any] = [None] * inputs
        self._buffers: list[list[_Buffer]] = [[] for _ in range(outputs)]
        self._bound: list[_Buffer | None] = [None] * outputs

    def give(self, index: int, array: Any, kind: dtypes.dtype) -> None:
        """Bind the memory of an input."""
        if self._inputs[index] is not array:
            self.infer.set_input_tensor(index, to_tensor(array, kind))
            self._inputs[index] = array

    def bind(self, index: int, shape: Any, numpy: Any, kind: dtypes.dtype) -> Any:
        """Bind memory for a result and return the array over it."""
        buffers = self._buffers[index]
        for buffer in buffers:
            if buffer.fits(shape):
                break
        else:
            buffer = _Buffer(shape, numpy, kind)
            buffers.insert(0, buffer)
            del buffers[2:]  # the last result usually lives until the next one is there
        if self._bound[index] is not buffer:
            self.infer.set_output_tensor(index, buffer.tensor)
            self._bound[index] = buffer
        return buffer.array.view()
