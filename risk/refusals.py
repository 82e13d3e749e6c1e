"""
How often a show's buyers were refused, and why: counted by the hour in the fast store, for those who watch the sale.

Pages, the API and the drainers count here; the edge counts what its Lua refuses into the same hashes
(`deploy/nginx/lua/refused.lua`; docs/edge.md has their layout). Nothing hangs on these counts. While the store is away
they are not made.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from basis import fast
from basis.problems import Problem

ORDERING = re.compile(r"/api/v1/(?:rush/)?orders").fullmatch
SHOW = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII).fullmatch
CODE = re.compile(r"[A-Za-z0-9_-]{1,12}", re.ASCII).fullmatch
COUNTED = {"sale_stopped"}  # of what says that the server cannot: staff want it so
KEPT = timedelta(hours=48)
HOUR = timedelta(hours=1)


def count(show: str, codes: Mapping[str, int], *, tier: str = "", now: datetime) -> None:
    """Add refusals of one show by code, and of its `tier` if that is known: one round trip."""
    if not show or not codes:
        return
    key = _key(show, now)
    with contextlib.suppress(fast.FastStoreAway):
        pipe = fast.store().pipeline(transaction=False)
        for code, times in codes.items():
            pipe.hincrby(key, code[:40], times)
            if tier:
                pipe.hincrby(_by_tier(key), f"{tier}:{code[:40]}", times)
        pipe.expire(key, KEPT)
        if tier:
            pipe.expire(_by_tier(key), KEPT)
        pipe.execute()


def seen(problem: Problem, request: Any) -> None:
    """What the API refused: counted if it was about ordering and names a show."""
    path, method = getattr(request, "path", ""), getattr(request, "method", "")
    if (problem.status >= 500 and problem.code not in COUNTED) or method != "POST" or not ORDERING(path):
        return
    kwargs = (getattr(request, "parser_context", None) or {}).get("kwargs", {})
    # What was parsed before the refusal; asking for `data` might parse anew, and fail anew.
    body = getattr(request, "_full_data", None)
    show = kwargs.get("code") or (body.get("show") if isinstance(body, Mapping) else "")
    tier = body.get("tier") if isinstance(body, Mapping) else ""
    if isinstance(show, str) and SHOW(show):
        known = tier if isinstance(tier, str) and CODE(tier) else ""
        count(show, {problem.code: 1}, tier=known, now=timezone.now())  # noqa: TID251 - the API's edge


def told(show: str, *, hours: int, now: datetime) -> Counter[str]:
    """The refusals of the present hour and the `hours` before it, by code; empty while the store is away."""
    return _summed([_key(show, at) for at in _hours(hours, now)])


def told_by_tier(show: str, *, hours: int, now: datetime) -> dict[str, Counter[str]]:
    """The same by the code of the tier; what was refused before a tier was known is in `told` alone."""
    found: dict[str, Counter[str]] = {}
    for entry, times in _summed([_by_tier(_key(show, at)) for at in _hours(hours, now)]).items():
        tier, _, code = entry.rpartition(":")
        found.setdefault(tier, Counter())[code] = times
    return found


def told_at_edge(*, hours: int, now: datetime) -> Counter[str]:
    """
    What the edge refused before anything was known of a show: `busy` (Python had no hand free), `unavailable`,
    `too_many_requests` (an address or a queue number was too fast), `too_large`.
    """
    return _summed([f"refusals:{{edge}}:{_hour(at)}" for at in _hours(hours, now)])


def _summed(keys: list[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    with contextlib.suppress(fast.FastStoreAway):
        pipe = fast.store().pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        for hour in pipe.execute():
            found.update({code: int(times) for code, times in hour.items()})
    return found


def _hours(hours: int, now: datetime) -> list[datetime]:
    return [now - back * HOUR for back in range(min(hours, 47) + 1)]


def _key(show: str, at: datetime) -> str:
    return f"refusals:{{show:{show}}}:{_hour(at)}"


def _by_tier(key: str) -> str:
    return f"{key}:tiers"


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // 3600
