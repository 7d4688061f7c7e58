"""Mistakes that users make, one function each; tests/test_errors.py checks what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Mistake(NamedTuple):
    """A wrong call and what its message must mark.

    Attributes:
        run: makes the mistake.
        kind: the exact class of the error.
        marked: the text that the carets underline, in the user's line.
    """

    run: Callable[[], Any]
    kind: type[Exception]
    marked: str

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def topic(self) -> str:
        return self.run.__module__.rpartition(".")[2]


MISTAKES: list[Mistake] = []
Function = Callable[[], Any]


def mistake(kind: type[Exception], marked: str) -> Callable[[Function], Function]:
    """Add a function to the table."""

    def add(run: Function) -> Function:
        MISTAKES.append(Mistake(run, kind, marked))
        return run

    return add
