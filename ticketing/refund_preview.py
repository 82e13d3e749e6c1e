"""What a refund by staff would do, before it is done: states, money, tickets and seats, and a mark of the present."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from payments import money, refunds
from payments.models import Payment
from ticketing import refunding
from ticketing.models import Order
from ticketing.refund_models import SeatsAfter
from ticketing.refunding import Line, NotRefundable, Quote


@dataclass(frozen=True, slots=True)
class Source:
    """Money that goes back the way it came: `code` is a channel's, or the kind of the wallet's account."""

    code: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Preview:
    """
    `sources` say where the money goes. `lines` are the tickets that become void with their shares; `left_minor` is
    what could still be refunded after it; `needs_approval` that a second person must agree. `refusal` is a reason of
    NotRefundable; empty if it can be done. Done with `fingerprint`, it is refused if anything has changed since.
    """

    order: Order
    payment: Payment
    lines: tuple[Line, ...]
    amount_minor: int
    seats_after: str
    left_minor: int
    by_rule: Quote
    needs_approval: bool
    fingerprint: str
    refusal: str = ""
    sources: tuple[Source, ...] = ()


def payment_of(order: Order) -> Payment:
    """
    The payment that paid the order.

    :raises NotRefundable: `not_paid`
    """
    payment = Payment.objects.filter(number=order.winner).first() if order.winner else None
    if payment is None:
        raise NotRefundable("not_paid", order.state)
    return payment


def preview(
    order: Order,
    *,
    tickets: Sequence[str],
    amount_minor: int,
    actor: str,
    seats_after: str = SeatsAfter.FREE,
    now: datetime,
) -> Preview:
    """
    Look, without a lock; nothing is changed.

    :raises NotRefundable: `not_paid`: there is nothing to look at
    """
    payment = payment_of(order)
    by_rule = refunding.quote(order, now=now, numbers=tickets or None)
    refusal, lines, needs = "", [], False
    left = refunds.left_minor(payment)
    try:
        if tickets:
            lines = refunding.shared_out(refunding.chosen_by_staff(order, tickets), amount_minor)
        if not 0 < amount_minor <= left:
            raise NotRefundable("too_much", str(left))
        refunding.check_people(order, amount_minor, actor=actor, approved_by="")
    except NotRefundable as error:
        needs = error.reason == "needs_approval"
        refusal = "" if needs else error.reason
    return Preview(
        order,
        payment,
        tuple(lines),
        amount_minor,
        seats_after,
        left - amount_minor,
        by_rule,
        needs,
        refunding.fingerprint_of(order, payment),
        refusal,
        () if refusal else tuple(Source(*one) for one in money.ways_back(payment, amount_minor)),
    )
