"""safetensors: 8 bytes with the length of a JSON header, the header, the elements."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from tripy import dtypes, errors
from tripy.devices import default_device, device, require
from tripy.dtypes import dtype
from tripy.interop.files import (
    BadFile,
    FilePath,
    bad,
    check_sizes,
    foreign,
    read,
    to_tensor,
    view,
    write,
)
from tripy.nn.module import made_of
from tripy.ops.elementwise import cast
from tripy.ops.joining import stack
from tripy.ops.movement import reshape
from tripy.signature import public
from tripy.tensor import HOOKS, Tensor

_LARGEST_HEADER = 100_000_000  # of the format
_INT4 = "tripy.int4."  # metadata key of the shape, followed by the tensor's name
_NAMES: dict[str, dtype] = {
    "BOOL": dtypes.bool_,
    "U8": dtypes.uint8,
    "I8": dtypes.int8,
    "I16": dtypes.int16,
    "I32": dtypes.int32,
    "I64": dtypes.int64,
    "F8_E4M3": dtypes.float8,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "F32": dtypes.float32,
    "F64": dtypes.float64,
}
_TO_NAME = {kind: name for name, kind in _NAMES.items()} | {dtypes.int4: "U8"}
_FOREIGN = {
    "U16", "U32", "U64", "C64", "F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ",
    "F8_E5M2FNUZ",
}  # fmt: skip
_EXPECTED = "a safetensors file"
_FIX = "get the file again, or save it again with tp.save_safetensors"


def _json() -> Any:
    import json  # importing tripy takes a percent less without it

    return json


class _Entry(NamedTuple):
    """One tensor of a header; its place counts from the end of the header."""

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


@public()
def load_safetensors(
    path: str | PathLike[str], device: device | str | None = None
) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name, in the order of the file.

    The file is mapped into memory: elements are read when they are used, and the file must not be
    changed in place meanwhile. Replacing it, as :func:`tripy.save_safetensors` does, is fine.

    Args:
        path: the file.
        device: where the tensors are placed; None is the default device.

    Raises:
        TripyFileNotFoundError: when there is no such file.
        TripyFileError: for a file that is no complete, consistent safetensors file.
        TripyTypeError: for a tensor whose dtype has no equivalent.
        TripyDeviceError: for a device that is not present.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tp.save_safetensors({"scale": [1.0, 2.0]}, folder + "/weights.safetensors")
        ...     tp.load_safetensors(folder + "/weights.safetensors")
        {'scale': tensor([1.0000, 2.0000], dtype=float32, loc=cpu:0, shape=(2,))}
    """
    place = default_device() if device is None else require(device)
    return read(path, lambda data: decode(data, place, path), _EXPECTED, _FIX)


def decode(data: Any, place: device, path: FilePath) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a file; BadFile for what is wrong with them."""
    header, start = _header(data)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        bad("its metadata are no texts")
    entries = [_entry(name, row) for name, row in header.items()]
    _check_places(entries, len(data) - start)
    packed = {k.removeprefix(_INT4): v for k, v in metadata.items() if k.startswith(_INT4)}
    unknown = [name for name in packed if name not in header]
    if unknown:
        bad(f"its metadata describe the tensor {unknown[0]!r}, which is not there")
    return {
        e.name: _unpacked(data, e, start, place, packed[e.name])
        if e.name in packed
        else _stored(data, e, start, place, path)
        for e in entries
    }


def _header(data: Any) -> tuple[dict[str, Any], int]:
    """Return the header and where the elements start."""
    if len(data) < 8:
        bad("it ends within its first 8 bytes")
    size = int.from_bytes(data[:8], "little")
    limit = min(_LARGEST_HEADER, len(data) - 8)
    if size > limit:
        bad(f"its header claims {size} bytes, but only {limit} are possible")
    try:
        header = _json().loads(
            bytes(data[8 : 8 + size]).decode("utf-8"), object_pairs_hook=_without_twins
        )
    except BadFile:
        raise
    except (ValueError, RecursionError):
        bad("its header is no JSON")
    if not isinstance(header, dict):
        bad("its header is no JSON object")
    return header, 8 + size


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        bad("its header has a name twice")
    return members


def _entry(name: str, row: Any) -> _Entry:
    what = f"the tensor {errors.brief(name)}"
    if not isinstance(row, dict) or not {"dtype", "shape", "data_offsets"} <= row.keys():
        bad(f"{what} lacks its dtype, shape or data_offsets")
    kind, offsets = row["dtype"], row["data_offsets"]
    if not isinstance(kind, str) or kind not in _FOREIGN | _NAMES.keys():
        bad(f"{what} has the unknown dtype {errors.brief(kind)}")
    shape = check_sizes(row["shape"], what)
    if not isinstance(offsets, list) or [type(offset) for offset in offsets] != [int, int]:
        bad(f"{what} has data_offsets that are no two ints")
    if kind in _NAMES:
        needed, given = math.prod(shape) * int(_NAMES[kind].itemsize), offsets[1] - offsets[0]
        if needed != given:
            bad(f"{what} needs {needed} bytes, but has {given}")
    return _Entry(name, kind, shape, *offsets)


def _check_places(entries: list[_Entry], size: int) -> None:
    """Tensors lie one after the other and fill the file."""
    position = 0
    for entry in sorted(entries, key=lambda e: (e.start, e.end)):
        if entry.start != position or entry.end < entry.start:
            problem = "overlaps another one" if entry.start < position else "leaves a hole"
            bad(f"the tensor {errors.brief(entry.name)} {problem}")
        position = entry.end
    if position != size:
        bad(f"its tensors take {position} bytes, but {size} follow its header")


def _stored(data: Any, entry: _Entry, start: int, place: device, path: FilePath) -> Tensor:
    if entry.kind in _FOREIGN:
        raise foreign(entry.name, entry.kind, path)
    kind = _NAMES[entry.kind]
    return to_tensor(view(data, kind, entry.shape, start + entry.start), kind, place)


def _unpacked(data: Any, entry: _Entry, start: int, place: device, text: str) -> Tensor:
    """Return an int4 tensor; its bytes are taken apart when it is used."""
    what = f"the int4 tensor {errors.brief(entry.name)}"
    try:
        shape = check_sizes(_json().loads(text), what)
    except (ValueError, RecursionError):
        bad(f"the shape of {what} in the metadata is no list of sizes")
    count = math.prod(shape)
    if entry.kind != "U8" or entry.end - entry.start != (count + 1) // 2:
        bad(f"{what} needs {(count + 1) // 2} bytes of dtype U8")
    array = view(data, dtypes.uint8, ((count + 1) // 2,), start + entry.start)
    pairs = to_tensor(array, dtypes.uint8, place)
    digits = stack([pairs & 15, pairs // 16], 1)
    return reshape(cast(reshape(digits, (-1,))[:count], dtypes.int4), shape)


@public()
def save_safetensors(
    tensors: Mapping[str, Any],
    path: str | PathLike[str],
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write tensors into a safetensors file.

    The file appears, or replaces the one that is there, only when it is complete. The format has
    no type for int4: values are stored in pairs as bytes, and other readers see these.

    Args:
        tensors: name → Tensor, or anything that :class:`tripy.Tensor` accepts.
        path: the file.
        metadata: texts by name to store with them.

    Raises:
        TripyTypeError: for a name or metadata that are no strings, and for a value that no tensor
            can be made of.
        TripyValueError: for a name that the format reserves.
        TripyFileError: when the file cannot be written.

    Example:
        >>> import tempfile
        >>> layer = tp.Linear(2, 1, bias=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tp.save_safetensors(layer.state_dict(), folder + "/layer.safetensors")
        ...     layer.load_state_dict(folder + "/layer.safetensors")
        (set(), set())
    """
    _check_texts(metadata or {})
    made = {name: _as_tensor(name, value) for name, value in tensors.items()}
    HOOKS["evaluate"]([tensor._value for tensor in made.values()])
    header, chunks = encode(made, metadata)
    bodies = (to_bytes(tensor._host(), tensor.dtype) for tensor in chunks)
    write(path, lambda file: file.writelines(itertools.chain([header], bodies)))


def encode(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> tuple[bytes, list[Tensor]]:
    """Return the start of a file and the tensors in the order of their bytes, widest first.

    That keeps elements aligned, because the format allows no holes.
    """
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    rows: dict[str, Any] = {}
    position = 0
    for name in order:
        rows[name] = _row(tensors[name], position)
        position = rows[name]["data_offsets"][1]
    packed = {n: t for n, t in tensors.items() if t.dtype is dtypes.int4}
    texts = dict(metadata or {}) | {_INT4 + n: _json().dumps(t.shape) for n, t in packed.items()}
    header: dict[str, Any] = {} if not texts else {"__metadata__": texts}
    header |= {name: rows[name] for name in tensors}
    text = _json().dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, [tensors[name] for name in order]


def _row(tensor: Tensor, position: int) -> dict[str, Any]:
    kind, shape = tensor.dtype, list(tensor.shape)
    if kind is dtypes.int4:
        shape = [(math.prod(shape) + 1) // 2]
    size = math.prod(shape) * math.ceil(kind.itemsize)
    return {"dtype": _TO_NAME[kind], "shape": shape, "data_offsets": [position, position + size]}


def to_bytes(array: Any, kind: dtype) -> Any:
    """Return the stored bytes of elements."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if kind is not dtypes.int4:
        return flat.view(np.uint8)
    digits = np.zeros(flat.size + flat.size % 2, np.uint8)
    digits[: flat.size] = flat.astype(np.int8).view(np.uint8) & 15
    return digits[::2] | digits[1::2] << 4


def _check_texts(metadata: Mapping[Any, Any]) -> None:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or key.startswith(_INT4):
            raise errors.error(
                errors.TripyTypeError,
                "metadata are texts by name.",
                received=f"{errors.brief(key)}: {errors.brief(value)}",
                expected=f"strings, with names that do not start with {_INT4!r}",
                fix="write str(…), or json.dumps(…)",
                argument=("metadata", key),
            )


def _as_tensor(name: Any, value: Any) -> Tensor:
    if not isinstance(name, str) or name == "__metadata__":
        kind = errors.TripyValueError if isinstance(name, str) else errors.TripyTypeError
        raise errors.error(
            kind,
            "a tensor cannot be stored under this name.",
            received=errors.describe(name),
            expected="a string other than '__metadata__'",
            fix="choose another name",
            argument=("tensors", name),
        )
    return made_of(name, value, "tensors")
