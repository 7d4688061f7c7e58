"""Nested inputs and outputs: templates in which every leaf is a numbered slot."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from tripy import errors

_DEEPEST = 64  # containers in containers; those that contain themselves have no end


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
    if path.count("[") + path.count(".") > _DEEPEST:
        raise _too_deep(path)
    if isinstance(value, dict):
        for key, member in value.items():
            yield f"{path}.{key}", key, member
    elif isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            yield f"{path}[{index}]", index, member
    elif is_container(value):
        for entry in dataclasses.fields(value):
            yield f"{path}.{entry.name}", entry.name, getattr(value, entry.name)


def _too_deep(path: str) -> errors.TripyTypeError:
    return errors.error(
        errors.TripyTypeError,
        f"the containers in {re.split(r'[.[]', path)[0]!r} are nested too deeply.",
        received=f"more than {_DEEPEST} levels: {errors.brief(path)}",
        expected="nested lists, tuples, dicts and dataclasses that end",
        fix="flatten them, and check that no container contains itself",
    )


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


def extract(template: Any, value: Any, path: str, found: list[Any]) -> None:
    """Put the leaves of a value into ``found``; TripyTypeError if its template does not fit."""
    if isinstance(template, Slot):
        found[template.index] = value
        return
    if not is_container(template):
        return
    _check_container(template, value, path)
    members = {key: member for _, key, member in children(value)}
    for member_path, key, member in children(template, path):
        needed = [leaf for _, leaf in leaves(member, "") if isinstance(leaf, Slot)]
        if key in members:
            extract(member, members[key], member_path, found)
        elif needed:
            raise _bad_container(path, f"no {member_path!r}", template)


def _check_container(template: Any, value: Any, path: str) -> None:
    is_sequence = isinstance(template, (list, tuple))
    fits = isinstance(value, (list, tuple)) if is_sequence else isinstance(value, type(template))
    if not fits:
        raise _bad_container(path, errors.describe(value), template)
    known = {key for _, key, _ in children(template)}
    unknown = [key for _, key, _ in children(value) if key not in known]
    if unknown:
        raise _bad_container(path, f"the unknown member {unknown[0]!r}", template)


def _bad_container(path: str, problem: str, template: Any) -> errors.TripyTypeError:
    members = [member_path for member_path, _ in leaves(template, path)]
    return errors.error(
        errors.TripyTypeError,
        f"the argument {path!r} has another structure.",
        received=problem,
        expected=f"a {type(template).__name__} with {', '.join(members) or 'no members'}",
        fix="pass the structure that args described to tp.compile",
        argument=keys_of(path),
    )
