"""A person settles a discrepancy: it is explained, or was set right by other means. Final; the facts stay."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments.reconcile_models import UNSETTLED, Discrepancy, DiscrepancyState


class AlreadySettled(Exception):
    """Somebody settled it before, or it settled by itself; nothing was changed."""


def settle(
    *, discrepancy_id: int, state: DiscrepancyState, resolution: str, reason: str, by: str, now: datetime
) -> Discrepancy:
    """
    Settle an unsettled discrepancy for good. `state` is resolved (it was set right) or explained (it may stay);
    `resolution` is a short code of what was done, `reason` what a person has to say. The caller records who allowed it.

    :raises AlreadySettled: see there
    :raises ValueError: state, resolution, reason or author is missing
    """
    if state in UNSETTLED or not (resolution and reason.strip() and by):
        raise ValueError("say what was done, why, and who says so")
    with transaction.atomic():
        rows = Discrepancy.objects.filter(pk=discrepancy_id, state__in=UNSETTLED).update(
            state=state,
            resolution=resolution,
            reason=reason.strip()[:500],
            resolved_by=by,
            resolved_at=now,
        )
        if rows != 1:
            raise AlreadySettled(str(discrepancy_id))
        return Discrepancy.objects.get(pk=discrepancy_id)
