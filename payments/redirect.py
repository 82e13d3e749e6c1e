"""
A refund that its channel refuses, or is silent about, goes to the buyer's wallet instead, if the buyer accepts that
offer (or staff do it for him): once, and never both.

From the acceptance on nothing is sent to the channel any more. The channel is asked until its last word: it refunded
after all, and that is the refund; or it did not, and the money goes to the wallet (payments.refunds).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments import outbox, refunds
from payments.models import REFUND_LIFECYCLE, ChannelCode, Destination, Refund, RefundState
from payments.purchases import handler_of

REDIRECTABLE = (RefundState.PROCESSING, RefundState.REFUSED)


class NoSuchRefund(Exception):
    """There is no refund of this number, or it is another buyer's."""


class NotOffered(Exception):
    """The refund goes its usual way: it is done, or its channel works on it. Nothing was changed."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


def is_offered(refund: Refund) -> bool:
    """Whether the buyer may take it into the wallet now."""
    return refund.offered_at is not None and refund.state in REDIRECTABLE


def accept(*, number: str, buyer_id: int, now: datetime) -> Refund:
    """
    The buyer takes the offer. Repeatable.

    :raises NoSuchRefund: see there
    :raises NotOffered: see there
    """
    found = Refund.objects.filter(number=number, payment__buyer_id=buyer_id).select_related("payment").first()
    if found is None:
        raise NoSuchRefund(number)
    return _redirect(found, actor="", reason="accepted_by_buyer", needs_offer=True, now=now)


def by_staff(*, number: str, actor: str, now: datetime) -> Refund:
    """
    Staff redirect it for the buyer, offered or not. Repeatable. Who may, and whether two must agree, is the caller's.

    :raises NoSuchRefund: see there
    :raises NotOffered: it is done, was never sent, or goes to the wallet anyway
    """
    found = Refund.objects.filter(number=number).select_related("payment").first()
    if found is None:
        raise NoSuchRefund(number)
    return _redirect(found, actor=f"staff:{actor}"[:64], reason="by_staff", needs_offer=False, now=now)


def _redirect(found: Refund, *, actor: str, reason: str, needs_offer: bool, now: datetime) -> Refund:
    with transaction.atomic():
        handler_of(found.payment.purchase_kind).lock(found.payment.purchase_number)
        refund = refunds.lock_refund(found.number)
        if refund.destination == Destination.WALLET:
            return refund
        has_wallet = refund.payment.buyer_id and refund.payment.channel != ChannelCode.WALLET
        fits = refund.state in REDIRECTABLE and has_wallet
        if not fits or (needs_offer and not is_offered(refund)):
            raise NotOffered(refund.state)
        REFUND_LIFECYCLE.move(
            refund,
            to=RefundState.REDIRECTED,
            at=now,
            reason=reason,
            actor=actor,
            destination=Destination.WALLET,
        )
        outbox.hasten([f"refund:{refund.number}"], now=now)
    return refund
