"""Processes that were forked after OpenVINO ran: they must neither use nor free anything of it.

Its threads do not exist in such a process, and its locks may be held by threads that do not.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from tripy import errors

lost: list[int] = []  # the process that was forked, in its child
_used: list[int] = []  # this process, once it begins to use OpenVINO
_kept: weakref.WeakSet[Any] = weakref.WeakSet()


def begin() -> None:
    """Note that OpenVINO is used from here on; TripyRuntimeError where that would hang."""
    if lost:
        raise errors.error(
            errors.TripyRuntimeError,
            "this cannot be done in a process that was forked after OpenVINO ran.",
            received=f"a process forked from process {lost[0]}",
            expected="a process that was started afresh, or forked before OpenVINO ran",
            fix="use multiprocessing.get_context('spawn'); executables can be sent to its workers",
        )
    _used[:] = [os.getpid()]


def keep(thing: Any) -> None:
    """Note a core, program or request, which a forked process must not free."""
    _kept.add(thing)


def _after_fork() -> None:
    if _used:
        lost[:] = [os.getppid()]
    for thing in list(_kept):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # never freed, not even at the end


if hasattr(os, "register_at_fork"):  # there is none on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
