"""Checkpoints of ``torch.save``, read without torch and without running anything that they name.

The pickle inside is not unpickled: a small machine follows its opcodes, builds plain containers,
and knows four functions, all of which only describe a tensor. What it does not know is refused.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tripy import dtypes
from tripy.devices import default_device
from tripy.interop.archive import Archive
from tripy.interop.files import BadFile, FilePath, bad, check_sizes, foreign, read, to_tensor
from tripy.interop.files import view as view_of
from tripy.tensor import Tensor

_EXPECTED = "what torch.save (1.6 or newer) wrote of a dict of tensors, numbers and strings"
_FIX = "load it with torch, if you trust it, and save only torch.save(module.state_dict(), path)"
_NESTED = ("state_dict", "model_state_dict", "model")
_LARGEST_EXPANSION = 1 << 26  # bytes beyond the file's that repeated elements may take
_LARGEST_STEP = 1 << 48  # elements
_LARGEST_PICKLE = 1 << 25  # bytes; ten thousand tensors take about one million


class _Global(NamedTuple):
    """A name that a pickle refers to."""

    name: str


class _Storage(NamedTuple):
    """Bytes of the archive: dtype name ("" for bytes), member, number of elements."""

    kind: str
    key: str
    elements: int


class _View(NamedTuple):
    """Description of a tensor in a storage."""

    kind: str
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark(NamedTuple):
    """Where the members of a container start on the stack."""


_MARK = _Mark()
_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip
_FOREIGN = ("complex32", "uint16", "uint32", "uint64", "float8_e5m2", "float8_e4m3fnuz",
            "float8_e5m2fnuz")  # fmt: skip
_DTYPES = {
    **{f"torch.{name}": name for name in (*_STORAGES.values(), *_FOREIGN)},
    "torch.float8_e4m3fn": "float8",
}
_STORAGE_TYPES = {
    **{f"torch.{name}Storage": kind for name, kind in _STORAGES.items()},
    "torch.storage.UntypedStorage": "",
    "torch.UntypedStorage": "",
}
_BYTES = {"": 1, "complex64": 8, "complex128": 16} | {
    name: math.ceil(kind.itemsize) for name, kind in dtypes.BY_NAME.items()
}


# --- the machine -----------------------------------------------------------------------------


def _ordered(arguments: Sequence[Any]) -> dict[Any, Any]:
    if arguments:
        bad("it holds an OrderedDict in an unknown form")
    return {}


def _tensor(arguments: Sequence[Any]) -> _View:
    storage, offset, shape, strides, *_ = arguments
    if not isinstance(storage, _Storage):
        bad("it holds a tensor without storage")
    return _view(storage.kind, storage, offset, shape, strides)


def _tensor_of_bytes(arguments: Sequence[Any]) -> _View:
    storage, offset, shape, strides, _, _, kind, *_ = arguments
    if not (isinstance(storage, _Storage) and isinstance(kind, _Global)):
        bad("it holds a tensor without storage")
    return _view(_DTYPES.get(kind.name, ""), storage, offset, shape, strides)


def _view(kind: str, storage: _Storage, offset: Any, shape: Any, strides: Any) -> _View:
    sizes = check_sizes(shape, "a tensor")
    fits = type(strides) is tuple and len(strides) == len(sizes) and kind
    if not fits or not all(type(n) is int and 0 <= n < _LARGEST_STEP for n in (offset, *strides)):
        bad("the shape, strides and dtype of a tensor do not fit together")
    return _View(kind, storage, offset, sizes, strides)


def _parameter(arguments: Sequence[Any]) -> _View:
    if not isinstance(arguments[0], _View):
        bad("it holds a parameter that is no tensor")
    return arguments[0]


_FUNCTIONS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_bytes,
    "torch._utils._rebuild_parameter": _parameter,
}
_GLOBALS = _FUNCTIONS.keys() | _DTYPES.keys() | _STORAGE_TYPES.keys()


class _Machine:
    """Follows the opcodes of a pickle; the stack holds only plain values and descriptions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def marked(self) -> list[Any]:
        """Take the members above the last mark, and the mark."""
        members: list[Any] = []
        while not isinstance(member := self.stack.pop(), _Mark):
            members.append(member)
        return members[::-1]

    def take(self, count: int) -> list[Any]:
        """Take some values from the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def top(self, kind: type) -> Any:
        """Return the container that members are added to."""
        if not isinstance(self.stack[-1], kind):
            bad("it adds members to something else than a container")
        return self.stack[-1]

    def push_global(self, name: str) -> None:
        """Push a name that is known to be harmless."""
        if name not in _GLOBALS:
            bad(f"it refers to {name[:60]!r}")
        self.stack.append(_Global(name))

    def reduce(self) -> None:
        """Call one of the functions."""
        function, arguments = self.take(2)
        known = _FUNCTIONS.get(function.name) if isinstance(function, _Global) else None
        if known is None or type(arguments) is not tuple:
            bad("it calls something that is no function")
        self.stack.append(known(arguments))

    def storage(self) -> None:
        """Replace what names a storage by its description."""
        tag, kind, key, _, count, *_ = self.stack.pop()
        is_known = isinstance(kind, _Global) and kind.name in _STORAGE_TYPES
        if tag != "storage" or not is_known or type(key) is not str or type(count) is not int:
            bad("it refers to an unknown kind of storage")
        self.stack.append(_Storage(_STORAGE_TYPES[kind.name], key, count))

    def set_items(self, pairs: Sequence[Any]) -> None:
        """Add keys and values to the dict on the stack."""
        target = self.top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            is_number = type(key) is int and abs(key) < 1 << 32
            if type(key) is not str and not is_number:  # others may collide, or be slow to hash
                bad("it holds a dict whose keys are no strings or small numbers")
            target[key] = value


_Step = Callable[[_Machine, Any], object]


def _push(value: Callable[[], Any]) -> _Step:
    return lambda m, _: m.stack.append(value())


def _push_argument(m: _Machine, argument: Any) -> None:
    m.stack.append(argument)


def _collect(count: int) -> _Step:
    return lambda m, _: m.stack.append(tuple(m.take(count)))


def _remember(m: _Machine, number: Any) -> None:
    m.memo[len(m.memo) if number is None else number] = m.stack[-1]


_ARGUMENTS = (
    "INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING "
    "BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
)
_STEPS: dict[str, _Step] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, _: None),
    **dict.fromkeys(_ARGUMENTS.split(), _push_argument),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, n: m.stack.append(m.memo[n])),
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_DICT": _push(dict),
    "EMPTY_LIST": _push(list),
    "EMPTY_TUPLE": _push(tuple),
    "MARK": _push(lambda: _MARK),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.marked())),
    "TUPLE1": _collect(1),
    "TUPLE2": _collect(2),
    "TUPLE3": _collect(3),
    "LIST": lambda m, _: m.stack.append(m.marked()),
    "APPEND": lambda m, _: _append(m, m.take(1)),
    "APPENDS": lambda m, _: _append(m, m.marked()),
    "SETITEM": lambda m, _: m.set_items(m.take(2)),
    "SETITEMS": lambda m, _: m.set_items(m.marked()),
    "GLOBAL": lambda m, name: m.push_global(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_global(".".join(m.take(2))),
    "BINPERSID": lambda m, _: m.storage(),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.stack.pop(),  # attributes, such as the versions of modules
}


def _append(m: _Machine, members: list[Any]) -> None:
    m.top(list).extend(members)


def _run(pickled: bytes) -> Any:
    """Return what a pickle describes."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(pickled)):
            if opcode.name not in _STEPS:
                bad(f"it uses the pickle opcode {opcode.name}, which no state dict needs")
            _STEPS[opcode.name](machine, argument)
        (result,) = machine.stack
    except BadFile:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError):
        bad("its pickle is damaged")
    return result


# --- the archive -----------------------------------------------------------------------------


class _Checkpoint:
    """The members of a zip file of torch, below the one folder that it has."""

    def __init__(self, data: Any) -> None:
        self._archive = Archive(data)
        names = self._archive.infos
        roots = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(roots) != 1:
            bad("it is a zip archive that torch did not write")
        self._root = roots[0].removesuffix("data.pkl")
        if self._root + "constants.pkl" in names:
            bad("it is a TorchScript program")
        if self._root + "byteorder" in names and self.member("byteorder") != b"little":
            bad("its elements are big-endian")

    def member(self, name: str) -> bytes:
        """Return the bytes of a member."""
        return bytes(self._archive.member(self._root + name))

    def size(self, name: str) -> int:
        """Return the number of bytes of a member."""
        return self._archive.place(self._root + name)[1]

    def array(self, view: _View) -> Any:
        """Return the elements of a view, in the memory map."""
        start, size = self._archive.place(f"{self._root}data/{view.storage.key}")
        width, stored = _BYTES[view.kind], view.storage.elements * _BYTES[view.storage.kind]
        if view.storage.elements < 0 or stored != size:
            bad("it has a storage whose size is not that of its member")
        steps = [(n - 1) * step for n, step in zip(view.shape, view.strides)]
        count = math.prod(view.shape)
        if count and (view.offset + sum(steps) + 1) * width > size:
            bad("it holds a tensor that reaches beyond its storage")
        if count * width > len(self._archive.data) + _LARGEST_EXPANSION:
            bad("it repeats the elements of a tensor too often")
        strides = [step * width for step in view.strides]
        place = start + (view.offset * width if count else 0)
        return view_of(self._archive.data, dtypes.BY_NAME[view.kind], view.shape, place, strides)


# --- the state dict --------------------------------------------------------------------------


def load_torch(path: FilePath) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name; they stay in the file until they are used.

    A checkpoint whose state dict is one entry beside others, such as ``{"state_dict": …}``, gives
    that one. Numbers and strings beside tensors are left out.
    """
    return read(path, lambda data: _decode(data, path), _EXPECTED, _FIX)


def _decode(data: Any, path: FilePath) -> dict[str, Tensor]:
    if data[:4] != b"PK\x03\x04":
        is_old = data[:2] == b"\x80\x02"  # a pickle
        bad("it has torch's format from before 1.6" if is_old else "it is no checkpoint of torch")
    archive = _Checkpoint(data)
    if archive.size("data.pkl") > _LARGEST_PICKLE:
        bad("its pickle is larger than that of any state dict")
    state = _state_dict(_run(archive.member("data.pkl")))
    return {
        name: _to_tensor(archive, name, view, path)
        for name, view in state.items()
        if not isinstance(view, (bool, int, float, str, bytes, type(None)))
    }


def _state_dict(state: Any) -> Mapping[Any, Any]:
    """Return the dict of tensors, which may be an entry of another dict."""
    if not isinstance(state, dict):
        what = "tensor" if isinstance(state, _View) else type(state).__name__.strip("_").lower()
        bad(f"it holds a {what} and no state dict")
    if any(isinstance(value, _View) for value in state.values()):
        return state
    nested = [name for name in _NESTED if isinstance(state.get(name), dict)]
    if len(nested) > 1:
        bad(f"it holds several state dicts: {', '.join(nested)}")
    return state[nested[0]] if nested else state


def _to_tensor(archive: _Checkpoint, name: Any, view: Any, path: FilePath) -> Tensor:
    if not isinstance(view, _View) or not isinstance(name, str):
        bad(f"the value of {str(name)[:80]!r} is no tensor")
    kind = dtypes.BY_NAME.get(view.kind)
    if kind is None:
        raise foreign(name, f"torch.{view.kind}", path)
    return to_tensor(archive.array(view), kind, default_device())
