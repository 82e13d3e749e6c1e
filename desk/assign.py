"""Who owns a case: given, taken, put back; and notes for colleagues. The trail says who did it and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from accounts.models import User
from desk import trail
from desk.models import ACTIVE_STATES, Case, TrailEntry
from desk.resolve import may
from desk.trail import Person

ASSIGN = "assign_case"


def give(case_ids: Iterable[int], *, owner: User | None, by: Person, now: datetime, reason: str = "") -> int:
    """
    Give cases that are not closed to `owner`, or to nobody; answer how many changed hands.

    :raises desk.resolve.NotAllowed: see there
    """
    may(by, ASSIGN)
    with transaction.atomic():
        found = Case.objects.select_for_update(no_key=True).filter(
            pk__in=list(case_ids), state__in=ACTIVE_STATES
        )
        owner_id = owner.pk if owner else None
        cases = [case for case in found.order_by("pk") if case.owner_id != owner_id]
        Case.objects.filter(pk__in=[case.pk for case in cases]).update(owner=owner)
        given = {case: {"owner": owner.handle if owner else "", "was": case.owner_id} for case in cases}
        trail.write_many("assigned", given, by=by, now=now, reason=reason)
    return len(cases)


def note(case: Case, text: str, *, by: Person, now: datetime) -> TrailEntry:
    """
    Say something to colleagues about a case.

    :raises desk.resolve.NotAllowed: see there
    """
    may(by, ASSIGN)
    return trail.write("noted", by=by, now=now, case=case, reason=text)
