"""Comparison of an Executable's results with those of the reference engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy.graph import Value

# Between engines, by dtype (rtol, atol); bool and integers that no quantize made are exact.
TOLERANCES = {
    "float64": (1e-7, 1e-9),
    "float32": (1e-4, 1e-5),
    "tf32": (1e-2, 1e-3),
    "float16": (1e-2, 1e-3),
    "bfloat16": (5e-2, 1e-2),
}
_STEPS = {"float8": (2.0**-3, 2.0**-9)}  # one step of the grid; that of integers is 1


class Room(NamedTuple):
    """What a result may differ by beyond its tolerance, because its graph amplifies roundings.

    Attributes:
        extra: per element, added to the tolerance.
        jumps: how many elements may be further off, such as those whose comparison turned out
            otherwise.
        largest: how far those may be off.
    """

    extra: Any
    jumps: int
    largest: float


class OutputRow(NamedTuple):
    """How one result compares with the reference engine's.

    Attributes:
        path: which result, such as ``output[0]``.
        max_abs_error: largest difference; infinite where only one of the two is NaN or infinite.
        max_rel_error: largest difference as a part of the expected value.
        mismatched: how many elements are outside the tolerance.
        total: how many elements there are.
        rtol: relative tolerance.
        atol: absolute tolerance.
        element: which one is furthest off in units of its tolerance; None where all are equal.
        got: the engine's value there.
        expected: the reference engine's value there.
        units: how often the error there has the size of the tolerance; infinite where an exact
            value, NaN or an infinity was expected or came out.
        room: the largest part of a tolerance that is owed to the graph (see
            :meth:`tripy.Executable.verify`).
    """

    path: str
    max_abs_error: float
    max_rel_error: float
    mismatched: int
    total: int
    rtol: float
    atol: float
    element: tuple[int, ...] | None = None
    got: Any = None
    expected: Any = None
    units: float = 0.0
    room: float = 0.0

    def __str__(self) -> str:
        limits = f"rtol={self.rtol:g}, atol={self.atol:g}"
        limits += f" + {self.room:.3g} for roundings that the graph amplifies" * (self.room > 0)
        text = (
            f"{self.path}: {self.mismatched} of {self.total} outside {limits}; largest error "
            f"{self.max_abs_error:.3g} absolute, {self.max_rel_error:.3g} relative"
        )
        return f"{text}\n        {self.worst}" if self.mismatched else text

    @property
    def worst(self) -> str:
        """The element that is furthest off, in words."""
        place = list(self.element or ())
        units = "no tolerance" if math.isinf(self.units) else f"{self.units:.3g} tolerances"
        return f"worst at {place}: got {self.got}, expected {self.expected} ({units})"


class Report:
    """The outcome of ``Executable.verify``; true when every result is within tolerance.

    Attributes:
        outputs: one :class:`OutputRow` per result.
        failure: what the engine raised instead of giving results, or None.
        location: the operation that differs (``locate=True``), or None.
        note: why nothing was located, or empty.

    Example:
        >>> exe = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)], engine="reference")
        >>> print(exe.verify(np.zeros(3, np.float32)))
        verified against the reference engine: ok
            output: 0 of 3 outside rtol=0.0001, atol=1e-05; largest error 0 absolute, 0 relative
    """

    def __init__(
        self,
        outputs: Sequence[OutputRow],
        failure: Exception | None = None,
        location: Any = None,
        note: str = "",
    ) -> None:
        self.outputs = list(outputs)
        self.failure = failure
        self.location = location
        self.note = note

    @property
    def ok(self) -> bool:
        """Whether the engine gave results, and every element of each is within tolerance."""
        return self.failure is None and all(row.mismatched == 0 for row in self.outputs)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "DIFFERENT" if self.failure is None else "FAILED"
        lines = [f"verified against the reference engine: {verdict}"]
        lines += [f"    {row}" for row in self.outputs]
        if self.failure is not None:
            lines += [f"    {line}" for line in str(self.failure).splitlines()]
        lines += [f"    {self.note}"] * bool(self.note)
        return "\n".join(lines if self.location is None else [*lines, str(self.location)])

    __repr__ = __str__


def tolerances(
    value: Value, precision: str, rtol: float | None, atol: float | None
) -> tuple[float, float]:
    """Return (rtol, atol) for a result computed with a precision."""
    name = precision if value.dtype.name == "float32" else value.dtype.name
    default = TOLERANCES.get(name, _STEPS.get(name, (0.0, 0.0)))
    if value.node is not None and value.node.primitive.name == "quantize":
        default = _STEPS.get(name, (0.0, 1.0))
    return default[0] if rtol is None else rtol, default[1] if atol is None else atol


def compare(
    path: str,
    result: Any,
    expected: Any,
    limits: tuple[float, float],
    room: Room | None = None,
) -> OutputRow:
    """Compare one result element by element.

    NaN equals NaN, and an infinity itself; beside anything else they are an infinite error.
    """
    rtol, atol = limits
    is_exact = result.dtype.kind in "iub"
    error, size = (_whole if is_exact else _real)(result, expected)
    if not error.size:
        return OutputRow(path, 0.0, 0.0, 0, result.size, rtol, atol)
    extra = 0.0 if room is None else room.extra
    with np.errstate(all="ignore"):
        units = np.where(error == 0, 0.0, error / (atol + rtol * size + extra))
        units = np.where(np.isnan(units), np.inf, units)
        wrong = ~(error <= atol + rtol * size + extra)
        relative = np.where(error == 0, 0.0, error / size)
    is_close = room is None or bool((error <= room.largest)[wrong].all())
    count = int(wrong.sum())
    forgiven = room is not None and count <= room.jumps and is_close
    at = tuple(map(int, np.unravel_index(int(np.argmax(units)), units.shape)))
    is_equal = not error.any()
    return OutputRow(
        path,
        max_abs_error=float(error.max()),
        max_rel_error=float(relative[np.isfinite(relative)].max(initial=0.0)),
        mismatched=0 if forgiven else count,
        total=result.size,
        rtol=rtol,
        atol=atol,
        element=None if is_equal else at,
        got=None if is_equal else result[at].item(),
        expected=None if is_equal else expected[at].item(),
        units=float(units[at]),
        room=0.0 if room is None else float(np.max(np.where(np.isfinite(extra), extra, 0.0))),
    )


def _whole(result: Any, expected: Any) -> tuple[Any, Any]:
    """Errors and sizes of integers and bools; differences of 64 bits do not wrap."""
    error = np.zeros(result.shape)
    wrong = result != expected
    if wrong.any():
        pairs = zip(result[wrong].tolist(), expected[wrong].tolist())
        error[wrong] = [float(abs(x - y)) for x, y in pairs]
    return error, np.abs(expected.astype(np.float64))


def _real(result: Any, expected: Any) -> tuple[Any, Any]:
    """Errors and sizes of floats."""
    x, y = result.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        error = np.abs(x - y)
    is_same = (x == y) | (np.isnan(x) & np.isnan(y))
    error = np.where(is_same, 0.0, np.where(np.isnan(error), np.inf, error))
    return error, np.where(np.isfinite(y), np.abs(y), 0.0)
