"""Streams: one queue per device by default, others by choice."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import tripy as tp
from tripy.devices import PROBES


@pytest.fixture
def exe() -> tp.Executable:
    return tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)], engine="reference")


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROBES, "gpu", lambda: (2, "pretended"))
    monkeypatch.setattr("tripy.streams._defaults", {})


def test_streams_are_equal_only_to_themselves() -> None:
    first, second = tp.Stream(), tp.Stream("cpu")
    assert first == first
    assert first != second
    assert first != "cpu"
    assert first.__eq__(1) in (False, NotImplemented)
    assert len({first, second, first}) == 2
    assert first.device == tp.device("cpu")
    assert re.fullmatch(r"<Stream\(id=\d+\)>", str(first))
    assert str(first) != str(second)
    assert first.synchronize() is None  # type: ignore[func-returns-value]


def test_every_device_has_one_default_stream(
    in_threads: Callable[[int, Callable[[int], None]], None],
) -> None:
    found: list[tp.Stream] = []
    in_threads(8, lambda _: found.append(tp.default_stream()))
    assert {id(stream) for stream in found} == {id(tp.default_stream(tp.device("CPU:0")))}
    assert tp.default_stream().device == tp.device("cpu")


def test_executables_use_the_default_stream_until_another_is_set(exe: tp.Executable) -> None:
    assert exe.stream is tp.default_stream(exe.device)
    own = tp.Stream(exe.device)
    exe.stream = own
    assert exe.stream is own
    assert exe(np.array([-1, 2], np.float32)).tolist() == [0, 2]
    exe.stream.synchronize()


@pytest.mark.parametrize("wrong", [None, "cpu", 0, tp.device("cpu"), tp.Stream])
def test_only_streams_are_set(wrong: object, exe: tp.Executable) -> None:
    with pytest.raises(tp.TripyTypeError, match=r"tp\.Stream"):
        exe.stream = wrong  # type: ignore[assignment]
    assert exe.stream is tp.default_stream()


@pytest.mark.usefixtures("_two_gpus")
def test_streams_of_other_devices_are_refused(exe: tp.Executable) -> None:
    first, second = tp.default_stream("gpu"), tp.default_stream("gpu:1")
    assert first != second
    assert (first.device.index, second.device.index) == (0, 1)
    with pytest.raises(tp.TripyDeviceError, match=r"a stream of gpu:1 cannot queue calls on cpu:0"):
        exe.stream = second
    assert exe.stream.device == exe.device


def test_absent_devices_have_no_streams() -> None:
    for make in (tp.Stream, tp.default_stream):
        with pytest.raises(tp.TripyDeviceError):
            make("gpu:5")
        with pytest.raises(tp.TripyValueError):
            make("tpu")
        with pytest.raises(tp.TripyTypeError):
            make(0)  # type: ignore[operator]
