"""Celery's shells around ticketing: they read the clock and call one function."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from ticketing import expiry, settling, trading

BATCH = 500
BATCHES_A_TASK = 20


@shared_task
def expire_orders(**_from_newer_senders: object) -> int:
    """End the orders whose hold is over, in batches that each commit."""
    ended = 0
    for _ in range(BATCHES_A_TASK):
        done = expiry.expire_due(now=timezone.now(), limit=BATCH)
        ended += done
        if done < BATCH:
            break
    return ended


@shared_task
def judge_todays_trading(**_from_newer_senders: object) -> int:
    """What organisers have done so far today; how many findings there are."""
    now = timezone.now()
    return sum(len(one.found) for one in trading.judge_day(timezone.localtime(now).date(), now=now))


@shared_task
def judge_yesterdays_trading(**_from_newer_senders: object) -> int:
    """The nightly round: yesterday in whole, and new bars."""
    return sum(len(one.found) for one in trading.judge_night(now=timezone.now()))


@shared_task
def settle_with_organisers(**_from_newer_senders: object) -> int:
    """Pay out what shows took, and take back what was refunded since; how many settlements moved."""
    done = settling.settle_due(now=timezone.now())
    return done.paid_out + done.came_back
