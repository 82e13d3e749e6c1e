"""
The boards' figures for Prometheus, at `/metrics`. They are counted when asked for, from Postgres and the fast store, so
every process gives the same answer and nothing is lost when one ends; and for all who ask in a moment once
(`sharing`): `kaipiao_metrics_age_seconds` says how long ago.

Who asks names the token of `METRICS_TOKEN`, or is signed in as staff who may see the health board.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from desk import inbox
from operations.boards import finance_facts, health_facts
from operations.boards.finance import bounds
from operations.boards.health_facts import AGES_S, HealthFacts
from operations.boards.sharing import shared
from payments import breaker
from risk import pacing, refusals
from risk.room_models import Room
from ticketing.models import Show

RIGHT = "payments.view_outboxmessage"
RECENT = timedelta(minutes=5)
SHOWN_AFTER = timedelta(days=1)  # a show's figures end this long after it began
LOAD_S = 10
CIRCUITS = {breaker.CLOSED: 0.0, breaker.HALF_OPEN: 0.5, breaker.OPEN: 1.0}

SEATS = """
SELECT show.code, tier.code, seat.state, count(*) FROM ticketing_show show
  JOIN ticketing_seat seat ON seat.show_id = show.id JOIN ticketing_pricetier tier ON tier.id = seat.tier_id
 WHERE show.starts_at > %(since)s GROUP BY 1, 2, 3
"""

ORDERS = """
SELECT show.code, tier.code, o.state, count(*) FROM ticketing_show show
  JOIN ticketing_order o ON o.show_id = show.id JOIN ticketing_pricetier tier ON tier.id = o.tier_id
 WHERE show.starts_at > %(since)s GROUP BY 1, 2, 3
"""

TICKETS = """
SELECT show.code, ticket.state, count(*) FROM ticketing_show show
  JOIN ticketing_ticket ticket ON ticket.show_id = show.id WHERE show.starts_at > %(since)s GROUP BY 1, 2
"""

# By their first events: histories are found by time for nothing, and no payment needs an index for it.
RECENT_PAYMENTS = """
SELECT payment.channel, payment.state, count(*) FROM payments_paymentevent event
  JOIN payments_payment payment ON payment.id = event.payment_id
 WHERE event.at > %(recent)s AND event.from_state = '' GROUP BY 1, 2
"""

FINDINGS = "SELECT rule, count(*) FROM risk_riskfinding WHERE state = 'open' GROUP BY 1"

SEAT_STATES = {"F": "free", "H": "held", "S": "sold", "B": "blocked"}


def metrics(request: HttpRequest) -> HttpResponse:
    """Everything, in Prometheus' text format."""
    if not _may_look(request):
        return HttpResponse(
            "Send the metrics token, or sign in as staff.\n", status=403, content_type="text/plain"
        )
    now = timezone.now()
    as_of, text = shared("metrics", lambda: (now, _written(Figures(now))))
    response = HttpResponse(text + _written(Age(as_of, now)), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    response.headers["Cache-Control"] = "no-store"
    return response


def _written(collector: Collector) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)


def _may_look(request: HttpRequest) -> bool:
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    if settings.METRICS_TOKEN and hmac.compare_digest(shown, settings.METRICS_TOKEN.encode()):
        return True
    user = getattr(request, "user", None)
    return bool(user is not None and user.is_active and user.is_staff and user.has_perm(RIGHT))


class Age(Collector):
    """How long ago the others were counted."""

    def __init__(self, as_of: datetime, now: datetime) -> None:
        self.seconds = max(0.0, (now - as_of).total_seconds())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _gauge("metrics_age_seconds", "How long ago all of these were counted", (), [(self.seconds,)])


class Figures(Collector):
    """Counts when it is asked, as of one moment."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        health = health_facts.gather(now=self.now)
        yield from _sale(self.now)
        yield from _payments(health, self.now)
        yield from _messages(health)
        yield from _machinery(health)
        yield from _stores(health)
        yield from _money(self.now)
        yield from _desk(self.now)


def _gauge(
    name: str, about: str, labels: Iterable[str], rows: Iterable[tuple[Any, ...]]
) -> GaugeMetricFamily:
    """A metric with one sample a row: its labels, then its value."""
    family = GaugeMetricFamily(f"kaipiao_{name}", about, labels=list(labels))
    for *values, number in rows:
        family.add_metric([str(value) for value in values], float(number))
    return family


def _sale(now: datetime) -> Iterator[GaugeMetricFamily]:
    values = {"since": now - SHOWN_AFTER}
    by_tier = ("show", "tier", "state")
    seats = ((show, tier, SEAT_STATES[state], n) for show, tier, state, n in _asked(SEATS, values))
    yield _gauge("seats", "Seats by price tier and state", by_tier, seats)
    yield _gauge("orders", "Orders by price tier and state", by_tier, _asked(ORDERS, values))
    yield _gauge("tickets", "Tickets by state", ("show", "state"), _asked(TICKETS, values))
    shows = Show.objects.filter(starts_at__gt=values["since"]).values_list("code", flat=True)
    refused = ((show, code, n) for show in shows for code, n in refusals.told(show, hours=0, now=now).items())
    yield _gauge(
        "refusals_this_hour", "Refused orders since the hour began, by reason", ("show", "code"), refused
    )
    rooms = [(room, pacing.counters(room)) for room in Room.objects.exclude(state="closed")]
    known = [(room.show, seen) for room, seen in rooms if seen]
    is_open = ((room.show, float(room.state in pacing.GOING)) for room, _seen in rooms)
    yield _gauge("queue_open", "Whether the waiting room lets buyers in", ("show",), is_open)
    about = {
        "waiting": "Buyers in the waiting room",
        "serving": "Buyers let in so far",
        "claims": "Buyers who came so far",
        "pace_per_minute": "Buyers let in a minute",
    }
    for name, text in about.items():
        yield _gauge(f"queue_{name}", text, ("show",), ((show, seen[name]) for show, seen in known))


def _payments(health: HealthFacts, now: datetime) -> Iterator[GaugeMetricFamily]:
    recent = _asked(RECENT_PAYMENTS, {"recent": now - RECENT})
    about = "Payments begun in the last five minutes, by state"
    yield _gauge("payments_recent", about, ("channel", "state"), recent)
    classes = ("0", *(str(bound) for bound in AGES_S))
    live = ((channel, state, classes[age], n) for (channel, state, age), n in health.live.items())
    about = "Payments without an end, by state and by the age in seconds that they have reached"
    yield _gauge("payments_open", about, ("channel", "state", "older_than"), live)
    lags = [
        (lag.channel, quantile, came, done)
        for lag in health.lags
        for quantile, came, done in zip(("0.5", "0.95"), lag.came_s, lag.applied_s, strict=True)
    ]
    labels = ("channel", "quantile")
    about = "From the channel's success to its message, last hour"
    yield _gauge("callback_lag_seconds", about, labels, ((c, q, came) for c, q, came, _done in lags))
    about = "From a channel's message to its being applied, last hour"
    yield _gauge("callback_apply_seconds", about, labels, ((c, q, done) for c, q, _came, done in lags))
    yield _gauge("orders_paid_without_ticket", "Must be 0", (), [(health.paid_without_ticket,)])
    yield _gauge(
        "holds_overdue", "Unpaid orders more than a minute past their end", (), [(health.overdue_orders,)]
    )
    yield _gauge("refunds_refused", "Refunds that a channel refused", (), [(health.refused_refunds,)])


def _messages(health: HealthFacts) -> Iterator[GaugeMetricFamily]:
    depths = [
        (depth.kind, state, getattr(depth, state))
        for depth in health.outbox
        for state in ("waiting", "due", "failing")
    ]
    yield _gauge("outbox_messages", "Undone outbox messages", ("kind", "state"), depths)
    oldest = [
        (depth.kind, max(0.0, (health.as_of - depth.oldest_due).total_seconds()))
        for depth in health.outbox
        if depth.oldest_due
    ]
    yield _gauge("outbox_oldest_due_seconds", "How long the oldest due message has waited", ("kind",), oldest)
    verdicts = ((verdict, n) for verdict, n in health.verdicts.items())
    yield _gauge("notifications", "Notifications that rest: parked, accepted", ("verdict",), verdicts)
    yield _gauge("queue_tasks", "Tasks in the broker's queues", ("queue",), health.queued.items())


def _machinery(health: HealthFacts) -> Iterator[GaugeMetricFamily]:
    lines = health.lines
    circuits = ((line.channel, CIRCUITS[line.circuit]) for line in lines)
    yield _gauge("breaker_open", "1 open, 0.5 half open, 0 closed", ("channel",), circuits)
    turns = ((line.channel, line.waiting) for line in lines)
    yield _gauge("channel_waiting", "Payments that wait for their call to the channel", ("channel",), turns)
    if health.beat_s is not None:
        yield _gauge("beat_age_seconds", "Since beat's last sign of life", (), [(health.beat_s,)])
    yield _gauge("workers_alive", "Workers that spoke lately", (), [(health.workers_alive,)])
    if health.web is not None:
        yield _gauge("web_processes", "Web processes that served a request lately", (), [(health.web,)])
    lanes = ((lane.show, lane.tier, float(lane.lease_until > health.as_of)) for lane in health.lanes)
    yield _gauge("drainer_alive", "Whether a price tier has a drainer", ("show", "tier"), lanes)
    loads = []
    for group, told in health.loads.items():
        recent = [one for one in told if one.second > health.as_of.timestamp() - LOAD_S - 1]
        requests = sum(one.requests for one in recent)
        busy_s = sum(one.busy_s for one in recent)
        loads.append((group, requests / LOAD_S, busy_s / requests if requests else 0.0))
    about = "Requests a second over the last ten, by route group"
    yield _gauge("requests_per_second", about, ("group",), ((group, rate) for group, rate, _mean in loads))
    about = "Mean time of a request over the last ten seconds, by route group"
    yield _gauge("request_seconds", about, ("group",), ((group, mean) for group, _rate, mean in loads))


def _stores(health: HealthFacts) -> Iterator[GaugeMetricFamily]:
    redis, sessions = health.redis, health.sessions
    yield _gauge("redis_up", "Whether the fast store answers", (), [(float(redis.answers_ms is not None),)])
    yield _gauge("redis_memory_bytes", "Memory that the fast store uses", (), [(redis.used_bytes,)])
    rows = (
        ("all", sessions.all),
        ("active", sessions.active),
        ("waiting_for_locks", sessions.waiting_for_locks),
    )
    yield _gauge("postgres_sessions", "Sessions of this database", ("state",), rows)
    about = "Age of the oldest transaction"
    yield _gauge("postgres_longest_transaction_seconds", about, (), [(sessions.longest_s,)])


def _money(now: datetime) -> Iterator[GaugeMetricFamily]:
    since, until = bounds("today", now)
    facts = finance_facts.standing(since=since, until=until)
    labels = ("channel", "currency")
    took = ((*pair, one.minor) for pair, one in facts.took.items())
    yield _gauge("taken_today_minor", "Money taken since midnight", labels, took)
    back = ((*pair, one.minor) for pair, one in facts.refunded.items())
    yield _gauge("refunded_today_minor", "Money refunded since midnight", labels, back)
    owed = ((*pair, facts.unsettled(*pair)) for pair in facts.pairs)
    yield _gauge("unsettled_minor", "What a channel owes us", labels, owed)
    of_state = (*labels, "state")
    waiting = [(one.channel, one.currency, one.state, one) for one in facts.returning]
    yield _gauge(
        "refunds_open", "Refunds that are not done", of_state, ((*key, one.count) for *key, one in waiting)
    )
    oldest = ((*key, (now - one.oldest).total_seconds()) for *key, one in waiting)
    yield _gauge("refunds_oldest_seconds", "Age of the oldest refund that is not done", of_state, oldest)
    differences = ((one.channel, one.klass, one.count) for one in facts.differences)
    yield _gauge(
        "discrepancies_open", "Open differences with the statements", ("channel", "class"), differences
    )
    at_stake = ((one.channel, one.klass, one.minor) for one in facts.differences)
    yield _gauge("discrepancies_open_minor", "Money that they are about", ("channel", "class"), at_stake)


def _desk(now: datetime) -> Iterator[GaugeMetricFamily]:
    waiting = inbox.summary(now=now)
    yield _gauge("cases_open", "Cases that wait for somebody", ("type",), waiting.kinds.items())
    yield _gauge("cases_late", "Cases past their age limit", (), [(waiting.late,)])
    oldest_s = (now - waiting.oldest).total_seconds() if waiting.oldest else 0.0
    yield _gauge("case_oldest_seconds", "Age of the oldest cause of a waiting case", (), [(oldest_s,)])
    at_risk = waiting.at_risk.items()
    yield _gauge("cases_at_risk_minor", "Money that waiting cases are about", ("currency",), at_risk)
    findings = _asked(FINDINGS, {})
    yield _gauge("merchant_findings", "Findings about merchants that nobody has marked", ("rule",), findings)


def _asked(sql: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
