"""
How often a show's buyers were refused, and why: counted by the hour in the fast store, for those who watch the sale.

Nothing hangs on these counts. While the store is away they are not made.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from basis import fast

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
