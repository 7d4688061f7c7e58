"""Which axes of a mesh divide which tensors: the table of ``tp.compile``, and its checks."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tripy import errors
from tripy.graph import Graph, Value, shape_text

# One entry per leading dim: the axes that divide it, () where nothing does.
Spec = tuple[tuple[str, ...], ...]


class Layout(NamedTuple):
    """What an engine must know of a mesh and a table: plain tuples, which keys and files hold.

    Attributes:
        kind: kind of the devices.
        axes: name and size of every axis.
        devices: numbers of the devices among those of all processes.
        rules: pattern of names and how their tensors are divided; the first match counts.
        outputs: how every result of the program is divided.
    """

    kind: str
    axes: tuple[tuple[str, int], ...]
    devices: tuple[int, ...]
    rules: tuple[tuple[str, Spec], ...] = ()
    outputs: tuple[Spec, ...] = ()

    def __str__(self) -> str:
        return "(" + ", ".join(f"{name}: {size}" for name, size in self.axes) + ")"

    def rule(self, name: str) -> tuple[str, Spec]:
        """Return the first pattern that a name matches, and its entries; ("", ()) for none."""
        return next((row for row in self.rules if _matcher(row[0])(name)), ("", ()))

    def check(self, name: str, shape: Sequence[Any], rule: tuple[str, Spec]) -> None:
        """Raise TripyShapeError unless axes divide a tensor; unknown sizes wait for the call."""
        pattern, spec = rule
        sizes = dict(self.axes)
        if len(spec) > len(shape):
            expected = f"at most {len(shape)}, the rank of {name!r}"
            raise _unfit(name, shape, pattern, f"{len(spec)} entries", expected)
        for dim, (size, axes) in enumerate(zip(shape, spec)):
            parts = math.prod(sizes[axis] for axis in axes)
            if isinstance(size, int) and size % parts:
                used = " × ".join(f"{axis} = {sizes[axis]}" for axis in axes)
                expected = f"a size that the axes divide ({used})"
                raise _unfit(name, shape, pattern, f"size {size} in dim {dim}", expected)


def _unfit(
    name: str, shape: Any, pattern: str, received: str, expected: str
) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        f"{name!r} cannot be divided as the pattern {pattern!r} of sharding says.",
        received=f"{received}; {name!r} has shape {shape_text(tuple(shape))}",
        expected=expected,
        fix="change the entry of the pattern, the mesh or the size; None leaves a dim whole",
        argument=("sharding", pattern),
    )


@functools.cache
def _matcher(pattern: str) -> Any:
    """Return what tells whether a pattern matches a name; only ``*`` and ``?`` are special."""
    special = {"*": ".*", "?": "."}
    return re.compile("".join(special.get(c, re.escape(c)) for c in pattern), re.DOTALL).fullmatch


def rules_of(axes: Mapping[str, int], sharding: Mapping[str, Any]) -> tuple[tuple[str, Spec], ...]:
    """Return the checked rows of a table that the user wrote."""
    return tuple((pattern, _spec(axes, pattern, row)) for pattern, row in sharding.items())


def _spec(axes: Mapping[str, int], pattern: str, row: Any) -> Spec:
    if not isinstance(pattern, str) or not isinstance(row, (tuple, list)):
        raise _wrong_row(
            errors.TripyTypeError,
            "sharding must map patterns of names to tuples.",
            pattern,
            f"{errors.brief(pattern)}: {errors.describe(row)}",
            f'"a pattern": one of {errors.brief(list(axes))} or None per dim',
            f"write ({row!r},)" if isinstance(row, str) else "write a tuple",
        )
    spec = tuple(_entry(axes, pattern, entry) for entry in row)
    used = [axis for entry in spec for axis in entry]
    twice = next((axis for axis in used if used.count(axis) > 1), None)
    if twice is not None:
        raise _wrong_row(
            errors.TripyValueError,
            f"the axis {twice!r} is used twice for the pattern {pattern!r}.",
            pattern,
            errors.brief(row),
            "every axis at most once per tensor",
            "leave one dim whole with None",
        )
    return spec


def _entry(axes: Mapping[str, int], pattern: str, entry: Any) -> tuple[str, ...]:
    names = () if entry is None else tuple(entry) if isinstance(entry, (tuple, list)) else (entry,)
    for axis in names:
        if axis not in axes:
            raise _wrong_row(
                errors.TripyValueError,
                f"the mesh has no axis {axis!r}, which the pattern {pattern!r} names.",
                pattern,
                errors.brief(entry),
                f"{errors.one_of(map(repr, axes))}, a tuple of them, or None",
                errors.did_you_mean(axis, axes) or "use an axis of the mesh",
            )
    return names


def _wrong_row(
    kind: type[errors.ErrorT], problem: str, pattern: Any, received: str, expected: str, fix: str
) -> errors.ErrorT:
    argument = ("sharding", pattern)
    return errors.error(
        kind, problem, received=received, expected=expected, fix=fix, argument=argument
    )


def layout_of(
    mesh: Layout, sharding: Mapping[str, Any] | None, graph: Graph, paths: Sequence[str]
) -> Layout:
    """Return the layout of a graph whose results have paths; its names and sizes are checked."""
    layout = mesh._replace(rules=rules_of(dict(mesh.axes), sharding or {}))
    _check_patterns(layout, [*graph.names.values(), *paths])
    named = [(graph.names.get(id(v)), v) for v in (*graph.inputs, *graph.constants)]
    for name, value in (*named, *zip(paths, graph.outputs)):
        if name is not None:
            layout.check(name, value.shape, layout.rule(name))
    return layout


def with_outputs(layout: Layout, outputs: Sequence[Value], graph: Graph, paths: Any) -> Layout:
    """Return a layout that says how the outputs of a program are divided."""
    by_value: dict[int, Spec] = {}
    for path, value in zip(paths, graph.outputs):
        by_value[id(value)] = by_value.get(id(value)) or layout.rule(path)[1]
    return layout._replace(outputs=tuple(by_value[id(value)] for value in outputs))


def _check_patterns(layout: Layout, names: Sequence[str]) -> None:
    for pattern, _ in layout.rules:
        if not any(map(_matcher(pattern), names)):
            shown = ", ".join(map(repr, names[:12])) + (", …" if len(names) > 12 else "")
            raise _wrong_row(
                errors.TripyValueError,
                f"the pattern {pattern!r} of sharding matches no input, parameter or result.",
                pattern,
                repr(pattern),
                f"a pattern for one of {shown}",
                errors.did_you_mean(pattern, names)
                or "parameters have names where a Module, or a method of one, is compiled",
            )


# --- files -------------------------------------------------------------------------------------


def from_record(record: Any) -> Layout | None:
    """Return the layout that ``to_record`` wrote; None for None."""
    if record is None:
        return None
    rules = [(str(pattern), tuple(map(tuple, spec))) for pattern, spec in record["sharding"]]
    axes = tuple((str(name), int(size)) for name, size in record["axes"])
    size = math.prod(size for _, size in axes)
    return Layout(str(record["kind"]), axes, tuple(range(size)), tuple(rules))


def to_record(layout: Layout) -> dict[str, Any]:
    """Return what ``from_record`` reads."""
    return {"kind": layout.kind, "axes": layout.axes, "sharding": layout.rules}
