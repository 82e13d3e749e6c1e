"""How the machinery does: lags, what is unknown and for how long, depths, workers, breakers, and the stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count

from basis import fast
from operations import presence, tasks
from payments import breaker
from payments.channels import registry
from payments.entry_models import ChannelSetting, ChannelTurn
from payments.models import Notification, Verdict
from risk import load
from risk.load_models import RouteGroup
from risk.room_models import Room
from risk.thresholds import Second

LAG_SPAN = timedelta(hours=1)
# Upper bounds of the ages that are told apart, in seconds; the last class is beyond them.
AGES_S = (60, 300, 1800)
ORDER_GRACE = timedelta(seconds=60)

LAGS = """
SELECT notification.channel, count(*),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
         ORDER BY greatest(0, extract(epoch FROM notification.received_at - payment.paid_at))),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
         ORDER BY greatest(0, extract(epoch FROM notification.applied_at - notification.received_at)))
  FROM payments_notification notification
  JOIN payments_payment payment ON payment.number = notification.payment_number
 WHERE notification.received_at >= %(since)s AND notification.facts ->> 'what' = 'Paid'
   AND payment.paid_at IS NOT NULL AND notification.applied_at IS NOT NULL
 GROUP BY 1 ORDER BY 1
"""

LIVE = """
SELECT channel, state, width_bucket(extract(epoch FROM %(now)s - created_at), %(ages)s::numeric[]), count(*)
  FROM payments_payment WHERE state IN ('created', 'pending', 'unknown') GROUP BY 1, 2, 3
"""

OUTBOX = """
SELECT kind, count(*), count(*) FILTER (WHERE due_at <= %(now)s AND coalesce(leased_until, '-infinity') <= %(now)s),
       count(*) FILTER (WHERE last_error <> ''), min(due_at) FILTER (WHERE due_at <= %(now)s)
  FROM payments_outboxmessage WHERE done_at IS NULL GROUP BY 1 ORDER BY 1
"""

STUCK = """
SELECT (SELECT count(*) FROM ticketing_order o WHERE o.state = 'paid'
           AND NOT EXISTS (SELECT 1 FROM ticketing_ticket ticket WHERE ticket.order_id = o.id)),
       (SELECT count(*) FROM ticketing_order WHERE state IN ('held', 'paying') AND hold_until < %(overdue)s),
       (SELECT count(*) FROM payments_refund WHERE state = 'refused')
"""

SESSIONS = """
SELECT count(*), count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE wait_event_type = 'Lock'),
       coalesce(max(extract(epoch FROM now() - xact_start)), 0)
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

LANES = """
SELECT tier.id, tier.code, show.code, lane.worker, lane.fence, lane.lease_until
  FROM ticketing_rushlane lane JOIN ticketing_pricetier tier ON tier.id = lane.tier_id
  JOIN ticketing_show show ON show.id = tier.show_id WHERE show.starts_at > %(now)s ORDER BY show.code, tier.rank
"""


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from the channel's success to its message, and from the message to its being applied: p50 and p95."""

    channel: str
    count: int
    came_s: tuple[float, float]
    applied_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Depth:
    """Undone outbox messages of one kind."""

    kind: str
    waiting: int
    due: int
    failing: int
    oldest_due: datetime | None


@dataclass(frozen=True, slots=True)
class Line:
    """One channel: its circuit, its bound if there is one, and how many payments wait for their call."""

    channel: str
    circuit: str
    setting: ChannelSetting | None
    waiting: int


@dataclass(frozen=True, slots=True)
class Lane:
    tier_id: int
    tier: str
    show: str
    worker: str
    fence: int
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Sessions:
    """Postgres as its other sessions show it."""

    all: int
    active: int
    waiting_for_locks: int
    longest_s: float


@dataclass(frozen=True, slots=True)
class Redis:
    """`answers_ms` is None while it is away."""

    answers_ms: float | None
    used_bytes: int = 0
    clients: int = 0


@dataclass(frozen=True, slots=True)
class HealthFacts:
    as_of: datetime
    lags: list[Lag]
    live: dict[tuple[str, str, int], int]  # payments by channel, state and class of age
    outbox: list[Depth]
    paid_without_ticket: int
    overdue_orders: int
    refused_refunds: int
    verdicts: dict[str, int]
    lines: list[Line]
    sessions: Sessions
    lanes: list[Lane]
    rooms: list[Room]
    redis: Redis
    beat_s: float | None
    workers: list[tuple[str, float]]
    web: int | None
    queued: dict[str, int]
    loads: dict[str, list[Second]]

    def unknown(self, age_class: int | None = None, state: str = "unknown") -> int:
        return sum(
            count
            for (_channel, of_state, of_class), count in self.live.items()
            if of_state == state and age_class in (None, of_class)
        )

    @property
    def workers_alive(self) -> int:
        return sum(since_s <= presence.WORKER_ALIVE_S for _name, since_s in self.workers)


def gather(*, now: datetime) -> HealthFacts:
    """Everything about health. Comes up, with gaps, when something is ill."""
    values: dict[str, Any] = {
        "now": now,
        "since": now - LAG_SPAN,
        "ages": list(AGES_S),
        "overdue": now - ORDER_GRACE,
    }
    ticketless, overdue, refused = _asked(STUCK, values)[0]
    verdicts = Notification.objects.filter(verdict__in=(Verdict.PARKED, Verdict.ACCEPTED)).values("verdict")
    return HealthFacts(
        as_of=now,
        lags=[
            Lag(channel, count, tuple(came), tuple(done))
            for channel, count, came, done in _asked(LAGS, values)
        ],
        live={(channel, state, age): count for channel, state, age, count in _asked(LIVE, values)},
        outbox=[Depth(*row) for row in _asked(OUTBOX, values)],
        paid_without_ticket=ticketless,
        overdue_orders=overdue,
        refused_refunds=refused,
        verdicts={row["verdict"]: row["n"] for row in verdicts.annotate(n=Count("pk"))},
        lines=_lines(),
        sessions=Sessions(*_asked(SESSIONS, {})[0]),
        lanes=[Lane(*row) for row in _asked(LANES, values)],
        rooms=list(Room.objects.exclude(state="closed")),
        redis=_redis(),
        beat_s=_or_none(lambda: _since(tasks.last_heartbeat(), now)),
        workers=presence.workers(now=now),
        web=presence.web_processes(now=now),
        queued=presence.queued(),
        loads={str(group): load.told(str(group)) for group in RouteGroup},
    )


def _lines() -> list[Line]:
    settings = {row.channel: row for row in ChannelSetting.objects.all()}
    turns = ChannelTurn.objects.filter(called_at=None, left_at=None).values("channel").annotate(n=Count("pk"))
    waiting = {row["channel"]: row["n"] for row in turns}
    return [
        Line(code, breaker.state(code), settings.get(code), waiting.get(code, 0))
        for code in registry.offered()
    ]


def _redis() -> Redis:
    try:
        store = fast.store()
        began = time.perf_counter()
        store.ping()
        answers_ms = (time.perf_counter() - began) * 1000
        told: Any = store.info()
        return Redis(answers_ms, int(told.get("used_memory", 0)), int(told.get("connected_clients", 0)))
    except fast.FastStoreAway:
        return Redis(None)


def _since(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max(0.0, (now - at).total_seconds())


def _or_none(ask: Callable[[], float | None]) -> float | None:
    try:
        return ask()
    except fast.FastStoreAway:
        return None


def _asked(sql: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
