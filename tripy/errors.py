"""Exception classes, source capture and the message that every error shows.

A message says what is wrong, shows the user's own line with a caret under the call or argument,
then what was received, what was expected and how to fix it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tripy.source import NOTHING as NOTHING
from tripy.source import Api as Api
from tripy.source import ArgumentPath as ArgumentPath
from tripy.source import (
    Call,
    Path,
    api_of,
    argument_text,
    arguments_of,
    path_of,
    user_call,
)
from tripy.source import Source as Source
from tripy.source import capture as capture
from tripy.source import location as location
from tripy.source import place_of as place_of
from tripy.source import show_source as show_source


class TripyException(Exception):
    """Base class of every error that tripy raises."""


class TripyTypeError(TripyException, TypeError):
    """A wrong Python type, dtype, argument count or keyword."""


class TripyValueError(TripyException, ValueError):
    """A value outside its allowed set or range."""


class TripyShapeError(TripyValueError):
    """Ranks, sizes or volumes that do not fit together."""


class TripyStateDictError(TripyValueError):
    """A state dict that does not fit a module.

    Attributes:
        missing: sorted names that the module has and the state dict lacks.
        unexpected: sorted names that the state dict has and the module lacks.
        mismatched: (name, received, expected) for every value of another shape or dtype.
    """

    missing: list[str]
    unexpected: list[str]
    mismatched: list[tuple[str, str, str]]


class TripyIndexError(TripyException, IndexError):
    """A dim or an element index out of range, or too many indices."""


class TripyKeyError(TripyException, KeyError):
    """An unknown member of a container."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TripyAttributeError(TripyException, AttributeError):
    """An unknown attribute or setting, or assignment to a frozen attribute."""


class TripyDeviceError(TripyException, RuntimeError):
    """A device that is not present, or tensors on different devices."""


class TripyCompileError(TripyException, RuntimeError):
    """An action that is impossible while a function is being compiled."""


class TripyUnsupportedError(TripyException, NotImplementedError):
    """An engine, file format or exporter lacks an operation, dtype or feature."""


class TripyRuntimeError(TripyException, RuntimeError):
    """An engine failed while building or running; its own exception is the ``__cause__``."""


class TripyMemoryError(TripyRuntimeError, MemoryError):
    """Not enough host or device memory."""


class TripyFileError(TripyException, OSError):
    """An unreadable, corrupted, foreign or too new file."""


class TripyFileNotFoundError(TripyFileError, FileNotFoundError):
    """The file does not exist."""


class TripyImportError(TripyException, ImportError):
    """An optional extra is needed and not installed."""


EXCEPTIONS: tuple[type[TripyException], ...] = (
    TripyException,
    TripyTypeError,
    TripyValueError,
    TripyShapeError,
    TripyStateDictError,
    TripyIndexError,
    TripyKeyError,
    TripyAttributeError,
    TripyDeviceError,
    TripyCompileError,
    TripyUnsupportedError,
    TripyRuntimeError,
    TripyMemoryError,
    TripyFileError,
    TripyFileNotFoundError,
    TripyImportError,
)


# --- the message -----------------------------------------------------------------------------

_verbosity: list[Callable[[], Sequence[str]]] = []  # config.extra_error_information
_LONGEST = 60


def brief(value: Any, depth: int = 6) -> str:
    """Return a value on one short line; elements of tensors are never computed."""
    try:
        text = _brief(value, depth)
    except Exception:  # the user's own object, whose attributes are not what they seem
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _brief(value: Any, depth: int) -> str:
    if _is_array(value):
        return f"{type(value).__name__} of shape {_sizes(value.shape)}, {value.dtype}"
    members = _members(value, depth)
    if members is not None:
        left, right = _BRACKETS.get(type(value), ("{", "}"))
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return left + ", ".join(members) + comma + right
    try:
        return " ".join(repr(value).split())
    except Exception:  # the user's own __repr__, or an int of too many digits
        return "<?>"


_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")")}


def _members(value: Any, depth: int) -> list[str] | None:
    """Return the first members of a container of Python, each on a short line."""
    if not depth:  # the container may contain itself
        return ["…"] if isinstance(value, (dict, list, tuple)) else None
    if isinstance(value, dict):
        pairs = itertools.islice(value.items(), _LONGEST)
        return [f"{brief(key, 1)}: {brief(member, depth - 1)}" for key, member in pairs]
    if type(value) not in (list, tuple, set, frozenset):
        return None
    return [brief(item, depth - 1) for item in itertools.islice(value, _LONGEST)]


def _is_array(value: Any) -> bool:
    if isinstance(value, type) or not isinstance(getattr(value, "shape", None), tuple):
        return False
    if not hasattr(value, "dtype"):
        return False
    return type(value).__module__ != "numpy" or hasattr(value, "ctypes")  # no NumPy scalar


def _shows_as_array(value: Any) -> bool:
    try:
        return _is_array(value)
    except Exception:  # the user's own object
        return False


def _sizes(shape: Any) -> str:
    inner = ", ".join(map(str, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def describe(value: object) -> str:
    """Return a value and its type for the slot "received"."""
    if value is None or _shows_as_array(value):
        return brief(value)
    if type(value) is type:
        module = "" if value.__module__ == "builtins" else f"{value.__module__}."
        return f"the type {module}{value.__qualname__}"
    return f"{brief(value)} of type {type(value).__name__}"


def given(args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments of a call for the slot "received"."""
    shown = [*map(brief, args), *(f"{name}={brief(value)}" for name, value in kwargs.items())]
    return ", ".join(shown) or "no arguments"


def one_of(choices: Iterable[object]) -> str:
    """Return a list of choices for the slot "expected"."""
    shown = [str(choice) for choice in choices]
    return shown[0] if len(shown) == 1 else "one of " + ", ".join(shown)


def did_you_mean(name: object, known: Iterable[object]) -> str | None:
    """Return a hint at names that are close to a wrong one, or None."""
    import difflib  # only needed here, and not cheap to import

    close = difflib.get_close_matches(
        name if isinstance(name, str) else brief(name), [str(k) for k in known], 2
    )
    return "did you mean " + " or ".join(map(repr, close)) + "?" if close else None


def _all_information(call: Call, api: Api | None) -> list[str]:
    """Return what ``config.extra_error_information`` adds: all arguments and all frames."""
    given = arguments_of(call.frame, api) if call.frame is not None and api is not None else {}
    lines = ["  arguments:"] if given else []
    for name, value in given.items():
        origin = getattr(getattr(value, "_value", None), "source", ())
        made = f", made at {location(origin)}" if origin else ""
        lines.append(f"    {name} = {brief(value)}{made}")
    frames = [f"    {location(call.source[i:])}" for i in range(1, len(call.source))]
    return [*lines, "  called from:", *frames] if frames else lines


def _in_the_users_words(fix: str | None, source: Source, path: Path, api: Api | None) -> str | None:
    """Write what the user wrote in place of the parameter's name: ``tp.cast(input, …)``."""
    if fix is None or api is None or len(path) != 1 or f"({path[0]}" not in fix:
        return fix
    text = argument_text(source, path, api) or str(path[0])
    for end in (",", ")", " "):
        fix = fix.replace(f"({path[0]}{end}", f"({text}{end}")
    return fix


ErrorT = TypeVar("ErrorT", bound=TripyException)


def error(
    kind: type[ErrorT],
    problem: str,
    *,
    received: object = None,
    expected: object = None,
    fix: str | None = None,
    argument: ArgumentPath | None = None,
    culprit: object = NOTHING,
    made_at: Mapping[str, Source] | None = None,
    source: Source | None = None,
) -> ErrorT:
    """Build the exception ``kind`` with the full message; the caller raises it.

    Args:
        problem: one sentence that says what is wrong.
        received: what was given.
        expected: what would be accepted.
        fix: what to write instead.
        argument: parameter that the caret should mark, or a path into it such as ("tensors", 1).
        culprit: the offending object, which may be an argument or be nested in one.
        made_at: where operands came from, by the name to show.
        source: the operation's own source for errors found later than its call.
    """
    call = user_call()
    api = api_of(call)
    path = path_of(argument, culprit, call, api) if api is not None else ()
    fix = _in_the_users_words(fix, call.source, path, api)
    late = source is not None
    title = f"{api.title}: " if not late and api and api.title and call.source else ""
    lines = [title + problem, *show_source(call.source if source is None else source, path, api)]
    slots = (("received", received), ("expected", expected), ("how to fix", fix))
    lines += [f"  {name}: {text}" for name, text in slots if text is not None]
    for name, origin in (made_at or {}).items():
        if origin:
            lines.append(f"  {name} was made at {location(origin)}")
    if late and call.source and call.source[:1] != (source or ())[:1]:
        lines += ["  found while running", *show_source(call.source)]
    if any("all" in read() for read in _verbosity):
        lines += _all_information(call, api)
    return kind("\n".join(lines))


def unknown_attribute(
    owner: str, name: str, known: Iterable[str], fix: str | None = None
) -> TripyAttributeError:
    """Return the error for an attribute that does not exist, with close matches."""
    if name.startswith("_"):  # protocols that look for hidden methods need a cheap answer
        return TripyAttributeError(f"{owner} has no attribute {name!r}")
    hint = fix or did_you_mean(name, (k for k in known if not k.startswith("_")))
    return error(
        TripyAttributeError,
        f"{owner} has no attribute {name!r}.",
        received=repr(name),
        expected=f"an attribute of {owner}; dir() lists them",
        fix=hint or "check the spelling",
    )


def read_verbosity_with(read: Callable[[], Sequence[str]]) -> None:
    """Say where to read what messages show beyond the user's line (``["all"]``: everything)."""
    _verbosity[:] = [read]
