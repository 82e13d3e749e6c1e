"""Settings that staff may change while the product runs, held by each process for a few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from django.db import DatabaseError

T = TypeVar("T")


class Held(Generic[T]):
    """What `load` answers, at most `every_s` old. One thread loads; the others go on with what there is."""

    def __init__(self, load: Callable[[], T], *, every_s: float = 2.0) -> None:
        self.load, self.every_s = load, every_s
        self._lock = threading.Lock()
        self._value: list[T] = []
        self._until = 0.0

    def get(self) -> T:
        """
        :raises DatabaseError: the first load failed; later ones keep what was loaded before
        """
        held = self._value
        if held and time.monotonic() < self._until:
            return held[0]
        if not self._lock.acquire(blocking=not held):
            return held[0]
        try:
            self._value = [self.load()]
        except DatabaseError:
            if not held:
                raise
        finally:
            self._until = time.monotonic() + self.every_s
            self._lock.release()
        return self._value[0]

    def pin(self, value: T) -> None:
        """Hold `value` from now on, as tests do."""
        self._value, self._until = [value], float("inf")

    def forget(self) -> None:
        self._value, self._until = [], 0.0
