"""Messages over pipes: a record of JSON, then arrays of bytes, all with their lengths."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

_LENGTH = struct.Struct("<Q")


def raw(array: Any) -> Any:
    """Return the bytes of a contiguous array."""
    return array.reshape(-1).view(np.uint8)


def send(file: Any, record: dict[str, Any], members: Sequence[Sequence[Any]] = ()) -> None:
    """Write a message to an unbuffered file; the parts of a member arrive as one array."""
    sizes = [sum(memoryview(part).nbytes for part in parts) for parts in members]
    text = json.dumps([record, sizes]).encode()
    _write(file, _LENGTH.pack(len(text)) + text)
    for parts in members:
        for part in parts:
            _write(file, part)


def receive(file: Any) -> tuple[dict[str, Any], list[Any]]:
    """Read a message from an unbuffered file; EOFError where nobody writes any more."""
    (length,) = _LENGTH.unpack(_read(file, _LENGTH.size))
    record, sizes = json.loads(bytes(_read(file, length)))
    return record, [_read(file, size) for size in sizes]


def _write(file: Any, data: Any) -> None:
    view, done = memoryview(data), 0
    while done < view.nbytes:
        done += file.write(view[done:])


def _read(file: Any, size: int) -> Any:
    data: Any = np.empty(size, np.uint8)
    view, done = memoryview(data), 0
    while done < size:
        count = file.readinto(view[done:])
        if not count:
            raise EOFError
        done += count
    return data
