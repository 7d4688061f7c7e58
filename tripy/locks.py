"""Locks that a forked process can take, whatever the threads of its parent held."""

from __future__ import annotations

import os
import threading

_made: list[Lock] = []


class Lock:
    """A lock of a module; free in a process that was just forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _made.append(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Forget who held it; those threads are not there."""
        self._lock = threading.Lock()


def _after_fork() -> None:
    for lock in _made:
        lock.renew()


if hasattr(os, "register_at_fork"):  # there is none on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
