"""Graphs as text, Mermaid and Graphviz, and tables for notebooks, with awkward names."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

import tripy as tp

INFO = tp.InputInfo((2, 3), tp.float32)
AWKWARD = [
    'say "hi"',
    "back\\slash",
    "<script>&amp;",
    "a#35;b",
    "`tick`",
    "end",
    "größe",
    "a;b|c{d}",
]


class Scaled(tp.Module):
    scale: tp.Parameter

    def __init__(self) -> None:
        self.scale = tp.Parameter([1.0, 2.0, 3.0])
        self.linear = tp.Linear(3, 4)
        self.linear.load_state_dict({"weight": tp.ones((4, 3)), "bias": tp.ones((4,))})

    def forward(self, x: tp.Tensor) -> Any:
        y = self.linear(x * self.scale)
        return {"a": tp.relu(y), "b": y, "c": x}


@pytest.fixture(scope="module")
def exe() -> tp.Executable:
    return tp.compile(Scaled(), args=[INFO], engine="reference")


@pytest.fixture(scope="module")
def awkward() -> tp.Executable:
    """An Executable whose inputs have awkward names."""
    described = dict.fromkeys(AWKWARD, INFO)
    return tp.compile(lambda x: sum(x.values(), tp.ones(())), args=[described], engine="reference")


# Reading diagrams back --------------------------------------------------------------------------


Boxes = dict[str, list[str]]
Edges = list[tuple[str, str]]


def read_mermaid(text: str) -> tuple[Boxes, Edges]:
    first, *lines = text.split("\n")
    assert first == "flowchart TD"
    boxes: Boxes = {}
    edges: Edges = []
    for line in lines:
        if edge := re.fullmatch(r"    (n\d+) --> (n\d+)", line):
            edges.append((edge[1], edge[2]))
            continue
        box = re.fullmatch(r'    (n\d+)(?:\["([^"]*)"\]|\(\["([^"]*)"\]\))', line)
        assert box is not None, line
        label = (box[2] or box[3]).split("<br/>")
        assert not re.search(r'[<>&"`\\]|#(?!\d+;)', "".join(label))
        boxes[box[1]] = [re.sub(r"#(\d+);", lambda m: chr(int(m[1])), part) for part in label]
    return boxes, edges


def read_dot(text: str) -> tuple[Boxes, Edges]:
    first, style, *lines, last = text.split("\n")
    assert (first, style, last) == ("digraph {", "    node [shape=box]", "}")
    boxes: Boxes = {}
    edges: Edges = []
    for line in lines:
        if edge := re.fullmatch(r"    (n\d+) -> (n\d+)", line):
            edges.append((edge[1], edge[2]))
            continue
        box = re.fullmatch(r'    (n\d+) \[label="((?:[^"\\]|\\["\\n])*)"(, shape=oval)?\]', line)
        assert box is not None, line
        parts = box[2].replace("\\\\", "\0").split("\\n")
        boxes[box[1]] = [part.replace('\\"', '"').replace("\0", "\\") for part in parts]
    return boxes, edges


READERS = {"mermaid": read_mermaid, "dot": read_dot}
each_language = pytest.mark.parametrize("language", READERS)


def diagram(exe: tp.Executable, language: str) -> tuple[Boxes, Edges]:
    boxes, edges = READERS[language](getattr(exe.graph, language)())
    assert {end for edge in edges for end in edge} <= set(boxes)
    return boxes, edges


def joined(boxes: Boxes, edges: Edges) -> set[tuple[str, str]]:
    return {(boxes[a][0], boxes[b][0]) for a, b in edges}


@each_language
def test_diagram_has_inputs_operations_outputs_and_parameters(
    exe: tp.Executable, language: str
) -> None:
    boxes, edges = diagram(exe, language)
    shown = list(boxes.values())
    assert ["x", "float32 (2, 3)"] in shown
    assert ["mul", "float32 (2, 3)", "scale"] in shown
    assert ["add", "float32 (2, 4)", "linear.bias"] in shown
    assert ["relu", "float32 (2, 4)"] in shown
    assert [["output.a"], ["output.b"], ["output.c"]] == shown[-3:]
    assert joined(boxes, edges) == {
        ("x", "mul"), ("mul", "matmul"), ("matmul", "add"), ("add", "relu"),
        ("relu", "output.a"), ("add", "output.b"), ("x", "output.c"),
    }  # fmt: skip


@each_language
def test_edges_are_those_of_the_graph(language: str) -> None:
    exe = tp.compile(lambda x, y: (x @ y.T - x @ y.T, x * x), args=[INFO, INFO])
    boxes, edges = diagram(exe, language)
    operations = {f"n{i}": label for i, label in enumerate(boxes.values()) if len(label) > 1}
    expected = [len(v.node.inputs) for v in exe._graph.operations if v.node is not None]
    inner = [edge for edge in edges if edge[1] in operations]
    assert len(inner) == sum(expected)
    assert len(edges) == len(inner) + 2


@each_language
def test_results_without_an_operation(language: str) -> None:
    constant = tp.ones((3,)).eval()
    exe = tp.compile(lambda x: (x, constant, constant, tp.ones((2,))), args=[INFO])
    boxes, edges = diagram(exe, language)
    assert joined(boxes, edges) == {
        ("x", "output[0]"), ("constant", "output[1]"), ("constant", "output[2]"),
        ("constant", "output[3]"),
    }  # fmt: skip
    assert len(boxes) == 7


@each_language
def test_dynamic_sizes_are_formulas(language: str) -> None:
    batch = tp.NamedDimension("batch", 1, 2, 8)
    info = tp.InputInfo((batch, 3), tp.float32)
    exe = tp.compile(lambda x: tp.reshape(x, (-1,)), args=[info], engine="reference")
    boxes, _ = diagram(exe, language)
    assert ["x", "float32 (batch, 3)"] in boxes.values()
    assert ["reshape", "float32 (3*batch,)"] in boxes.values()


@each_language
def test_awkward_names_are_escaped(awkward: tp.Executable, language: str) -> None:
    boxes, _ = diagram(awkward, language)
    names = [label[0] for label in boxes.values()]
    assert names[: len(AWKWARD)] == list(awkward.input_infos)
    assert all(any(given in name for name in names) for given in AWKWARD)


def test_name_of_several_lines_stays_one_statement() -> None:
    exe = tp.compile(lambda d: d["a\nb"] * 2.0, args=[{"a\nb": INFO}], engine="reference")
    for language in READERS:
        boxes, _ = diagram(exe, language)
        assert any("a b" in label[0] for label in boxes.values())


def test_plugins_have_their_own_name() -> None:
    @tp.register_plugin("views::twice", infer=lambda x: (x.shape, x.dtype), replace=True)
    def twice(x: Any) -> Any:
        return x * 2

    exe = tp.compile(lambda x: tp.plugin("views::twice", [x]), args=[INFO], engine="reference")
    assert ["views::twice", "float32 (2, 3)"] in diagram(exe, "dot")[0].values()


# Text and HTML ----------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Checks that elements close, and collects the texts of cells and of what is preformatted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag in ("pre", "table", "tr", "td", "th")
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "pre":
            self.text += data
        else:
            self.rows[-1][-1] += data


def read_html(value: Any) -> Reader:
    reader = Reader()
    reader.feed(value._repr_html_())
    reader.close()
    assert reader.open == []
    return reader


def test_text_is_that_of_the_graph(exe: tp.Executable) -> None:
    assert str(exe.graph) == repr(exe.graph) == str(exe._graph)
    assert str(exe.graph).startswith(
        "graph(x: float32(2, 3))\n    v0: float32(2, 3) = mul(x, scale"
    )


def test_graph_in_a_notebook_is_its_text(exe: tp.Executable, awkward: tp.Executable) -> None:
    for executable in (exe, awkward):
        assert read_html(executable.graph).text == str(executable.graph)


def test_executable_in_a_notebook(exe: tp.Executable) -> None:
    page = read_html(exe)
    assert page.text.splitlines() == repr(exe).splitlines()[:2]
    assert page.rows == [
        ["", "name", "type"],
        ["input", "x", "float32 (2, 3)"],
        ["output", "output.a", "float32 (2, 4)"],
        ["output", "output.b", "float32 (2, 4)"],
        ["output", "output.c", "float32 (2, 3)"],
    ]


def test_awkward_names_in_a_notebook(awkward: tp.Executable) -> None:
    names = [row[1] for row in read_html(awkward).rows]
    assert names == ["name", *awkward.input_infos, "output"]


def test_text_and_table_of_an_executable_agree() -> None:
    batch = tp.NamedDimension("batch", 1, 2, 8)
    infos = [tp.InputInfo((batch, 3), tp.float32), tp.DimensionInputInfo((1, 2, 4))]
    exe = tp.compile(lambda x, n: (x * 2.0, n), args=infos)
    rows = read_html(exe).rows[1:]
    assert [f"    {name}: {text}" for _, name, text in rows] == repr(exe).splitlines()[2:]
    assert [row[0] for row in rows] == ["input", "input", "output", "output"]
    assert rows[0][2] == "float32 (batch, 3), 1 <= batch <= 8"
