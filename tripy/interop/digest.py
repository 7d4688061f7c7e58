"""A digest of large data against damage: as fast as memory is read, which checksums are not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

_BLOCK = 1 << 16  # bytes


class Digest:
    """SHA-256 of the sums of all 64-bit words in every 64 KiB, and of the bytes that remain.

    Any change of one byte changes it. It guards against damage, not against forgery.
    """

    def __init__(self) -> None:
        self.size = 0
        self._sums = hashlib.sha256()
        self._rest = b""

    def update(self, chunk: Any) -> None:
        """Add more bytes."""
        view = memoryview(chunk).cast("B") if len(chunk) else memoryview(b"")
        self.size += len(view)
        if self._rest:
            missing = _BLOCK - len(self._rest)
            self._rest += bytes(view[:missing])
            view = view[missing:]
            if len(self._rest) < _BLOCK:
                return
            self._add(self._rest)
        whole = len(view) // _BLOCK * _BLOCK
        self._add(view[:whole])
        self._rest = bytes(view[whole:])

    def _add(self, blocks: Any) -> None:
        words = np.frombuffer(blocks, "<u8").reshape(-1, _BLOCK // 8)
        self._sums.update(np.add.reduce(words, axis=1).astype("<u8").tobytes())

    def __str__(self) -> str:
        final = self._sums.copy()
        final.update(self._rest)
        return final.hexdigest()


def digest_of(chunks: Iterable[Any]) -> tuple[int, str]:
    """Return the number of bytes and the digest of chunks in a row."""
    digest = Digest()
    for chunk in chunks:
        digest.update(chunk)
    return digest.size, str(digest)
