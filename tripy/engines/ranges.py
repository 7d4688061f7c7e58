"""Which integers a value may have: an interval for each, from what makes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tripy import dtypes, shapes
from tripy.dtypes import INTEGERS, dtype
from tripy.graph import Graph, Node, Value

Range = tuple[int, int]
#: Takes a node and the intervals of its inputs; None where nothing is known.
Rule = Callable[[Node, Sequence[Range]], "Range | None"]

_MOST_BITS = 256  # of bounds; larger ones fit no dtype anyway


def ranges(graph: Graph) -> dict[int, Range]:
    """Return the smallest and largest value that each integer or bool may have, by ``id``."""
    found: dict[int, Range] = {}
    for value in graph.values:
        found[id(value)] = _range(value, found)
    return found


def whole(kind: dtype) -> Range:
    """Return the range of a dtype, (0, 0) for floats, which no rule looks at."""
    if kind is dtypes.bool_:
        return 0, 1
    return dtypes.integer_range(kind) if kind in (*INTEGERS, dtypes.int4) else (0, 0)


def _range(value: Value, known: Mapping[int, Range]) -> Range:
    node, full = value.node, whole(value.dtype)
    if value.dtype not in (*INTEGERS, dtypes.bool_):
        return full
    if value.data is not None:
        return _of_data(value) if value.dtype.itemsize >= 4 else full
    rule = None if node is None or value.is_leaf else RULES.get(node.primitive.name)
    if node is None or rule is None:
        return full
    found = rule(node, [known[id(i)] for i in node.inputs])
    # Arithmetic that may leave the dtype wraps to anywhere in it.
    return full if found is None or found[0] < full[0] or found[1] > full[1] else found


def _of_data(value: Value) -> Range:
    data = np.asarray(value.data)
    return (int(data.min()), int(data.max())) if data.size else (0, 0)


def _hull(numbers: Iterable[int]) -> Range:
    found = list(numbers)
    return min(found), max(found)


def _largest(node: Node, dims: Iterable[int]) -> int:
    """The most elements along some dims of the first input."""
    sizes = [node.inputs[0].shape[dim] for dim in dims]
    return int(np.prod([max(shapes.bounds(size)[1], 1) for size in sizes], dtype=object))


def _corners(function: Callable[[int, int], int]) -> Rule:
    """Monotone in each operand, so that the extremes are those of the extremes."""

    def rule(node: Node, inputs: Sequence[Range]) -> Range:
        return _hull(function(a, b) for a, b in itertools.product(*inputs))

    return rule


def _each(function: Callable[[int], int], *turns: int) -> Rule:
    """A function of one input that is monotone between turns."""

    def rule(node: Node, inputs: Sequence[Range]) -> Range:
        low, high = inputs[0]
        return _hull(function(n) for n in (low, high, *(t for t in turns if low <= t <= high)))

    return rule


def _united(*positions: int) -> Rule:
    """One of the elements of some inputs; of all, where none are named."""

    def rule(node: Node, inputs: Sequence[Range]) -> Range:
        chosen = [inputs[i] for i in positions] if positions else inputs
        return _hull(bound for one in chosen for bound in one)

    return rule


def _cast(node: Node, inputs: Sequence[Range]) -> Range | None:
    is_counted = node.inputs[0].dtype in (*INTEGERS, dtypes.int4, dtypes.bool_)
    return inputs[0] if is_counted else None


def _size(node: Node, inputs: Sequence[Range]) -> Range:
    return shapes.bounds(node.attributes["size"])


def _arange(node: Node, inputs: Sequence[Range]) -> Range | None:
    start, step, size = (node.attributes[name] for name in ("start", "step", "size"))
    if isinstance(start, float) or isinstance(step, float):
        return None
    last = max(shapes.bounds(size)[1] - 1, 0)
    steps = [s * n for s in shapes.bounds(step) for n in (0, last)]
    return _hull(a + b for a in shapes.bounds(start) for b in steps)


def _floordiv(node: Node, inputs: Sequence[Range]) -> Range:
    """Division by 0 gives 0."""
    low, high = inputs[1]
    divisors = [n for n in (low, -1, 1, high) if n and low <= n <= high]
    return _hull([0, *(a // b for a in inputs[0] for b in divisors)])


def _mod(node: Node, inputs: Sequence[Range]) -> Range:
    (lhs, _), (low, high) = inputs
    top = max(high - 1, 0) if lhs < 0 else max(min(high - 1, inputs[0][1]), 0)
    return min(low + 1, 0), top


def _pow(node: Node, inputs: Sequence[Range]) -> Range | None:
    (low, high), (least, most) = inputs
    widest = max(abs(low), abs(high), 1)
    if least < 0 or most * widest.bit_length() > _MOST_BITS:
        return None
    return (-(widest**most) if low < 0 else 0), widest**most


def _bits(node: Node, inputs: Sequence[Range]) -> Range | None:
    if min(low for low, _ in inputs) < 0:
        return None
    return 0, (1 << max(high for _, high in inputs).bit_length()) - 1


def _summed(node: Node, inputs: Sequence[Range]) -> Range:
    count = _largest(node, _reduced(node))
    return min(inputs[0][0] * count, 0), max(inputs[0][1] * count, 0)


def _reduced(node: Node) -> Sequence[int]:
    return node.attributes["dims"] if "dims" in node.attributes else (node.attributes["dim"],)


def _scattered(node: Node, inputs: Sequence[Range]) -> Range | None:
    return None if node.attributes["reduction"] == "add" else _hull((*inputs[0], *inputs[2]))


def _multiplied(node: Node, inputs: Sequence[Range]) -> Range | None:
    widest, count = max(map(abs, (*inputs[0], 1))), _largest(node, _reduced(node))
    if count * widest.bit_length() > _MOST_BITS:
        return None
    return (-(widest**count) if inputs[0][0] < 0 else 0), widest**count


def _position(node: Node, inputs: Sequence[Range]) -> Range:
    return 0, _largest(node, (node.attributes["dim"],)) - 1


def _same(node: Node, inputs: Sequence[Range]) -> Range:
    return inputs[0]


#: Whose elements are among those of their inputs, in their order: limits change nothing else.
MOVED: dict[str, Any] = {
    **dict.fromkeys(("reshape", "permute", "expand", "slice", "gather"), (0,)),
    **dict.fromkeys(("take_along_dim", "max", "min", "topk", "relu"), (0,)),
    **dict.fromkeys(("concat", "pad", "minimum", "maximum"), ()),
    "where": (1, 2),
}
RULES: dict[str, Rule] = {
    **{name: _united(*positions) for name, positions in MOVED.items()},
    "minimum": _corners(min),
    "maximum": _corners(max),
    "relu": _each(lambda n: max(n, 0)),
    "cast": _cast,
    "scatter": _scattered,
    "size": _size,
    "arange": _arange,
    "add": _corners(lambda a, b: a + b),
    "sub": _corners(lambda a, b: a - b),
    "mul": _corners(lambda a, b: a * b),
    "neg": _each(lambda n: -n),
    "abs": _each(abs, 0),
    "sign": _each(lambda n: (n > 0) - (n < 0)),
    "invert": _each(lambda n: -n - 1),
    "floordiv": _floordiv,
    "mod": _mod,
    "pow": _pow,
    **dict.fromkeys(("floor", "ceil", "round"), _same),
    **dict.fromkeys(("bit_and", "bit_or", "bit_xor"), _bits),
    **dict.fromkeys(("sum", "cumsum"), _summed),
    **dict.fromkeys(("prod", "cumprod"), _multiplied),
    **dict.fromkeys(("argmax", "argmin", "topk_indices"), _position),
}
