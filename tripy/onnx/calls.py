"""What the row of an ONNX operation gets: its inputs, as tensors or as known integers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.dtypes import dtype
from tripy.ops.elementwise import cast
from tripy.ops.joining import stack
from tripy.ops.movement import reshape
from tripy.shapes import Size
from tripy.tensor import Tensor, make_size, wrap

MOST_KNOWN = 4096  # elements of a constant that may take part in arithmetic of sizes


class Known(NamedTuple):
    """Integers or bools that are known while tracing; some may be symbolic sizes.

    Models compute shapes with int64 tensors. Kept like this, they are no values of the program.
    """

    array: np.ndarray[Any, Any]  # of objects: int, bool or shapes.Dim
    dtype: dtype


Operand = Tensor | Known | None


class Step(NamedTuple):
    """One node of the model."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    usual: frozenset[str] = frozenset()  # attributes that are what the standard takes without them

    def used(self, index: int) -> bool:
        """Whether an optional output is asked for."""
        return len(self.outputs) > index and bool(self.outputs[index])


def known(values: Any, kind: dtype) -> Known:
    """Return known integers from (nested lists of) ints, bools and sizes, or an array of them."""
    return Known(np.asarray(values, dtype=object), kind)


def as_known(value: Operand) -> Known | None:
    """Return the integers behind a small constant, or None for other tensors."""
    if not isinstance(value, Tensor):
        return value
    if value._value.traced or value.dtype not in (dtypes.int32, dtypes.int64, dtypes.bool_):
        return None
    if not isinstance(value.size, int) or value.size > MOST_KNOWN:
        return None
    return Known(value.numpy().astype(object), value.dtype)


def is_static(value: Known) -> bool:
    """Whether no symbolic size is among the integers."""
    return not any(isinstance(size, shapes.Dim) for size in value.array.flat)


def to_tensor(value: Tensor | Known) -> Tensor:
    """Return a tensor of the dtype that the model says."""
    if isinstance(value, Tensor):
        return value
    if is_static(value):
        return Tensor(value.array.astype(dtypes.to_numpy(value.dtype)))
    parts = [_size_tensor(size) for size in value.array.flat]
    sizes = parts[0] if value.array.ndim == 0 else reshape(stack(parts), value.array.shape)
    return cast(sizes, value.dtype)


def _size_tensor(size: Size) -> Tensor:
    """A size is made as int32, so larger ones are refused at the call."""
    if not shapes.holds(size, "<=", 2**31 - 1, "a size must fit int32"):
        raise errors.error(
            errors.TripyUnsupportedError,
            "a size beyond int32 cannot be a tensor.",
            received=str(size),
            expected=f"at most {2**31 - 1}",
            fix="describe inputs with smaller sizes",
        )
    return wrap(make_size(size)._value)


def _narrowed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    fits = not array.size or (array.min() >= -(2**31) and array.max() < 2**31)
    return array.astype(np.int32) if fits else array


def narrow(tensor: Tensor) -> Tensor:
    """Return known int64 indices as int32 where they fit, others as they are."""
    if tensor.dtype is not dtypes.int64 or tensor._value.traced:
        return tensor
    return Tensor(_narrowed(tensor.numpy()))


def unified(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return operands of one dtype where int64 values were kept in int32."""
    if {tensor.dtype for tensor in tensors} != {dtypes.int32, dtypes.int64}:
        return list(tensors)
    return [cast(tensor, dtypes.int64) for tensor in tensors]


class Call:
    """One run of a node."""

    def __init__(self, step: Step, values: Sequence[Operand]) -> None:
        self.step = step
        self.values = list(values)
        self.opset = step.opset
        self.seen = set(step.usual)  # attributes that were asked for
        self.taken: set[int] = set()  # inputs that were asked for

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return len(self.values) > index and self.values[index] is not None

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or a default."""
        self.seen.add(name)
        return self.step.attributes.get(name, default)

    def ignored(self) -> str | None:
        """Name what the file has and the row did not ask for, so that it is never passed over."""
        harmless = HARMLESS.get(self.step.op, frozenset()) | _EVERYWHERE
        for name, value in self.step.attributes.items():
            if name not in self.seen and name not in harmless:
                return f"{name}={errors.brief(value)} is not understood"
        for i, value in enumerate(self.values):
            if value is not None and i not in self.taken | harmless:
                return f"input {i} is not understood"
        return None

    def operand(self, index: int) -> Tensor | Known:
        """Return an input that is not optional."""
        value = self.values[index] if len(self.values) > index else None
        self.taken.add(index)
        if value is None:
            raise self.unsupported(f"input {index} is missing")
        return value

    def tensor(self, index: int = 0) -> Tensor:
        """Return an input as a tensor."""
        return to_tensor(self.operand(index))

    def optional(self, index: int) -> Tensor | None:
        """Return an input as a tensor, or None where it is left out."""
        return self.tensor(index) if self.has(index) else None

    def tensors(self, start: int = 0) -> list[Tensor]:
        """Return the inputs from one on, with one dtype."""
        return unified([self.tensor(i) for i in range(start, len(self.values))])

    def integers(self, index: int) -> list[Size]:
        """Return an input of integers as ints and symbolic sizes."""
        found = as_known(self.operand(index))
        if found is None:
            raise self.unsupported(f"input {index} must be known from constants and shapes")
        return list(found.array.reshape(-1))

    def sizes(self, index: int) -> list[Any]:
        """Return an input of integers as ints and DimensionSize."""
        return [s if isinstance(s, int) else make_size(s) for s in self.integers(index)]

    def ints(self, index: int) -> list[int]:
        """Return an input of integers that must not depend on inputs."""
        found = self.integers(index)
        if not shapes.is_static(found):
            raise self.unsupported(f"input {index} must not depend on dynamic sizes")
        return [int(size) for size in found if isinstance(size, int)]

    def axes(self, index: int = 1) -> list[int] | None:
        """Return axes, an attribute of old versions and an input of later ones."""
        if self.attr("axes") is not None:
            return list(self.attr("axes"))
        return self.ints(index) if self.has(index) else None

    def numbers(self, index: int) -> list[Any]:
        """Return the elements of a constant input."""
        tensor = self.tensor(index)
        if tensor._value.traced:
            raise self.unsupported(f"input {index} must be constant")
        found = reshape(tensor, (-1,)) if tensor.rank != 1 else tensor
        return list(found.tolist())

    def unsupported(self, reason: str) -> errors.TripyUnsupportedError:
        """Return the error for a node whose inputs have no translation."""
        return errors.error(
            errors.TripyUnsupportedError,
            f"the ONNX node {self.step.name!r} ({self.step.op}) cannot be run: {reason}.",
            received=", ".join(errors.brief(_shown(value)) for value in self.values),
            expected="inputs that this operation can be translated with",
            fix="describe more sizes as static, or simplify the model before it is loaded",
        )


def _shown(value: Operand) -> Any:
    return value.array.tolist() if isinstance(value, Known) else value


_EVERYWHERE = frozenset(["consumed_inputs"])
#: Attributes and positions of inputs that change no result, or that a check of the node looks at.
HARMLESS: dict[str, frozenset[str | int]] = {
    "Cast": frozenset(["round_mode"]),  # of float8e8m0, which tripy lacks
    "CastLike": frozenset(["round_mode"]),
    "Gemm": frozenset(["broadcast"]),  # the third operand broadcasts in one way only
    "Dropout": frozenset(["ratio", "seed", 1]),
    "BatchNormalization": frozenset(["momentum", "is_test"]),
    "TopK": frozenset(["sorted"]),  # 0 leaves the order open
    "MaxPool": frozenset(["storage_order", "dilations"]),  # the order is that of the indices
    "AveragePool": frozenset(["dilations"]),
    "Range": frozenset(["stash_type"]),  # elements are rounded once here
    "Resize": frozenset(
        ["antialias", "cubic_coeff_a", "exclude_outside", "extrapolation_value",
         "keep_aspect_ratio_policy", 1]
    ),
}  # fmt: skip


# What tables of rows consist of. ------------------------------------------------------------

Result: TypeAlias = Any  # a Tensor, Known integers, or a sequence of them for several outputs
Row: TypeAlias = "Callable[[Call], Result]"


def later(name: str, *args: Any, **options: Any) -> Any:
    """Call a public function of the package by name."""
    return getattr(importlib.import_module("tripy"), name)(*args, **options)


#: Why a node is left out, found before anything runs; None where it is not.
Check: TypeAlias = "Callable[[Step], str | None]"


def attribute_check(name: str, allowed: Sequence[Any], default: Any) -> Check:
    """An attribute with few values that are understood."""

    def check(step: Step) -> str | None:
        value = step.attributes.get(name, default)
        return None if value in allowed else f"{name}={value!r}"

    return check


def is_float(tensor: Tensor) -> bool:
    return tensor.dtype in dtypes.FLOATS
