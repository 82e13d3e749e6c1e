"""Celery's shells around payments: they read the clock and call one function."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from basis import fast, idempotency
from payments import entry, entry_calls, money, outbox
from payments.reconcile import due
from payments.reconcile import run as reconciliation
from payments.statements import fetch
from wallet import topups

BATCH = 50
BATCHES_A_TASK = 20
CALLING_S = 20
STATEMENTS_S = 1500
STATEMENTS_A_TASK = 10


def nudge(lane: str) -> None:
    """Wake a drainer, once for any number of messages that become due before it starts."""
    try:
        first = fast.store().set(_nudged(lane), 1, nx=True, px=1000)
    except fast.FastStoreAway:
        return  # the broker is away with it; the beat's next tick drains
    if first:
        task = {outbox.NOTIFY: drain_notifications, outbox.STATEMENTS: fetch_statements}.get(
            lane, drain_outbox
        )
        task.apply_async(expires=30, retry=False)


@shared_task
def drain_notifications(**_from_newer_senders: object) -> int:
    return _drain(outbox.NOTIFY)


@shared_task
def drain_outbox(**_from_newer_senders: object) -> int:
    return _drain(outbox.COMPENSATE)


@shared_task(soft_time_limit=STATEMENTS_S, time_limit=STATEMENTS_S + 60)
def fetch_statements(**_from_newer_senders: object) -> int:
    """Plan the statements that are not here yet, and fetch those whose time has come, one after the other."""
    fetch.plan(now=timezone.now())
    handled = 0
    while outbox.drain(clock=timezone.now, lane=outbox.STATEMENTS, limit=1):
        handled += 1
    return handled


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


@shared_task
def call_channels(**_from_newer_senders: object) -> int:
    """Work the queues in front of bounded channels off; one task at a time for each, while the store says so."""
    made = 0
    entry.take_back_lost(now=timezone.now())
    for channel in entry_calls.waiting_channels():
        try:
            mine = fast.store().set(_calling(channel), 1, nx=True, ex=CALLING_S + 5)
        except fast.FastStoreAway:
            mine = True  # turns are taken one by one in Postgres; two tasks at once are only faster
        if not mine:
            continue
        try:
            until = timezone.now() + timedelta(seconds=CALLING_S)
            made += entry_calls.run(channel, clock=timezone.now, sleep=time.sleep, until=until)
        finally:
            with contextlib.suppress(fast.FastStoreAway):
                fast.store().delete(_calling(channel))
    return made


def _calling(channel: str) -> str:
    return f"entry:calling:{channel}"


@shared_task(time_limit=3600, soft_time_limit=3500)
def reconcile_what_is_due(**_from_newer_senders: object) -> int:
    """Compare the statements that wait, then look at what is still unsettled; how many statements were compared."""
    done = 0
    waiting = due.due(limit=STATEMENTS_A_TASK)
    failed: list[Exception] = []
    for channel, day in waiting:
        try:
            reconciliation.reconcile(channel=channel, day=day, now=timezone.now())
            done += 1
        except reconciliation.Busy:
            continue
        except Exception as error:  # one day's trouble must not keep the others waiting; it is told below
            failed.append(error)
    for channel in set(due.unsettled_channels()) - {channel for channel, _ in waiting}:
        with contextlib.suppress(reconciliation.Busy):
            reconciliation.look_again(channel=channel, day=timezone.localdate(), now=timezone.now())
    if failed:
        raise failed[0]
    return done
