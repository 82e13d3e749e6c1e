"""Celery's shell around the coordinator: it reads the clock and calls one function."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from desk import coordinate


@shared_task
def coordinate_round(**_from_newer_senders: object) -> str:
    return str(coordinate.run(now=timezone.now()))
