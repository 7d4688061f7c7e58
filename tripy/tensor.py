"""``Tensor``: a handle on a graph value, and how host data becomes one."""

from __future__ import annotations

import copy
import ctypes
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Union

import numpy as np

from tripy import devices, dtypes, errors, printing, shapes, signature
from tripy.config import config
from tripy.devices import CPU, device
from tripy.dtypes import dtype
from tripy.graph import Value, shape_text
from tripy.shapes import Size
from tripy.signature import Kind, public

Array = Any
_counter = itertools.count()

# What tensors ask of the layers above, filled when those are imported: "evaluate" and the ops.
HOOKS: dict[str, Callable[..., Any]] = {}


def _is_shape(value: Any) -> bool:
    if shapes.as_size(value) is not None:
        return True
    return isinstance(value, (list, tuple)) and all(shapes.as_size(v) is not None for v in value)


def _suggest_shape(value: Any) -> str:
    items = value if isinstance(value, (list, tuple)) else (value,)
    if items and all(isinstance(v, (int, float)) and v == int(v) for v in items):
        return f"write {tuple(int(v) for v in items)}"
    return "pass a size, or a tuple of sizes such as (2, 3)"


signature.KINDS.update(
    {
        "IntLike": Kind((int,), lambda v: shapes.as_size(v) is not None, "an int or a size"),
        "ShapeLike": Kind((), _is_shape, "a sequence of ints or sizes", _suggest_shape),
    }
)


class Tensor:
    """An immutable array that is computed when its elements are needed.

    Args:
        data: a number, nested lists or tuples of numbers, an object with ``__dlpack__``,
            ``__array__`` or the buffer protocol (memory is shared where possible), or a Tensor.
        dtype: data type of the result; None keeps the type of arrays, and gives nested numbers the
            widest of float32, int32 (int64 where needed) and bool.
        device: where the elements are placed; None is the default device.
        name: a name to show; None makes one.

    Raises:
        TripyTypeError: for data that no tensor can be made of, such as None or strings.
        TripyShapeError: for lists of unequal length.
        TripyValueError: for integers outside the range of the dtype.
        TripyDeviceError: for a device that is not present.

    Example:
        >>> tp.Tensor([[1, 2], [3, 4]])
        tensor(
            [[1, 2],
             [3, 4]],
            dtype=int32, loc=cpu:0, shape=(2, 2))
    """

    __slots__ = ("__weakref__", "_name", "_value")
    __array_ufunc__ = None  # NumPy operators defer to the reflected ones below
    _value: Value
    _name: str | int

    @public("Tensor")
    def __init__(
        self,
        data: Any,
        dtype: dtype | None = None,
        device: device | str | None = None,
        name: str | None = None,
    ) -> None:
        place = devices.default_device() if device is None else devices.require(device)
        if isinstance(data, Tensor):
            source = data if dtype is None else HOOKS["cast"](data, dtype)
            value = source._value if device is None else HOOKS["copy"](source, place)._value
        else:
            value = to_value(data, dtype, place)
        self._adopt(value, name)

    def _adopt(self, value: Value, name: str | None = None) -> None:
        _set_value(self, value)
        _set_name(self, next(_counter) if name is None else name)
        value.owner = weakref.ref(self)

    @property
    def name(self) -> str:
        """The name that messages and graphs show."""
        return f"t{self._name}" if isinstance(self._name, int) else self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise errors.error(
                errors.TripyTypeError,
                "a tensor's name must be a string.",
                received=errors.describe(name),
                expected="a string",
                fix="write str(…)",
                culprit=name,
            )
        _set_name(self, name)

    @property
    def dtype(self) -> dtype:
        """The data type."""
        return self._value.dtype

    @property
    def rank(self) -> int:
        """The number of dims."""
        return len(self._value.shape)

    ndim = rank

    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes: ints, or DimensionSize for sizes that are dynamic while compiling."""
        value = self._value
        if not value.traced or shapes.is_static(value.shape):
            return value.shape
        return tuple(s if isinstance(s, int) else make_size(s) for s in value.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        size = shapes.product(self._value.shape)
        return size if isinstance(size, int) else make_size(size)

    @property
    def device(self) -> device:
        """Where the value is or will be."""
        return self._value.device

    @property
    def T(self) -> Tensor:
        """The transpose of a rank-2 tensor.

        Raises:
            TripyShapeError: for other ranks.
        """
        if self.rank != 2:
            raise errors.error(
                errors.TripyShapeError,
                "T is the transpose of a matrix.",
                received=f"shape {shape_text(self._value.shape)}",
                expected="rank 2",
                fix="use tp.transpose(tensor, dim0, dim1) or tp.permute(tensor, perm)",
            )
        return HOOKS["transpose"](self, 0, 1)  # type: ignore[no-any-return]

    @public("Tensor.eval")
    def eval(self) -> Tensor:
        """Compute the elements now and return self.

        Raises:
            TripyCompileError: for a tensor that depends on an input being traced.
        """
        self._elements()
        return self

    def _elements(self) -> Array:
        value = self._value
        if value.data is None:
            HOOKS["evaluate"]((value,))
        return value.data

    def _host(self) -> Any:
        return np.asarray(self._elements())

    @public("Tensor.numpy")
    def numpy(self) -> Any:
        """Return the elements as a NumPy array: on cpu a read-only view where possible."""
        view = self._host().view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        if copy or (dtype is not None and np.dtype(dtype) != array.dtype):
            if copy is False:
                raise errors.error(
                    errors.TripyValueError,
                    f"an array of {np.dtype(dtype)} needs a copy.",
                    received=f"copy=False for a tensor of dtype {self.dtype}",
                    expected=f"copy=None, or the dtype {array.dtype}",
                    fix="leave out copy",
                )
            return np.array(array, dtype=dtype)
        return array

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self.dtype in dtypes.PACKED:
            raise errors.error(
                errors.TripyTypeError,
                f"DLPack cannot carry {self.dtype}.",
                received=f"dtype {self.dtype}",
                expected=errors.one_of(k for k in dtypes.ALL if k not in dtypes.PACKED),
                fix="use tensor.numpy(), or tp.cast(tensor, tp.float32) first",
                argument="self",
            )
        exported = self._host()
        if self.dtype is dtypes.bfloat16:
            exported = exported.view(np.int16)
        if max_version is None or max_version < (1, 0):  # older consumers know no read-only flag
            capsule = exported.__dlpack__(stream=stream)
        else:
            capsule = exported.__dlpack__(
                stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
            )
        return _as_bfloat16(capsule) if self.dtype is dtypes.bfloat16 else capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._host().__dlpack_device__()  # type: ignore[no-any-return]

    @public("Tensor.tolist")
    def tolist(self) -> Any:
        """Return nested lists of Python values (for rank 0 the value)."""
        array = self._host()
        if self.dtype in (dtypes.bfloat16, dtypes.float8):
            array = array.astype(np.float64)
        elif self.dtype is dtypes.int4:
            array = array.astype(np.int8)
        return array.tolist()

    @public("Tensor.item")
    def item(self) -> Any:
        """Return the only element as a Python value.

        Raises:
            TripyValueError: unless the tensor has exactly one element.
        """
        self._require_one("item()")
        result = self.tolist()
        while isinstance(result, list):
            result = result[0]
        return result

    def _require_one(self, action: str) -> None:
        if shapes.known_equal(shapes.product(self._value.shape), 1) is not True:
            raise errors.error(
                errors.TripyValueError,
                f"{action} needs a tensor with exactly one element.",
                received=f"shape {shape_text(self._value.shape)}",
                expected="one element",
                fix=f"pick one with {self._picked()}, or reduce with tp.any, tp.all, tp.sum, …",
                argument="self",
            )

    def _picked(self) -> str:
        return f"tensor[{', '.join('0' * max(self.rank, 1))}]"

    def __bool__(self) -> bool:
        self._require_one("a truth value")
        return bool(self.item())

    def __int__(self) -> int:
        self._require_one("int()")
        number = self.item()
        if number != number or number in (float("inf"), float("-inf")):
            raise errors.error(
                errors.TripyValueError,
                "int() needs a finite number.",
                received=str(number),
                expected="a finite number",
                fix="test it first, for example with math.isfinite(tensor.item())",
                argument="self",
            )
        return int(number)

    def __float__(self) -> float:
        self._require_one("float()")
        return float(self.item())

    def __index__(self) -> int:
        if self.dtype not in dtypes.INTEGERS:
            raise errors.error(
                errors.TripyTypeError,
                "only integer tensors can stand for an int.",
                received=f"dtype {self.dtype}",
                expected=errors.one_of(dtypes.INTEGERS),
                fix="tp.cast(tensor, tp.int32)",
                argument="index",
            )
        return int(self)

    def __len__(self) -> int:
        return self._first_size("has no len()")

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(self._first_size("cannot be iterated over")))

    def _first_size(self, refusal: str) -> int:
        shape = self._value.shape
        if not shape:
            raise errors.error(
                errors.TripyTypeError,
                f"a tensor of rank 0 {refusal}.",
                received="shape ()",
                expected="rank 1 or more",
                fix="take its value with tensor.item(), or make it a vector with "
                "tp.reshape(tensor, (1,))",
                argument="self",
            )
        if not isinstance(shape[0], int):
            raise errors.error(
                errors.TripyCompileError,
                f"a tensor {refusal} where its first size is dynamic.",
                received=f"shape {shape_text(shape)}",
                expected="a first size that is known while compiling",
                fix="use tensor.shape[0] as a size, or describe the input with a static size",
                argument="self",
            )
        return shape[0]

    def __contains__(self, value: Any) -> bool:
        equal = self == value
        return equal if isinstance(equal, bool) else bool(HOOKS["any"](equal))

    def __repr__(self) -> str:
        value = self._value
        if value.traced:
            text = shape_text(value.shape)
            return printing.format_traced(self.name, str(value.dtype), str(value.device), text)
        return printing.format_tensor(
            self._host(),
            value.dtype.name,
            str(value.device),
            tuple(int(str(s)) for s in value.shape),
            precision=config.print_precision,
            threshold=config.print_threshold,
            linewidth=config.print_linewidth,
            edgeitems=config.print_edgeitems,
        )

    __str__ = __repr__
    __hash__ = object.__hash__

    def __copy__(self) -> Tensor:
        return wrap(self._value, type(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return copy.copy(self)

    def __reduce__(self) -> Any:
        raise errors.error(
            errors.TripyTypeError,
            "tensors are not pickled.",
            received=errors.brief(self),
            expected="an array",
            fix="pickle tensor.numpy() and make a tp.Tensor of it again",
        )

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):  # a property failed inside: show why, not that it is missing
            return object.__getattribute__(self, name)
        is_function = name in getattr(sys.modules.get("tripy"), "__all__", ())
        fix = f"write tp.{name}(tensor, …)" if is_function else None
        raise errors.unknown_attribute("Tensor", name, dir(Tensor), fix)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name" or hasattr(self, "__dict__"):  # subclasses may have more
            object.__setattr__(self, name, value)
            return
        exists = hasattr(type(self), name)
        if not exists:
            raise errors.unknown_attribute("Tensor", name, ["name"], "keep it beside the tensor")
        raise errors.error(
            errors.TripyAttributeError,
            f"the attribute {name!r} of a tensor cannot be assigned.",
            received=f"{name} = {errors.describe(value)}",
            expected="only the name of a tensor changes",
            fix="make a new tensor, for example with tp.reshape or tp.cast",
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise errors.error(
            errors.TripyTypeError,
            "tensors are immutable: elements cannot be assigned.",
            received=f"an assignment to elements of a tensor of shape "
            f"{shape_text(self._value.shape)}",
            expected="a new tensor",
            fix="write tensor = tp.where(mask, new, tensor)",
        )

    # Methods and operators of the same name as a function; the functions hold the documentation.

    @public("Tensor.cast")
    def cast(self, dtype: dtypes.dtype) -> Tensor:
        """Return :func:`tripy.cast` of this tensor."""
        return HOOKS["cast"](self, dtype)  # type: ignore[no-any-return]

    @public("Tensor.copy")
    def copy(self, device: devices.device | str) -> Tensor:
        """Return :func:`tripy.copy` of this tensor."""
        return HOOKS["copy"](self, device)  # type: ignore[no-any-return]

    @public("Tensor.flatten")
    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Return :func:`tripy.flatten` of this tensor."""
        return HOOKS["flatten"](self, start_dim, end_dim)  # type: ignore[no-any-return]

    @public("Tensor.permute")
    def permute(self, perm: Sequence[int]) -> Tensor:
        """Return :func:`tripy.permute` of this tensor."""
        return HOOKS["permute"](self, perm)  # type: ignore[no-any-return]

    @public("Tensor.reshape")
    def reshape(self, shape: ShapeLike) -> Tensor:
        """Return :func:`tripy.reshape` of this tensor."""
        return HOOKS["reshape"](self, shape)  # type: ignore[no-any-return]

    @public("Tensor.squeeze")
    def squeeze(self, dims: int | Sequence[int] | None = None) -> Tensor:
        """Return :func:`tripy.squeeze` of this tensor."""
        return HOOKS["squeeze"](self, dims)  # type: ignore[no-any-return]

    @public("Tensor.transpose")
    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Return :func:`tripy.transpose` of this tensor."""
        return HOOKS["transpose"](self, dim0, dim1)  # type: ignore[no-any-return]

    @public("Tensor.unsqueeze")
    def unsqueeze(self, dim: int) -> Tensor:
        """Return :func:`tripy.unsqueeze` of this tensor."""
        return HOOKS["unsqueeze"](self, dim)  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Tensor:
        return HOOKS["getitem"](self, index)  # type: ignore[no-any-return]

    def __add__(self, other: Any) -> Tensor:
        return HOOKS["add"](self, other)  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> Tensor:
        return HOOKS["add"](other, self)  # type: ignore[no-any-return]

    def __sub__(self, other: Any) -> Tensor:
        return HOOKS["sub"](self, other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Any) -> Tensor:
        return HOOKS["sub"](other, self)  # type: ignore[no-any-return]

    def __mul__(self, other: Any) -> Tensor:
        return HOOKS["mul"](self, other)  # type: ignore[no-any-return]

    def __rmul__(self, other: Any) -> Tensor:
        return HOOKS["mul"](other, self)  # type: ignore[no-any-return]

    def __truediv__(self, other: Any) -> Tensor:
        return HOOKS["div"](self, other)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Any) -> Tensor:
        return HOOKS["div"](other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: Any) -> Tensor:
        return HOOKS["floordiv"](self, other)  # type: ignore[no-any-return]

    def __rfloordiv__(self, other: Any) -> Tensor:
        return HOOKS["floordiv"](other, self)  # type: ignore[no-any-return]

    def __mod__(self, other: Any) -> Tensor:
        return HOOKS["mod"](self, other)  # type: ignore[no-any-return]

    def __rmod__(self, other: Any) -> Tensor:
        return HOOKS["mod"](other, self)  # type: ignore[no-any-return]

    def __pow__(self, other: Any) -> Tensor:
        return HOOKS["pow"](self, other)  # type: ignore[no-any-return]

    def __rpow__(self, other: Any) -> Tensor:
        return HOOKS["pow"](other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Any) -> Tensor:
        return HOOKS["matmul_operator"](self, other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Any) -> Tensor:
        return HOOKS["matmul_operator"](other, self)  # type: ignore[no-any-return]

    def __and__(self, other: Any) -> Tensor:
        return HOOKS["bit_and"](self, other)  # type: ignore[no-any-return]

    def __rand__(self, other: Any) -> Tensor:
        return HOOKS["bit_and"](other, self)  # type: ignore[no-any-return]

    def __or__(self, other: Any) -> Tensor:
        return HOOKS["bit_or"](self, other)  # type: ignore[no-any-return]

    def __ror__(self, other: Any) -> Tensor:
        return HOOKS["bit_or"](other, self)  # type: ignore[no-any-return]

    def __xor__(self, other: Any) -> Tensor:
        return HOOKS["bit_xor"](self, other)  # type: ignore[no-any-return]

    def __rxor__(self, other: Any) -> Tensor:
        return HOOKS["bit_xor"](other, self)  # type: ignore[no-any-return]

    def __lt__(self, other: Any) -> Tensor:
        return HOOKS["lt"](self, other)  # type: ignore[no-any-return]

    def __le__(self, other: Any) -> Tensor:
        return HOOKS["le"](self, other)  # type: ignore[no-any-return]

    def __gt__(self, other: Any) -> Tensor:
        return HOOKS["lt"](other, self)  # type: ignore[no-any-return]

    def __ge__(self, other: Any) -> Tensor:
        return HOOKS["le"](other, self)  # type: ignore[no-any-return]

    def __eq__(self, other: Any) -> Any:
        return HOOKS["eq"](self, other) if is_tensor_like(other) else False

    def __ne__(self, other: Any) -> Any:
        return HOOKS["ne"](self, other) if is_tensor_like(other) else True

    def __neg__(self) -> Tensor:
        return HOOKS["neg"](self)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return HOOKS["pos"](self)  # type: ignore[no-any-return]

    def __abs__(self) -> Tensor:
        return HOOKS["abs"](self)  # type: ignore[no-any-return]

    def __invert__(self) -> Tensor:
        return HOOKS["invert"](self)  # type: ignore[no-any-return]


# Past __setattr__, because every operation makes a tensor.
_set_value: Callable[[Tensor, Value], None] = Tensor.__dict__["_value"].__set__
_set_name: Callable[[Tensor, str | int], None] = Tensor.__dict__["_name"].__set__

TensorLike = Union[Tensor, bool, int, float, Sequence[Any], Any]


def wrap(value: Value, kind: type[Tensor] = Tensor) -> Tensor:
    """Return a new Tensor that shows ``value``."""
    tensor = object.__new__(kind)
    tensor._adopt(value)
    return tensor


class DimensionSize(Tensor):
    """A rank-0 int32 tensor that stands for a size.

    Dynamic entries of ``Tensor.shape`` inside ``tp.compile`` are DimensionSize; arithmetic with
    ints and other sizes gives sizes again and stays exact.

    Args:
        data: the size.
        name: a name to show while the size is unknown.

    Raises:
        TripyTypeError: when ``data`` is no int.

    Example:
        >>> tp.DimensionSize(4) * 2 + 1
        9
    """

    __slots__ = ("_size",)
    _size: Size

    @public("DimensionSize")
    def __init__(self, data: int, name: str | None = None) -> None:
        size = int(data)
        if not -shapes.LARGEST <= size <= shapes.LARGEST:
            raise errors.error(
                errors.TripyValueError,
                "a size does not fit int32.",
                received=errors.brief(data),
                expected=f"at most {shapes.LARGEST}",
                fix="use a smaller size",
                argument="data",
            )
        object.__setattr__(self, "_size", size)
        self._adopt(to_value(size, dtypes.int32, CPU), name)

    def __repr__(self) -> str:
        return str(self._size)

    __str__ = __repr__
    __hash__ = Tensor.__hash__

    def __index__(self) -> int:
        return int(self)

    def __copy__(self) -> DimensionSize:
        return make_size(self._size)


def make_size(size: Size) -> DimensionSize:
    """Return the DimensionSize of a size."""
    if isinstance(size, int):
        return DimensionSize(size)
    result = object.__new__(DimensionSize)
    object.__setattr__(result, "_size", size)
    result._adopt(HOOKS["size"](size)._value, str(size))
    return result


def _size_arithmetic(name: str, operation: Callable[[Size, Size], Size]) -> None:
    def forward(self: DimensionSize, other: Any) -> Any:
        size = shapes.as_size(other)
        if size is None:
            return getattr(Tensor, f"__{name}__")(_beside(self, other), other)
        return make_size(operation(self._size, size))

    def reflected(self: DimensionSize, other: Any) -> Any:
        size = shapes.as_size(other)
        if size is None:
            return getattr(Tensor, f"__r{name}__")(_beside(self, other), other)
        return make_size(operation(size, self._size))

    for method, full_name in ((forward, f"__{name}__"), (reflected, f"__r{name}__")):
        method.__code__ = method.__code__.replace(co_name=full_name)  # messages show the operator
        setattr(DimensionSize, full_name, method)


def _beside(size: DimensionSize, other: Any) -> DimensionSize:
    """Return the size, unless it stands beside a float."""
    if number_kind(other) is float:
        raise errors.error(
            errors.TripyTypeError,
            "a size does not mix with floats.",
            received=f"{errors.describe(other)} beside the size {size}",
            expected="ints, sizes or tensors",
            fix="cast the size first: tp.cast(size, tp.float32)",
            culprit=other,
        )
    return size


def _divide(operation: Callable[[Size, Size], Size]) -> Callable[[Size, Size], Size]:
    def checked(a: Size, b: Size) -> Size:
        if b == 0:
            raise errors.error(
                errors.TripyValueError,
                "a size cannot be divided by 0.",
                received="the divisor 0",
                expected="a divisor other than 0",
                fix="check the divisor before you divide",
                culprit=b,
            )
        return operation(a, b)

    return checked


def _size_comparison(name: str, known: Callable[[Size, Size], bool | None]) -> None:
    def compare(self: DimensionSize, other: Any) -> Any:
        size = shapes.as_size(other)
        outcome = None if size is None else known(self._size, size)
        return getattr(Tensor, f"__{name}__")(self, other) if outcome is None else Tensor(outcome)

    setattr(DimensionSize, f"__{name}__", compare)


def _negated(known: bool | None) -> bool | None:
    return None if known is None else not known


for _name, _operation in {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": _divide(shapes.floordiv),
    "truediv": _divide(shapes.floordiv),
    "mod": _divide(shapes.mod),
}.items():
    _size_arithmetic(_name, _operation)
for _name, _known in {
    "eq": shapes.known_equal,
    "ne": lambda a, b: _negated(shapes.known_equal(a, b)),
    "le": shapes.known_less_equal,
    "ge": lambda a, b: shapes.known_less_equal(b, a),
    "lt": lambda a, b: _negated(shapes.known_less_equal(b, a)),
    "gt": lambda a, b: _negated(shapes.known_less_equal(a, b)),
}.items():
    _size_comparison(_name, _known)

IntLike = Union[int, DimensionSize]
ShapeLike = Union[Sequence[IntLike], IntLike]


def _as_bfloat16(capsule: Any) -> Any:
    """Rewrite the type code of exported int16 elements, because NumPy exports no bfloat16."""
    is_versioned = "dltensor_versioned" in repr(capsule)
    name = b"dltensor_versioned" if is_versioned else b"dltensor"
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = pointer(capsule, name) + (32 if is_versioned else 0)  # the DLTensor in its manager
    ctypes.c_uint8.from_address(tensor + 20).value = 4  # kDLBfloat, after data, device and ndim
    return capsule


# --- host data -------------------------------------------------------------------------------


def is_tensor_like(value: Any) -> bool:
    """Whether :class:`Tensor` could be made of a value, judged by its type."""
    if isinstance(value, (Tensor, bool, int, float, list, tuple)):
        return True
    if value is None or isinstance(value, (str, bytes, complex, type)):
        return False
    return hasattr(value, "__dlpack__") or hasattr(value, "__array__") or _has_buffer(value)


def _has_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def to_value(data: Any, kind: dtype | None, place: device) -> Value:
    """Return the value that host data stands for; ``kind`` None keeps or infers the dtype."""
    if isinstance(data, (bool, int, float, np.generic, list, tuple)) or is_size(data):
        array = _from_numbers(data, kind)
    else:
        array = from_array(data)
        if kind is not None and dtypes.to_numpy(kind) != array.dtype:
            with np.errstate(over="ignore"):
                array = HOOKS["cast_array"](array, kind)
    found = dtypes.from_numpy(array.dtype)
    assert found is not None
    return Value(found, array.shape, place, data=array, source=errors.capture())


def is_size(value: Any) -> bool:
    """Whether a value is a DimensionSize of known size."""
    return isinstance(value, DimensionSize) and isinstance(value._size, int)


def _flatten(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape of nested sequences and their leaves in order."""
    shape: list[int] = []
    level = [data]
    while any(isinstance(item, (list, tuple)) for item in level):
        size = _length(level[0])
        for item in level:
            if _length(item) != size or size is None:
                raise _ragged(level)
        if len(shape) == _MAX_RANK:
            raise _too_deep(data)
        shape.append(size or 0)
        level = [leaf for item in level for leaf in item]
    return tuple(shape), level


_MAX_RANK = 64  # of NumPy


def _too_deep(data: Any) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        "the lists are nested too deeply.",
        received=f"more than {_MAX_RANK} levels",
        expected=f"at most {_MAX_RANK} levels",
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


_RANK = {bool: 0, int: 1, float: 2}


def _from_numbers(data: Any, kind: dtype | None) -> Any:
    shape, leaves = _flatten(data)
    kinds = {type(leaf): leaf for leaf in leaves}
    found = []
    for leaf in kinds.values():
        known = number_kind(leaf)
        if known is None:
            raise _not_a_number(leaf)
        found.append(known)
    widest = max(found, key=_RANK.__getitem__, default=float)
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
        return HOOKS["cast_array"](np.array([_to_float(leaf) for leaf in leaves]), kind)


def _to_float(number: Any) -> float:
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
    (Tensor, "join tensors with tp.stack"),
    (np.ndarray, "join arrays with numpy.stack"),
    ((range, set, frozenset, Iterator), "write list(…) around it"),
    ((str, bytes), "convert text to numbers first"),
    (type(None), "write a number in its place"),
    ((complex, np.complexfloating), "keep real and imaginary parts in two tensors"),
)


def _not_a_number(leaf: Any) -> errors.TripyTypeError:
    advice = (fix for kinds, fix in _ADVICE if isinstance(leaf, kinds))
    return errors.error(
        errors.TripyTypeError,
        "no tensor can be made of this data.",
        received=errors.describe(leaf),
        expected="numbers, nested lists of numbers, or an array object",
        fix=next(advice, "convert it to numbers first"),
        culprit=leaf,
    )


def from_array(data: Any) -> Any:
    """Return the NumPy array of an array object, without a copy where possible."""
    if data is None or isinstance(data, (str, bytes, complex)):
        raise _not_a_number(data)
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
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


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
        data = data.detach()
        for name, bits, kind in _TORCH_BITS:  # types that NumPy does not take through DLPack
            if data.dtype is getattr(torch, name, None):
                array = _export(data.contiguous().view(getattr(torch, bits)))
                return array.view(dtypes.to_numpy(kind))
    try:
        if hasattr(data, "__dlpack__"):
            return np.from_dlpack(data)
    except (BufferError, RuntimeError, TypeError, ValueError):
        pass  # some arrays are only exported by the older protocol
    try:
        return np.asarray(data if hasattr(data, "__array__") else memoryview(data))
    except (RuntimeError, TypeError, ValueError) as problem:
        raise _not_a_number(data) from problem


_TORCH_BITS = (
    ("bfloat16", "int16", dtypes.bfloat16),
    ("float8_e4m3fn", "uint8", dtypes.float8),
)


def _suggest_tensor(value: Any) -> str:
    if is_tensor_like(value):
        return "wrap it in tp.Tensor(…)"
    return "pass a tensor, such as tp.Tensor([1.0, 2.0])"


def _suggest_tensors(value: Any) -> str:
    if isinstance(value, Tensor):
        return "put the tensor into a list"
    return "pass a list of tensors; wrap arrays and numbers in tp.Tensor(…)"


def _is_sequence_of_tensors(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, Tensor) for v in value)


signature.KINDS.update(
    {
        "Tensor": Kind((Tensor,), lambda v: isinstance(v, Tensor), "a tp.Tensor", _suggest_tensor),
        "TensorLike": Kind((Tensor, int, float, bool), is_tensor_like, "a tensor or number"),
        "Sequence[Tensor]": Kind(
            (), _is_sequence_of_tensors, "a list or tuple of tensors", _suggest_tensors
        ),
    }
)
