"""
Filing and deciding disputes: what buyers and banks object to, told by staff or by a channel's adapter.

A dispute is a fact about the payment, and about the merchant behind it (ticketing.trading counts them). It moves no
money, but for one that is lost: what the channel took back is booked as a refund that it carried out by itself.

Locks: the purchase, the payment, then the dispute.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments import refunds, settle
from payments.dispute_models import Dispute, DisputeKind, DisputeState
from payments.models import ChannelCode, Payment, PaymentState
from payments.purchases import handler_of

STAFF = "staff"
CHARGEBACK = "chargeback"
"""The reason of a refund that no order of ours started."""


class NotPaid(Exception):
    """There is no such payment, or it never succeeded: nobody can object to it."""


class MoreThanPaid(Exception):
    """The dispute is about more than the payment took, or about nothing."""


class FiledOtherwise(Exception):
    """This source has told of a dispute of this number, with other facts."""


class NoReason(Exception):
    """Nobody decides a dispute without saying why."""


class NoSuchDispute(Exception):
    """There is no dispute of this key."""


class DecidedBefore(Exception):
    """Somebody has decided this dispute."""


def file(
    *,
    payment_number: str,
    kind: str,
    source: str,
    reference: str,
    actor: str,
    opened_at: datetime,
    now: datetime,
    amount_minor: int | None = None,
    note: str = "",
) -> Dispute:
    """
    Write a dispute down. Without an amount it is about the whole payment. The same number from the same source answers
    the dispute that was filed first.

    :raises NotPaid: see there
    :raises MoreThanPaid: see there
    :raises FiledOtherwise: see there
    """
    payment = Payment.objects.filter(number=payment_number, state=PaymentState.SUCCEEDED).first()
    if payment is None:
        raise NotPaid(payment_number)
    about = payment.amount_minor if amount_minor is None else amount_minor
    if not 0 < about <= payment.amount_minor:
        raise MoreThanPaid(about)
    wanted = {"payment_id": payment.pk, "kind": DisputeKind(kind), "amount_minor": about}
    with transaction.atomic():
        dispute, created = Dispute.objects.get_or_create(
            source=source,
            reference=reference.strip(),
            defaults={
                **wanted,
                "currency": payment.currency,
                "note": note.strip(),
                "opened_at": opened_at,
                "filed_by": actor,
                "filed_at": now,
            },
        )
    if not created and any(getattr(dispute, name) != value for name, value in wanted.items()):
        raise FiledOtherwise(reference)
    return dispute


class NothingTaken(Exception):
    """The payment was made from the wallet: no channel could take it back."""


def charged_back(*, dispute_id: int, reference: str, actor: str, reason: str, now: datetime) -> Dispute:
    """
    The dispute is lost, and the channel took its amount back from us, under its number `reference`. The caller has the
    second person's word.

    :raises NoReason: see there
    :raises NoSuchDispute: see there
    :raises DecidedBefore: see there
    :raises NothingTaken: see there
    :raises payments.refunds.NotRefundable: less is left of the payment than the dispute is about
    """
    dispute = Dispute.objects.select_related("payment").filter(pk=dispute_id).first()
    if dispute is None:
        raise NoSuchDispute(dispute_id)
    if dispute.payment.channel == ChannelCode.WALLET:
        raise NothingTaken(dispute.payment.number)
    with transaction.atomic():
        handler_of(dispute.payment.purchase_kind).lock(dispute.payment.purchase_number)
        payment = settle.lock_payment(dispute.payment.number)
        # First, so that of two people who decide at once the second one books nothing.
        decided = decide(dispute_id=dispute_id, upheld=True, actor=actor, reason=reason, now=now)
        refund = refunds.request(
            payment,
            amount_minor=dispute.amount_minor,
            reason=CHARGEBACK,
            key=f"dispute:{dispute.pk}",
            now=now,
            actor=actor,
        )
        refunds.finish(
            refund_number=refund.number, reference=reference[:64], reason=CHARGEBACK, at=now, now=now
        )
    return decided


def decide(*, dispute_id: int, upheld: bool, actor: str, reason: str, now: datetime) -> Dispute:
    """
    Say who was right. A dismissed dispute no longer counts against the merchant.

    :raises NoReason: see there
    :raises NoSuchDispute: see there
    :raises DecidedBefore: see there
    """
    if not reason.strip():
        raise NoReason
    changed = Dispute.objects.filter(pk=dispute_id, state=DisputeState.OPEN).update(
        state=DisputeState.UPHELD if upheld else DisputeState.DISMISSED,
        decided_by=actor,
        decided_at=now,
        decision=reason.strip()[:500],
    )
    dispute = Dispute.objects.filter(pk=dispute_id).first()
    if dispute is None:
        raise NoSuchDispute(dispute_id)
    if changed != 1:
        raise DecidedBefore(dispute_id)
    return dispute
