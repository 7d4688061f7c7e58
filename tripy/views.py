"""Pictures of graphs and tables, for notebooks and documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tripy.graph import Graph, Value, shape_text


class _Box(NamedTuple):
    """One box of a diagram and the numbers of the boxes that it takes values from."""

    lines: list[str]
    sources: list[int]
    is_operation: bool = False


class GraphView:
    """The graph of an Executable: ``str`` gives it as text.

    Example:
        >>> view = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)]).graph
        >>> print(view)
        graph(input: float32(3,))
            v0: float32(3,) = exp(input)
            return v0
    """

    def __init__(self, graph: Graph, outputs: Sequence[str]) -> None:
        self._graph = graph
        self._outputs = list(outputs)

    def __str__(self) -> str:
        return str(self._graph)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{_escaped(str(self))}</pre>"

    def mermaid(self) -> str:
        """Return a Mermaid flowchart, which GitHub and many notebooks draw.

        Example:
            >>> print(tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)]).graph.mermaid())
            flowchart TD
                n0(["input<br/>float32 (3,)"])
                n1["exp<br/>float32 (3,)"]
                n0 --> n1
                n2(["output"])
                n1 --> n2
        """
        lines = ["flowchart TD"]
        for number, box in enumerate(self._boxes()):
            label = "<br/>".join(map(_mermaid_text, box.lines))
            left, right = ("[", "]") if box.is_operation else ("([", "])")
            lines.append(f'    n{number}{left}"{label}"{right}')
            lines += [f"    n{source} --> n{number}" for source in box.sources]
        return "\n".join(lines)

    def dot(self) -> str:
        """Return a graph in the language of Graphviz.

        Example:
            >>> print(tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)]).graph.dot())
            digraph {
                node [shape=box]
                n0 [label="input\\nfloat32 (3,)", shape=oval]
                n1 [label="exp\\nfloat32 (3,)"]
                n0 -> n1
                n2 [label="output", shape=oval]
                n1 -> n2
            }
        """
        lines = ["digraph {", "    node [shape=box]"]
        for number, box in enumerate(self._boxes()):
            label = "\\n".join(map(_dot_text, box.lines))
            shape = "" if box.is_operation else ", shape=oval"
            lines.append(f'    n{number} [label="{label}"{shape}]')
            lines += [f"    n{source} -> n{number}" for source in box.sources]
        return "\n".join([*lines, "}"])

    def _boxes(self) -> Iterator[_Box]:
        """Yield inputs and operations in order, then results."""
        graph = self._graph
        numbers: dict[int, int] = {}
        shown = {id(v) for v in (*graph.inputs, *graph.operations)}
        constants = [v for v in graph.outputs if id(v) not in shown]
        for value in dict.fromkeys((*graph.inputs, *constants, *graph.operations)):
            numbers[id(value)] = len(numbers)
            yield self._box(value, numbers)
        for path, value in zip(self._outputs, graph.outputs):
            yield _Box([path], [numbers[id(value)]])

    def _box(self, value: Value, numbers: dict[int, int]) -> _Box:
        name, node = self._graph.names.get(id(value)), value.node
        kind = f"{value.dtype} {shape_text(value.shape)}"
        if value.is_leaf or node is None:
            return _Box([name or "constant", kind], [])
        taken = [numbers[id(i)] for i in node.inputs if id(i) in numbers]
        parameters = [self._graph.names.get(id(i)) for i in node.inputs if id(i) not in numbers]
        lines = [node.label, kind, ", ".join(filter(None, parameters))]
        return _Box([line for line in lines if line], taken, is_operation=True)


def _mermaid_text(line: str) -> str:
    return re.sub(r"[^\w ,.()\[\]*+:-]", lambda match: f"#{ord(match[0])};", _one_line(line))


def _dot_text(line: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", _one_line(line))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    from html import escape  # only needed in notebooks

    return escape(text)


def html_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a title and a table; all texts are escaped."""

    def row(cells: Sequence[str], tag: str) -> str:
        inner = "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<pre>{_escaped(title)}</pre><table>{row(heads, 'th')}{body}</table>"
