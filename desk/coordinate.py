"""
The coordinator (M16): finds what rests too long in a state that needs an action, drives it, and opens a case where it
may not decide alone. It owns no way of its own to change anything: it calls the steps that the product's workers call,
and the resolutions that the staff have. Killing it at any line loses nothing; it runs again.

    1. what a beat should have ended long ago is ended (orders, top-ups);
    2. what has no next step gets one (payments, refunds, withdrawals, notifications);
    3. detectors open cases, and close those whose cause is gone;
    4. cases whose suggested resolution it may take alone are resolved by it, once every `AGAIN_AFTER`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import Q

from desk import detect, repair, resolve, trail, types
from desk.models import Case, CaseState
from desk.trail import Person
from payments import outbox
from payments.models import LIVE_STATES, Notification, OutboxMessage, Payment, Refund, RefundState, Verdict
from payments.withdrawal_models import Withdrawal, WithdrawalState
from ticketing import cancel_work, expiry
from wallet import topups

log = logging.getLogger(__name__)

RESTS = timedelta(minutes=2)
"""What a beat or a worker has not touched for so long is the coordinator's."""
AGAIN_AFTER = timedelta(minutes=10)
LIMIT = 200
ASKED_A_ROUND = 10
"""Each may wait for a channel's time-out."""

Thing = TypeVar("Thing", Payment, Refund, Withdrawal)
DRIVEN = [str(WithdrawalState.READY), str(WithdrawalState.SENT)]


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did."""

    ended: int
    driven: int
    opened: int
    closed: int
    resolved: int


def run(*, now: datetime) -> Round:
    """One round. Repeatable; several at once share the work."""
    ended = end_overdue(now=now)
    driven = drive_forgotten(now=now)
    found = detect.run(now=now, in_turn=True)
    resolved = resolve_alone(now=now)
    done = Round(ended, driven, len(found.opened), len(found.closed), resolved)
    log.info("desk.round", extra={"did": str(done)})
    return done


def end_overdue(*, now: datetime) -> int:
    """Orders and top-ups whose time was over `RESTS` ago: their own beat should have ended them."""
    return expiry.expire_due(now=now - RESTS) + topups.close_overdue(now=now - RESTS)


def drive_forgotten(*, now: datetime) -> int:
    """Give a next step to everything that needs one and has none; answer how many."""
    count = 0
    for payment in _without_message(Payment, "chase:", "state = ANY(%s)", [str(s) for s in LIVE_STATES]):
        repair.drive_payment(payment, now=now)
        count += _noted("driven", payment.number, now)
    for refund in _without_message(Refund, "refund:", "state <> ALL(%s)", [str(RefundState.SUCCEEDED)]):
        repair.drive_refund(refund, now=now)
        count += _noted("driven", refund.number, now)
    for row in _unapplied():
        key, payload = f"notify:{row.pk}", {"notification": row.pk}
        outbox.put("notify.apply", key=key, payload=payload, due_at=now, now=now)
        outbox.hasten([key], now=now)
        count += _noted("driven", f"notification {row.pk}", now)
    for withdrawal in _without_message(Withdrawal, "withdraw:", "state = ANY(%s)", DRIVEN):
        repair.drive_withdrawal(withdrawal, now=now)
        count += _noted("driven", withdrawal.number, now)
    return count + cancel_work.look_again(now=now)


def _without_message(model: type[Thing], prefix: str, where: str, states: list[str]) -> list[Thing]:
    """Rows of payments, refunds or withdrawals that are not final and that no message of the outbox drives."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.id FROM {table} t WHERE t.{where} AND NOT EXISTS (SELECT 1 FROM payments_outboxmessage m"
            f" WHERE m.key = '{prefix}' || t.number AND m.done_at IS NULL) ORDER BY t.id LIMIT {LIMIT}",
            [states],
        )
        keys = [row[0] for row in cursor.fetchall()]
    return list(model._default_manager.filter(pk__in=keys).order_by("pk"))


def _unapplied() -> list[Notification]:
    rows = list(Notification.objects.filter(verdict=Verdict.ACCEPTED).order_by("pk")[:LIMIT])
    keys = [f"notify:{row.pk}" for row in rows]
    driven = set(OutboxMessage.objects.filter(key__in=keys, done_at=None).values_list("key", flat=True))
    return [row for row in rows if f"notify:{row.pk}" not in driven]


def _noted(action: str, subject: str, now: datetime) -> int:
    with transaction.atomic():
        trail.write(action, by=Person(None), now=now, subject=subject, reason="no next step")
    return 1


def resolve_alone(*, now: datetime) -> int:
    """Take suggested resolutions that need no person; a case that did not go by it is tried again after a while."""
    kinds = [one.code for one in types.TYPES.values() if one.ways and one.ways[0].alone]
    due = Q(watch_until=None) | Q(watch_until__lte=now)
    cases = Case.objects.filter(due, state=CaseState.OPEN, kind__in=kinds)
    numbers = list(cases.order_by("-weight", "pk").values_list("number", flat=True)[:ASKED_A_ROUND])
    done = 0
    for number in numbers:
        # First, so that a channel that does not answer keeps one case of a round waiting, not every round.
        Case.objects.filter(number=number, state=CaseState.OPEN).update(watch_until=now + AGAIN_AFTER)
        try:
            done += resolve.by_coordinator(case_number=number, now=now) is not None
        except Exception:
            # One case that cannot be resolved must not keep the others waiting; a person sees it in the inbox.
            log.exception("desk.not_resolved", extra={"case": number})
    return done
