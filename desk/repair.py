"""
The step that was left out, done once. Every flow of the product is one transaction, so what is repaired here should
never be: a restore from a backup, a hand in the database, a defect. The coordinator and the staff use the same steps.

Locks (docs/locks.md): the order, then the payment; the case is locked before both.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db.models import Sum

from desk.acts import Act, CannotBeDone
from payments import asking, outbox, refunds, settle, withdrawals
from payments.models import Outcome, Payment, Refund, RefundState, Withdrawal
from payments.purchases import handler_of
from ticketing import orders, tickets
from ticketing.models import OrderState, Seat, SeatState, Ticket, TicketState


def run(act: Act) -> None:
    """
    Do what is missing about the case's purchase.

    :raises CannotBeDone: nothing that is known is missing
    """
    if not act.facts.payments and act.facts.order is None:
        raise CannotBeDone("nothing_known")
    done = [step.__name__ for step in STEPS if step(act)]
    if not done:
        raise CannotBeDone("nothing_to_repair")


def tickets_missing(act: Act) -> bool:
    """A paid order has a ticket for each seat that it has."""
    if act.facts.order is None:
        return False
    order = orders.lock_order(act.facts.order.number)
    if order.state != OrderState.PAID:
        return False
    has = Ticket.objects.filter(order=order).exclude(state=TicketState.VOID).values("seat_id")
    bare = Seat.objects.filter(order=order, state=SeatState.SOLD).exclude(pk__in=has)
    missing = list(bare.order_by("pk").values_list("pk", flat=True))
    if missing:
        tickets.issue(order, missing, now=act.now)
    return bool(missing)


def payment_over(act: Act) -> bool:
    """An order is being paid only while a payment of it is in flight."""
    if act.facts.order is None:
        return False
    order = orders.lock_order(act.facts.order.number)
    if order.state != OrderState.PAYING or asking.live_of(orders.PURCHASE, order.number):
        return False
    last = act.facts.payments[-1].number if act.facts.payments else ""
    handler_of(orders.PURCHASE).payment_ended(order, payment_number=last, now=act.now)
    return True


def money_not_sent_back(act: Act) -> bool:
    """What was taken and is not needed goes back in full."""
    done = False
    for payment in act.facts.payments:
        if payment.outcome == Outcome.SURPLUS and _locked_left(payment, act) > 0:
            _send_back(payment, act)
            done = True
    return done


def _locked_left(payment: Payment, act: Act) -> int:
    handler_of(payment.purchase_kind).lock(payment.purchase_number)
    locked = settle.lock_payment(payment.number)
    asked = Refund.objects.filter(payment=locked).aggregate(total=Sum("amount_minor"))["total"] or 0
    return locked.amount_minor - asked


def _send_back(payment: Payment, act: Act) -> None:
    left = _locked_left(payment, act)
    refunds.request(
        payment,
        amount_minor=left,
        reason="left_over",
        key=f"repair:{payment.number}:{left}",
        now=act.now,
        actor=act.actor,
    )


def order_not_told(act: Act) -> bool:
    """An order whose winning payment is back in full is refunded."""
    order = act.facts.order
    if order is None or order.state != OrderState.PAID:
        return False
    winner = act.facts.payment(order.winner)
    if winner is None or _returned(act, winner) < winner.amount_minor:
        return False
    handler = handler_of(orders.PURCHASE)
    handler.refunded(handler.lock(order.number), payment_number=winner.number, now=act.now)
    return True


def _returned(act: Act, payment: Payment) -> int:
    return sum(
        refund.amount_minor
        for refund in act.facts.refunds
        if refund.payment_id == payment.pk and refund.state == RefundState.SUCCEEDED
    )


def next_step_missing(act: Act) -> bool:
    """Whatever is not final has a message that drives it."""
    waiting = act.facts.next_steps()
    lost = [
        payment for payment in act.facts.payments if payment.live and f"chase:{payment.number}" not in waiting
    ]
    for payment in lost:
        drive_payment(payment, now=act.now)
    forgotten = [
        refund
        for refund in act.facts.refunds
        if refund.state != RefundState.SUCCEEDED and f"refund:{refund.number}" not in waiting
    ]
    for refund in forgotten:
        drive_refund(refund, now=act.now)
    return bool(lost or forgotten)


def drive_payment(payment: Payment, *, now: datetime) -> None:
    asking.schedule(payment, now=now)
    outbox.hasten([f"chase:{payment.number}"], now=now)


def drive_refund(refund: Refund, *, now: datetime) -> None:
    key = f"refund:{refund.number}"
    outbox.put("refund.drive", key=key, payload={"refund": refund.number}, due_at=now, now=now)
    outbox.hasten([key], now=now)


def drive_withdrawal(withdrawal: Withdrawal, *, now: datetime) -> None:
    payload = {"withdrawal": withdrawal.number}
    outbox.put(withdrawals.DRIVE, key=withdrawal.hold, payload=payload, due_at=now, now=now)
    outbox.hasten([withdrawal.hold], now=now)


STEPS: tuple[Callable[[Act], bool], ...] = (
    tickets_missing,
    payment_over,
    money_not_sent_back,
    order_not_told,
    next_step_missing,
)
