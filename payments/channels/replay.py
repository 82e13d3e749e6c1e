"""
Remember which signed messages were read, so that a copied one is refused while its timestamp is still fresh.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from threading import Lock

KEEP = timedelta(minutes=11)  # A message is fresh for 5 minutes on either side of its timestamp.
AT_MOST = 100_000


class SeenKeys:
    """
    The default replay guard: one process's memory, bounded in time and number.

    Several processes each refuse what they have seen themselves. What they let through between them is caught
    by the unique event id in the notification inbox; this guard only spares that work.
    """

    def __init__(self, *, keep: timedelta = KEEP, at_most: int = AT_MOST) -> None:
        self._keep = keep
        self._at_most = at_most
        self._seen: OrderedDict[str, datetime] = OrderedDict()
        self._lock = Lock()

    def __call__(self, key: str, now: datetime) -> bool:
        """True the first time `key` is seen."""
        with self._lock:
            self._forget(now)
            if key in self._seen:
                return False
            self._seen[key] = now
            return True

    def _forget(self, now: datetime) -> None:
        while self._seen:
            key, at = next(iter(self._seen.items()))
            if now - at < self._keep and len(self._seen) < self._at_most:
                return
            del self._seen[key]
