"""
Refunds of many payments, requested in one transaction: the facts of `payments.refunds.request`, as sets.

Those of wallet payments are done with it: nobody is to be asked. Each of the others is then driven like any other, by a
message of the outbox of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Sum

from basis import numbers
from payments import money, outbox
from payments.models import REFUND_LIFECYCLE, ChannelCode, Payment, PaymentState, Refund, RefundState
from payments.refunds import NotRefundable


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of a payment that no refund has asked for yet; `key` makes it one."""

    payment: str
    key: str


def lock_payments(numbers_of: Sequence[str]) -> dict[str, Payment]:
    """Lock payments in the order of their ids; the caller has locked their purchases. By number."""
    rows = Payment.objects.select_for_update(of=("self",), no_key=True).filter(number__in=list(numbers_of))
    return {payment.number: payment for payment in rows.order_by("pk")}


def request_all(wanted: Sequence[Wanted], *, reason: str, actor: str, now: datetime) -> dict[str, Refund]:
    """
    Request what is left of each of these payments; by the payment's number. One of which nothing is left is left out.

    :raises NotRefundable: one of them took no money; nothing was requested
    """
    payments = lock_payments([one.payment for one in wanted])
    unpaid = [number for number, payment in payments.items() if payment.state != PaymentState.SUCCEEDED]
    if unpaid:
        raise NotRefundable(f"{unpaid[0]} is {payments[unpaid[0]].state}")
    asked = dict(
        Refund.objects.filter(payment__in=payments.values())
        .order_by()
        .values_list("payment__number")
        .annotate(total=Sum("amount_minor"))
    )
    keys = {one.payment: one.key for one in wanted}
    refunds = [
        Refund(
            number=numbers.new_number(numbers.REFUND, now),
            payment=payment,
            key=keys[number],
            amount_minor=payment.amount_minor - asked.get(number, 0),
            currency=payment.currency,
            reason=reason,
            requested_by=actor,
            created_at=now,
        )
        for number, payment in payments.items()
        if payment.amount_minor > asked.get(number, 0)
    ]
    Refund.objects.bulk_create(refunds)
    REFUND_LIFECYCLE.begin_all(refunds, at=now, reason=reason, actor=actor)
    money.book_refunds_requested(refunds, at=now)
    wallet = [refund for refund in refunds if refund.payment.channel == ChannelCode.WALLET]
    _finish_in_wallets(wallet, now=now)
    outbox.put_all(
        (
            ("refund.drive", f"refund:{refund.number}", {"refund": refund.number})
            for refund in refunds
            if refund.payment.channel != ChannelCode.WALLET
        ),
        due_at=now,
        now=now,
    )
    return {refund.payment.number: refund for refund in refunds}


def _finish_in_wallets(refunds: list[Refund], *, now: datetime) -> None:
    """Nobody is to be asked: the money is in the buyers' wallets, as `payments.refunds.finish` puts it there."""
    if not refunds:
        return
    REFUND_LIFECYCLE.move_all(
        refunds,
        to=RefundState.SUCCEEDED,
        at=now,
        reason="wallet",
        refunded_at=now,
        channel_reference=F("number"),
    )
    money.book_wallet_refunds_done(refunds, at=now)


def in_full(payments: Iterable[Payment]) -> set[str]:
    """Those of the payments, by number, whose money is all back with the buyer."""
    done = (
        Refund.objects.filter(payment__in=list(payments), state=RefundState.SUCCEEDED)
        .order_by()
        .values_list("payment__number", "payment__amount_minor")
        .annotate(total=Sum("amount_minor"))
    )
    return {number for number, amount_minor, total in done if total == amount_minor}
