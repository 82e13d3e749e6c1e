"""The live sale's facts: a few grouped queries over one show, and what the fast store says of its waiting room."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import get_language

from basis import fast, replica
from risk import pacing, refusals
from risk.room_models import Room
from ticketing.models import Show
from ticketing.rush import keys

BINS = 60
REFUSED_HOURS = 24

TIERS = """
SELECT tier.id, tier.code, tier.name_zh, tier.name_en, tier.price_minor, tier.currency,
       count(*) FILTER (WHERE seat.state = 'S'), count(*) FILTER (WHERE seat.state = 'H'),
       count(*) FILTER (WHERE seat.state = 'F'), count(*) FILTER (WHERE seat.state = 'B')
  FROM ticketing_pricetier tier LEFT JOIN ticketing_seat seat ON seat.show_id = %(show)s AND seat.tier_id = tier.id
 WHERE tier.show_id = %(show)s GROUP BY tier.id ORDER BY tier.rank
"""

ORDERS = """
SELECT tier_id, state, count(*), coalesce(sum(quantity), 0), coalesce(sum(amount_minor), 0)
  FROM ticketing_order WHERE show_id = %(show)s GROUP BY 1, 2
"""

PAYMENTS = """
SELECT payment.channel, payment.state, payment.outcome, count(*), coalesce(sum(payment.amount_minor), 0)
  FROM ticketing_order o
  JOIN payments_payment payment ON payment.purchase_kind = 'order' AND payment.purchase_number = o.number
 WHERE o.show_id = %(show)s GROUP BY 1, 2, 3
"""

PEOPLE = """
SELECT (SELECT count(*) FROM ticketing_order o WHERE o.show_id = %(show)s AND EXISTS (
          SELECT 1 FROM payments_payment payment
           WHERE payment.purchase_kind = 'order' AND payment.purchase_number = o.number)),
       (SELECT count(*) FROM ticketing_ticket WHERE show_id = %(show)s AND state <> 'void'),
       (SELECT min(placed_at) FROM ticketing_order WHERE show_id = %(show)s),
       (SELECT max(placed_at) FROM ticketing_order WHERE show_id = %(show)s)
"""

FLOW = """
SELECT what, date_bin(%(bin)s, at, %(since)s), count(*) FROM (
  SELECT 'placed' AS what, placed_at AS at FROM ticketing_order WHERE show_id = %(show)s AND placed_at >= %(since)s
  UNION ALL
  SELECT 'paid', payment.paid_at FROM ticketing_order o JOIN payments_payment payment ON payment.number = o.winner
   WHERE o.show_id = %(show)s AND o.winner <> '' AND payment.paid_at >= %(since)s
  UNION ALL
  SELECT 'tickets', issued_at FROM ticketing_ticket WHERE show_id = %(show)s AND issued_at >= %(since)s
) facts GROUP BY 1, 2
"""

FAILED = """
SELECT payment.channel, coalesce(nullif(payment.refusal, ''), payment.state), count(*)
  FROM ticketing_order o
  JOIN payments_payment payment ON payment.purchase_kind = 'order' AND payment.purchase_number = o.number
 WHERE o.show_id = %(show)s AND payment.state = 'failed' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10
"""

JUDGED = """
SELECT verdict, reason ->> 'code', count(*) FROM risk_judgement, jsonb_array_elements(reasons) reason
 WHERE show = %(code)s AND at >= %(since)s AND verdict IN ('challenge', 'deny') AND (reason ->> 'acted')::boolean
 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10
"""


@dataclass(frozen=True, slots=True)
class Tier:
    id: int
    code: str
    name_zh: str
    name_en: str
    price_minor: int
    currency: str
    sold: int
    held: int
    free: int
    blocked: int

    @property
    def name(self) -> str:
        return self.name_en if (get_language() or "").startswith("en") else self.name_zh

    @property
    def seats(self) -> int:
        return self.sold + self.held + self.free


@dataclass(frozen=True, slots=True)
class Tally:
    """Orders of one tier and state, or payments of one channel and state."""

    count: int = 0
    seats: int = 0
    minor: int = 0


@dataclass(frozen=True, slots=True)
class SaleFacts:
    """
    One show at one moment. `orders` by (tier, state); `payments` by (channel, state, outcome); `flow` by kind and the
    start of a time span of `bin_s`; `queued` submissions by tier that no worker has answered yet.
    """

    show: Show
    as_of: datetime
    since: datetime
    bin_s: int
    tiers: list[Tier]
    orders: dict[tuple[int, str], Tally]
    payments: dict[tuple[str, str, str], Tally]
    tried_to_pay: int
    tickets: int
    flow: dict[str, dict[datetime, int]]
    failed: list[tuple[str, str, int]]
    judged: list[tuple[str, str, int]]
    refused: Counter[str]
    refused_by_tier: dict[str, Counter[str]]
    refused_at_edge: Counter[str]
    room: Room | None
    counters: dict[str, int]
    waves: tuple[pacing.Wave, ...]
    queued: dict[int, int]

    def orders_in(self, *states: str, tier: int | None = None) -> Tally:
        fitting = [
            tally
            for (of_tier, state), tally in self.orders.items()
            if state in states and tier in (None, of_tier)
        ]
        return Tally(
            sum(one.count for one in fitting),
            sum(one.seats for one in fitting),
            sum(one.minor for one in fitting),
        )

    def tier_name(self, code: str) -> str:
        return next((tier.name for tier in self.tiers if tier.code == code), code)

    def seats(self, state: str) -> int:
        return sum(getattr(tier, state) for tier in self.tiers)


def gather(*, show: Show, span: timedelta | None, now: datetime) -> SaleFacts:
    """Everything about one show's sale. `span`: how far the flow reaches back; None for all of it."""
    values: dict[str, Any] = {"show": show.pk, "code": show.code}
    tried, tickets, first, last = _asked(PEOPLE, values)[0]
    until = now if span is not None or last is None else min(now, last + timedelta(minutes=30))
    since = now - span if span is not None else (first or now - timedelta(hours=1))
    bin_s = _bin_of((until - since).total_seconds())
    values |= {"since": since, "bin": timedelta(seconds=bin_s)}
    flow: dict[str, dict[datetime, int]] = {"placed": {}, "paid": {}, "tickets": {}}
    for what, at, count in _asked(FLOW, values):
        flow[what][at] = count
    room = Room.objects.filter(show=show.code).first()
    tiers = [Tier(*row) for row in _asked(TIERS, values)]
    return SaleFacts(
        show=show,
        as_of=now,
        since=since,
        bin_s=bin_s,
        tiers=tiers,
        orders={(tier, state): Tally(*sums) for tier, state, *sums in _asked(ORDERS, values)},
        payments={
            (channel, state, outcome): Tally(count, minor=minor)
            for channel, state, outcome, count, minor in _asked(PAYMENTS, values)
        },
        tried_to_pay=tried,
        tickets=tickets,
        flow=flow,
        failed=_asked(FAILED, values),
        judged=_asked(JUDGED, values),
        refused=refusals.told(show.code, hours=REFUSED_HOURS, now=now),
        refused_by_tier=refusals.told_by_tier(show.code, hours=REFUSED_HOURS, now=now),
        refused_at_edge=refusals.told_at_edge(hours=REFUSED_HOURS, now=now),
        room=room,
        counters=pacing.counters(room) if room else {},
        waves=pacing.waves(room) if room else (),
        queued=_queued([tier.id for tier in tiers]),
    )


def _bin_of(seconds: float) -> int:
    """A round span that cuts the time into at most `BINS`."""
    steps = (10, 30, 60, 300, 600, 1800, 3600, 6 * 3600, 86_400)
    return next((step for step in steps if seconds / step <= BINS), 7 * 86_400)


def _queued(tiers: list[int]) -> dict[int, int]:
    """How many submissions wait for their answer, by tier; nothing is known while the store is away."""
    pipe = fast.store().pipeline(transaction=False)
    for tier in tiers:
        pipe.xlen(keys.orders(tier))
    try:
        return dict(zip(tiers, pipe.execute(), strict=True)) if tiers else {}
    except fast.FastStoreAway:
        return {}


@replica.looks
def _asked(sql: str, values: dict[str, Any]) -> list[Any]:
    with replica.connection().cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
