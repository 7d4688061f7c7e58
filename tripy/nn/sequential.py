"""Containers of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tripy import errors
from tripy.nn.module import Module


class Sequential(Module):
    """Chains modules and other callables.

    Args:
        modules: modules or callables such as ``tp.relu``, in order; or one dict of them by name.

    Raises:
        TripyTypeError: for a member that cannot be called.
        TripyKeyError: when an unknown member is asked for.

    Example:
        >>> net = tp.Sequential(tp.Linear(2, 2), tp.relu, tp.Linear(2, 1))
        >>> net(tp.ones((1, 2))).shape, list(net.state_dict())[0]
        ((1, 1), '0.weight')
    """

    def __init__(self, *modules: Any) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        members = named if named is not None else {str(i): m for i, m in enumerate(modules)}
        for key, member in members.items():
            if not callable(member) or not isinstance(key, str):
                raise errors.error(
                    errors.TripyTypeError,
                    f"the member {key!r} of a Sequential cannot be called.",
                    received=f"{member!r} of type {type(member).__name__}",
                    expected="Modules or other callables",
                    argument="modules",
                )
        self.members = dict(members)

    def forward(self, input: Any) -> Any:
        """Return the result of the last member."""
        for member in self.members.values():
            input = member(input)
        return input

    def _member_name(self, attribute: str, key: object) -> str:
        return str(key)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.members.values())

    def __getitem__(self, key: int | str) -> Any:
        members = self.__dict__.get("members", {})
        if isinstance(key, int) and -len(members) <= key < len(members):
            return list(members.values())[key]
        if key in members:
            return members[key]
        raise errors.error(
            errors.TripyKeyError,
            f"this Sequential has no member {key!r}.",
            expected="one of " + ", ".join(map(repr, members)),
        )

    def __getattr__(self, name: str) -> Any:
        members = self.__dict__.get("members", {})
        return members[name] if name in members else super().__getattr__(name)
