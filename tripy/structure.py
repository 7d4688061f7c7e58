"""Nested inputs and outputs: templates in which every leaf is a numbered slot."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any


class Slot:
    """Stands for leaf number ``index`` in a template."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def is_container(value: Any) -> bool:
    """Whether a value is a list, tuple, dict or dataclass instance (no Slot)."""
    if isinstance(value, Slot):
        return False
    if isinstance(value, (list, tuple, dict)):
        return True
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def children(value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, key, member) of a container."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield f"{path}.{key}", key, member
    elif isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            yield f"{path}[{index}]", index, member
    elif is_container(value):
        for entry in dataclasses.fields(value):
            yield f"{path}.{entry.name}", entry.name, getattr(value, entry.name)


def keys_of(path: str) -> tuple[str | int, ...]:
    """Return the keys that a path such as ``batch.images[0]`` consists of."""
    found = re.findall(r"\[(\d+)\]|([^.\[]+)", path)
    return tuple(int(index) if index else name for index, name in found)


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (path, leaf) in order; a value that is no container is one leaf."""
    if not is_container(value):
        yield path, value
        return
    for member_path, _, member in children(value, path):
        yield from leaves(member, member_path)


def transform(value: Any, path: str, change: Callable[[str, Any], Any]) -> Any:
    """Return a container of the same structure with every leaf changed."""
    if not is_container(value):
        return change(path, value)
    members = {key: transform(member, p, change) for p, key, member in children(value, path)}
    return _rebuilt(value, members)


def _rebuilt(value: Any, members: dict[Any, Any]) -> Any:
    if isinstance(value, dict):
        return members if type(value) is dict else _filled(copy.copy(value), members)
    if isinstance(value, (list, tuple)):
        items = list(members.values())
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    result = copy.copy(value)
    for name, member in members.items():
        object.__setattr__(result, name, member)
    return result


def _filled(result: Any, members: dict[Any, Any]) -> Any:
    result.update(members)
    return result


def rebuild(template: Any, values: list[Any]) -> Any:
    """Put values into the slots of a template."""
    if isinstance(template, Slot):
        return values[template.index]
    if not is_container(template):
        return template
    return transform(
        template, "", lambda _, leaf: values[leaf.index] if isinstance(leaf, Slot) else leaf
    )
