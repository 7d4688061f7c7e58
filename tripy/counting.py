"""What sizes may be: their limits, and the functions of sizes as functions of ints and bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tripy import errors

LARGEST = 2**31 - 1
LARGEST_64 = 2**63 - 1  # no size or coefficient is larger: engines count in int64
HEAVIEST = 8192  # atoms in a size, with those inside functions
NESTING = 16  # what a function weighs beside its operands, so that nests stay shallow

Bound = tuple[int, int]


def _corner_bounds(operation: Callable[[int, int], int]) -> Callable[[Bound, Bound], Bound]:
    def rule(a: Bound, b: Bound) -> Bound:
        corners = [operation(x, y) for x in a for y in b if y or operation is not _floordiv]
        return (min(corners), max(corners)) if corners else (0, 0)

    return rule


def _floordiv(a: int, b: int) -> int:
    return a // b if b else 0


def _mod_bounds(a: Bound, b: Bound) -> Bound:
    if b[0] <= 0:
        return -LARGEST, LARGEST
    return (a[0], a[1]) if 0 <= a[0] and a[1] < b[0] else (0, b[1] - 1)


def _floordiv_bounds(a: Bound, b: Bound) -> Bound:
    if b[0] <= 0 <= b[1]:  # the smallest divisor in size is then 1
        b = (1, max(1, b[1])) if b[0] == 0 else (-1, 1)
    return _corner_bounds(_floordiv)(a, b)


def _broadcast(a: int, b: int) -> int:
    return b if a == 1 else a


def _broadcast_bounds(a: Bound, b: Bound) -> Bound:
    return min(a[0], b[0]), max(a[1], b[1])


def _wrap_bounds(a: Bound, b: Bound) -> Bound:
    return min(max(a[0], 0), a[0] + b[0]), max(a[1], b[1] - 1)


class _Rule(NamedTuple):
    value: Callable[[int, int], int]
    bounds: Callable[[Bound, Bound], Bound]


FUNCTIONS = {
    "floordiv": _Rule(_floordiv, _floordiv_bounds),
    "mod": _Rule(lambda a, b: a % b if b else 0, _mod_bounds),
    "min": _Rule(min, _corner_bounds(min)),
    "max": _Rule(max, _corner_bounds(max)),
    "wrap": _Rule(lambda a, b: a + b if a < 0 else a, _wrap_bounds),
    "broadcast": _Rule(_broadcast, _broadcast_bounds),
}


def too_long(weight: int) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        "a formula of dynamic sizes grows too long.",
        received=f"a size with {weight} terms and factors",
        expected=f"at most {HEAVIEST}",
        fix="compute with sizes less often, describe the inputs with static sizes, or make the "
        "number an input with tp.DimensionInputInfo",
    )


def too_wide(number: int) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        "a size does not fit int64.",
        received=str(number) if abs(number) < 10**40 else f"{number.bit_length()} bits",
        expected=f"at most {LARGEST_64}",
        fix="use smaller sizes",
    )
