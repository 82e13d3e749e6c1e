"""Celery's shells around risk: they read the clock and call one function."""

from __future__ import annotations

from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from risk import estimating, records

BATCHES_A_TASK = 20


@shared_task
def move_judgements(**_from_newer_senders: object) -> int:
    """From the fast store to where staff read them."""
    moved = 0
    for _ in range(BATCHES_A_TASK):
        done = records.drain()
        moved += done
        if done < records.BATCH:
            break
    return moved


@shared_task
def estimate_thresholds(**_from_newer_senders: object) -> int:
    now = timezone.now()
    found = estimating.from_windows(now=now)
    if settings.ACCESS_LOG:
        found += estimating.from_access_log(Path(settings.ACCESS_LOG), now=now)
    return found


@shared_task
def forget_old_judgements(**_from_newer_senders: object) -> int:
    now = timezone.now()
    return records.forget(now=now) + estimating.forget(now=now)
