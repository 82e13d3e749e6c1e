"""
How often one address or one identifier may try to sign in or up.

django-ratelimit counts in the cache. While the cache is away the counts are kept in this process: looser by
the number of processes, but neither is signing in down, nor may anybody guess passwords without a bound.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import Any

from django.http import HttpRequest
from django_ratelimit.core import get_usage

from basis import addresses, events
from basis.fast import FastStoreAway
from basis.problems import Problem
from basis.quota import Quota
from basis.sealed import blind_index

log = events.get_logger(__name__)

LOCAL_ENTRIES_MAX = 10_000


@dataclass(frozen=True)
class Rate:
    """`most` tries in a window of `seconds`."""

    most: int
    seconds: int


# Whole dormitories and carriers share one IPv4 address; an identifier belongs to one person.
REGISTER_PER_ADDRESS = Rate(60, 600)
SIGN_IN_PER_ADDRESS = Rate(120, 300)
SIGN_IN_PER_IDENTIFIER = Rate(10, 300)

_local: dict[tuple[str, str, int], int] = {}
_local_lock = Lock()


def admit(request: HttpRequest, *, group: str, value: str, rate: Rate) -> None:
    """
    Count one try of `value` in `group`.

    :raises Problem: `too_many_requests`, with the seconds until the window ends
    """
    # Hashed with our key: the cache holds no telephone numbers.
    counted = _counted(request, group, blind_index(value, "throttle"), rate)
    if counted["should_limit"]:
        log.warning("throttle.refused", group=group)
        left_s = max(1, counted["time_left"])
        quota = Quota(group, rate.most, rate.seconds, left_s)
        raise Problem(code="too_many_requests", retry_after=left_s, quota=quota)


def address(request: HttpRequest) -> str:
    """Whom to count by address; behind the edge not the edge, for then everybody would share its one bound."""
    return addresses.customer(addresses.of(request))


def _counted(request: HttpRequest, group: str, value: str, rate: Rate) -> dict[str, Any]:
    wanted = f"{rate.most}/{rate.seconds}s"
    try:
        usage = get_usage(
            request, group=group, key=lambda _group, _request: value, rate=wanted, increment=True
        )
    except FastStoreAway:
        usage = {"time_left": -1}
    if usage is None:
        return {"should_limit": False, "time_left": 0}  # RATELIMIT_ENABLE is off.
    return usage if usage["time_left"] >= 0 else _counted_here(group, value, rate)


def _counted_here(group: str, value: str, rate: Rate) -> dict[str, Any]:
    window, elapsed = divmod(int(time.time()), rate.seconds)
    with _local_lock:
        if len(_local) >= LOCAL_ENTRIES_MAX:
            _local.clear()
        count = _local[group, value, window] = _local.get((group, value, window), 0) + 1
    return {"should_limit": count > rate.most, "time_left": rate.seconds - elapsed}
