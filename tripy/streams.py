"""``Stream``: a queue of executable calls on one device."""

from __future__ import annotations

import itertools
from typing import Any

from tripy import devices, errors
from tripy.devices import device
from tripy.engines import base
from tripy.signature import public

_counter = itertools.count()


class Stream:
    """An ordered queue of executable calls on one device.

    Calls on one stream run in order; calls on different streams may overlap. On cpu calls are
    synchronous. Streams are equal only to themselves.

    Args:
        device: where the calls run; None is the default device.

    Attributes:
        device: where the calls run.

    Raises:
        TripyDeviceError: for a device that is not present.

    Example:
        >>> exe = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)])
        >>> exe.stream = tp.Stream("cpu")
        >>> exe(np.array([-1.0, 1.0], np.float32))
        tensor([0.0000, 1.0000], dtype=float32, loc=cpu:0, shape=(2,))
        >>> exe.stream.synchronize()
    """

    @public("Stream")
    def __init__(self, device: device | str | None = None) -> None:
        self._device = devices.default_device() if device is None else devices.require(device)
        self._number = next(_counter)

    @property
    def device(self) -> devices.device:
        """The device of the calls."""
        return self._device

    def synchronize(self) -> None:
        """Wait until everything queued is done; on cpu it is done when a call returns."""
        if self._device.kind != "cpu":
            base.memory(self._device.kind).synchronize(self._device)

    def __repr__(self) -> str:
        return f"<Stream(id={self._number})>"

    __str__ = __repr__


_defaults: dict[device, Stream] = {}


@public()
def default_stream(device: device | str | None = None) -> Stream:
    """Return the one stream of a device that calls use unless they are given another one.

    Args:
        device: the device; None is the default device.

    Raises:
        TripyDeviceError: for a device that is not present.

    Example:
        >>> tp.default_stream("cpu") is tp.default_stream()
        True
    """
    place = devices.default_device() if device is None else devices.require(device)
    return _defaults.setdefault(place, Stream(place))


def check_stream(stream: Any, place: device) -> None:
    """Raise unless something is a stream of a device."""
    if not isinstance(stream, Stream):
        raise errors.error(
            errors.TripyTypeError,
            "calls are queued in a tp.Stream.",
            received=errors.describe(stream),
            expected="a tp.Stream",
            fix=f"write tp.Stream({str(place)!r})",
            argument="value",
        )
    if stream.device != place:
        raise errors.error(
            errors.TripyDeviceError,
            f"a stream of {stream.device} cannot queue calls on {place}.",
            received=f"a stream of {stream.device}",
            expected=f"a stream of {place}",
            fix=f"write tp.Stream({str(place)!r})",
            argument="value",
        )
