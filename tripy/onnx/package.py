"""The onnx package where it is installed, and the lists of what cannot be translated."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from tripy import errors


def require() -> Any:
    """Import onnx with the parts that are used here; TripyImportError without it."""
    if importlib.util.find_spec("onnx") is None:
        raise errors.error(
            errors.TripyImportError,
            "the package onnx is not installed.",
            received="no package onnx",
            expected="the extra 'onnx' of tripy",
            fix="pip install 'tripy-dl[onnx]'",
        )
    for part in ("checker", "helper", "inliner", "numpy_helper"):
        importlib.import_module(f"onnx.{part}")
    return importlib.import_module("onnx")


def file_path(value: Any, argument: str) -> str:
    """Return a path as a string; TripyTypeError for what is no path."""
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        return path if isinstance(path, str) else os.fsdecode(path)
    raise errors.error(
        errors.TripyTypeError,
        _PATHS[argument].problem,
        received=errors.describe(value),
        expected=_PATHS[argument].expected,
        fix=f"pass a path, such as {argument}='model.onnx'",
        argument=argument,
    )


class _Path(NamedTuple):
    problem: str
    expected: str


_PATHS = {
    "source": _Path(
        "no model can be read from this.", "a path, the bytes of a file, or an onnx.ModelProto"
    ),
    "path": _Path("the path of the model is no path.", "a string or another path to write to"),
}


def listed(found: Iterable[tuple[str, str]]) -> str:
    """Return one line per (what, where), with its count and the first places."""
    places: dict[str, list[str]] = {}
    for what, place in found:
        places.setdefault(what, []).append(place)
    lines = []
    for what, where in places.items():
        apart = list(dict.fromkeys(where))
        shown = "; ".join(apart[:3]) + (f"; and {len(apart) - 3} more" if apart[3:] else "")
        lines.append(f"    {what}, {len(where)} time{'s' * (len(where) > 1)}: {shown}")
    return "\n".join(lines)
