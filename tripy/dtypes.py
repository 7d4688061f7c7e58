"""The twelve data types and the one table of their names elsewhere."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from tripy import errors


class dtype(type):
    """Metaclass of the data types: ``isinstance(tp.float32, tp.dtype)``.

    Attributes:
        name: the type's name, which is also its ``str`` and ``repr``.
        itemsize: bytes of one element; -1 for the groups ``tp.floating`` and ``tp.integer``.

    Example:
        >>> tp.float16, tp.float16.itemsize, issubclass(tp.float16, tp.floating)
        (float16, 2, True)
    """

    name: str
    itemsize: float

    def __repr__(cls) -> str:
        return cls.name

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise errors.error(
            errors.TripyTypeError,
            f"the data type {cls.name} cannot be called.",
            received=f"tp.{cls.name}({', '.join(map(errors.brief, args))})",
            expected=f"tp.{cls.name}, without a call",
            fix=f"write tp.Tensor(data, dtype=tp.{cls.name}) or tp.cast(tensor, tp.{cls.name})",
        )


def _make(name: str, base: tuple[type, ...], itemsize: float, doc: str) -> dtype:
    members = {"name": name, "itemsize": itemsize, "__doc__": doc, "__module__": "tripy"}
    return dtype(name, base, members)


floating = _make("floating", (), -1, "Base of the floating-point types.")
integer = _make("integer", (), -1, "Base of the integer types.")
float32 = _make("float32", (floating,), 4, "IEEE binary32; the default type.")
float16 = _make("float16", (floating,), 2, "IEEE binary16.")
bfloat16 = _make("bfloat16", (floating,), 2, "8-bit exponent, 7-bit fraction.")
float64 = _make("float64", (floating,), 8, "IEEE binary64.")
float8 = _make("float8", (floating,), 1, "e4m3fn: up to 448, NaN, no infinity; storage only.")
int4 = _make("int4", (integer,), 0.5, "Integers from -8 to 7; storage only.")
int8 = _make("int8", (integer,), 1, "Integers from -128 to 127.")
uint8 = _make("uint8", (integer,), 1, "Integers from 0 to 255.")
int16 = _make("int16", (integer,), 2, "16-bit integers.")
int32 = _make("int32", (integer,), 4, "32-bit integers.")
int64 = _make("int64", (integer,), 8, "64-bit integers.")
bool_ = _make("bool", (), 1, "True or False.")

FLOATS = (float32, float16, bfloat16, float64)
INTEGERS = (int8, uint8, int16, int32, int64)
NUMERIC = FLOATS + INTEGERS
PACKED = (int4, float8)
QUANTIZED = (int8, int4, float8)
ALL = (*NUMERIC, *PACKED, bool_)
BOOL = (bool_,)
MATRIX = (*FLOATS, int32, int64)

_NUMPY: dict[dtype, np.dtype[Any]] = {
    float32: np.dtype(np.float32),
    float16: np.dtype(np.float16),
    bfloat16: np.dtype(ml_dtypes.bfloat16),
    float64: np.dtype(np.float64),
    float8: np.dtype(ml_dtypes.float8_e4m3fn),
    int4: np.dtype(ml_dtypes.int4),
    int8: np.dtype(np.int8),
    uint8: np.dtype(np.uint8),
    int16: np.dtype(np.int16),
    int32: np.dtype(np.int32),
    int64: np.dtype(np.int64),
    bool_: np.dtype(np.bool_),
}
_FROM_NUMPY = {numpy: kind for kind, numpy in _NUMPY.items()}
BY_NAME = {kind.name: kind for kind in ALL}


def to_numpy(kind: dtype) -> np.dtype[Any]:
    """Return the NumPy type of a dtype."""
    return _NUMPY[kind]


def from_numpy(kind: np.dtype[Any]) -> dtype | None:
    """Return the dtype of a NumPy type, or None where there is none."""
    found = _FROM_NUMPY.get(kind)
    return found if found is not None else _FROM_NUMPY.get(kind.newbyteorder("="))


def any_numpy(kind: Any) -> np.dtype[Any]:
    """Return the NumPy type that a user means; TripyTypeError where NumPy knows none."""
    try:
        result: np.dtype[Any] = np.dtype(kind)
    except Exception as problem:
        raise errors.error(
            errors.TripyTypeError,
            "NumPy has no such data type.",
            received=errors.describe(kind),
            expected="a type of NumPy",
            fix="write, for example, numpy.float32",
            argument="dtype",
        ) from problem
    return result


def integer_range(kind: dtype) -> tuple[int, int]:
    """Return the smallest and largest value of an integer dtype."""
    info: Any = ml_dtypes.iinfo(_NUMPY[kind])
    return int(info.min), int(info.max)


def _numpy_name(value: Any) -> str:
    try:
        return str(np.dtype(value).name)
    except Exception:  # NumPy takes texts apart, and tells in many ways that they are no dtype
        return ""


def suggestion(value: object) -> str:
    """Name the dtype that a Python type, string or NumPy type probably means."""
    names: dict[object, str] = {int: "int32", float: "float32", bool: "bool"}
    name = names.get(value, "") if isinstance(value, type) else ""
    if isinstance(value, (type, np.dtype, str)) and not name:
        name = _numpy_name(value)
    if not name and (isinstance(value, str) or type(value).__module__ == "torch"):
        name = str(value)
    known = BY_NAME.get(name.removeprefix("torch.").removeprefix("tp."))
    return f"tp.{known.name}" if known else "one of " + ", ".join(f"tp.{k.name}" for k in ALL)
