"""
How often a show's buyers were refused, and why: counted by the hour in the fast store, for those who watch the sale.

Nothing hangs on these counts. While the store is away they are not made.
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
KEPT = timedelta(hours=48)
HOUR = timedelta(hours=1)


def count(show: str, codes: Mapping[str, int], *, now: datetime) -> None:
    """Add refusals of one show by code: one round trip."""
    if not show or not codes:
        return
    pipe = fast.store().pipeline(transaction=False)
    key = _key(show, now)
    for code, times in codes.items():
        pipe.hincrby(key, code[:40], times)
    pipe.expire(key, KEPT)
    with contextlib.suppress(fast.FastStoreAway):
        pipe.execute()


def seen(problem: Problem, request: Any) -> None:
    """What the API refused: counted if it was about ordering and names a show."""
    path, method = getattr(request, "path", ""), getattr(request, "method", "")
    if problem.status >= 500 or method != "POST" or not ORDERING(path):
        return
    kwargs = (getattr(request, "parser_context", None) or {}).get("kwargs", {})
    # What was parsed before the refusal; asking for `data` might parse anew, and fail anew.
    body = getattr(request, "_full_data", None)
    show = kwargs.get("code") or (body.get("show") if isinstance(body, Mapping) else "")
    if isinstance(show, str) and SHOW(show):
        count(show, {problem.code: 1}, now=timezone.now())  # noqa: TID251 - the API's edge


def told(show: str, *, hours: int, now: datetime) -> Counter[str]:
    """The refusals of the present hour and the `hours` before it, by code; empty while the store is away."""
    found: Counter[str] = Counter()
    pipe = fast.store().pipeline(transaction=False)
    for back in range(min(hours, 47) + 1):
        pipe.hgetall(_key(show, now - back * HOUR))
    with contextlib.suppress(fast.FastStoreAway):
        for hour in pipe.execute():
            found.update({code: int(times) for code, times in hour.items()})
    return found


def _key(show: str, at: datetime) -> str:
    return f"refusals:{{show:{show}}}:{int(at.timestamp()) // 3600}"
