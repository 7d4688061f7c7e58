"""Pre-trained weights from the data files of the installed package ``mtcnn``."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class WeightsError(Exception):
    """Weights that are not there or not what they should be."""


def locate(name: str) -> Path:
    """The weight file of one network. The package is not imported: that needs TensorFlow."""
    spec = util.find_spec("mtcnn")
    folders = (spec and spec.submodule_search_locations) or []
    for folder in folders:
        path = Path(folder, "assets", "weights", f"{name}.lz4")
        if path.is_file():
            return path
    raise WeightsError(f"the package mtcnn has no file {name}.lz4: pip install mtcnn==1.0.0")


class _Unpickler(pickle.Unpickler):
    """Reads joblib's list of arrays and refuses every class but the three it is made of."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.arrays: list[Array] = []
        arrays = self.arrays

        class Wrapper:
            def __setstate__(self, state: dict[str, Any]) -> None:
                # The elements follow the wrapper in the stream, after one byte of padding length.
                stream.seek(stream.read(1)[0], io.SEEK_CUR)
                count = math.prod(state["shape"])
                values = np.frombuffer(stream.read(4 * count), np.float32, count)
                arrays.append(values.reshape(state["shape"]))

        self._classes = {
            ("joblib.numpy_pickle", "NumpyArrayWrapper"): Wrapper,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._classes:
            raise pickle.UnpicklingError(f"weights must not contain {module}.{name}")
        return self._classes[module, name]


def read(name: str) -> list[Array]:
    """The arrays of one network in the order and layout of Keras."""
    path = locate(name)
    try:
        content = import_module("lz4.frame").decompress(path.read_bytes())
        unpickler = _Unpickler(io.BytesIO(content))
        unpickler.load()
    # A damaged file makes the decompressor and the unpickler raise nearly anything.
    except Exception as error:
        raise WeightsError(f"{path}: not the weights of mtcnn 1.0.0 ({error})") from error
    return unpickler.arrays


def convert(arrays: Sequence[Array]) -> Iterator[Array]:
    """The same arrays with channels first: kernels (out, in, h, w), matrices (out, in)."""
    channels = 0
    for array in arrays:
        yield _CONVERSIONS[array.ndim](array, channels)
        # The first matrix reads the flattened map of the last convolution, later ones a vector.
        channels = {4: array.shape[-1], 2: 0}.get(array.ndim, channels)


def _convert_matrix(matrix: Array, channels: int) -> Array:
    inputs, outputs = matrix.shape
    side = math.isqrt(inputs // channels) if channels else 1
    # Keras' map was flattened as (column, row, channel); here it is (channel, row, column).
    by_place = matrix.reshape(side, side, -1, outputs)
    return by_place.transpose(3, 2, 1, 0).reshape(outputs, inputs)


# By rank: biases and alphas of a vector, matrices, alphas of a map, kernels.
_CONVERSIONS: dict[int, Callable[[Array, int], Array]] = {
    1: lambda array, channels: array,
    2: _convert_matrix,
    3: lambda array, channels: array.transpose(2, 0, 1),
    4: lambda array, channels: array.transpose(3, 2, 0, 1),
}
