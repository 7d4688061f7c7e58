"""Reading files through a memory map, writing them at once, and what goes wrong with them."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NoReturn, TypeVar

import numpy as np

from tripy import dtypes, errors
from tripy.devices import device
from tripy.dtypes import dtype
from tripy.graph import Value
from tripy.ops.elementwise import cast
from tripy.shapes import MAX_RANK
from tripy.tensor import Tensor, wrap

FilePath = str | os.PathLike[str]
ResultT = TypeVar("ResultT")
_LARGEST = 2**63 - 1
_OTHER = "pass the path of a file that you may read"


class BadFile(ValueError):
    """What is wrong with a file, and perhaps how to fix it; ``read`` adds its name."""

    def __init__(self, problem: str, fix: str | None = None) -> None:
        super().__init__(problem)
        self.fix = fix


def bad(problem: str, fix: str | None = None) -> NoReturn:
    """Report what is wrong with a file."""
    raise BadFile(problem, fix)


def read(path: FilePath, decode: Callable[[Any], ResultT], expected: str, fix: str) -> ResultT:
    """Return what a memory map of a file is decoded to; what is wrong with it: TripyFileError."""
    return checked(path, lambda: decode(_mapped(path)), expected, fix)


def checked(path: FilePath, make: Callable[[], ResultT], expected: str, fix: str) -> ResultT:
    """Return what a function makes of a file; what is wrong with the file: TripyFileError."""
    try:
        return make()
    except errors.TripyException:  # some are ValueErrors and OSErrors too
        raise
    except FileNotFoundError as problem:
        raise errors.error(
            errors.TripyFileNotFoundError,
            "there is no such file.",
            received=repr(os.fspath(path)),
            expected=expected,
            fix="check the path; relative ones start at the current folder",
            culprit=path,
        ) from problem
    except (BadFile, OSError, ValueError) as problem:
        raise errors.error(
            errors.TripyFileError,
            f"the file cannot be read: {_reason(problem)}.",
            received=repr(os.fspath(path)),
            expected=expected,
            fix=(problem.fix or fix) if isinstance(problem, BadFile) else _OTHER,
            culprit=path,
        ) from problem


def _mapped(path: FilePath) -> Any:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        bad("it is no ordinary file", _OTHER)
    if not status.st_size:
        bad("it is empty")
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror[:1].lower() + problem.strerror[1:]
    return str(problem)


def write(path: FilePath, fill: Callable[[BinaryIO], object]) -> None:
    """Let ``fill`` write a file beside ``path`` that takes its place once it is complete."""
    part = ""
    try:
        target = os.path.realpath(path)
        folder, name = os.path.split(target)
        part = os.path.join(folder, f".{name[:64]}.{os.urandom(8).hex()}")
        if os.path.exists(target) and not os.path.isfile(target):
            bad("there is something else than a file in its place")
        with open(part, "xb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except (OSError, ValueError) as problem:
        raise errors.error(
            errors.TripyFileError,
            f"the file cannot be written: {_reason(problem)}.",
            received=repr(os.fspath(path)),
            expected="a path in an existing folder that you may write to, with enough space",
            fix="make the folder first, or choose another path",
            culprit=path,
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)


def check_sizes(sizes: Any, what: str) -> tuple[int, ...]:
    """Return a shape; its sizes must be ints that an array can have."""
    if not isinstance(sizes, (list, tuple)) or len(sizes) > MAX_RANK:
        bad(f"the shape of {what} is no list of at most {MAX_RANK} sizes")
    total = 8  # bytes of the largest element
    for size in sizes:
        if type(size) is not int or not 0 <= size <= _LARGEST:
            bad(f"the shape of {what} has a size that is no int from 0 to {_LARGEST}")
        total *= max(size, 1)
    if total > _LARGEST:
        bad(f"the shape of {what} is too large")
    return tuple(sizes)


def to_tensor(array: Any, kind: dtype, place: device) -> Tensor:
    """Return the tensor of stored elements, which are read when they are used.

    bools are stored as bytes, of which every one but 0 means True.
    """
    if not array.flags.aligned:
        array = array.copy()
    stored = dtypes.uint8 if kind is dtypes.bool_ else kind
    value = Value(stored, array.shape, place, data=array, source=errors.capture())
    return cast(wrap(value), kind)


def view(
    data: Any, kind: dtype, shape: Sequence[int], offset: int, strides: Sequence[int] | None = None
) -> Any:
    """Return the array that lies in memory at an offset, with strides in bytes; bools as bytes."""
    numpy = np.dtype(np.uint8) if kind is dtypes.bool_ else dtypes.to_numpy(kind)
    return np.ndarray(shape, numpy, data, offset, strides)


def foreign(name: str, kind: str, path: FilePath) -> errors.TripyTypeError:
    """Return the error for a tensor whose dtype has no equivalent."""
    return errors.error(
        errors.TripyTypeError,
        f"the tensor {name!r} has a dtype without equivalent in tripy.",
        received=f"{kind} in {os.fspath(path)!r}",
        expected=errors.one_of(dtypes.ALL),
        fix="convert it with the library that wrote the file, and save it again",
        culprit=path,
    )
