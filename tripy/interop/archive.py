"""Zip files in a memory map whose members are stored as they are, so that nothing is unpacked."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

from tripy.interop.files import bad

_PART = 1 << 22  # bytes


class Archive:
    """Finds the members of a zip file; BadFile for what is damaged, compressed or out of place."""

    def __init__(self, data: Any) -> None:
        self.data = data
        try:
            with zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, OSError):
            bad("it is a damaged or foreign zip archive")
        self.infos = {info.filename: info for info in infos}
        if len(self.infos) != len(infos):
            bad("it has a member twice")

    def place(self, name: str) -> tuple[int, int]:
        """Return where a member lies, and its size."""
        info = self.infos.get(name)
        if info is None:
            bad(f"its member {name[:80]!r} is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            bad(f"its member {name[:80]!r} is compressed or encrypted")
        header = self.data[info.header_offset : info.header_offset + 30]
        if len(header) < 30 or header[:4] != b"PK\x03\x04" or info.header_offset < 0:
            bad(f"its member {name[:80]!r} is damaged")
        lengths = (int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        start = info.header_offset + 30 + sum(lengths)
        if info.file_size != info.compress_size or start + info.file_size > len(self.data):
            bad(f"its member {name[:80]!r} is cut off")
        return start, info.file_size

    def member(self, name: str) -> memoryview:
        """Return the bytes of a member."""
        start, size = self.place(name)
        return memoryview(self.data)[start : start + size]

    def parts(self, name: str) -> Iterator[memoryview]:
        """Yield a member in parts; pages of a mapped file leave memory once they were read."""
        start, size = self.place(name)
        view, advise = memoryview(self.data), getattr(self.data, "madvise", None)
        for first in range(start, start + size, _PART):
            last = min(first + _PART, start + size)
            yield view[first:last]
            page = first - first % mmap.PAGESIZE
            if advise is not None and hasattr(mmap, "MADV_DONTNEED"):
                advise(mmap.MADV_DONTNEED, page, last - page)
