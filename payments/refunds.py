"""
Money goes back the way it came. A refund is requested in the transaction that finds it due, and driven by the outbox
until the channel has answered for good. Every message to a channel carries the same refund number, so repeating it is
safe; a refusal stays visible and is asked about again, because money that is owed never becomes silence.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import assert_never

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum

from basis import numbers
from payments import money, outbox
from payments.channels import registry
from payments.channels.port import (
    Declined,
    RefundAbsent,
    RefundAccepted,
    Refunded,
    RefundOrder,
    RefundQueryResult,
    Unknown,
)
from payments.models import (
    REFUND_LIFECYCLE,
    ChannelCode,
    Destination,
    Outcome,
    Payment,
    PaymentState,
    Refund,
    RefundState,
)
from payments.purchases import handler_of

log = logging.getLogger(__name__)


class NotRefundable(Exception):
    """The payment took no money, or less of it is left than asked for."""


class RefundedTwice(Exception):
    """A channel says that it refunded what went to the buyer's wallet instead. Staff must look."""


def request(
    payment: Payment, *, amount_minor: int, reason: str, key: str, now: datetime, actor: str = ""
) -> Refund:
    """
    Request a refund in the caller's transaction; the payment is locked. The same `key` returns the same refund.

    :raises NotRefundable: see there
    """
    known = Refund.objects.filter(key=key).first()
    if known is not None:
        return known
    if payment.state != PaymentState.SUCCEEDED:
        raise NotRefundable(f"{payment.number} is {payment.state}")
    asked = Refund.objects.filter(payment=payment).aggregate(total=Sum("amount_minor"))["total"] or 0
    if amount_minor <= 0 or asked + amount_minor > payment.amount_minor:
        raise NotRefundable(f"{payment.number} has {payment.amount_minor - asked} left to refund")
    refund = Refund.objects.create(
        number=numbers.new_number(numbers.REFUND, now),
        payment=payment,
        key=key,
        amount_minor=amount_minor,
        currency=payment.currency,
        reason=reason,
        requested_by=actor,
        created_at=now,
    )
    REFUND_LIFECYCLE.begin(refund, at=now, reason=reason, actor=actor)
    money.book_refund_requested(refund, at=now)
    outbox.put(
        "refund.drive", key=f"refund:{refund.number}", payload={"refund": refund.number}, due_at=now, now=now
    )
    return refund


@outbox.handles("refund.drive")
def drive(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """Send the refund, or ask about it, once; answer when to look again."""
    refund = Refund.objects.select_related("payment").get(number=payload["refund"])
    if refund.state == RefundState.SUCCEEDED:
        return None
    if refund.payment.channel == ChannelCode.WALLET:
        finish(refund_number=refund.number, reference=refund.number, reason="wallet", at=now, now=now)
        return None
    if refund.state == RefundState.REDIRECTED:
        _ask_for_the_last_word(refund, now=now)
    else:
        _take(refund, _ask_or_send(refund, now=now), now=now)
    done = Refund.objects.filter(pk=refund.pk, state=RefundState.SUCCEEDED).exists()
    steps = settings.REFUND_SCHEDULE_S
    return None if done else now + timedelta(seconds=steps[min(attempt, len(steps) - 1)])


def order_of(refund: Refund) -> RefundOrder:
    """The refund as its channel is told of it, every time the same."""
    payment = refund.payment
    return RefundOrder(
        number=refund.number,
        payment_number=payment.number,
        channel_reference=payment.channel_reference,
        amount_minor=refund.amount_minor,
        total_minor=payment.amount_minor,
        currency=refund.currency,
        reason=refund.reason,
    )


def _ask_or_send(refund: Refund, *, now: datetime) -> RefundQueryResult:
    order = order_of(refund)
    channel = registry.channel(refund.payment.channel)
    answer: RefundQueryResult = RefundAbsent()
    if refund.state != RefundState.REQUESTED:
        answer = channel.query_refund(order)
    # The channel never got it, or refused it once: the same number again refunds at most once.
    if isinstance(answer, RefundAbsent | Declined) and _may_send(refund, now=now):
        return channel.refund(order)
    return answer


def _may_send(refund: Refund, *, now: datetime) -> bool:
    """Note that the channel is about to be told; False once the money goes to the wallet instead."""
    unsent = Refund.objects.filter(pk=refund.pk).exclude(
        state__in=(RefundState.REDIRECTED, RefundState.SUCCEEDED)
    )
    return unsent.update(sent_at=now) == 1


def _take(refund: Refund, answer: RefundQueryResult, *, now: datetime) -> None:
    """Apply the answer, and offer the wallet to the buyer when the channel refuses or has been silent for too long."""
    apply_answer(refund, answer, now=now)
    mine = Refund.objects.filter(pk=refund.pk)
    if not isinstance(answer, Unknown):
        mine.filter(silent_since__isnull=False).update(silent_since=None)
    else:
        mine.filter(silent_since=None).update(silent_since=now)
    due = Q(state=RefundState.REFUSED) | Q(
        state=RefundState.PROCESSING, silent_since__lte=now - settings.REFUND_SILENT_AFTER
    )
    if refund.payment.buyer_id and mine.filter(due, offered_at=None).update(offered_at=now):
        log.warning("refund.offered_to_wallet", extra={"refund": refund.number})


def _ask_for_the_last_word(refund: Refund, *, now: datetime) -> None:
    """
    The buyer wants it in the wallet. Only a channel that says that it did not and does not refund it lets that happen,
    and only when no call of ours can still be on its way to the channel.
    """
    answer = registry.channel(refund.payment.channel).query_refund(order_of(refund))
    if not isinstance(answer, RefundAbsent | Declined):
        apply_answer(refund, answer, now=now)
    elif refund.sent_at is None or refund.sent_at <= now - settings.REFUND_SETTLES_AFTER:
        finish(
            refund_number=refund.number,
            reference=refund.number,
            reason="to_wallet",
            at=now,
            now=now,
            to=Destination.WALLET,
        )


def apply_answer(refund: Refund, answer: RefundQueryResult, *, now: datetime) -> None:
    """Take a channel's word about a refund, in a transaction of its own."""
    match answer:
        case Refunded(reference, amount_minor, refunded_at):
            if amount_minor != refund.amount_minor:
                raise NotRefundable(
                    f"{refund.number}: the channel refunded {amount_minor}, not {refund.amount_minor}"
                )
            finish(
                refund_number=refund.number, reference=reference, reason="channel", at=refunded_at, now=now
            )
            if Refund.objects.filter(pk=refund.pk, destination=Destination.WALLET).exists():
                raise RefundedTwice(refund.number)
        case RefundAccepted() | RefundAbsent() | Unknown():
            _note(refund, RefundState.PROCESSING, getattr(answer, "reason", "") or "accepted", now)
        case Declined(code, _):
            _note(refund, RefundState.REFUSED, code, now)
        case _:
            assert_never(answer)


def _note(refund: Refund, to: RefundState, reason: str, now: datetime) -> None:
    with transaction.atomic():
        refund = lock_refund(refund.number)
        if refund.state != to and REFUND_LIFECYCLE.allows(refund.state, to):
            refusal = reason[:64] if to == RefundState.REFUSED else ""
            REFUND_LIFECYCLE.move(refund, to=to, at=now, reason=reason[:64], refusal=refusal)


def lock_refund(number: str) -> Refund:
    return (
        Refund.objects.select_for_update(of=("self",), no_key=True)
        .select_related("payment")
        .get(number=number)
    )


def finish(
    *,
    refund_number: str,
    reference: str,
    reason: str,
    at: datetime,
    now: datetime,
    to: Destination = Destination.ORIGIN,
) -> None:
    """The money is back with the buyer, the way it came or in the wallet: book it, tell the purchase. Repeatable."""
    found = Refund.objects.select_related("payment").get(number=refund_number)
    handler = handler_of(found.payment.purchase_kind)
    with transaction.atomic():
        purchase = handler.lock(found.payment.purchase_number)
        refund = lock_refund(refund_number)
        if refund.state == RefundState.SUCCEEDED:
            return
        REFUND_LIFECYCLE.move(
            refund,
            to=RefundState.SUCCEEDED,
            at=now,
            reason=reason,
            refunded_at=at,
            channel_reference=reference,
            refusal="",
            destination=to,
        )
        money.book_refund_done(refund, at=now)
        if refund.payment.outcome == Outcome.WON:
            tell = handler.refunded if _refunded_in_full(refund.payment) else handler.refunded_in_part
            tell(purchase, payment_number=refund.payment.number, now=now)


def _refunded_in_full(payment: Payment) -> bool:
    done = Refund.objects.filter(payment=payment, state=RefundState.SUCCEEDED).aggregate(
        total=Sum("amount_minor")
    )
    return bool(done["total"] == payment.amount_minor)


def under_way(payment_number: str) -> bool:
    """Whether money of this payment is still on its way back."""
    return Refund.objects.filter(payment__number=payment_number).exclude(state=RefundState.SUCCEEDED).exists()


def left_minor(payment: Payment) -> int:
    """What a success took and no refund has asked for yet."""
    asked = Refund.objects.filter(payment=payment).aggregate(total=Sum("amount_minor"))["total"] or 0
    return payment.amount_minor - asked if payment.state == PaymentState.SUCCEEDED else 0
