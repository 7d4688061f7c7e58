"""Sizes that a dynamic OpenVINO program gets wrong; calls with them run on a specialised copy.

Kernels for dynamic shapes divide by sizes that became 0, or read what they were never given. And
with AVX-512 convolutions with a stride are wrong where they leave one column, which only a program
that knows its sizes avoids for free (`_without_stride` in `openvino_window.py`). Kernels of
attention that first meet one key are wrong for more of them ever after.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

from tripy import shapes
from tripy.graph import Graph, Node
from tripy.shapes import Dim, Size

_CALLS = 64  # sets of sizes that are remembered


def _columns(node: Node) -> Iterator[Size]:
    """The width of the result of a convolution that may be wrong where it is 1."""
    if node.primitive.name != "conv" or node.attributes["stride"][-1] == 1:
        return
    if node.inputs[1].shape[-1] != 1:
        yield node.shape[-1]


def _keys(node: Node) -> Iterator[Size]:
    """The number of keys that an attention may be of."""
    if node.primitive.name == "softmax" and node.attributes["dim"] == len(node.shape) - 1:
        yield node.shape[-1]


def _suspects(graph: Graph) -> set[tuple[Size, int]]:
    """Sizes, and the values of theirs that are wrong."""
    found = {(size, 0) for value in graph.inputs for size in value.shape}
    for value in graph.operations:
        found |= {(size, 0) for size in value.shape}
        if value.node is not None:
            found |= {(size, 1) for size in (*_columns(value.node), *_keys(value.node))}
    return {(size, wrong) for size, wrong in found if _may_be(size, wrong)}


def _may_be(size: Size, wrong: int) -> bool:
    low, high = shapes.bounds(size)
    return low <= wrong <= high and (isinstance(size, Dim) or wrong == 0)


def misfits(graph: Graph) -> Callable[[Mapping[str, int]], bool]:
    """Return what tells whether a call with these values of the symbols needs a copy of its own."""
    suspects = _suspects(graph)
    if not suspects:
        return lambda sizes: False
    names = tuple(graph.symbols)

    @functools.lru_cache(_CALLS)
    def look(values: tuple[int, ...]) -> bool:
        sizes = dict(zip(names, values, strict=True))
        return any(shapes.evaluate(size, sizes) == wrong for size, wrong in suspects)

    return lambda sizes: look(tuple(sizes.values()))
