"""
The circuit breaker of a channel: after several failures within `WINDOW_S` nobody calls it for a while; then one call
tries it, and its answer closes or opens the circuit. State in the fast store for all processes; while that is away, in
this process.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from basis import fast

WINDOW_S = 10
PROBE_S = 15
REMEMBER_S = 3600
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class _Here:
    """The few commands that the breaker needs, in this process."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, float]] = {}
        self._lock = threading.Lock()

    def set(self, key: str, value: Any, *, px: int, nx: bool = False) -> bool:
        with self._lock:
            if nx and self._get(key) is not None:
                return False
            self._kept[key] = (value, time.monotonic() + px / 1000)
            return True

    def mget(self, keys: list[str]) -> list[Any]:
        with self._lock:
            return [self._get(key) for key in keys]

    def count(self, key: str, window_s: int) -> int:
        with self._lock:
            value, until = self._kept.get(key, (0, 0.0))
            fresh = time.monotonic() < until
            number = (value if fresh else 0) + 1
            self._kept[key] = (number, until if fresh else time.monotonic() + window_s)
            return number

    def delete(self, *keys: str) -> None:
        with self._lock:
            for key in keys:
                self._kept.pop(key, None)

    def _get(self, key: str) -> Any:
        value, until = self._kept.get(key, (None, 0.0))
        return value if time.monotonic() < until else None


class _Shared:
    """The same in the fast store."""

    def set(self, key: str, value: Any, *, px: int, nx: bool = False) -> bool:
        return bool(fast.store().set(key, value, px=px, nx=nx))

    def mget(self, keys: list[str]) -> list[Any]:
        return list(fast.store().mget(keys))

    def count(self, key: str, window_s: int) -> int:
        # In one step: a count that begins without its end would be added to for good.
        pipe = fast.store().pipeline(transaction=True)
        pipe.set(key, 0, ex=window_s, nx=True)
        pipe.incr(key)
        return int(pipe.execute()[1])

    def delete(self, *keys: str) -> None:
        fast.store().delete(*keys)


_here, _shared = _Here(), _Shared()


def state(channel: str) -> str:
    """How the circuit is now; asking changes nothing."""
    try:
        return _state(_shared, channel)
    except fast.FastStoreAway:
        return _state(_here, channel)


def may_call(channel: str) -> bool:
    """Whether to call now. Half open: true for one caller, until it reports or `PROBE_S` have passed."""
    try:
        return _may_call(_shared, channel)
    except fast.FastStoreAway:
        return _may_call(_here, channel)


def report(channel: str, *, ok: bool, failures: int, open_s: float) -> None:
    """What came of a call: `failures` of them within `WINDOW_S` open the circuit for `open_s`."""
    try:
        _report(_shared, channel, ok=ok, failures=failures, open_s=open_s)
    except fast.FastStoreAway:
        _report(_here, channel, ok=ok, failures=failures, open_s=open_s)


def forget(channel: str) -> None:
    """Close the circuit by hand."""
    _here.delete(*_keys(channel))
    try:
        _shared.delete(*_keys(channel))
    except fast.FastStoreAway:
        return


def _state(store: _Here | _Shared, channel: str) -> str:
    is_open, tripped, _probe, _failures = store.mget(_keys(channel))
    return OPEN if is_open else HALF_OPEN if tripped else CLOSED


def _may_call(store: _Here | _Shared, channel: str) -> bool:
    found = _state(store, channel)
    if found == HALF_OPEN:
        return store.set(_keys(channel)[2], 1, px=PROBE_S * 1000, nx=True)
    return found == CLOSED


def _report(store: _Here | _Shared, channel: str, *, ok: bool, failures: int, open_s: float) -> None:
    is_open, tripped, probe, failed = _keys(channel)
    if ok:
        if any(store.mget([tripped, failed])):
            store.delete(is_open, tripped, probe, failed)
        return
    half_open = _state(store, channel) == HALF_OPEN
    if half_open or store.count(failed, WINDOW_S) >= failures:
        store.set(is_open, 1, px=int(open_s * 1000))
        store.set(tripped, 1, px=REMEMBER_S * 1000)
        store.delete(probe, failed)


def _keys(channel: str) -> list[str]:
    return [f"{{breaker:{channel}}}:{name}" for name in ("open", "tripped", "probe", "failures")]
