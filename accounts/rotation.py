"""
A new key was put first in `DATA_KEYS`: seal everything again that is kept sealed, whichever app keeps it, so that the
old key can go.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.db import transaction
from django.db.models import Model

from basis.sealed import BlindIndexField, SealedTextField

BATCH = 500


def reseal_people(*, batch: int = BATCH) -> Iterator[int]:
    """
    Seal every row with the newest key, a batch per transaction; yields how many are done.

    It may be stopped and run again at any time. What is written meanwhile is sealed with the newest key anyway.
    """
    done = 0
    for model, fields in sealed_columns():
        last = 0
        while rows := _resealed(model, fields, after=last, batch=batch):
            done, last = done + len(rows), rows[-1].pk
            yield done


def sealed_columns() -> list[tuple[type[Model], list[str]]]:
    """Each model that keeps something sealed: the names of its sealed fields, and of the indexes they are found by."""
    found = []
    for model in apps.get_models():
        names = [
            one.name
            for one in model._meta.concrete_fields
            if isinstance(one, SealedTextField | BlindIndexField)
        ]
        if names:
            found.append((model, names))
    return found


def _resealed(model: type[Model], fields: list[str], *, after: int, batch: int) -> list[Model]:
    with transaction.atomic():
        locked = model._default_manager.select_for_update(no_key=True, of=("self",))
        rows = list(locked.filter(pk__gt=after).order_by("pk")[:batch])
        for row in rows:
            row.save(update_fields=fields)
    return rows
