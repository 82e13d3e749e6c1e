"""
Money came: elect the winner, deliver, book, and send back what is not needed. One transaction, repeatable.

Locks: the purchase, then the payment, then whatever the purchase's handler locks, then accounts.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments import money, outbox, refunds
from payments.channels.port import Paid
from payments.models import LIVE_STATES, PAYMENT_LIFECYCLE, ChannelCode, Outcome, Payment, PaymentState
from payments.purchases import PurchaseHandler, Surplus, Won, handler_of


class AmountDiffers(Exception):
    """The channel took another amount or currency than the payment's. Nothing was changed; staff must look."""


def lock_payment(number: str) -> Payment:
    return Payment.objects.select_for_update(of=("self",), no_key=True).get(number=number)


def apply_success(*, payment_number: str, paid: Paid, source: str, now: datetime) -> Payment:
    """
    Settle a payment that its channel took money for; `source` says how we know (notify, query, close).

    :raises AmountDiffers: see there
    """
    found = Payment.objects.get(number=payment_number)
    handler = handler_of(found.purchase_kind)
    with transaction.atomic():
        purchase = handler.lock(found.purchase_number)
        payment = lock_payment(payment_number)
        if payment.state == PaymentState.SUCCEEDED:
            return payment
        if (paid.amount_minor, paid.currency) != (payment.amount_minor, payment.currency):
            raise AmountDiffers(
                f"{paid.amount_minor} {paid.currency}, wanted {payment.amount_minor} {payment.currency}"
            )
        settle_locked(payment, purchase=purchase, handler=handler, paid=paid, source=source, now=now)
        return payment


def take_other_amount(*, payment_number: str, paid: Paid, source: str, now: datetime) -> Payment:
    """
    Take what the channel really took, another amount than the payment's: it pays nothing and all of it goes back.

    :raises ValueError: the channel took the payment's own amount; that is `apply_success`
    """
    found = Payment.objects.get(number=payment_number)
    handler = handler_of(found.purchase_kind)
    with transaction.atomic():
        purchase = handler.lock(found.purchase_number)
        payment = lock_payment(payment_number)
        if payment.state == PaymentState.SUCCEEDED:
            return payment
        wanted = (payment.amount_minor, payment.currency)
        if wanted == (paid.amount_minor, paid.currency):
            raise ValueError(f"{payment_number} was paid as it should be")
        PAYMENT_LIFECYCLE.move(
            payment,
            to=PaymentState.SUCCEEDED,
            at=now,
            reason=source,
            facts={
                "channel_reference": paid.channel_reference,
                "surplus": "amount_differs",
                "wanted": wanted,
            },
            outcome=Outcome.SURPLUS,
            paid_at=paid.paid_at,
            channel_reference=paid.channel_reference,
            amount_minor=paid.amount_minor,
            currency=paid.currency,
        )
        money.book_success(payment, credit=money.suspense(payment.currency), at=now)
        refunds.request(
            payment,
            amount_minor=payment.amount_minor,
            reason="amount_differs",
            key=f"surplus:{payment.number}",
            now=now,
        )
        handler.payment_ended(purchase, payment_number=payment.number, now=now)
        return payment


def settle_locked(
    payment: Payment, *, purchase: object, handler: PurchaseHandler, paid: Paid, source: str, now: datetime
) -> None:
    """The heart of it, with purchase and payment locked by the caller."""
    verdict = handler.settle(purchase, payment_number=payment.number, now=now)
    match verdict:
        case Won(credit):
            outcome, facts = Outcome.WON, {}
        case Surplus(reason):
            outcome, credit, facts = Outcome.SURPLUS, money.suspense(payment.currency), {"surplus": reason}
    PAYMENT_LIFECYCLE.move(
        payment,
        to=PaymentState.SUCCEEDED,
        at=now,
        reason=source,
        facts={"channel_reference": paid.channel_reference, "outcome": outcome, **facts},
        outcome=outcome,
        paid_at=paid.paid_at,
        channel_reference=paid.channel_reference,
    )
    if payment.channel == ChannelCode.WALLET:
        money.take_from_wallet(payment, credit=credit, at=now)
    else:
        money.book_success(payment, credit=credit, at=now)
    if isinstance(verdict, Surplus):
        refunds.request(
            payment,
            amount_minor=payment.amount_minor,
            reason=verdict.reason,
            key=f"surplus:{payment.number}",
            now=now,
        )
    elif payment.channel != ChannelCode.WALLET:  # a wallet payment superseded the others when it was recorded
        # The purchase is paid: every other try is unwanted, and its trade is to be closed at its channel.
        supersede(payment.purchase_kind, payment.purchase_number, besides=payment.number, now=now)


def supersede(kind: str, number: str, *, besides: str = "", now: datetime) -> None:
    """Mark the live payments of a purchase unwanted and have their trades closed. The purchase is locked."""
    supersede_all(kind, [number], besides=besides, now=now)


def supersede_all(kind: str, numbers: list[str], *, besides: str = "", now: datetime) -> None:
    """The same for many purchases, all locked."""
    unwanted = Payment.objects.filter(
        purchase_kind=kind, purchase_number__in=numbers, state__in=LIVE_STATES, superseded_at=None
    ).exclude(number=besides)
    found = list(unwanted.values_list("number", flat=True))
    if found:
        Payment.objects.filter(number__in=found).update(superseded_at=now)
        outbox.hasten([f"chase:{number}" for number in found], now=now)
