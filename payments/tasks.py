"""Celery's shells around payments: they read the clock and call one function."""

from __future__ import annotations

import contextlib

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from basis import fast, idempotency
from payments import money, outbox
from wallet import topups

BATCH = 50
BATCHES_A_TASK = 20


def nudge(lane: str) -> None:
    """Wake a drainer, once for any number of messages that become due before it starts."""
    try:
        first = fast.store().set(_nudged(lane), 1, nx=True, px=1000)
    except fast.FastStoreAway:
        return  # the broker is away with it; the beat's next tick drains
    if first:
        task = drain_notifications if lane == outbox.NOTIFY else drain_outbox
        task.apply_async(expires=30, retry=False)


@shared_task
def drain_notifications(**_from_newer_senders: object) -> int:
    return _drain(outbox.NOTIFY)


@shared_task
def drain_outbox(**_from_newer_senders: object) -> int:
    return _drain(outbox.COMPENSATE)


def _drain(lane: str) -> int:
    """Handle due messages until none is left or the task's share is done."""
    with contextlib.suppress(fast.FastStoreAway):
        # Before the first look: a message committed after it nudges again.
        fast.store().delete(_nudged(lane))
    handled = 0
    for _ in range(BATCHES_A_TASK):
        done = outbox.drain(clock=timezone.now, lane=lane, limit=BATCH)
        handled += done
        if done < BATCH:
            return handled
    nudge(lane)
    return handled


def _nudged(lane: str) -> str:
    return f"outbox:nudged:{lane}"


@shared_task
def fold_hot_accounts(**_from_newer_senders: object) -> int:
    return money.fold(now=timezone.now())


@shared_task
def close_overdue_topups(**_from_newer_senders: object) -> int:
    return topups.close_overdue(now=timezone.now())


@shared_task
def forget_done_messages(**_from_newer_senders: object) -> int:
    return outbox.forget_done(older_than=settings.OUTBOX_KEEP, now=timezone.now())


@shared_task
def forget_old_keys(**_from_newer_senders: object) -> int:
    now = timezone.now()
    return idempotency.forget(older_than=settings.IDEMPOTENCY_KEEP, now=now)
