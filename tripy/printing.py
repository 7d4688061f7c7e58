"""The text of tensors, state dicts and modules, as returned by `repr` and `str`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import indent

import numpy as np

_INDENT = " " * 4
_ELLIPSIS = "..."


def format_tensor(
    values: np.ndarray,
    dtype: str,
    device: str,
    shape: tuple[int, ...],
    *,
    precision: int = 4,
    threshold: int = 1000,
    linewidth: int = 10,
    edgeitems: int = 3,
) -> str:
    """Text of a tensor whose elements are `values`."""
    text = _format_values(values, precision, threshold, linewidth, edgeitems)
    rest = _format_attributes(dtype, device, str(shape))
    if len(shape) > 1 and max(shape) > 1:
        return f"tensor(\n{indent(text, _INDENT)},\n{_INDENT}{rest})"
    return f"tensor({text}, {rest})"


def format_traced(name: str, dtype: str, device: str, shape_text: str) -> str:
    """Text of a tensor without values: its name stands in their place."""
    return f"tensor({name}, {_format_attributes(dtype, device, shape_text)})"


def format_state_dict(entries: Mapping[str, str]) -> str:
    """Text of a state dict, from the text of each of its tensors."""
    return _format_block("{", (f"{name}: {text}" for name, text in entries.items()), "}")


def format_module(name: str, members: Sequence[tuple[str, str, str]]) -> str:
    """Text of a module, from (attribute name, kind, text) of each member."""
    lines = (f"{attribute}: {kind} = {text}" for attribute, kind, text in members)
    return _format_block(f"{name}(", lines, ")")


def _format_attributes(dtype: str, device: str, shape_text: str) -> str:
    return f"dtype={dtype}, loc={device}, shape={shape_text}"


def _format_block(opening: str, entries: Iterable[str], closing: str) -> str:
    body = "".join(indent(f"{entry},\n", _INDENT) for entry in entries)
    return f"{opening}\n{body}{closing}" if body else opening + closing


def _format_values(
    values: np.ndarray, precision: int, threshold: int, linewidth: int, edgeitems: int
) -> str:
    """Nested lists of elements, joined axis by axis from the innermost outwards."""
    cut = [values.size > threshold and size > 2 * edgeitems for size in values.shape]
    shown = _select_edges(values, cut, edgeitems)
    parts = _format_elements(shown, precision)
    for axis in reversed(range(shown.ndim)):
        lists = _split(parts, math.prod(shown.shape[:axis]), shown.shape[axis])
        if cut[axis]:
            lists = [[*p[:edgeitems], _ELLIPSIS, *p[edgeitems:]] for p in lists]
        if axis == shown.ndim - 1:
            lists = [_join_rows(p, linewidth) for p in lists]
        separator = "," + "\n" * max(shown.ndim - axis - 1, 1) + " " * (axis + 1)
        parts = [f"[{separator.join(p)}]" for p in lists]
    return parts[0]


def _select_edges(values: np.ndarray, cut: Sequence[bool], edgeitems: int) -> np.ndarray:
    """The elements that are shown; one indexing step, so nothing else is ever copied."""
    if not any(cut):
        return values
    edges = [*range(edgeitems), *range(-edgeitems, 0)]
    sizes = zip(cut, values.shape, strict=True)
    kept: list[Sequence[int]] = [edges if is_cut else range(size) for is_cut, size in sizes]
    return np.asarray(values[np.ix_(*kept)])


def _format_elements(values: np.ndarray, precision: int) -> list[str]:
    elements = values.ravel().tolist()  # Python numbers, so int64 stays exact
    if elements and isinstance(elements[0], float):
        return [f"{element:.{precision}f}" for element in elements]
    return [str(element) for element in elements]


def _split(parts: Sequence[str], count: int, size: int) -> list[Sequence[str]]:
    """`count` lists of `size` parts each; a size of 0 makes empty lists."""
    return [parts[index * size : (index + 1) * size] for index in range(count)]


def _join_rows(elements: Sequence[str], linewidth: int) -> list[str]:
    starts = range(0, len(elements), linewidth)
    return [", ".join(elements[start : start + linewidth]) for start in starts]
