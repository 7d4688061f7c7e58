"""The cache on disk of programs that took an engine long to build.

An entry is one file: a header with a checksum, then the exported program. Its name has a digest of
the graph and how it is built, and one of the constants, which take longer and are often not needed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tripy import errors
from tripy.config import config
from tripy.engines import base
from tripy.graph import Graph
from tripy.interop import files
from tripy.portable import graph_to_json

_logger = logging.getLogger("tripy.cache")

# A build is kept if it took longer than this; ARCHITECTURE.md has what was measured.
_SECONDS = 0.5
_SECONDS_PER_BYTE = 5e-9  # of constants: to digest, check and import them takes about 2e-9

_HEADER = struct.Struct("<8sQI44x")  # magic, bytes, checksum; the program starts at byte 64
_MAGIC = b"tripy\0c1"
_ENTRY = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}\.program")
_PART = re.compile(r"\.[0-9a-f]{32}-[0-9a-f]{31}\.[0-9a-f]{16}")  # while files.write works
_PART_LIFETIME = 3600.0  # seconds after which nobody writes to one any more
_warned: set[str] = set()  # folders


def build(engine: base.Engine, graph: Graph, options: base.Options) -> base.Program:
    """Return an equal program of the cache, or build one, and keep it if that took long."""
    start = time.perf_counter()
    structure = _structure(engine, graph, options) if config.cache_size else None
    if structure is None:
        return engine.build(graph, options)
    path = ""
    if any(row.name.startswith(structure) for row in _files(config.cache_dir)):
        path = _path(structure, graph)
        program = _restored(path, engine, graph, options)
        if program is not None:
            seconds = time.perf_counter() - start
            _logger.info("the program was read from the cache in %.3f s: %s", seconds, path)
            return program
    is_damaged = os.path.exists(path)
    start = time.perf_counter()
    program = engine.build(graph, options)
    if is_damaged or _is_worth(time.perf_counter() - start, graph):
        _store(path or _path(structure, graph), program)
    return program


def _is_worth(seconds: float, graph: Graph) -> bool:
    count: int = sum(value.data.nbytes for value in graph.constants)
    return seconds > _SECONDS + _SECONDS_PER_BYTE * count


# --- keys ------------------------------------------------------------------------------------


def _structure(engine: base.Engine, graph: Graph, options: base.Options) -> str | None:
    """Return a digest of all but the elements of constants; None where programs are not kept."""
    from tripy import __version__

    fingerprint = engine.fingerprint(options)
    if not fingerprint or any(v.node and "plugin" in v.node.attributes for v in graph.operations):
        return None  # what a plugin's lowering does is not known
    try:
        record, _ = graph_to_json(graph, with_sources=False)
    except errors.TripyUnsupportedError:
        return None
    for row in record["values"]:
        row.pop("constant", None)  # its name
    conditions = [row[:3] for row in record["conditions"]]
    parts = [record[part] for part in ("values", "inputs", "outputs", "symbols")]
    built = options._replace(shapes_kept=1)[1:]  # what is exported serves any number of shapes
    how = [engine.name, fingerprint, str(options.device), *built, __version__, _sources()]
    return _short(hashlib.sha256(json.dumps([how, conditions, parts]).encode()))


@functools.cache
def _sources() -> str:
    """Return a digest of the engines, which change from commit to commit, not only by version."""
    digest = hashlib.sha256()
    for path in sorted(Path(base.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return _short(digest)


def _path(structure: str, graph: Graph) -> str:
    digest = hashlib.sha256()
    for value in graph.constants:
        elements: Any = np.ascontiguousarray(value.data).reshape(-1)
        digest.update(elements.view(np.uint8))
    return os.path.join(config.cache_dir, f"{structure}-{_short(digest)}.program")


def _short(digest: Any) -> str:
    text: str = digest.hexdigest()
    return text[:32]


# --- entries ---------------------------------------------------------------------------------


def _restored(
    path: str, engine: base.Engine, graph: Graph, options: base.Options
) -> base.Program | None:
    """Return the program of an entry; None, perhaps with a warning, where that does not work."""
    try:
        exported = files.read(path, lambda data: _checked(data, path), "", "")
        program = engine.restore(graph, options, exported)
    except errors.TripyFileNotFoundError:
        return None
    except errors.TripyException as problem:
        reason = problem.__cause__ or problem
        _logger.warning("the cached program %s is built again: %s", path, reason)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # it was used last
    return program


def _checked(data: Any, path: str) -> memoryview:
    program = memoryview(data)[_HEADER.size :]
    if len(data) < _HEADER.size or data[: _HEADER.size] != _header(program, path):
        files.bad("it is damaged")
    return program


def _header(program: Any, path: str) -> bytes:
    checksum = zlib.crc32(program, zlib.crc32(os.path.basename(path).encode()))
    return _HEADER.pack(_MAGIC, len(program), checksum)


def _store(path: str, program: base.Program) -> None:
    """Write an entry and remove old ones; a warning, once for a folder, where that fails."""
    folder = os.path.dirname(path)
    try:
        exported = program.export()
        if exported is None or _HEADER.size + len(exported) > config.cache_size:
            return
        os.makedirs(folder, 0o700, exist_ok=True)
        files.write(path, lambda file: file.writelines([_header(exported, path), exported]))
        _shrink(folder)
    except (OSError, RuntimeError, errors.TripyException) as problem:
        _warn(folder, problem.__cause__ or problem)


def _warn(folder: str, problem: BaseException) -> None:
    if folder not in _warned:
        _warned.add(folder)
        _logger.warning("programs cannot be cached in %s: %s", folder, problem)


# --- the folder ------------------------------------------------------------------------------


class _File(NamedTuple):
    name: str
    path: str
    size: int
    used: float  # when


def _files(folder: str) -> list[_File]:
    """Return entries and unfinished files, and nothing else that may be in the folder."""
    try:
        with os.scandir(folder) as rows:
            return list(_own(rows))
    except FileNotFoundError:
        return []
    except OSError as problem:
        _warn(folder, problem)
        return []


def _own(rows: Iterator[os.DirEntry[str]]) -> Iterator[_File]:
    for row in rows:
        if _ENTRY.fullmatch(row.name) or _PART.fullmatch(row.name):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                status = row.stat(follow_symlinks=False)
                yield _File(row.name, row.path, status.st_size, status.st_mtime)


def _shrink(folder: str) -> None:
    """Remove what killed processes left, and the entries used longest ago beyond the limit."""
    for row in _files(folder):
        if _PART.fullmatch(row.name) and time.time() - row.used > _PART_LIFETIME:
            _remove(row)
    rows = sorted(entries(folder), key=lambda row: row.used)
    excess = sum(row.size for row in rows) - config.cache_size
    for row in rows:
        if excess <= 0:
            return
        _remove(row)
        excess -= row.size


def _remove(row: _File) -> None:
    with contextlib.suppress(OSError):  # it is gone, or in use
        os.unlink(row.path)


def entries(folder: str) -> list[_File]:
    """Return the entries of a folder."""
    return [row for row in _files(folder) if _ENTRY.fullmatch(row.name)]


def clear(folder: str) -> None:
    """Remove all that the cache wrote to a folder."""
    for row in _files(folder):
        _remove(row)
