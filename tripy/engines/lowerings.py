"""Lowerings of plugins: how engines call the user's functions, and what they say when one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tripy import errors
from tripy.ops.plugin import Plugin, find, keywords


class Lowering(NamedTuple):
    """What an engine's lowerings are called in messages.

    Attributes:
        engine: name of the engine.
        title: how to write it.
        returned: what its lowerings return.
        fix: what to do about one that returns something else.
    """

    engine: str
    title: str
    returned: str
    fix: str = "correct the lowering"

    def call(
        self,
        record: Plugin,
        inputs: Sequence[Any],
        attrs: Mapping[str, Any],
        taken: Callable[[Any], list[Any]],
        source: errors.Source | None = None,
    ) -> list[Any]:
        """Return what ``taken`` makes of the results of a lowering."""
        try:
            return taken(record.lowerings[self.engine](*inputs, **keywords(attrs["settings"])))
        except Exception as problem:
            raise errors.error(
                errors.TripyRuntimeError,
                f"the {self.title} lowering of the plugin {record.name!r} failed.",
                received=" ".join(str(problem).split())[:500] or errors.brief(problem),
                expected=self.returned,
                fix="correct the lowering; the cause above has its traceback",
                source=source,
            ) from problem

    def wrong(
        self, record: Plugin, received: str, expected: str, source: errors.Source | None = None
    ) -> errors.TripyRuntimeError:
        """Return the error for results that the shape rule does not allow."""
        return errors.error(
            errors.TripyRuntimeError,
            f"the {self.title} lowering of {record.name!r} did not return what its shape rule "
            "says.",
            received=received,
            expected=expected,
            fix=self.fix,
            source=source,
        )

    def lacking(self, name: str) -> str | None:
        """Return why a plugin is refused; None where it has a lowering."""
        if self.engine in find(name).lowerings:
            return None
        return f"the plugin {name!r} has no lowering for {self.engine!r}"


def listed(made: Any) -> list[Any]:
    """Return the results of a lowering, which may return one alone."""
    return list(made) if isinstance(made, (list, tuple)) else [made]
