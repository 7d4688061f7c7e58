"""Containers of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tripy import errors
from tripy.nn.module import Module
from tripy.signature import is_integer, public


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

    @public("Sequential")
    def __init__(self, *modules: Any) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        members = named if named is not None else {str(i): m for i, m in enumerate(modules)}
        for key, member in members.items():
            if not callable(member):
                raise errors.error(
                    errors.TripyTypeError,
                    f"the member {key!r} of a Sequential cannot be called.",
                    received=errors.describe(member),
                    expected="Modules or other callables",
                    fix="pass a module or a function such as tp.relu",
                    argument=(0, key) if named is not None else (int(key),),
                )
            if not isinstance(key, str):
                raise errors.error(
                    errors.TripyTypeError,
                    "the keys of a Sequential must be strings.",
                    received=errors.describe(key),
                    expected="a string",
                    fix=f"write {str(key)!r}",
                    argument=(0,),
                )
        self.members = dict(members)

    @public("Sequential")
    def forward(self, input: Any) -> Any:
        """Return the result of the last member."""
        for _member, module in self.members.items():  # messages say which member is running
            input = module(input)
        return input

    def _member_name(self, attribute: str, key: object) -> str:
        return str(key) if attribute == "members" else super()._member_name(attribute, key)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.members.values())

    def __getitem__(self, key: int | str) -> Any:
        members = self.__dict__.get("members", {})
        if is_integer(key) and -len(members) <= int(key) < len(members):
            return list(members.values())[int(key)]
        if isinstance(key, str) and key in members:
            return members[key]
        raise errors.error(
            errors.TripyKeyError,
            f"this Sequential has no member {errors.brief(key)}.",
            received=errors.describe(key),
            expected=errors.one_of(map(repr, members)) if members else "nothing: it has no members",
            fix=errors.did_you_mean(key, members) or "use a position or one of these keys",
            argument="key",
        )

    def __getattr__(self, name: str) -> Any:
        members = self.__dict__.get("members", {})
        if name in members:
            return members[name]
        known = (*members, *dir(type(self)))
        listed = f"its members are {', '.join(map(repr, members))}" if members else None
        hint = errors.did_you_mean(name, known) or listed
        raise errors.unknown_attribute(type(self).__name__, name, known, hint)
