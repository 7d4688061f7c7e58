"""All settings in one place: defaults, ``TRIPY_*`` variables and temporary overrides."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from tripy import errors

logger = logging.getLogger("tripy")

_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}

_LEAST_MEMORY = 1 << 24  # results that are certainly smaller are not compared with the limit


class Setting(NamedTuple):
    """One setting: its default, how text is read and which values it takes."""

    default: Any
    parse: Callable[[str], Any]  # raises ValueError
    check: Callable[[Any], Any]  # returns the normalised value; raises TypeError or ValueError
    expected: str


def _parse_bool(text: str) -> bool:
    try:
        return {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}[
            text.strip().lower()
        ]
    except KeyError:
        raise ValueError(text) from None


def _parse_optional_int(text: str) -> int | None:
    return None if text.strip().lower() == "none" else int(text)


def _parse_optional_text(text: str) -> str | None:
    return None if text.strip().lower() == "none" else text


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?)b?\s*", value.lower())
        if not match or match[2] not in _UNITS:
            raise ValueError(value)
        return int(float(match[1]) * _UNITS[match[2]])
    return int(_integer(0)(value))


def _integer(minimum: int, optional: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(value)
        if value < minimum:
            raise ValueError(value)
        return int(value)

    return check


def _memory(value: Any) -> int | None:
    size = None if value is None else _bytes(value)
    if size is not None and size < _LEAST_MEMORY:
        raise ValueError(value)
    return size


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _path(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(value)
    return os.path.expanduser(os.fspath(value))


def _names(value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise TypeError(value)
    if set(value) - {"all"}:
        raise ValueError(value)
    return list(value)


def _device(value: Any) -> Any:
    from tripy.devices import device  # devices come later in the import order

    return None if value is None else device(value)


def _cache_dir() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", base)
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    return os.path.join(os.path.expanduser(base), "tripy")


def _count(default: int) -> Setting:
    return Setting(default, int, _integer(0), "an integer >= 0")


_SETTINGS = {
    "cache_dir": Setting(_cache_dir(), str, _path, "a path"),
    "cache_size": Setting(2 * 2**30, str, _bytes, 'bytes: an integer >= 0 or text such as "2GiB"'),
    "enable_input_validation": Setting(True, _parse_bool, _boolean, "True or False"),
    "extra_error_information": Setting(
        [], lambda text: [t.strip() for t in text.split(",") if t.strip()], _names, '[] or ["all"]'
    ),
    "print_precision": _count(4),
    "print_threshold": _count(1000),
    "print_linewidth": Setting(10, int, _integer(1), "an integer >= 1"),
    "print_edgeitems": Setting(3, int, _integer(1), "an integer >= 1"),
    "num_threads": Setting(
        None, _parse_optional_int, _integer(1, optional=True), "an integer >= 1 or None"
    ),
    "eager_threshold": Setting(
        100_000_000, _parse_optional_int, _integer(0, optional=True), "an integer >= 0 or None"
    ),
    "memory_limit": Setting(
        None,
        _parse_optional_text,
        _memory,
        'bytes: an integer >= 2^24 or text such as "8GiB", or None',
    ),
    "shapes_kept": Setting(64, int, _integer(1), "an integer >= 1"),
    "check": Setting(False, _parse_bool, _boolean, "True or False"),
    "default_device": Setting(None, str, _device, "a tp.device, its string form, or None"),
}

_overrides: ContextVar[dict[str, Any] | None] = ContextVar("tripy_config", default=None)


class Config:
    """The settings of the process, ``tp.config``.

    Assignment changes a setting for the whole process; :meth:`override` changes it for the current
    thread or task. Every setting can also be given by a ``TRIPY_<NAME>`` environment variable,
    which is read at import.

    ``num_threads`` and ``shapes_kept`` are taken when a program is compiled or loaded. The latter
    is how many sets of run-time sizes a program with dynamic shapes keeps prepared: fewer take
    less memory, and sizes that come again after that many others take longer. ``check`` is what
    :func:`tripy.compile` does where its own ``check`` is left out.

    ``memory_limit`` is how many bytes one value may take; None is the machine's memory, or the part
    of it that the process may have. A larger one is TripyMemoryError before anything is allocated.
    Programs take the limit when they are compiled or loaded.

    Raises:
        TripyAttributeError: for an unknown setting.
        TripyTypeError, TripyValueError: for a value that the setting does not take.

    Example:
        >>> with tp.config.override(print_precision=1):
        ...     print(tp.ones((2,)))
        tensor([1.0, 1.0], dtype=float32, loc=cpu:0, shape=(2,))
    """

    if TYPE_CHECKING:
        cache_dir: str
        cache_size: int
        enable_input_validation: bool
        extra_error_information: list[str]
        print_precision: int
        print_threshold: int
        print_linewidth: int
        print_edgeitems: int
        num_threads: int | None
        eager_threshold: int | None
        memory_limit: int | None
        shapes_kept: int
        check: bool
        default_device: Any

    def __init__(self) -> None:
        values: dict[str, Any] = {name: setting.default for name, setting in _SETTINGS.items()}
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        overrides = _overrides.get()
        if overrides is not None and name in overrides:
            return overrides[name]
        values = self.__dict__["_values"]
        if name in values:
            return values[name]
        raise _unknown(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["_values"][name] = _checked(name, value)

    def override(self, **settings: Any) -> contextlib.AbstractContextManager[None]:
        """Set values for the current thread or task and restore them at the end."""
        return _overriding({name: _checked(name, value) for name, value in settings.items()})

    def __dir__(self) -> list[str]:
        return [*_SETTINGS, "override"]

    def __repr__(self) -> str:
        rows = "".join(f"    {name}={getattr(self, name)!r},\n" for name in _SETTINGS)
        return f"config(\n{rows})"


@contextlib.contextmanager
def _overriding(settings: dict[str, Any]) -> Iterator[None]:
    token = _overrides.set({**(_overrides.get() or {}), **settings})
    try:
        yield
    finally:
        _overrides.reset(token)


def _unknown(name: str) -> errors.TripyAttributeError:
    return errors.error(
        errors.TripyAttributeError,
        f"there is no setting {name!r}.",
        received=repr(name),
        expected=errors.one_of(_SETTINGS),
        fix=errors.did_you_mean(name, _SETTINGS) or "dir(tp.config) lists the settings",
        argument=name,
    )


def _checked(name: str, value: Any) -> Any:
    setting = _SETTINGS.get(name)
    if setting is None:
        raise _unknown(name)
    try:
        return setting.check(value)
    except (TypeError, ValueError) as problem:
        if isinstance(problem, errors.TripyException):
            raise
        wrong_type = isinstance(problem, TypeError)
        kind = errors.TripyTypeError if wrong_type else errors.TripyValueError
        raise errors.error(
            kind,
            f"the setting {name} does not take this value.",
            received=errors.describe(value),
            expected=setting.expected,
            fix=f"choose such a value; the default is {setting.default!r}",
            argument=name,
            culprit=value,
        ) from None


def read_variable(name: str) -> None:
    """Take a setting from its environment variable, where that is set."""
    variable = f"TRIPY_{name.upper()}"
    text = os.environ.get(variable)
    if text is None:
        return
    setting = _SETTINGS[name]
    try:
        config.__dict__["_values"][name] = setting.check(setting.parse(text))
    except (TypeError, ValueError):
        raise _bad_variable(variable, text, setting.expected) from None


def _bad_variable(variable: str, text: str, expected: str) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        f"the environment variable {variable} cannot be read.",
        received=repr(text),
        expected=expected,
        fix=f"unset {variable}, or set it to such a value",
    )


def _set_up_logging() -> None:
    level = os.environ.get("TRIPY_LOG_LEVEL")
    if level is None:
        return
    if level.lower() not in ("debug", "info", "warning", "error"):
        raise _bad_variable("TRIPY_LOG_LEVEL", level, "debug, info, warning or error")
    logger.setLevel(level.upper())
    logger.addHandler(logging.StreamHandler(sys.stderr))


config = Config()
errors.read_verbosity_with(lambda: config.extra_error_information)
for _name in _SETTINGS:
    if _name != "default_device":  # devices.py reads that one, when it can
        read_variable(_name)
_set_up_logging()
