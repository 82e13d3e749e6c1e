"""
Facts for all who watch: gathered once in a moment, however many boards are open and however much was sold.

What took long to gather is kept for longer: however large the sale has grown, and whoever watches, counting takes a
tenth of one processor at most for each board. While one process counts anew, the others are shown what was counted
last. Every board says as of when it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.cache import cache

FRESH_S, FRESH_S_MAX = 2.0, 60.0
RESTS = 10  # times as long as it took to gather
KEPT_S = 300
AWAITED_S, LOOKS_AGAIN_S = 5.0, 0.05
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """`until` is the time of the clock after which it is gathered anew."""

    facts: Any
    until: float


def shared(key: str, gather: Callable[[], T]) -> T:
    """
    What `gather` answered lately. Who comes while nothing is kept and somebody counts already waits for him, a while.
    While the cache is away everybody gathers for himself.
    """
    kept: Kept | None = cache.get(f"board:{key}")
    if kept is None or time.time() >= kept.until:
        mine = cache.add(f"board:{key}:busy", 1, FRESH_S_MAX)
        if not mine and kept is None:
            kept = _awaited(key)
        if mine or kept is None:
            return _gathered(key, gather, mine=mine)
    facts: T = kept.facts
    return facts


def _awaited(key: str) -> Kept | None:
    """What somebody else is counting just now; None if he is done without an answer, or takes too long."""
    until = time.monotonic() + AWAITED_S
    while cache.get(f"board:{key}:busy") is not None and time.monotonic() < until:
        time.sleep(LOOKS_AGAIN_S)
    kept: Kept | None = cache.get(f"board:{key}")
    return kept


def _gathered(key: str, gather: Callable[[], T], *, mine: bool) -> T:
    began = time.perf_counter()
    try:
        found = gather()
        rests = min(FRESH_S_MAX, max(FRESH_S, RESTS * (time.perf_counter() - began)))
        cache.set(f"board:{key}", Kept(found, time.time() + rests), KEPT_S)
    finally:
        if mine:
            cache.delete(f"board:{key}:busy")
    return found
