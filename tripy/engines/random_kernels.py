"""NumPy body of Threefry-2x32, the counter-based generator behind ``tp.random``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tripy.engines.window_kernels import Array, Attrs, Body, DType, Inputs, Shape

#: Rotations of the four rounds of even and of odd groups.
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
GROUPS = 5
PARITY = 0x1BD11BDA
WORD = 1 << 32
#: Counters in flight: they stay in the cache, and all have the same high word.
_BLOCK = 1 << 14


def _rounds(key: tuple[int, int], high: int, low: Array) -> tuple[Array, Array]:
    """Both words of the counters (high, low); ``low`` is overwritten."""
    keys = (*key, key[0] ^ key[1] ^ PARITY)
    first = np.full_like(low, (high + keys[0]) % WORD)
    second, spare = low, np.empty_like(low)
    second += np.uint32(keys[1])
    for group in range(GROUPS):
        for distance in ROTATIONS[group % 2]:
            first += second
            np.right_shift(second, np.uint32(32 - distance), out=spare)
            np.left_shift(second, np.uint32(distance), out=second)
            second |= spare
            second ^= first
        first += np.uint32(keys[(group + 1) % 3])
        second += np.uint32((keys[(group + 2) % 3] + group + 1) % WORD)
    return first, second


def _scaled(words: Array, span: int) -> Array:
    """(word * span) >> 32."""
    if span & (span - 1) == 0:
        return np.asarray(words >> np.uint32(33 - span.bit_length()))
    return np.asarray((words.astype(np.uint64) * np.uint64(span)) >> np.uint64(32))


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _threefry(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    key = int(inputs[0]) % WORD, int(inputs[1]) % WORD
    result = np.empty(shape, np.uint32)
    for start, stop in _blocks(shape[1]):
        high, low = divmod(start, WORD)
        words = _rounds(key, high, np.arange(low, low + stop - start, dtype=np.uint32))
        for row, word in zip(result, words):
            row[start:stop] = _scaled(word, attrs["span"])
    if dtype.kind == "f":
        return np.asarray(np.multiply(result, dtype.type(1 / attrs["span"]), dtype=dtype))
    return result.view(dtype)


BODIES: dict[str, Body] = {"threefry": _threefry}
