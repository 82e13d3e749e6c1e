"""
How many seats each tier of a show has left, for the many who watch a sale.

One grouped query counts a show's seats; its result is shared through the fast store for at most `KEEP_MS`. While it is
young everybody reads it; when it ages, the one who gets the guard counts anew and the others still read the old one;
when it is gone, the others wait for the one a moment. Without the fast store everybody counts: slower, never wrong.
What is shown here decides nothing: an order takes its seats from the rows themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import get_language

from basis import fast, replica
from ticketing.models import SalePhase

KEEP_MS = 900  # with the time that counting takes, an answer is never older than a second
YOUNG_MS = 500
GUARD_MS = 1000
WAIT_STEP_S, WAIT_STEPS = 0.02, 15


class NoSuchShow(Exception):
    """There is no show of this code, or its event is not published."""


@dataclass(frozen=True, slots=True)
class TierSeats:
    """A tier's seats that are for sale, and how many of them are free."""

    id: int
    code: str
    name_zh: str
    name_en: str
    price_minor: int
    currency: str
    total: int
    free: int

    @property
    def name(self) -> str:
        return self.name_en if (get_language() or "").startswith("en") else self.name_zh


@dataclass(frozen=True, slots=True)
class Phase:
    """A sale phase that is open or still to come."""

    kind: str
    opens_at: datetime
    closes_at: datetime
    per_buyer_limit: int

    def state(self, now: datetime) -> str:
        return "open" if self.opens_at <= now else "coming"


@dataclass(frozen=True, slots=True)
class Availability:
    """A show's seats as they were at `as_of`, best tier first; `phases` are those not yet over, in order."""

    show: str
    phases: Sequence[Phase]
    tiers: Sequence[TierSeats]
    as_of: datetime

    def phase(self, now: datetime) -> Phase | None:
        """The phase that is open, else the next one."""
        return next((phase for phase in self.phases if phase.closes_at > now), None)


def of(code: str, *, now: datetime) -> Availability:
    """
    The seats left of a show, at most a second old.

    :raises NoSuchShow: see there
    """
    try:
        return _shared(code, now)
    except fast.FastStoreAway:
        return count(code, now=now)


def _shared(code: str, now: datetime) -> Availability:
    store = fast.store()
    kept = _read(store.get(_key(code)))
    if kept is not None and (now - kept.as_of).total_seconds() * 1000 < YOUNG_MS:
        return kept
    if store.set(_guard(code), 1, nx=True, px=GUARD_MS):
        try:
            counted = count(code, now=now)
            store.set(_key(code), _written(counted), px=KEEP_MS)
        finally:
            store.delete(_guard(code))
        return counted
    return kept or _awaited(code) or count(code, now=now)


def _awaited(code: str) -> Availability | None:
    """What the holder of the guard counts; None if that takes too long."""
    for _ in range(WAIT_STEPS):
        time.sleep(WAIT_STEP_S)
        kept = _read(fast.store().get(_key(code)))
        if kept is not None:
            return kept
    return None


COUNT = """
SELECT tier.id, tier.code, tier.name_zh, tier.name_en, tier.price_minor, tier.currency,
       coalesce(seats.total, 0), coalesce(seats.free, 0)
  FROM ticketing_show show
  JOIN ticketing_event event ON event.id = show.event_id AND event.published
  LEFT JOIN ticketing_pricetier tier ON tier.show_id = show.id
  LEFT JOIN (
    SELECT tier_id, count(*) FILTER (WHERE state <> 'B') AS total, count(*) FILTER (WHERE state = 'F') AS free
      FROM ticketing_seat WHERE show_id = (SELECT id FROM ticketing_show WHERE code = %(show)s) GROUP BY tier_id
  ) seats ON seats.tier_id = tier.id
 WHERE show.code = %(show)s ORDER BY tier.rank
"""


@replica.looks
def count(code: str, *, now: datetime) -> Availability:
    """
    Count a show's seats now: one query for the tiers, one for the phases.

    :raises NoSuchShow: see there
    """
    with replica.connection().cursor() as cursor:
        cursor.execute(COUNT, {"show": code})
        rows = cursor.fetchall()
    if not rows:
        raise NoSuchShow(code)
    tiers = [TierSeats(*row) for row in rows if row[0] is not None]
    coming = SalePhase.objects.filter(show__code=code, closes_at__gt=now).order_by("opens_at")
    phases = [Phase(*row) for row in coming.values_list("kind", "opens_at", "closes_at", "per_buyer_limit")]
    return Availability(code, phases, tiers, now)


def _written(found: Availability) -> str:
    return json.dumps(asdict(found), default=datetime.isoformat)


def _read(text: str | bytes | None) -> Availability | None:
    if not text:
        return None
    found = json.loads(text)
    return Availability(
        found["show"],
        [Phase(**_timed(phase)) for phase in found["phases"]],
        [TierSeats(**tier) for tier in found["tiers"]],
        datetime.fromisoformat(found["as_of"]),
    )


def _timed(phase: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(phase[name]) for name in ("opens_at", "closes_at")}
    return {**phase, **times}


def _key(code: str) -> str:
    return f"seats-left:{{{code}}}"


def _guard(code: str) -> str:
    return f"seats-left:{{{code}}}:guard"
