"""What a program builds for the sizes of its calls, the most recent ones kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Up to ``limit`` things by key, built when first asked for, each by one thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._things: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._things)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the thing of a key, made where it is not kept."""
        with self._lock:
            found = self._things.get(key)
            if found is None:
                found = self._things[key] = make()
                if len(self._things) > self._limit:
                    self._things.popitem(last=False)
            self._things.move_to_end(key)
            return found
