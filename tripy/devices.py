"""Devices: their names, which are present, and which one is the default."""

from __future__ import annotations

import re
from collections.abc import Callable

from tripy import errors
from tripy.config import config, read_variable

_KINDS = ("cpu", "gpu")


class device:
    """Names a device, such as ``"cpu"``, ``"gpu"`` or ``"gpu:1"``.

    Args:
        device: kind and optional index; the kind is case-insensitive, a missing index is 0.
            An existing ``tp.device`` is accepted and gives an equal one.

    Attributes:
        kind: ``"cpu"`` or ``"gpu"``.
        index: number of the device among those of its kind.

    Raises:
        TripyValueError: for an unknown kind, or an index that is no integer >= 0.

    Example:
        >>> tp.device("cpu"), tp.device("GPU:1").index
        (cpu:0, 1)
    """

    __slots__ = ("index", "kind")
    kind: str
    index: int

    def __init__(self, device: str | device) -> None:
        text = str(device)  # signature.py checks the type
        match = re.fullmatch(r"([a-z]+)(?::([0-9]+))?", text.strip().lower())
        if match is None or match[1] not in _KINDS:
            raise errors.error(
                errors.TripyValueError,
                f"{text!r} does not name a device.",
                received=repr(text),
                expected='"cpu" or "gpu", with an index such as "gpu:1" where there are several',
                fix="tp.devices() lists the devices that are present",
                culprit=device,
            )
        object.__setattr__(self, "kind", match[1])
        object.__setattr__(self, "index", int(match[2] or 0))

    def __setattr__(self, name: str, value: object) -> None:
        raise errors.error(
            errors.TripyAttributeError,
            f"the attribute {name!r} of a device is frozen.",
            received=f"{name} = {errors.describe(value)}",
            expected="no assignment",
            fix="make another tp.device",
        )

    def __reduce__(self) -> tuple[type[device], tuple[str]]:
        return device, (str(self),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return self.kind == other.kind and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.kind, self.index))

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"

    __repr__ = __str__


CPU = device("cpu")

# Kind -> (number of devices present, why there are not more). Engines add their row when loaded.
PROBES: dict[str, Callable[[], tuple[int, str]]] = {
    "cpu": lambda: (1, "the host is the only CPU device"),
    "gpu": lambda: (0, "no engine for GPUs is loaded"),
}

_found_default: device | None = None
_known = {str(CPU): CPU}


def devices(kind: str | None = None) -> tuple[device, ...]:
    """Return the devices that are present, the default device first.

    Args:
        kind: ``"cpu"`` or ``"gpu"`` to list only those; None for all.

    Raises:
        TripyTypeError: when ``kind`` is not a string.
        TripyValueError: for an unknown kind.

    Example:
        >>> tp.devices("cpu")
        (cpu:0,)
    """
    if kind is not None:
        kind = device(kind).kind
    default = default_device()
    present = [device(f"{k}:{i}") for k in _KINDS for i in range(PROBES[k]()[0])]
    present.sort(key=lambda d: d != default)
    return tuple(d for d in present if kind in (None, d.kind))


def default_device() -> device:
    """Return the device that Python data and creation functions use."""
    global _found_default
    chosen: device | None = config.default_device
    if chosen is not None:
        return require(chosen)
    if _found_default is None:
        _found_default = require("gpu") if PROBES["gpu"]()[0] else CPU
    return _found_default


def require(wanted: str | device) -> device:
    """Return the device, or raise TripyDeviceError when it is not present."""
    if wanted is CPU:
        return CPU
    wanted = wanted if isinstance(wanted, device) else device(wanted)
    count, reason = PROBES[wanted.kind]()
    if wanted.index < count:
        return _known.setdefault(str(wanted), wanted)  # one object, which is compared faster
    present = [f"{k}:{i}" for k in _KINDS for i in range(PROBES[k]()[0])]
    raise errors.error(
        errors.TripyDeviceError,
        f"the device {wanted} is not present: {reason}.",
        received=str(wanted),
        expected="one of the devices present: " + ", ".join(present),
        fix=f"use device={present[-1]!r}",
        argument="device",
    )


read_variable("default_device")
