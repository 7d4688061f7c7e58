"""How users describe inputs: ``InputInfo``, ``DimensionInputInfo``, ``NamedDimension``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tripy import dtypes, errors, shapes
from tripy.counting import too_wide
from tripy.graph import Value, shape_text
from tripy.shapes import as_size
from tripy.signature import public


@dataclass(frozen=True)
class Bounds:
    """Minimum, optimum and maximum of a shape or of one size.

    Example:
        >>> tp.Bounds((1, 3), (8, 3), (64, 3)).is_static()
        False
    """

    min: Any
    opt: Any
    max: Any

    def is_static(self) -> bool:
        """Whether all three are equal."""
        return bool(self.min == self.opt == self.max)


def _checked_bounds(
    values: Sequence[Any], what: str, argument: errors.ArgumentPath
) -> tuple[int, int, int]:
    sizes = [as_size(value) for value in values]
    for value, size in zip(values, sizes):
        if not isinstance(size, int):
            raise errors.error(
                errors.TripyTypeError,
                f"the bounds of {what} must be integers.",
                received=errors.describe(value),
                expected="(min, opt, max) as ints",
                fix="write three ints, such as (1, 8, 64)",
                argument=argument,
                culprit=value,
            )
    for size in sizes:
        if isinstance(size, int) and size > shapes.LARGEST_64:
            raise too_wide(size)
    if len(sizes) != 3 or not 0 <= sizes[0] <= sizes[1] <= sizes[2]:  # type: ignore[operator]
        raise errors.error(
            errors.TripyValueError,
            f"the bounds of {what} are {'not in order' if len(sizes) == 3 else 'not three'}.",
            received=errors.brief(tuple(values)),
            expected="(min, opt, max) with 0 <= min <= opt <= max",
            fix="write, for example, (1, 8, 64); opt is the size to tune for",
            argument=argument,
            culprit=values,
        )
    return tuple(sizes)  # type: ignore[return-value]


class NamedDimension:
    """A dynamic size with a name; dims that share a name are one size.

    Args:
        name: the name; equal names mean equal sizes.
        min: smallest size.
        opt: size to tune for.
        max: largest size.

    Raises:
        TripyTypeError: when the name is no string or a bound no integer.
        TripyValueError: unless 0 <= min <= opt <= max.

    Example:
        >>> tp.NamedDimension("batch", 1, 8, 64)
        NamedDimension('batch', min=1, opt=8, max=64)
    """

    __slots__ = ("bounds", "name")

    @public("NamedDimension")
    def __init__(self, name: str, min: int, opt: int, max: int) -> None:
        self.name = name
        self.bounds = Bounds(*_checked_bounds((min, opt, max), f"dimension {name!r}", "min"))

    def __repr__(self) -> str:
        b = self.bounds
        return f"NamedDimension({self.name!r}, min={b.min}, opt={b.opt}, max={b.max})"


class InputInfo:
    """Describes a tensor input of a function to compile.

    Args:
        shape: one entry per dim: an int or DimensionSize, a :class:`NamedDimension`, or a list or
            tuple (min, opt, max). ``()`` is rank 0.
        dtype: data type of the input.

    Attributes:
        shape_bounds: Bounds of three tuples of length rank.
        dimension_names: {dim index: name} of the named dims.
        dtype: data type of the input.

    Raises:
        TripyTypeError: for a dim of another type, or a ``dtype`` that is no tp dtype.
        TripyValueError: for bounds that are not 0 <= min <= opt <= max.

    Example:
        >>> tp.InputInfo(((1, 8, 64), 3), tp.float32)
        InputInfo(shape=((1, 8, 64), 3), dtype=float32)
    """

    __slots__ = ("dimension_names", "dtype", "shape_bounds")

    @public("InputInfo")
    def __init__(self, shape: Any, dtype: dtypes.dtype) -> None:
        self.dtype = dtype
        single = as_size(shape) is not None or isinstance(shape, NamedDimension)
        dims = [shape] if single else shape
        if not isinstance(dims, (list, tuple)):
            raise _wrong_dim(shape, "shape")
        rows = [_dim_bounds(dim, i) for i, dim in enumerate(dims)]
        self.shape_bounds = Bounds(*(tuple(row[k] for row in rows) for k in range(3)))
        self.dimension_names = {
            i: dim.name for i, dim in enumerate(dims) if isinstance(dim, NamedDimension)
        }

    @property
    def rank(self) -> int:
        """Number of dims."""
        return len(self.shape_bounds.min)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InputInfo):
            return NotImplemented
        return self.shape_bounds == other.shape_bounds and self.dtype is other.dtype

    def __hash__(self) -> int:
        return hash((self.shape_bounds, self.dtype))

    def _dim_text(self, i: int) -> str:
        low, opt, high = (getattr(self.shape_bounds, k)[i] for k in ("min", "opt", "max"))
        text = str(low) if low == high else f"({low}, {opt}, {high})"
        name = self.dimension_names.get(i)
        return f"{name}={text}" if name else text

    def __repr__(self) -> str:
        dims = ", ".join(self._dim_text(i) for i in range(self.rank))
        return f"InputInfo(shape=({dims}{',' if self.rank == 1 else ''}), dtype={self.dtype})"

    __str__ = __repr__


def _wrong_dim(received: object, argument: errors.ArgumentPath) -> errors.TripyTypeError:
    return errors.error(
        errors.TripyTypeError,
        "a dim of this shape is not understood.",
        received=errors.describe(received),
        expected="an int, a (min, opt, max) tuple or a tp.NamedDimension",
        fix="write sizes such as (3, 224, 224), or (1, 8, 64) in place of a size that varies",
        argument=argument,
    )


def _dim_bounds(dim: Any, index: int) -> tuple[int, int, int]:
    if isinstance(dim, NamedDimension):
        return dim.bounds.min, dim.bounds.opt, dim.bounds.max
    if isinstance(dim, (list, tuple)):
        return _checked_bounds(dim, f"dim {index}", "shape")
    size = as_size(dim)
    if not isinstance(size, int):
        raise _wrong_dim(dim, ("shape", index))
    if size < 0:
        raise errors.error(
            errors.TripyValueError,
            f"the size of dim {index} is negative.",
            received=str(size),
            expected="a size >= 0",
            fix="write (min, opt, max), such as (1, 8, 64), for a size that varies",
            argument=("shape", index),
        )
    if size > shapes.LARGEST_64:
        raise too_wide(size)
    return size, size, size


class DimensionInputInfo:
    """Describes an input that is a size (a DimensionSize in the traced function).

    Args:
        value_bounds: list or tuple (min, opt, max).

    Raises:
        TripyTypeError: when the bounds are no list or tuple of integers.
        TripyValueError: unless 0 <= min <= opt <= max.

    Example:
        >>> tp.DimensionInputInfo((1, 4, 16))
        DimensionInputInfo((1, 4, 16))
    """

    __slots__ = ("value_bounds",)

    @public("DimensionInputInfo")
    def __init__(self, value_bounds: Sequence[Any]) -> None:
        low, opt, high = _checked_bounds(value_bounds, "the value", "value_bounds")
        self.value_bounds = Bounds((low,), (opt,), (high,))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DimensionInputInfo):
            return NotImplemented
        return self.value_bounds == other.value_bounds

    def __hash__(self) -> int:
        return hash(self.value_bounds)

    def __repr__(self) -> str:
        b = self.value_bounds
        return f"DimensionInputInfo(({b.min[0]}, {b.opt[0]}, {b.max[0]}))"

    __str__ = __repr__


def info_of(value: Value) -> InputInfo | DimensionInputInfo:
    """Return the description that fits a value of a graph."""
    node = value.node
    if node is not None and node.primitive.name == "size":  # a DimensionSize
        return DimensionInputInfo(_possible(node.attributes["size"]))
    return InputInfo([_possible(size) for size in value.shape], value.dtype)


def _possible(size: shapes.Size) -> tuple[int, ...]:
    """Return (min, opt, max) of a size."""
    low, high = shapes.bounds(size)
    return tuple(sorted(max(bound, 0) for bound in (low, shapes.optimum(size), high)))


def value_text(info: InputInfo | DimensionInputInfo, value: Value, shown: set[str]) -> str:
    """Return dtype, shape and bounds of an input; the bounds of names that were not shown yet."""
    if isinstance(info, DimensionInputInfo):
        b = info.value_bounds
        return f"size, {b.min[0]} … {b.max[0]}"
    text = f"{value.dtype} {shape_text(value.shape)}"
    for size in value.shape:
        for name, symbol in shapes.symbols(size).items():
            if name not in shown:
                shown.add(name)
                text += f", {symbol.minimum} <= {name} <= {symbol.maximum}"
    return text
