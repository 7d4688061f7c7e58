"""How host data becomes arrays: numbers, nested lists, buffers and array objects."""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np

from tripy import dtypes, errors
from tripy.devices import CPU, PROBES, default_device, device
from tripy.dtypes import dtype
from tripy.graph import Spread, Value, gather
from tripy.shapes import MAX_RANK

# What tensors ask of the layers above, filled when those are imported: "evaluate" and the ops.
HOOKS: dict[str, Callable[..., Any]] = {}


def is_tensor_like(value: Any) -> bool:
    """Whether :class:`tripy.Tensor` could be made of a value, judged by its type."""
    if isinstance(value, (bool, int, float, list, tuple)):
        return True
    if value is None or isinstance(value, (str, bytes, complex, type)):
        return False
    return hasattr(value, "__dlpack__") or hasattr(value, "__array__") or _has_buffer(value)


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except Exception:  # TypeError, or what the user's own object raises
        return False
    return True


def to_value(data: Any, kind: dtype | None, place: device | None) -> Value:
    """Return the value that data stands for.

    ``kind`` None keeps or infers the dtype; ``place`` None is the default device, and for arrays
    on an accelerator where they are.
    """
    found_at = None
    if isinstance(data, (bool, int, float, np.generic, list, tuple)) or is_size(data):
        array = _from_numbers(data, kind)
    else:
        array, found_at = from_array(data)
        if kind is not None and dtypes.to_numpy(kind) != array.dtype:
            array = np.asarray(array)
            with np.errstate(over="ignore"):
                array = HOOKS["cast_array"](array, kind)
    found = dtypes.from_numpy(array.dtype)
    assert found is not None
    place = place or found_at or default_device()
    if place is not CPU or found_at is not None:
        array = HOOKS["put"](array, place)
    return Value(found, array.shape, place, data=array, source=errors.capture())


def elements(value: Value) -> Any:
    """Return the elements as one array on the value's device, evaluated where that is due."""
    if value.data is None:
        HOOKS["evaluate"]((value,))
    if value.device is not CPU and isinstance(value.data, np.ndarray):
        value.data = HOOKS["put"](value.data, value.device)  # a number, used for the first time
    gather([value])
    return value.data


def stored(value: Value) -> Any:
    """Return the elements as they are stored: divided over devices, or as one array."""
    return value.data if type(value.data) in (np.ndarray, Spread) else elements(value)


def is_size(value: Any) -> bool:
    """Whether a value is a DimensionSize of known size."""
    return hasattr(type(value), "_size") and isinstance(value._size, int)


def _flatten(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape of nested sequences and their leaves in order."""
    shape: list[int] = []
    level = [data]
    while any(isinstance(item, (list, tuple)) for item in level):
        size = _length(level[0])
        for item in level:
            if _length(item) != size or size is None:
                raise _ragged(level)
        if len(shape) == MAX_RANK:
            raise _too_deep(data)
        shape.append(size or 0)
        level = [leaf for item in level for leaf in item]
    return tuple(shape), level


def _too_deep(data: Any) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        "the lists are nested too deeply.",
        received=f"more than {MAX_RANK} levels",
        expected=f"at most {MAX_RANK} levels",
        fix="flatten the data, and check that no list contains itself",
        culprit=data,
    )


def _length(item: Any) -> int | None:
    return len(item) if isinstance(item, (list, tuple)) else None


def _ragged(level: Sequence[Any]) -> errors.TripyShapeError:
    first = level[0]
    other = next(item for item in level if _length(item) != _length(first))
    is_deep = _length(other) is None or _length(first) is None
    return errors.error(
        errors.TripyShapeError,
        "the nested lists do not form an array.",
        received=f"{_counted(other)} beside {_counted(first)}",
        expected="lists of one length at every level",
        fix="nest all elements equally deep" if is_deep else "pad the shorter lists",
        culprit=other,
    )


def _counted(item: Any) -> str:
    length = _length(item)
    return errors.describe(item) if length is None else f"{errors.brief(item)} of length {length}"


def number_kind(leaf: Any) -> type | None:
    """Return bool, int or float for a Python number, NumPy scalar or size, else None."""
    for kind, numpy_kind in ((bool, np.bool_), (int, np.integer), (float, np.floating)):
        if isinstance(leaf, (kind, numpy_kind)):
            return kind
    if isinstance(leaf, np.generic):
        known = dtypes.from_numpy(leaf.dtype)
        return None if known is None else int if known is dtypes.int4 else float
    return int if is_size(leaf) else None


# Kinds of Python numbers, narrow to wide.
NUMBER_KINDS = {bool: 0, int: 1, float: 2}


def _from_numbers(data: Any, kind: dtype | None) -> Any:
    shape, leaves = _flatten(data)
    kinds = {type(leaf): leaf for leaf in leaves}
    found = []
    for leaf in kinds.values():
        known = number_kind(leaf)
        if known is None:
            raise _not_a_number(leaf)
        found.append(known)
    widest = max(found, key=NUMBER_KINDS.__getitem__, default=float)
    if widest is int:
        leaves = [int(leaf) for leaf in leaves]
    if kind is None:
        kind = _number_dtype(widest, leaves)
    return numbers_to_array(leaves, widest, kind).reshape(shape)


def _number_dtype(widest: type, leaves: list[Any]) -> dtype:
    if widest is not int:
        return dtypes.float32 if widest is float else dtypes.bool_
    low, high = min(leaves), max(leaves)
    return dtypes.int32 if -(2**31) <= low and high < 2**31 else dtypes.int64


def numbers_to_array(leaves: list[Any], widest: type, kind: dtype) -> Any:
    """Convert Python numbers directly (not through float32) to an array of ``kind``."""
    if widest is int and kind in (*dtypes.INTEGERS, dtypes.int4):
        low, high = dtypes.integer_range(kind)
        for leaf in leaves:
            if not low <= leaf <= high:
                raise errors.error(
                    errors.TripyValueError,
                    f"an integer does not fit {kind}.",
                    received=errors.brief(leaf),
                    expected=f"{low} … {high}",
                    fix=_wider(leaf),
                    culprit=leaf,
                )
        return np.array(leaves, np.int64).astype(dtypes.to_numpy(kind))
    if widest is bool:
        return np.array(leaves, np.bool_).astype(dtypes.to_numpy(kind))
    with np.errstate(over="ignore"):
        return HOOKS["cast_array"](np.array([to_float(leaf) for leaf in leaves]), kind)


def to_float(number: Any) -> float:
    """Return a number as a float, infinite where none is as large."""
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _wider(number: int) -> str:
    """Return what to do with an integer that does not fit."""
    for kind in (dtypes.int16, dtypes.int32, dtypes.int64):
        low, high = dtypes.integer_range(kind)
        if low <= number <= high:
            return f"use a wider dtype, such as tp.{kind}"
    return "use tp.float64, which rounds it"


_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (np.ndarray, "join arrays with numpy.stack"),
    ((range, set, frozenset, Iterator), "write list(…) around it"),
    ((str, bytes), "convert text to numbers first"),
    (type(None), "write a number in its place"),
    ((complex, np.complexfloating), "keep real and imaginary parts in two tensors"),
)


def _not_a_number(leaf: Any) -> errors.TripyTypeError:
    advice = (fix for kinds, fix in _ADVICE if isinstance(leaf, kinds))
    is_tensor = hasattr(leaf, "_value")
    return errors.error(
        errors.TripyTypeError,
        "no tensor can be made of this data.",
        received=errors.describe(leaf),
        expected="numbers, nested lists of numbers, or an array object",
        fix="join tensors with tp.stack"
        if is_tensor
        else next(advice, "convert it to numbers first"),
        culprit=leaf,
    )


def from_array(data: Any) -> tuple[Any, device | None]:
    """Return the array of an array object, without a copy where possible.

    It is a NumPy array, or one on the accelerator that is returned with it.
    """
    if data is None or isinstance(data, (str, bytes, complex)):
        raise _not_a_number(data)
    if not isinstance(data, np.ndarray) and _is_elsewhere(data):
        return HOOKS["take"](data)  # type: ignore[no-any-return]
    array = data if isinstance(data, np.ndarray) else _export(data)
    if dtypes.from_numpy(array.dtype) is None:
        raise errors.error(
            errors.TripyTypeError,
            f"arrays of {array.dtype} have no equivalent in tripy.",
            received=errors.brief(data),
            expected=errors.one_of(dtypes.ALL),
            fix=_CONVERSIONS.get(array.dtype.kind, "convert it to an array of numbers first"),
            culprit=data,
        )
    if array.dtype.isnative:
        return array if array.flags.c_contiguous else np.ascontiguousarray(array), None
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")), None


# Kind of a NumPy type without equivalent -> what to write.
_CONVERSIONS = {
    "u": "convert it first: array.astype(numpy.int64)",
    "f": "convert it first: array.astype(numpy.float64)",
    "c": "keep real and imaginary parts in two tensors: array.real, array.imag",
}


def _export(data: Any) -> Any:
    """Return the NumPy array of any other array object."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.Tensor):
        data = data.detach().resolve_neg()  # DLPack would drop a sign that is still to be applied
        for name, bits, kind in _TORCH_BITS:  # types that NumPy does not take through DLPack
            if data.dtype is getattr(torch, name, None):
                array = _export(data.contiguous().view(getattr(torch, bits)))
                return array.view(dtypes.to_numpy(kind))
    try:
        if hasattr(data, "__dlpack__"):
            return np.from_dlpack(data)
    except Exception:
        pass  # some arrays are only exported by the older protocol
    try:
        return np.asarray(data if hasattr(data, "__array__") else memoryview(data))
    except Exception as problem:  # of a library, or of the user's own class
        raise _not_a_number(data) from problem


_HOST_DEVICES = (1, 3, 11, 13)  # DLPack: cpu, and memory that a cpu shares with cuda and rocm
_GPU_DEVICES = (2, 10)  # cuda, rocm


def _is_elsewhere(data: Any) -> bool:
    """Whether an array is on an accelerator; TripyDeviceError for one that is not present."""
    try:
        kind, index = data.__dlpack_device__()
    except Exception:  # no DLPack, or an array without memory: the export will tell
        return False
    if kind in _GPU_DEVICES and int(index) < PROBES["gpu"]()[0]:
        return True
    if kind not in _HOST_DEVICES:
        raise errors.error(
            errors.TripyDeviceError,
            "the array is on a device that is not present here.",
            received=f"{errors.brief(data)} on DLPack device {(int(kind), int(index))}",
            expected="an array in the memory of the host",
            fix="copy it to the host first, for example with array.cpu() or array.get()",
            culprit=data,
        )
    return False


_TORCH_BITS = (
    ("bfloat16", "int16", dtypes.bfloat16),
    ("float8_e4m3fn", "uint8", dtypes.float8),
)


def suggest_tensor(value: Any) -> str:
    """Return what to write where a tensor is needed."""
    if is_tensor_like(value):
        return "wrap it in tp.Tensor(…)"
    return "pass a tensor, such as tp.Tensor([1.0, 2.0])"


def suggest_tensors(value: Any) -> str:
    """Return what to write where a list of tensors is needed."""
    if hasattr(value, "_value"):
        return "put the tensor into a list"
    return "pass a list of tensors; wrap arrays and numbers in tp.Tensor(…)"


# Packages of DLPack consumers that write to memory which is flagged as read-only, and of those
# whose arrays are immutable too, so that no flag is needed.
_CARELESS, _IMMUTABLE = ("torch",), ("jax",)


def to_dlpack(
    array: Any, kind: dtype, stream: Any, version: Any, place: Any, copy: bool | None
) -> Any:
    """Export an array through DLPack, as a copy where the consumer could change it."""
    if kind in dtypes.PACKED:
        raise errors.error(
            errors.TripyTypeError,
            f"DLPack cannot carry {kind}.",
            received=f"dtype {kind}",
            expected=errors.one_of(k for k in dtypes.ALL if k not in dtypes.PACKED),
            fix="use tensor.numpy(), or tp.cast(tensor, tp.float32) first",
            argument="self",
        )
    is_versioned = version is not None and version >= (1, 0)  # others know no read-only flag
    if not copy and not _is_safe(array, is_versioned):
        if copy is False:
            raise _copy_needed()
        copy = True
    options = {"stream": stream, "dl_device": place}
    if is_versioned:
        options["max_version"] = version
    if not isinstance(array, np.ndarray):
        return (HOOKS["duplicate"](array) if copy else array).__dlpack__(**options)
    array = array.copy() if copy else read_only(array) if is_versioned else array
    if kind is dtypes.bfloat16:
        return _as_bfloat16(array.view(np.int16).__dlpack__(**options))
    return array.__dlpack__(**options)


def read_only(array: Any) -> Any:
    """Return a view that nobody can write to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _is_safe(array: Any, is_versioned: bool) -> bool:
    """Whether the consumer that asks a Tensor for its memory leaves it as it is."""
    callers = list(itertools.islice(_packages(sys._getframe(3)), 4))  # with those of wrappers
    if callers[:1] and callers[0] in _IMMUTABLE:
        return not isinstance(array, np.ndarray) or bool(array.flags.writeable)
    is_careless = any(package in callers for package in _CARELESS)
    return isinstance(array, np.ndarray) and is_versioned and not is_careless


def _packages(frame: FrameType | None) -> Iterator[str]:
    """Yield the package of every calling frame, from the innermost on."""
    while frame is not None:
        yield str(frame.f_globals.get("__name__")).partition(".")[0]
        frame = frame.f_back


def _copy_needed() -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        "this consumer could change an immutable tensor, so it needs a copy.",
        received="copy=False",
        expected="copy=None, or a consumer that keeps read-only memory as it is, such as NumPy",
        fix="leave out copy, or share the memory with torch.from_numpy(tensor.numpy())",
        argument="self",
    )


def _as_bfloat16(capsule: Any) -> Any:
    """Rewrite the type code of exported int16 elements, because NumPy exports no bfloat16."""
    is_versioned = "dltensor_versioned" in repr(capsule)
    name = b"dltensor_versioned" if is_versioned else b"dltensor"
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = pointer(capsule, name) + (32 if is_versioned else 0)  # the DLTensor in its manager
    ctypes.c_uint8.from_address(tensor + 20).value = 4  # kDLBfloat, after data, device and ndim
    return capsule
