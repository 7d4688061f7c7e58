"""Processes that were forked while OpenVINO was in use: they are told so instead of hanging.

Its threads do not exist in such a process, and neither a call nor freeing a program is safe.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from tripy import errors

lost: list[int] = []  # the process that was forked, in its child
_kept: weakref.WeakSet[Any] = weakref.WeakSet()


def keep(thing: Any) -> None:
    """Note a core, program or request, which a forked process must not free."""
    _kept.add(thing)


def check() -> None:
    """Raise TripyRuntimeError in a process that cannot use OpenVINO."""
    if lost:
        raise errors.error(
            errors.TripyRuntimeError,
            "OpenVINO cannot be used in a process that was forked after it ran.",
            received=f"a process forked from process {lost[0]}",
            expected="a process that was started afresh, or forked before OpenVINO ran",
            fix="use multiprocessing.get_context('spawn'); executables can be sent to its workers",
        )


def _after_fork() -> None:
    if len(_kept):
        lost[:] = [os.getppid()]
    for thing in list(_kept):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # never freed, not even at the end


if hasattr(os, "register_at_fork"):  # there is none on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
