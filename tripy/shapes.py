"""Symbolic sizes: exact integer expressions over input dims, with bounds, in a canonical form.

A size is a plain int or a ``Dim``. A ``Dim`` is a polynomial with integer coefficients over atoms;
an atom is an input dim (``Symbol``) or a function of sizes that no polynomial expresses
(``Function``: floor division, modulo, minimum, maximum, broadcasting). Equal expressions have equal
canonical forms, so they compare equal.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, Union

from tripy import errors
from tripy.counting import FUNCTIONS, HEAVIEST, NESTING, Bound, too_long, too_wide
from tripy.counting import LARGEST as LARGEST
from tripy.counting import LARGEST_64 as LARGEST_64

MAX_RANK = 64  # of NumPy


class Symbol(NamedTuple):
    """A size that the caller of an executable decides, between ``minimum`` and ``maximum``."""

    name: str
    minimum: int
    optimum: int
    maximum: int

    def __str__(self) -> str:
        return self.name


class Function(NamedTuple):
    """A function of two sizes that has no polynomial form."""

    name: str
    left: Size
    right: Size

    def __str__(self) -> str:
        operator = {"floordiv": "//", "mod": "%"}.get(self.name)
        if operator:
            return f"({_inner(self.left)} {operator} {_inner(self.right)})"
        return f"{self.name}({self.left}, {self.right})"


Atom = Union[Symbol, Function]  # Function refers to it before it is complete
Monomial = tuple[Atom, ...]


def _inner(size: Size) -> str:
    return f"({size})" if isinstance(size, Dim) and len(size.terms) > 1 else str(size)


class Dim:
    """A size that is not a plain int: a canonical sum of integer multiples of atom products."""

    __slots__ = ("_hash", "_text", "terms", "weight")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self.weight = sum([_weight(atom) for monomial, _ in terms for atom in monomial])
        if self.weight > HEAVIEST:
            raise too_long(self.weight)
        self._hash = hash(terms)
        self._text = ""  # made when it is first asked for: sizes are ordered by their texts

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __add__(self, other: Size) -> Size:
        return _polynomial((*self.terms, *_terms(other)))

    __radd__ = __add__

    def __neg__(self) -> Size:
        return _polynomial((m, -c) for m, c in self.terms)

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        if isinstance(other, Dim):
            _check_product(self, other)
        products = ((m + n, c * d) for m, c in self.terms for n, d in _terms(other))
        return _polynomial(products)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floordiv(other, self)

    def __mod__(self, other: Size) -> Size:
        return mod(self, other)

    def __rmod__(self, other: Size) -> Size:
        return mod(other, self)

    def __str__(self) -> str:
        self._text = self._text or self._written()
        return self._text

    def _written(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            factors = [str(atom) for atom in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            sign = " - " if coefficient < 0 else " + "
            text += (sign if text else sign.strip(" +")) + "*".join(factors)
        return text

    __repr__ = __str__


Size = int | Dim
Shape = tuple[Size, ...]


# --- canonical forms -------------------------------------------------------------------------


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), size),) if size else ()


def _order(item: tuple[Monomial, int]) -> tuple[int, str]:
    return (-len(item[0]), " ".join(map(str, item[0])))


def _weight(atom: Atom) -> int:
    """Return how many atoms there are in one, and more for functions."""
    if isinstance(atom, Symbol):
        return 1
    sides = (side.weight for side in (atom.left, atom.right) if isinstance(side, Dim))
    return NESTING + sum(sides)


def _check_product(a: Dim, b: Dim) -> None:
    """Raise TripyValueError for a product that would take long to write out."""
    weight = a.weight * len(b.terms) + b.weight * len(a.terms)
    if weight > 16 * HEAVIEST:  # equal terms merge
        raise too_long(weight)


def _polynomial(terms: Iterable[tuple[Monomial, int]]) -> Size:
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        key = tuple(sorted(monomial, key=str)) if len(monomial) > 1 else monomial
        total[key] = total.get(key, 0) + coefficient
    kept = sorted(((m, c) for m, c in total.items() if c), key=_order)
    for _, coefficient in kept:
        if abs(coefficient) > LARGEST_64:
            raise too_wide(coefficient)
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Dim(tuple(kept))


def symbol(name: str, minimum: int, optimum: int, maximum: int) -> Size:
    """Return an input dim; a plain int when the bounds leave no choice."""
    if minimum == maximum:
        return minimum
    return Dim((((Symbol(name, minimum, optimum, maximum),), 1),))


def _function(name: str, left: Size, right: Size) -> Size:
    low, high = FUNCTIONS[name].bounds(bounds(left), bounds(right))
    return low if low == high else Dim((((Function(name, left, right),), 1),))


def _divide_terms(a: Size, b: int) -> tuple[Size, Size]:
    """Split ``a`` into ``b * quotient + rest`` term by term."""
    quotient = _polynomial((m, c // b) for m, c in _terms(a) if m == () or c % b == 0)
    rest = _polynomial((m, c % b if m == () else c) for m, c in _terms(a) if m == () or c % b)
    return quotient, rest


def _exact_quotient(a: Size, b: Dim) -> Size | None:
    """Divide by a single product of atoms where every term of ``a`` contains it."""
    if len(b.terms) != 1:
        return 1 if a == b else None
    divisor, scale = b.terms[0]
    quotient = []
    for monomial, coefficient in _terms(a):
        left = list(monomial)
        for atom in divisor:
            if atom not in left:
                return None
            left.remove(atom)
        if coefficient % scale:
            return None
        quotient.append((tuple(left), coefficient // scale))
    return _polynomial(quotient)


def floordiv(a: Size, b: Size) -> Size:
    """Return ``a // b`` as Python defines it; exact quotients are simplified."""
    if isinstance(b, int):
        if isinstance(a, int):
            return a // b
        if b == 1:
            return a
        if b > 1:
            quotient, rest = _divide_terms(a, b)
            shared = math.gcd(b, *(c for _, c in _terms(rest)))
            if shared > 1:
                rest, b = _polynomial((m, c // shared) for m, c in _terms(rest)), b // shared
            tail = rest // b if isinstance(rest, int) or b == 1 else _function("floordiv", rest, b)
            return quotient + tail
        return _function("floordiv", a, b)
    exact = _exact_quotient(a, b)
    return _function("floordiv", a, b) if exact is None else exact


def mod(a: Size, b: Size) -> Size:
    """Return ``a % b`` as Python defines it."""
    if isinstance(b, int) and b > 0:
        rest = _divide_terms(a, b)[1]
        return rest % b if isinstance(rest, int) else _function("mod", rest, b)
    if isinstance(b, Dim) and _exact_quotient(a, b) is not None:
        return 0
    return a % b if isinstance(a, int) and isinstance(b, int) else _function("mod", a, b)


def minimum(a: Size, b: Size) -> Size:
    """Return the smaller size; decided at once where the bounds decide it."""
    if known_less_equal(a, b):
        return a
    return b if known_less_equal(b, a) else _function("min", *sorted((a, b), key=str))


def maximum(a: Size, b: Size) -> Size:
    """Return the larger size; decided at once where the bounds decide it."""
    if known_less_equal(a, b):
        return b
    return a if known_less_equal(b, a) else _function("max", *sorted((a, b), key=str))


def wrap(position: Size, size: Size) -> Size:
    """Return a position counted from the front; negative ones count from the end."""
    negative = known_less_equal(position, -1)
    if negative is None:
        return _function("wrap", position, size)
    return position + size if negative else position


def product(sizes: Iterable[Size]) -> Size:
    """Return the product of sizes."""
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


# --- bounds and values -----------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _atom_bounds(atom: Atom) -> Bound:
    if isinstance(atom, Symbol):
        return atom.minimum, atom.maximum
    return FUNCTIONS[atom.name].bounds(bounds(atom.left), bounds(atom.right))


def bounds(size: Size) -> Bound:
    """Return the smallest and largest value that the size can have (never too narrow)."""
    if isinstance(size, int):
        return size, size
    low = high = 0
    for monomial, coefficient in size.terms:
        term = (coefficient, coefficient)
        for atom in monomial:
            corners = [x * y for x in term for y in _atom_bounds(atom)]
            term = (min(corners), max(corners))
        low, high = low + term[0], high + term[1]
    return low, high


def _atom_value(atom: Atom, values: Mapping[str, int]) -> int:
    if isinstance(atom, Symbol):
        return values[atom.name]
    left, right = evaluate(atom.left, values), evaluate(atom.right, values)
    return FUNCTIONS[atom.name].value(left, right)


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """Return the value of a size for given values of its symbols."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, coefficient in size.terms:
        for atom in monomial:
            coefficient *= _atom_value(atom, values)
        total += coefficient
    return total


def symbols(size: Any) -> dict[str, Symbol]:
    """Return the symbols that occur in a size, by name."""
    found: dict[str, Symbol] = {}
    for monomial, _ in size.terms if isinstance(size, Dim) else ():
        for atom in monomial:
            if isinstance(atom, Symbol):
                found[atom.name] = atom
            else:
                found |= symbols(atom.left) | symbols(atom.right)
    return found


def optimum(size: Size) -> int:
    """Return the value of a size where every symbol has its opt value."""
    return evaluate(size, {name: s.optimum for name, s in symbols(size).items()})


def is_static(shape: Iterable[Size]) -> bool:
    """Whether every size is a plain int."""
    return all(isinstance(size, int) for size in shape)


def substitute(value: Any, values: Mapping[str, int]) -> Any:
    """Replace every ``Dim`` inside (nested tuples of) attributes by its value."""
    if isinstance(value, Dim):
        return evaluate(value, values)
    if isinstance(value, tuple):
        return tuple(substitute(item, values) for item in value)
    return value


# --- what is known about sizes ---------------------------------------------------------------


def _difference(a: Size, b: Size) -> Size | None:
    """Return ``a - b``; None where that is too long to say anything about."""
    weight = sum(side.weight for side in (a, b) if isinstance(side, Dim))
    return None if weight > HEAVIEST else a - b


def known_equal(a: Size, b: Size) -> bool | None:
    """Return whether two sizes are equal; None when that depends on the call."""
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    difference = _difference(a, b)
    if isinstance(difference, int):
        return difference == 0
    low, high = (-1, 1) if difference is None else bounds(difference)
    (a_low, a_high), (b_low, b_high) = bounds(a), bounds(b)
    if low > 0 or high < 0 or a_low > b_high or a_high < b_low:
        return False
    return None


def known_less_equal(a: Size, b: Size) -> bool | None:
    """Return whether ``a <= b``; None when that depends on the call."""
    difference = _difference(b, a)
    low, high = (-1, 1) if difference is None else bounds(difference)
    (a_low, a_high), (b_low, b_high) = bounds(a), bounds(b)
    if low >= 0 or a_high <= b_low:
        return True
    if high < 0 or a_low > b_high:
        return False
    return None


class Condition(NamedTuple):
    """A relation of sizes that could not be decided while tracing; checked at every call."""

    relation: str
    left: Size
    right: Size
    message: str
    source: errors.Source

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether the relation is true for these sizes."""
        left, right = evaluate(self.left, values), evaluate(self.right, values)
        return RELATIONS[self.relation][1](left, right)


# Relation -> (what is known while tracing, what is true for numbers).
RELATIONS: dict[str, tuple[Callable[[Size, Size], bool | None], Callable[[int, int], bool]]] = {
    "==": (known_equal, lambda a, b: a == b),
    "<=": (known_less_equal, lambda a, b: a <= b),
    "stretches to": (
        lambda a, b: _known_any(known_equal(a, b), known_equal(a, 1)),
        lambda a, b: a in (b, 1),
    ),
    "broadcasts with": (
        lambda a, b: None if known_equal(a, b) is None or _may_be_one(a, b) else known_equal(a, b),
        lambda a, b: a == b or a == 1 or b == 1,
    ),
}

open_conditions: ContextVar[list[Condition] | None] = ContextVar("tripy_conditions", default=None)


def _known_any(*outcomes: bool | None) -> bool | None:
    if any(outcomes):
        return True
    return None if None in outcomes else False


def _may_be_one(a: Size, b: Size) -> bool:
    return any(known_equal(size, 1) is not False for size in (a, b))


def holds(left: Size, relation: str, right: Size, message: str) -> bool:
    """Whether a relation holds; one that only a call can decide is recorded and taken as true."""
    known = RELATIONS[relation][0](left, right)
    if known is None:
        conditions = open_conditions.get()
        if conditions is not None:
            conditions.append(Condition(relation, left, right, message, errors.capture()))
    return known is not False


def _broadcast_size(a: Size, b: Size) -> Size | None:
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        return None
    if not holds(a, "broadcasts with", b, "the shapes do not broadcast"):
        return None
    if known_equal(a, 1) is False:
        return a if known_equal(b, 1) is not False or isinstance(a, int) else b
    if known_equal(b, 1) is False:
        return b
    return _function("broadcast", *sorted((a, b), key=str))


def broadcast(*all_shapes: Shape) -> Shape | None:
    """Return the shape that all broadcast to, or None when they do not fit."""
    given = [shape for shape in all_shapes if shape]  # rank 0 fits everything
    if given.count(first := given[0] if given else ()) == len(given):
        return first
    result: list[Size] = [1] * max(map(len, all_shapes))
    for shape in all_shapes:
        offset = len(result) - len(shape)
        for i, size in enumerate(shape, offset):
            merged = _broadcast_size(result[i], size)
            if merged is None:
                return None
            result[i] = merged
    return tuple(result)


# --- sizes in users' arguments ---------------------------------------------------------------


def as_size(value: Any) -> Size | None:
    """Return the size that an int-like value or a DimensionSize stands for, else None."""
    kind = type(value)  # a missing attribute of a tensor would cost the search for similar names
    if kind is int:
        return value  # type: ignore[no-any-return]
    if hasattr(kind, "_value"):
        return value._size if hasattr(kind, "_size") else None
    if isinstance(value, bool) or not hasattr(kind, "__index__") or hasattr(value, "dtype"):
        return int(value) if _is_numpy_integer(value) else None
    return index_of(value)


def index_of(value: Any) -> int | None:
    """Return what ``__index__`` says; None where it says nothing that counts."""
    try:
        return operator.index(value)
    except Exception:  # the user's own object
        return None


def _is_numpy_integer(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind in ("i", "u") and getattr(value, "ndim", 1) == 0 and index_of(value) is not None
