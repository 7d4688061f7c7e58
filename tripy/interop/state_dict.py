"""Files that ``Module.load_state_dict`` takes."""

from __future__ import annotations

import os
from collections.abc import Callable

from tripy import errors
from tripy.interop.files import FilePath
from tripy.interop.safetensors import load_safetensors
from tripy.tensor import HOOKS, Tensor


def _load_torch(path: FilePath) -> dict[str, Tensor]:
    from tripy.interop.torch_file import load_torch  # only needed here

    return load_torch(path)


_READERS: dict[str, Callable[[FilePath], dict[str, Tensor]]] = {
    ".safetensors": load_safetensors,
    ".pt": _load_torch,
    ".pth": _load_torch,
    ".bin": _load_torch,
}


def read_state_dict(path: FilePath) -> dict[str, Tensor]:
    """Return the tensors of a file, whose suffix says what it is."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in _READERS:
        raise errors.error(
            errors.TripyValueError,
            "the suffix of the file does not say what it is.",
            received=repr(os.fspath(path)),
            expected=errors.one_of(map(repr, _READERS)),
            fix="name the file after its format, or pass a dict of name → tensor",
            culprit=path,
        )
    return _READERS[suffix](path)


HOOKS["read_state_dict"] = read_state_dict
