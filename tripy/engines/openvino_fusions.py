"""What OpenVINO must not fuse: its kernels are wrong with some of what follows them.

A kernel takes over the elementwise operations behind it where its result has no other use. So a
result that is used twice at once, as both operands of a maximum, keeps them out; the maximum and
what follows become one kernel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from tripy import shapes
from tripy.engines.kernels import ELEMENTWISE
from tripy.graph import Graph, Node, Value, renewed, rewritten
from tripy.passes import applied

_REDUCTIONS = ("sum", "mean", "max", "min", "prod")
_FUSED = {*ELEMENTWISE, "batchnorm", "quantize", "dequantize", "cast"}
_PASSED = ("quantize", "dequantize", "cast", "where", "relu", "mul", "div")  # below a softmax
_MOVED = ("permute", "reshape", "return")
_ONE_BLOCK = (8, 16, 32, 64)  # sizes of heads that are one block of columns on every processor
_FAR = 16  # operations that one kernel takes over, at most


class Around:
    """What is around the values of a graph.

    Attributes:
        users: names and results of what takes each value, by its ``id``.
        constants: values, by ``id``, whose elements are known or made of nothing else.
    """

    def __init__(self, graph: Graph) -> None:
        self.users: dict[int, list[tuple[str, Value]]] = defaultdict(list)
        self.constants = {id(value) for value in graph.values if value.data is not None}
        for value in graph.operations:
            if value.node is not None:
                for source in value.node.inputs:
                    self.users[id(source)].append((value.node.primitive.name, value))
                if all(id(source) in self.constants for source in value.node.inputs):
                    self.constants.add(id(value))
        for value in graph.outputs:
            self.users[id(value)].append(("return", value))

    def of(self, value: Value) -> list[tuple[str, Value]]:
        """Return what takes a value, and "return" for each time that it is a result."""
        return self.users.get(id(value), [])


def _is_one(value: Value) -> bool:
    return all(size == 1 for size in value.shape)


def _constants_behind(value: Value, around: Around) -> Iterable[Value]:
    """Yield constants of several elements that a kernel may take over with what follows it."""
    ways, seen = [value], {id(value)}
    for way in ways:
        for name, user in around.of(way) if len(ways) <= _FAR else ():
            others = [i for i in user.node.inputs if i is not way] if user.node else []
            is_fused = all(_is_one(i) or id(i) in around.constants for i in others)
            if name in _FUSED and is_fused and id(user) not in seen:
                seen.add(id(user))
                ways.append(user)
                yield from (i for i in others if not _is_one(i))


def _is_reduction_apart(value: Value, node: Node, around: Around) -> bool:
    """Of rank 3, its kernel counts the channels of what follows along the wrong dim."""
    if node.primitive.name == "mean" and _is_square_of_any_size(node):
        return True
    is_wrong = node.primitive.name in _REDUCTIONS and len(node.inputs[0].shape) == 3
    return is_wrong and any(True for _ in _constants_behind(value, around))


def _is_square_of_any_size(mean: Node) -> bool:
    """Whether it is over a last dim that is not known, of which the plugin makes no RMSNorm."""
    square = mean.inputs[0].node
    is_square = square is not None and square.primitive.name in ("mul", "pow")
    return is_square and not isinstance(mean.inputs[0].shape[-1], int)


def _is_row(value: Value) -> bool:
    return all(size == 1 for size in value.shape[:-1])


def _is_product_apart(value: Value, node: Node, around: Around) -> bool:
    """With sizes that are not known, its kernel takes any vector for one along the last dim."""
    if node.primitive.name != "matmul" or shapes.is_static(value.shape):
        return False
    is_known = isinstance(value.shape[-1], int) and len(value.shape) < 4
    return any(
        not (is_known or _is_row(constant)) or not isinstance(value.shape[-1], int)
        for constant in _constants_behind(value, around)
    )


def _is_attention(value: Value, node: Node) -> bool:
    """Whether it is the product of a softmax with values."""
    scores: Value | None = node.inputs[0] if node.primitive.name == "matmul" else None
    while scores is not None and scores.node is not None and not scores.is_leaf:
        if scores.node.primitive.name == "softmax":
            return True
        scores = scores.node.inputs[0] if scores.node.primitive.name in _PASSED else None
    return False


def _is_attention_apart(value: Value, node: Node, around: Around) -> bool:
    """Its kernel is wrong with what follows, or ends the process; masks and casts are right."""
    if not _is_attention(value, node):
        return False
    uses = around.of(value)
    if shapes.is_static(value.shape) or value.shape[-1] in _ONE_BLOCK:
        while len(uses) == 1 and uses[0][0] in ("where", "cast"):
            uses = around.of(uses[0][1])
        return len(uses) > 1 or uses[0][0] not in _MOVED
    return any(name not in _MOVED for name, _ in uses)


def _is_softmax_apart(value: Value, node: Node, around: Around) -> bool:
    """Of heads whose size is not known, the kernel of attention keeps the one of its first call."""
    if node.primitive.name != "softmax" or shapes.is_static(value.shape):
        return False
    products = [user for name, user in around.of(value) if name == "matmul"]
    sizes = [user.shape[-1] for user in products]
    scores = node.inputs[0]
    while not scores.is_leaf and scores.node is not None and scores.node.inputs:
        if scores.node.primitive.name == "matmul":
            sizes.append(scores.node.inputs[0].shape[-1])
            break
        scores = scores.node.inputs[scores.node.primitive.name == "where"]
    return bool(products) and not all(isinstance(size, int) for size in sizes)


def _is_convolution_apart(value: Value, node: Node, around: Around) -> bool:
    """Of one channel and with sizes that are not known, its kernel adds another value wrongly."""
    if node.primitive.name != "conv" or node.inputs[1].shape[1] != 1:
        return False
    return not shapes.is_static(value.shape) and any(
        name in ("add", "sub") for name, _ in around.of(value)
    )


_APART: tuple[Callable[[Value, Node, Around], bool], ...] = (
    _is_reduction_apart,
    _is_product_apart,
    _is_attention_apart,
    _is_softmax_apart,
    _is_convolution_apart,
)


def apart(graph: Graph) -> set[int]:
    """Return the values, by ``id``, whose kernels must not take over what follows."""
    around = Around(graph)
    return {
        id(value)
        for value in graph.operations
        if value.node is not None and any(rule(value, value.node, around) for rule in _APART)
    }


# Reductions and transpositions: the plugin swaps them, past what is elementwise too, and then drops
# a transposition that moves a dim of size 1. Past a reduction that keeps its dims it is right.


def _is_transposed(value: Value) -> bool:
    """Whether it is a transposition that may move a dim of size 1."""
    node = value.node
    return node is not None and node.primitive.name == "permute" and 1 in value.shape


def _loses_dims(value: Value) -> bool:
    """Whether it is reduced to dims of which some, but not all, have size 1."""
    node = value.node
    if node is None or node.primitive.name not in (*_REDUCTIONS, "all", "any"):
        return False
    return not node.attributes["keepdim"] and 1 in value.shape and not _is_one(value)


def with_dims(graph: Graph) -> Graph:
    """Return a graph in which reductions whose results could be transposed wrongly keep dims."""
    wanted = {id(value) for value in graph.operations if _loses_dims(value)}
    if not wanted or not any(map(_is_transposed, graph.operations)):
        return graph

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        node = value.node
        if id(value) not in wanted or node is None:
            return renewed(value, inputs)
        attributes = {**node.attributes, "keepdim": True}
        whole = applied(node.primitive.name, *inputs, source=value.source, **attributes)
        return applied("reshape", whole, source=value.source, shape=value.shape)

    return rewritten(graph, changed)


# Constants whose rank is higher than that of what they are combined with.


def _rises(node: Node) -> bool:
    """Whether a constant alone gives the result its rank, which some fused kernels lose."""
    if node.primitive.name not in ELEMENTWISE or len(node.inputs) < 2:
        return False
    most = max((len(v.shape) for v in node.inputs if v.data is None), default=len(node.shape))
    return most < len(node.shape)


def _raised(value: Value, rank: int) -> Value:
    if value.data is not None:
        if value.data.size != 1:
            return value
        data = value.data.reshape(())
        return Value(value.dtype, (), value.device, data=data, source=value.source)
    shape = (1,) * (rank - len(value.shape)) + value.shape
    return applied("reshape", value, source=value.source, shape=shape)


def level(graph: Graph) -> Graph:
    """Return a graph in which no constant gives an elementwise result its rank."""
    wanted = {id(v) for v in graph.operations if v.node is not None and _rises(v.node)}
    if not wanted:
        return graph

    def changed(value: Value, inputs: tuple[Value, ...]) -> Value:
        if id(value) in wanted:
            inputs = tuple(_raised(x, len(value.shape)) for x in inputs)
        return renewed(value, inputs)

    return rewritten(graph, changed)
