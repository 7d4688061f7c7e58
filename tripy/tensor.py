"""``Tensor``: a handle on a graph value; ``DimensionSize``: a tensor that stands for a size."""

from __future__ import annotations

import copy
import itertools
import math
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Union

import numpy as np

from tripy import devices, dtypes, errors, host, printing, shapes, signature
from tripy.config import config
from tripy.devices import CPU, device
from tripy.dtypes import dtype
from tripy.graph import Value, shape_text
from tripy.host import HOOKS as HOOKS
from tripy.host import elements, stored, suggest_tensor, suggest_tensors, to_value
from tripy.host import is_tensor_like as is_tensor_like
from tripy.host import number_kind as number_kind
from tripy.host import numbers_to_array as numbers_to_array
from tripy.operators import Operators, SizeOperators
from tripy.shapes import Size
from tripy.signature import Kind, public

_counter = itertools.count()


class Tensor(Operators):
    """An immutable array that is computed when its elements are needed.

    Args:
        data: a number, nested lists or tuples of numbers, an object with ``__dlpack__``,
            ``__array__`` or the buffer protocol, or a Tensor. Memory is shared where possible:
            whoever changes it later changes the tensor, so give a copy (``array.copy()``) then.
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
        place = None if device is None else devices.require(device)
        if isinstance(data, Tensor):
            source = data if dtype is None else HOOKS["cast"](data, dtype)
            value = source._value if place is None else HOOKS["copy"](source, place)._value
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
        data = stored(self._value)
        if not isinstance(data, np.ndarray):
            HOOKS["wait"](data)
        return self

    def _elements(self) -> Any:
        return elements(self._value)

    def _host(self) -> Any:
        data = stored(self._value)
        return data if isinstance(data, np.ndarray) else HOOKS["fetch"](data)

    @public("Tensor.numpy")
    def numpy(self) -> Any:
        """Return the elements as a NumPy array: on cpu a read-only view where possible."""
        return host.read_only(self._host())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        if copy is True or (dtype is not None and dtypes.any_numpy(dtype) != array.dtype):
            if copy is False:
                raise errors.error(
                    errors.TripyValueError,
                    f"an array of {dtype} needs a copy.",
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
        """Export the elements: NumPy and JAX share them; torch and others get a copy."""
        options = (stream, max_version, dl_device, copy)
        return host.to_dlpack(self._elements(), self.dtype, *options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._elements().__dlpack_device__()  # type: ignore[no-any-return]

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
                fix="pick one with tensor[…], or reduce with tp.any, tp.all, tp.sum, …",
                argument="self",
            )

    def __bool__(self) -> bool:
        self._require_one("a truth value")
        return bool(self.item())

    def __int__(self) -> int:
        self._require_one("int()")
        number = self.item()
        if math.isfinite(number):
            return int(number)
        raise errors.error(
            errors.TripyValueError,
            "int() needs a finite number.",
            received=str(number),
            expected="a finite number",
            fix="test it first with math.isfinite(…)",
            argument="self",
        )

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
                fix="take its value with tensor.item(), or reshape it to (1,)",
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
        return (equal := self == value) is not False and bool(HOOKS["any"](equal))

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
        functions = getattr(sys.modules.get("tripy"), "__all__", ())
        fix = f"write tp.{name}(tensor, …)" if name in functions else None
        raise errors.unknown_attribute("Tensor", name, dir(Tensor), fix)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name" or hasattr(self, "__dict__"):  # subclasses may have more
            object.__setattr__(self, name, value)
            return
        if not hasattr(type(self), name):
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
            fix="write tp.where(mask, new, tensor), or tp.scatter(tensor, dim, index, new)",
        )

    # Methods of the same name as a function; the functions hold the documentation.

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


# Past __setattr__, because every operation makes a tensor.
_set_value: Callable[[Tensor, Value], None] = Tensor.__dict__["_value"].__set__
_set_name: Callable[[Tensor, str | int], None] = Tensor.__dict__["_name"].__set__

TensorLike = Union[Tensor, bool, int, float, Sequence[Any], Any]


def wrap(value: Value, kind: type[Tensor] = Tensor) -> Tensor:
    """Return a new Tensor that shows ``value``."""
    tensor = object.__new__(kind)
    tensor._adopt(value)
    return tensor


class DimensionSize(SizeOperators, Tensor):
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


IntLike = Union[int, DimensionSize]
ShapeLike = Union[Sequence[IntLike], IntLike]


def _are_tensors(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, Tensor) for v in value)


signature.KINDS.update(
    {
        "Tensor": Kind((Tensor,), lambda v: isinstance(v, Tensor), "a tp.Tensor", suggest_tensor),
        "TensorLike": Kind((Tensor, int, float, bool), is_tensor_like, "a tensor or number"),
        "Sequence[Tensor]": Kind((), _are_tensors, "a list or tuple of tensors", suggest_tensors),
    }
)
HOOKS.update(make_size=make_size, truth=Tensor)
