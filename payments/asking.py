"""
Chase a payment until its channel has answered for good. One outbox message per payment does it all.

Only a channel's answer ends a payment: paid, refused, or closed. Time alone never does; when the deadline of a trade
has passed, the channel is asked to close it and its answer counts. An unwanted payment (the buyer chose another
channel, the order closed) is closed at its channel first thing, and "already paid" is the success it is.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import assert_never

from django.conf import settings
from django.db import transaction

from payments import entry, outbox, settle
from payments.channels import registry
from payments.channels.port import Absent, AlreadyPaid, Closed, Paid, QueryResult, Unknown, Waiting
from payments.models import LIVE_STATES, PAYMENT_LIFECYCLE, Payment, PaymentState
from payments.purchases import handler_of

log = logging.getLogger(__name__)


def schedule(payment: Payment, *, now: datetime) -> None:
    """Commit the safety net with the payment: ask the channel, whatever happens to us."""
    due_at = now + timedelta(seconds=settings.PAYMENT_QUERY_SCHEDULE_S[0])
    outbox.put(
        "payment.chase",
        key=f"chase:{payment.number}",
        payload={"payment": payment.number},
        due_at=due_at,
        now=now,
    )


@outbox.handles("payment.chase")
def chase(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """Ask once, act on the answer, and say when to ask again; None when the payment is final."""
    payment = ask(payload["payment"], source="query", now=now)
    if not payment.live:
        return None
    steps = settings.PAYMENT_QUERY_SCHEDULE_S
    return now + timedelta(seconds=steps[min(attempt, len(steps) - 1)])


def ask(payment_number: str, *, source: str, now: datetime) -> Payment:
    """Ask the channel about a payment and apply what it says; answer the payment as it is then."""
    payment = Payment.objects.get(number=payment_number)
    if not payment.live:
        return payment
    if entry.is_waiting(payment) and _still_waits(payment, now=now):
        return Payment.objects.get(number=payment_number)
    answer: QueryResult = registry.channel(payment.channel).query(payment.number)
    if isinstance(answer, Waiting | Absent) and _unwanted(payment, now):
        answer = _close(payment)
    apply_answer(payment, answer, source=source, now=now)
    return Payment.objects.get(number=payment_number)


def _still_waits(payment: Payment, *, now: datetime) -> bool:
    """
    A payment that waits for its turn is unknown to its channel: there is nothing to ask, and if nobody wants it any
    more it ends here. False: its turn has just come.
    """
    if not _unwanted(payment, now):
        return True
    handler = handler_of(payment.purchase_kind)
    with transaction.atomic():
        purchase = handler.lock(payment.purchase_number)
        locked = settle.lock_payment(payment.number)
        if not entry.is_waiting(locked):
            return not locked.live
        PAYMENT_LIFECYCLE.move(locked, to=PaymentState.CLOSED, at=now, reason="never_called")
        handler.payment_ended(purchase, payment_number=payment.number, now=now)
    entry.left(payment.number, now=now)
    return True


def _unwanted(payment: Payment, now: datetime) -> bool:
    return payment.superseded_at is not None or now >= payment.expires_at


def _close(payment: Payment) -> QueryResult:
    channel = registry.channel(payment.channel)
    answer = channel.close(payment.number)
    if isinstance(answer, AlreadyPaid):
        return channel.query(payment.number)
    return answer


def apply_answer(payment: Payment, answer: QueryResult, *, source: str, now: datetime) -> None:
    """Take a channel's word about a payment, in a transaction of its own."""
    match answer:
        case Paid():
            settle.apply_success(payment_number=payment.number, paid=answer, source=source, now=now)
        case Closed(code):
            end(payment.number, to=PaymentState.CLOSED, reason=source, refusal=code, now=now)
        case Absent() if now >= payment.expires_at + settings.ABSENT_GRACE:
            # The channel knows no such trade, and its deadline keeps it from coming to be.
            end(payment.number, to=PaymentState.CLOSED, reason="never_opened", refusal="", now=now)
        case Unknown(reason):
            note_unknown(payment.number, reason=reason, now=now)
        case Waiting() | Absent():
            return
        case _:
            assert_never(answer)


def end(number: str, *, to: PaymentState, reason: str, refusal: str, now: datetime) -> None:
    """The channel ended the payment without taking money: closed or refused."""
    found = Payment.objects.get(number=number)
    handler = handler_of(found.purchase_kind)
    with transaction.atomic():
        purchase = handler.lock(found.purchase_number)
        payment = settle.lock_payment(number)
        if not payment.live:
            return
        PAYMENT_LIFECYCLE.move(payment, to=to, at=now, reason=reason, refusal=refusal[:64])
        handler.payment_ended(purchase, payment_number=number, now=now)


def note_unknown(number: str, *, reason: str, now: datetime) -> None:
    """We do not know whether the trade was opened. A payment that waits for its buyer stays what it is."""
    log.info("payment.unknown", extra={"payment": number, "why": reason})
    with transaction.atomic():
        payment = settle.lock_payment(number)
        if payment.state == PaymentState.CREATED:
            PAYMENT_LIFECYCLE.move(payment, to=PaymentState.UNKNOWN, at=now, reason=reason[:64])


def live_of(kind: str, number: str) -> list[Payment]:
    """The payments of a purchase that may still take money, oldest first."""
    return list(
        Payment.objects.filter(purchase_kind=kind, purchase_number=number, state__in=LIVE_STATES).order_by(
            "pk"
        )
    )
