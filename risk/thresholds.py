"""
How much a route group bears, from what was seen: pure.

In a window, `concurrency` is how many requests were in flight on average and `latency` how long one took; what
passes is concurrency ÷ latency: 100 in flight at 10 ms are 10,000 a second. More concurrency helps until the latency
rises with it. The estimate is the best rate among the windows in which a request still took at most `SLOWER` times
as long as in the quick ones; windows beyond that knee are overload and say nothing about what is sustainable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 5
SLOWER = 2.0
REQUESTS_MIN = 20


@dataclass(frozen=True, slots=True)
class Second:
    """One second of one group: requests that ended in it, and the time that they took together."""

    second: int
    requests: int
    busy_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    tps: float
    concurrency: float
    latency_ms: float
    measured_tps: float  # in the last window
    requests: int


@dataclass(frozen=True, slots=True)
class _Window:
    requests: int
    concurrency: float
    latency_s: float

    @property
    def rate(self) -> float:
        return self.concurrency / self.latency_s if self.latency_s else 0.0


def estimate(seconds: Sequence[Second]) -> Estimate | None:
    """The sustainable rate; None if too little was seen."""
    total = sum(one.requests for one in seconds)
    windows = _windows(seconds)
    if total < REQUESTS_MIN or not windows:
        return None
    quick = sorted(window.latency_s for window in windows)[len(windows) // 10]
    good = [window for window in windows if window.latency_s <= SLOWER * quick]
    best = max(good, key=lambda window: window.rate)
    return Estimate(best.rate, best.concurrency, best.latency_s * 1000, windows[-1].rate, total)


def _windows(seconds: Sequence[Second]) -> list[_Window]:
    """Every `WINDOW_S` seconds in a row, sliding by one, that had requests."""
    by_second = {one.second: one for one in seconds}
    if not by_second:
        return []
    found = []
    first, last = min(by_second), max(by_second)
    for start in range(first, max(first, last - WINDOW_S + 1) + 1):
        inside = [by_second[at] for at in range(start, start + WINDOW_S) if at in by_second]
        requests = sum(one.requests for one in inside)
        busy_s = sum(one.busy_s for one in inside)
        if requests and busy_s:
            found.append(_Window(requests, busy_s / WINDOW_S, busy_s / requests))
    return found
