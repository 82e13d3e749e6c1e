"""Celery's shell around the coordinator and the inbox's sums: it reads the clock and calls one function."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from desk import coordinate, inbox


@shared_task
def coordinate_round(**_from_newer_senders: object) -> str:
    return str(coordinate.run(now=timezone.now()))


@shared_task
def sum_inbox(**_from_newer_senders: object) -> None:
    inbox.refresh_summary(now=timezone.now())
