"""The heartbeat of beat and workers: beat sends it, a worker writes down when, `manage.py doctor` reads it."""

from __future__ import annotations

from datetime import datetime, timedelta

from celery import shared_task
from django.utils import timezone

from basis import fast
from operations import presence  # noqa: F401 - every worker says that it is alive

HEARTBEAT_KEY = "operations:heartbeat"
KEPT = timedelta(days=7)


@shared_task
def heartbeat(**_from_newer_senders: object) -> None:
    try:
        fast.store().set(HEARTBEAT_KEY, timezone.now().isoformat(), ex=KEPT)
    except fast.FastStoreAway:
        return  # the doctor sees for itself that it is away


def last_heartbeat() -> datetime | None:
    """
    When a worker last did what beat asked for; None if not within `KEPT`.

    :raises basis.fast.FastStoreAway: see there
    """
    told = fast.store().get(HEARTBEAT_KEY)
    return datetime.fromisoformat(str(told)) if told else None
