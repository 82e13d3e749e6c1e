"""
Work that outlives a crash: a message is committed with the change that needs it, and drained until it is done.

`put` is called inside the caller's transaction. `drain` claims due messages with a lease (SKIP LOCKED, so drainers do
not wait for each other), runs each handler outside any transaction, and ends or re-schedules the message. A drainer
that dies leaves a lease that runs out; handlers therefore do their work idempotently.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from payments.models import OutboxMessage

log = logging.getLogger(__name__)

# A handler does the work and answers when to do it again; None means done.
Handler = Callable[..., "datetime | None"]
_handlers: dict[str, Handler] = {}
_nudges: list[Callable[[str], None]] = []

# Notifications have drainers of their own, so that a slow channel never delays what another one told us.
# Statements have theirs, because fetching and loading one takes minutes.
NOTIFY, COMPENSATE, STATEMENTS = "notify", "compensate", "statements"
LANES = {"notify.": NOTIFY, "statement.": STATEMENTS}
STATEMENT_LEASE = timedelta(minutes=30)

RETRY_S = (1, 2, 5, 10, 30, 60, 300, 900)


class TryAgain(Exception):
    """
    The work did not succeed, for a reason that staff read, and says when it is to be tried again. With `at` None it is
    not: the message ends, and keeps the reason.
    """

    def __init__(self, reason: str, *, at: datetime | None) -> None:
        super().__init__(reason)
        self.at = at


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Register a handler: `handler(payload, *, attempt, now) -> datetime | None`."""

    def register(handler: Handler) -> Handler:
        _handlers[kind] = handler
        return handler

    return register


def lane_of(kind: str) -> str:
    return next((lane for begin, lane in LANES.items() if kind.startswith(begin)), COMPENSATE)


def _of_lane(lane: str) -> Q:
    own = Q(*(Q(kind__startswith=begin) for begin in LANES), _connector=Q.OR)
    return (
        ~own if lane == COMPENSATE else Q(kind__startswith=next(b for b, of in LANES.items() if of == lane))
    )


def on_nudge(wake: Callable[[str], None]) -> None:
    """Register what wakes a drainer of a lane at once; the beat drains anyway."""
    _nudges.append(wake)


def put(kind: str, *, key: str, payload: dict[str, Any], due_at: datetime, now: datetime) -> None:
    """Commit a message with the caller's change. A message that exists is made due at once if `due_at` is sooner."""
    put_all([(kind, key, payload)], due_at=due_at, now=now)


def put_all(messages: Iterable[tuple[str, str, dict[str, Any]]], *, due_at: datetime, now: datetime) -> None:
    """Commit many messages, all due at `due_at`, in one statement."""
    rows = [
        OutboxMessage(kind=kind, key=key, payload=payload, due_at=due_at, created_at=now)
        for kind, key, payload in messages
    ]
    if not rows:
        return
    OutboxMessage.objects.bulk_create(rows, ignore_conflicts=True)
    if due_at <= now:
        _nudge_on_commit(row.kind for row in rows)


def hasten(keys: Iterable[str], *, now: datetime) -> None:
    """Make messages due now, also those that were done: something changed and the work must be looked at again."""
    keys = list(keys)
    OutboxMessage.objects.filter(key__in=keys).update(due_at=now, done_at=None, attempts=0, leased_until=None)
    _nudge_on_commit(key.replace(":", ".", 1) for key in keys)  # keys begin as their kinds do


def _nudge_on_commit(kinds: Iterable[str]) -> None:
    for lane in {lane_of(kind) for kind in kinds}:
        transaction.on_commit(partial(nudge, lane), robust=True)


def nudge(lane: str) -> None:
    """Wake a drainer now. Losing this costs time only."""
    for wake in _nudges:
        try:
            wake(lane)
        except Exception:
            # The beat drains anyway; a broker that is away must not fail the request that committed the message.
            log.warning("outbox.nudge_failed", exc_info=True)


def drain(*, clock: Callable[[], datetime], lane: str, limit: int = 50) -> int:
    """Claim up to `limit` due messages of a lane and handle them; answer how many were handled."""
    rows = _claim(now=clock(), lane=lane, limit=limit)
    for row in rows:
        _handle(row, clock)
    return len(rows)


def forget_done(*, older_than: timedelta, now: datetime, batch: int = 5000) -> int:
    """Delete messages that were done long ago, in batches that each commit; answer how many."""
    gone = 0
    while True:
        done = OutboxMessage.objects.filter(done_at__lt=now - older_than).order_by("pk")
        deleted, _ = OutboxMessage.objects.filter(
            pk__in=list(done.values_list("pk", flat=True)[:batch])
        ).delete()
        gone += deleted
        if deleted < batch:
            return gone


def _claim(*, now: datetime, lane: str, limit: int) -> list[OutboxMessage]:
    with transaction.atomic():
        rows = list(
            OutboxMessage.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(
                _of_lane(lane), Q(leased_until=None) | Q(leased_until__lte=now), done_at=None, due_at__lte=now
            )
            .order_by("due_at", "id")[:limit]
        )
        lease = now + (STATEMENT_LEASE if lane == STATEMENTS else settings.OUTBOX_LEASE)
        OutboxMessage.objects.filter(pk__in=[row.pk for row in rows]).update(
            leased_until=lease, attempts=F("attempts") + 1
        )
        for row in rows:
            row.leased_until = lease
    return rows


def _handle(row: OutboxMessage, clock: Callable[[], datetime]) -> None:
    if clock() >= (row.leased_until or clock()):
        return  # The batch took longer than the lease: this message belongs to another drainer by now.
    error = ""
    try:
        again = _handlers[row.kind](row.payload, attempt=row.attempts, now=clock())
    except TryAgain as told:
        log.warning("outbox.not_yet", extra={"key": row.key, "kind": row.kind, "reason": str(told)})
        error, again = _said(told), told.at
    except Exception as raised:
        log.exception("outbox.handler_failed", extra={"key": row.key, "kind": row.kind})
        error = _said(raised)
        again = clock() + timedelta(seconds=RETRY_S[min(row.attempts, len(RETRY_S) - 1)])
    mine = OutboxMessage.objects.filter(pk=row.pk, leased_until=row.leased_until)
    if again is None:
        mine.update(done_at=clock(), leased_until=None, last_error=error)
    else:
        mine.update(due_at=again, leased_until=None, last_error=error)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
