"""
Ask the channel what it knows about a case's payment, and change nothing. The answer goes into the trail, from where
the case's page shows it: what a person saw when he decided stays to be read.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any

from desk import facts, trail
from desk.models import Case, TrailEntry
from desk.resolve import may
from desk.trail import Person
from desk.ways import query_payment

ASKED = "asked_channel"


def ask(case: Case, *, by: Person, now: datetime) -> TrailEntry:
    """
    One question to the channel, outside any transaction.

    :raises desk.acts.CannotBeDone: the case has no payment at a channel
    :raises desk.resolve.NotAllowed: see there
    """
    may(by, f"resolve_{case.queue}")
    answer = query_payment(case, facts.of(case))
    told: dict[str, Any] = asdict(answer) if is_dataclass(answer) else {}
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()
    }
    return trail.write(
        ASKED,
        by=by,
        now=now,
        case=case,
        subject=case.payment_number,
        facts={"what": type(answer).__name__, **plain},
    )


def last_answer(case: Case) -> TrailEntry | None:
    """What the channel said when somebody asked last."""
    asked = TrailEntry.objects.filter(case=case, action=ASKED, subject=case.payment_number)
    return asked.order_by("-pk").first()
