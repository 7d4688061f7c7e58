"""Examples in docstrings and in the README run, and print what they say."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.profile import ProfileReport
from tripy.progress import CompileReport
from tripy.verify import Report
from tripy.views import GraphView

ROOT = Path(__file__).parents[1]


def is_documented(value: Any) -> bool:
    """Whether a public name is a function or class that needs an example."""
    if isinstance(value, type):
        return not issubclass(value, BaseException) and not isinstance(value, tp.dtype)
    return inspect.isfunction(value)


MODULES = [name for name in dir(tp) if inspect.ismodule(getattr(tp, name))]
PUBLIC = {name: getattr(tp, name) for name in dir(tp)} | {
    f"{module}.{name}": getattr(getattr(tp, module), name)
    for module in MODULES
    for name in dir(getattr(tp, module))
    if not name.startswith("_")
}
NAMES = [name for name, value in PUBLIC.items() if is_documented(value)]


def own_members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class, or a base class that is not public, defines."""
    for base in kind.__mro__[:-1]:
        is_own = base is kind or base.__name__ not in dir(tp)
        if is_own and base.__module__.split(".")[0] == "tripy":
            yield from ((n, v) for n, v in vars(base).items() if not n.startswith("_"))


def texts(name: str) -> Iterator[tuple[str, str]]:
    """(place, docstring) of a public name and its members."""
    value = PUBLIC[name]
    yield name, inspect.getdoc(value) or ""
    for member, item in own_members(value) if isinstance(value, type) else ():
        if callable(item) or isinstance(item, property):
            yield f"{name}.{member}", inspect.getdoc(item) or ""


def run_examples(text: str, place: str) -> int:
    """Run the examples of a text and return their number."""
    test = doctest.DocTestParser().get_doctest(text, {"tp": tp, "np": np}, place, place, 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(verbose=False).run(test, out=said.append)[:2]
    assert not failed, "".join(said)
    return tried


@pytest.mark.parametrize("name", NAMES)
def test_examples_print_what_they_say(name: str) -> None:
    for place, text in texts(name):
        run_examples(text, f"tp.{place}")


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring_and_an_example(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    assert text, f"tp.{name} has no docstring"
    assert text.splitlines()[0].endswith(".")
    assert ">>>" in text, f"tp.{name} has no example"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_member_has_a_docstring(name: str) -> None:
    assert [place for place, text in texts(name) if not text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described(name: str) -> None:
    value = PUBLIC[name]
    if value in (tp.Executable, tp.Module, tp.Bounds, tp.dtype):  # not made by these arguments
        return
    described = re.findall(r"(?m)^    (\w+): ", inspect.getdoc(value) or "")
    assert set(inspect.signature(value).parameters) - {"kwargs"} <= set(described)


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(PUBLIC[n])])
def test_functions_say_what_they_raise(name: str) -> None:
    text = inspect.getdoc(PUBLIC[name]) or ""
    raised = re.findall(r"(?m)^    (Tripy\w+(?:, Tripy\w+)*): ", text)
    assert raised
    assert all(hasattr(tp, kind) for group in raised for kind in group.split(", "))


@pytest.mark.parametrize("kind", [ProfileReport, CompileReport, GraphView, Report])
def test_examples_of_what_members_return(kind: type) -> None:
    members = [*own_members(kind), (kind.__name__, kind)]
    documented = [(n, v) for n, v in members if callable(v) or isinstance(v, property)]
    found = {n: inspect.getdoc(v) or "" for n, v in documented}
    assert all(found.values())
    assert sum(run_examples(text, name) for name, text in found.items())


def test_examples_that_are_wrong_are_found() -> None:
    with pytest.raises(AssertionError, match="Expected"):
        run_examples(">>> 1 + 1\n3\n", "wrong")


def test_readme_examples_print_what_they_say() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?s)```python\n(.*?)```", text)
    assert blocks
    sessions = [block for block in blocks if ">>>" in block]
    assert run_examples("\n".join(sessions), "README.md") > 0
    for block in blocks:
        if block not in sessions:
            exec(compile(block, "README.md", "exec"), {"tp": tp, "np": np})
