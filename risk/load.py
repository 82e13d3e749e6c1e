"""
How loaded the application is, by route group: measured by each process without asking anybody, told to the fast store
once a second, and shed above the threshold in force (M9).

A threshold is for all processes together; each lets in its share of it. How many there are is known from those that
told their load within the last seconds.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from basis import fast
from risk.load_models import RouteGroup
from risk.policy import Threshold
from risk.thresholds import Second

ALIVE_S = 5
KEEP_S = 90
PROCESSES = "{load}:processes"
PATHS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (method, re.compile(pattern), group)
    for method, pattern, group in (
        ("POST", r"/api/v1/auth/session$|/sign-in/$", RouteGroup.SIGN_IN),
        ("POST", r"/api/v1/payments$|.*/payment(?:-token)?$|.*/pay/$", RouteGroup.PAYMENTS),
        ("POST", r"/api/v1/(?:rush/)?orders$|/api/v1/shows/[^/]+/queue$|/events/|/shows/", RouteGroup.ORDERS),
        ("GET", r"/api/v1/|/$|/events/|/shows/|/orders/|/wallet/|/tickets/", RouteGroup.READS),
    )
)


def group_of(method: str, path: str) -> str:
    """The route group of a request; empty for what is never shed: notifications, staff, health, static files."""
    wanted = "GET" if method == "HEAD" else method
    return next((str(group) for verb, pattern, group in PATHS if verb == wanted and pattern.match(path)), "")


@dataclass(slots=True)
class _Gauge:
    """One group in this process."""

    in_flight: int = 0
    second: int = 0
    requests: int = 0
    busy_s: float = 0.0
    tokens: float = 0.0
    filled_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Shed:
    """Not let in. `by`: `concurrency` or `tps`."""

    by: str
    retry_after_s: int
    bound: float


class Meter:
    """All groups of one process."""

    def __init__(self) -> None:
        self.id = f"{os.getpid()}-{time.time_ns() % 10**9}"
        self.gauges: dict[str, _Gauge] = {str(group): _Gauge() for group in RouteGroup}
        self.processes = 1

    def enter(self, group: str, threshold: Threshold | None, *, at: float) -> Shed | None:
        """Count a request in, or say why it is not let in. `at`: any clock that only rises, in seconds."""
        gauge = self.gauges[group]
        with gauge.lock:
            if threshold is not None:
                shed = self._over(gauge, threshold, at)
                if shed is not None:
                    return shed
            gauge.in_flight += 1
            return None

    def leave(self, group: str, *, took_s: float, second: int) -> None:
        """Count it out; when a new second begins, tell the last one's figures."""
        gauge, told = self.gauges[group], None
        with gauge.lock:
            gauge.in_flight -= 1
            if gauge.second != second:
                told = (gauge.second, gauge.requests, gauge.busy_s) if gauge.requests else None
                gauge.second, gauge.requests, gauge.busy_s = second, 0, 0.0
            gauge.requests += 1
            gauge.busy_s += took_s
        if told is not None:
            self._tell(group, *told)

    def _over(self, gauge: _Gauge, threshold: Threshold, at: float) -> Shed | None:
        if threshold.concurrency is not None:
            share = max(1, math.ceil(threshold.concurrency / self.processes))
            if gauge.in_flight >= share:
                return Shed("concurrency", 1, threshold.concurrency)
        if threshold.tps is None:
            return None
        rate = threshold.tps / self.processes
        filled = gauge.tokens + (at - gauge.filled_at) * rate if gauge.filled_at else rate
        gauge.filled_at, gauge.tokens = at, min(max(1.0, rate), filled)
        if gauge.tokens < 1:
            return Shed("tps", max(1, math.ceil((1 - gauge.tokens) / rate)), threshold.tps)
        gauge.tokens -= 1
        return None

    def _tell(self, group: str, second: int, requests: int, busy_s: float) -> None:
        key = key_of(group)
        try:
            store = fast.store()
            store.hincrby(key, f"{second}:n", requests)
            store.hincrbyfloat(key, f"{second}:b", busy_s)
            store.expire(key, KEEP_S)
            store.zadd(PROCESSES, {self.id: second})
            store.zremrangebyscore(PROCESSES, "-inf", second - ALIVE_S)
            self.processes = max(1, int(store.zcard(PROCESSES)))
        except fast.FastStoreAway:
            return  # the share stays what it was


def key_of(group: str) -> str:
    return f"{{load}}:{group}"


def told(group: str) -> list[Second]:
    """What all processes told of the last minute or so, second by second, rising."""
    try:
        found: Mapping[str, str] = fast.store().hgetall(key_of(group))  # type: ignore[assignment]
    except fast.FastStoreAway:
        return []
    seconds = sorted({int(name.partition(":")[0]) for name in found})
    old = [second for second in seconds if second < seconds[-1] - KEEP_S]
    if old:
        fast.store().hdel(key_of(group), *(f"{second}:{kind}" for second in old for kind in "nb"))
    return [
        Second(second, int(found.get(f"{second}:n", 0)), float(found.get(f"{second}:b", 0)))
        for second in seconds
        if second not in old
    ]
