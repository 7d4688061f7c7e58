"""Comparison of an Executable's results with those of the reference engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import errors
from tripy.graph import Value
from tripy.host import number_kind

# Between engines, by dtype (rtol, atol); bool and integers that no quantize made are exact.
TOLERANCES = {
    "float64": (1e-7, 1e-9),
    "float32": (1e-4, 1e-5),
    "tf32": (1e-2, 1e-3),
    "float16": (1e-2, 1e-3),
    "bfloat16": (5e-2, 1e-2),
}


class OutputRow(NamedTuple):
    """How one result compares: largest errors, and how many elements are outside."""

    path: str
    max_abs_error: float
    max_rel_error: float
    mismatched: int
    total: int
    rtol: float
    atol: float


class Report:
    """The outcome of ``Executable.verify``; true when every result is within tolerance."""

    def __init__(self, outputs: Sequence[OutputRow]) -> None:
        self.outputs = list(outputs)

    @property
    def ok(self) -> bool:
        """Whether every element of every result is within tolerance."""
        return all(row.mismatched == 0 for row in self.outputs)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = ["verified against the reference engine: " + ("ok" if self.ok else "DIFFERENT")]
        for row in self.outputs:
            lines.append(
                f"    {row.path}: {row.mismatched} of {row.total} outside "
                f"rtol={row.rtol:g}, atol={row.atol:g}; largest error "
                f"{row.max_abs_error:.3g} absolute, {row.max_rel_error:.3g} relative"
            )
        return "\n".join(lines)

    __repr__ = __str__


def check_tolerances(**given: Any) -> None:
    """Raise TripyTypeError unless tolerances are numbers or None."""
    for name, value in given.items():
        if value is not None and number_kind(value) not in (int, float):
            raise errors.error(
                errors.TripyTypeError,
                f"{name} must be a number.",
                received=errors.describe(value),
                expected="a number or None",
                fix=f"leave {name} out for the tolerance of the dtype and precision",
                argument=name,
            )


def tolerances(
    value: Value, precision: str, rtol: float | None, atol: float | None
) -> tuple[float, float]:
    """Return (rtol, atol) for a result computed with a precision."""
    name = precision if value.dtype.name == "float32" else value.dtype.name
    default = TOLERANCES.get(name, (0.0, 0.0))
    if value.node is not None and value.node.primitive.name == "quantize":
        default = (0.0, 1.0)  # one step of the grid
    return default[0] if rtol is None else rtol, default[1] if atol is None else atol


def compare(path: str, result: Any, expected: Any, limits: tuple[float, float]) -> OutputRow:
    """Compare one result element by element; NaN equals NaN."""
    rtol, atol = limits
    if result.dtype.kind in "iub":
        wrong = result != expected
        exact = np.abs(result.astype(object) - expected.astype(object)) if wrong.any() else [0]
        largest = float(np.max(exact))
        wrong = wrong & (np.asarray(exact) > atol)
        return OutputRow(path, largest, largest, int(wrong.sum()), result.size, rtol, atol)
    x, y = result.astype(np.float64), expected.astype(np.float64)
    with np.errstate(all="ignore"):
        close = np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=True)
        error = np.nan_to_num(np.abs(x - y), nan=0.0)
        relative = np.nan_to_num(error / np.abs(y), nan=0.0, posinf=0.0)
    worst = [float(e.max()) if e.size else 0.0 for e in (error, relative)]
    return OutputRow(path, worst[0], worst[1], int((~close).sum()), result.size, rtol, atol)
