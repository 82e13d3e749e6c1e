"""
Money that a channel took under a number that is not in our books (another system of ours, a payment lost with a
restore): it is taken in as a payment for nothing, surplus from its first moment, and goes back like any surplus.

It has no buyer that we know, so it never goes to a wallet.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments import notify, settle
from payments.channels.port import Paid
from payments.models import PAYMENT_LIFECYCLE, Notification, Payment
from payments.purchases import NoSuchPurchase, Quote, Surplus

STRAY = "stray"
NOBODY = 0
NUMBER_MAX = 32


class StrayHandler:
    """Nothing was bought. See payments.purchases.PurchaseHandler."""

    def quote(self, number: str, *, now: datetime) -> Quote:
        raise NoSuchPurchase(number)

    def lock(self, number: str) -> str:
        return number

    def quote_locked(self, purchase: object, *, now: datetime) -> Quote:
        raise NoSuchPurchase(str(purchase))

    def payment_started(
        self, purchase: object, *, payment_number: str, expires_at: datetime, now: datetime
    ) -> None:
        return

    def payment_ended(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        return

    def settle(self, purchase: object, *, payment_number: str, now: datetime) -> Surplus:
        return Surplus("unknown_number")

    def refunded(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        return

    def refunded_in_part(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        return


class NotStray(Exception):
    """The number is in our books, or cannot be: nothing was changed."""


def send_back(*, told: Notification, paid: Paid, actor: str, now: datetime) -> Payment:
    """
    Book what the channel took, as it says itself, and send all of it back the way it came. Two people decided it.

    :raises NotStray: see there
    """
    number = told.payment_number
    with transaction.atomic():
        if len(number) > NUMBER_MAX or Payment.objects.filter(number=number).exists():
            raise NotStray(number)
        payment = Payment.objects.create(
            number=number,
            purchase_kind=STRAY,
            purchase_number=number,
            buyer_id=NOBODY,
            channel=told.channel,
            amount_minor=paid.amount_minor,
            currency=paid.currency,
            subject="",
            created_at=now,
            expires_at=now,
        )
        PAYMENT_LIFECYCLE.begin(payment, at=now, reason="taken_in", actor=actor)
        settle.settle_locked(
            payment, purchase=number, handler=StrayHandler(), paid=paid, source="desk", now=now
        )
        notify.applied(told, now=now)
    return payment
