"""Facts for all who watch: gathered once in a moment, however many boards are open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.core.cache import cache

FRESH_S = 2
T = TypeVar("T")


def shared(key: str, gather: Callable[[], T]) -> T:
    """What `gather` answers, at most `FRESH_S` old. While the cache is away everybody gathers for himself."""
    found: T | None = cache.get(f"board:{key}")
    if found is None:
        found = gather()
        cache.set(f"board:{key}", found, FRESH_S)
    return found
