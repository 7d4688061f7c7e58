"""The operators of tensors; the functions that they call hold the documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tripy import errors, shapes
from tripy.host import HOOKS, is_tensor_like, number_kind
from tripy.shapes import Size

if TYPE_CHECKING:
    from tripy.tensor import Tensor


class Operators:
    """Base class of Tensor with all its operators."""

    __slots__ = ()

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


class SizeOperators:
    """Operators of DimensionSize: exact between sizes, those of Tensor otherwise."""

    __slots__ = ()
    _size: Size

    def __neg__(self) -> Any:
        return HOOKS["make_size"](0 - self._size)


def _size_arithmetic(name: str, operation: Callable[[Size, Size], Size]) -> None:
    def forward(self: SizeOperators, other: Any) -> Any:
        size = shapes.as_size(other)
        if size is None:
            return getattr(Operators, f"__{name}__")(_beside(self, other), other)
        return HOOKS["make_size"](operation(self._size, size))

    def reflected(self: SizeOperators, other: Any) -> Any:
        size = shapes.as_size(other)
        if size is None:
            return getattr(Operators, f"__r{name}__")(_beside(self, other), other)
        return HOOKS["make_size"](operation(size, self._size))

    for method, full_name in ((forward, f"__{name}__"), (reflected, f"__r{name}__")):
        method.__code__ = method.__code__.replace(co_name=full_name)  # messages show the operator
        setattr(SizeOperators, full_name, method)


def _beside(size: SizeOperators, other: Any) -> SizeOperators:
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
    def compare(self: SizeOperators, other: Any) -> Any:
        size = shapes.as_size(other)
        outcome = None if size is None else known(self._size, size)
        return (
            getattr(Operators, f"__{name}__")(self, other)
            if outcome is None
            else HOOKS["truth"](outcome)
        )

    setattr(SizeOperators, f"__{name}__", compare)


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
