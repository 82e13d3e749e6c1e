"""
Giving tickets back: by the buyer under the published rule, or by staff. One transaction decides: tickets void, seats
taken back, the refund requested and booked; the money then goes its way (payments.refunds).

Locks: the order, its winning payment, then tickets, seats and the buyer's allowance; accounts come last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from payments import refunds, settle
from payments.models import Payment
from ticketing import orders, phases, refund_terms, seats
from ticketing.models import (
    Order,
    OrderSeat,
    OrderState,
    RefundedSeat,
    RefundRequest,
    Ticket,
    TicketState,
)
from ticketing.refund_models import AskedBy, SeatsAfter
from ticketing.refund_terms import Step
from ticketing.rush import release

KEY_MAX = 200
BY_RULE, BY_STAFF = "by_rule", "by_staff"


class NotRefundable(Exception):
    """
    Nothing was changed. `reason`: `not_paid`, `no_rule`, `too_late`, `no_tickets`, `no_such_ticket`, `ticket_used`,
    `ticket_void`, `too_much`, `nothing_back`, `terms_changed`, `stale`, `needs_approval`, `same_person`,
    `show_cancelled`.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class KeyReused(Exception):
    """The key belongs to another request for this order."""


@dataclass(frozen=True, slots=True)
class Line:
    """A ticket that may be given back: its price, what goes back of it and what is kept."""

    ticket: Ticket
    order_seat_id: int
    price_minor: int
    back_minor: int

    @property
    def kept_minor(self) -> int:
        return self.price_minor - self.back_minor


@dataclass(frozen=True, slots=True)
class Quote:
    """What giving back these tickets now would bring. `refusal`: a reason of NotRefundable, empty if it may be done."""

    order: Order
    lines: tuple[Line, ...]
    step: Step | None
    seats_after: str
    refusal: str = ""

    @property
    def back_minor(self) -> int:
        return sum(line.back_minor for line in self.lines)

    @property
    def kept_minor(self) -> int:
        return sum(line.kept_minor for line in self.lines)


def tickets_of(order: Order) -> list[Ticket]:
    """The order's tickets that are not void, in the order of their seats."""
    found = Ticket.objects.filter(order=order).exclude(state=TicketState.VOID)
    return list(
        found.select_related("seat__row__section").order_by("seat__row_rank", "seat__row", "seat__position")
    )


def quote(order: Order, *, now: datetime, numbers: Sequence[str] | None = None) -> Quote:
    """What the published rule gives back now for these tickets; None: for all that are not void."""
    terms = refund_terms.terms_of(order.show)
    step = terms.step_at(now) if terms else None
    percent = step.percent_back if step else 0
    lines = _lines(order, percent)
    if numbers is not None:
        lines = [line for line in lines if line.ticket.number in numbers]
    refusal = ""
    if order.state != OrderState.PAID:
        refusal = "not_paid"
    elif order.show.cancelled_at:
        refusal = "show_cancelled"  # all of it goes back by itself, not what a rule leaves of it
    elif terms is None:
        refusal = "no_rule"
    elif step is None:
        refusal = "too_late"
    elif not lines:
        refusal = "no_tickets"
    return Quote(order, tuple(lines), step, terms.seats_after if terms else SeatsAfter.FREE, refusal)


def _lines(order: Order, percent: int) -> list[Line]:
    given = {
        seat_id: (pk, price)
        for pk, seat_id, price in OrderSeat.objects.filter(order=order).values_list(
            "pk", "seat_id", "price_minor"
        )
    }
    found = []
    for ticket in tickets_of(order):
        pk, price = given[ticket.seat_id]
        found.append(Line(ticket, pk, price, refund_terms.back_minor(price, percent)))
    return found


def give_back(
    *, number: str, tickets: Sequence[str], expected_minor: int, key: str, actor: str, now: datetime
) -> RefundRequest:
    """
    The buyer gives tickets back under the published rule, for exactly what he was shown. The same `key` of the same
    order returns the same request. Whose order it is, the caller has checked.

    :raises NotRefundable: see there
    :raises KeyReused: see there
    """
    key = f"buyer:{key}"[:KEY_MAX]
    with transaction.atomic():
        order = _lock(number)
        known = _known(order, key, tickets)
        if known is not None:
            return known
        payment = _payment(order, (OrderState.PAID,))
        offered = quote(order, now=now, numbers=tickets)
        if offered.refusal not in ("", "no_tickets"):
            raise NotRefundable(offered.refusal)
        lines = _chosen(order, offered.lines, tickets)
        if offered.back_minor != expected_minor:
            raise NotRefundable("terms_changed", str(offered.back_minor))
        facts = {"percent_back": offered.step.percent_back} if offered.step else {}
        asked = _Asked(AskedBy.BUYER, actor, key, offered.back_minor, offered.seats_after, facts=facts)
        return _carry_out(order, payment, lines, asked, now=now)


def by_staff(
    *,
    number: str,
    tickets: Sequence[str],
    amount_minor: int,
    reason: str,
    key: str,
    actor: str,
    seats_after: str = SeatsAfter.FREE,
    approved_by: str = "",
    fingerprint: str = "",
    now: datetime,
) -> RefundRequest:
    """
    Staff refund `amount_minor` of an order and void these tickets; none: money alone, the tickets stay valid. The
    same `key` returns the same request. Above `REFUND_ALONE_MAX_MINOR` of an order a second person has to approve,
    whose name the caller vouches for. With a `fingerprint` (of `refund_preview`) nothing is done if anything of it has
    changed since.

    :raises NotRefundable: see there
    :raises KeyReused: see there
    """
    key = f"staff:{key}"[:KEY_MAX]
    with transaction.atomic():
        order = _lock(number)
        known = _known(order, key, tickets, amount_minor)
        if known is not None:
            return known
        payment = _payment(order, (OrderState.PAID, OrderState.REFUNDED))
        if fingerprint and fingerprint != fingerprint_of(order, payment):
            raise NotRefundable("stale")
        check_people(order, amount_minor, actor=actor, approved_by=approved_by)
        lines = chosen_by_staff(order, tickets) if tickets else []
        if not 0 < amount_minor <= refunds.left_minor(payment):
            raise NotRefundable("too_much", str(refunds.left_minor(payment)))
        asked = _Asked(AskedBy.STAFF, actor, key, amount_minor, seats_after, reason, approved_by)
        return _carry_out(order, payment, shared_out(lines, amount_minor), asked, now=now)


def chosen_by_staff(order: Order, numbers: Sequence[str]) -> list[Line]:
    """
    Exactly these tickets of the order, at their full price.

    :raises NotRefundable: one of them is void, used, or not of the order
    """
    return _chosen(order, _lines(order, 100), numbers)


def check_people(order: Order, amount_minor: int, *, actor: str, approved_by: str) -> None:
    """
    One person may refund so much of an order, in as many parts as he likes; for more, two must agree.

    :raises NotRefundable: `needs_approval` or `same_person`
    """
    if approved_by and approved_by == actor:
        raise NotRefundable("same_person")
    alone = RefundRequest.objects.filter(order=order, asked_by=AskedBy.STAFF, approved_by="")
    before = alone.aggregate(total=Sum("amount_minor"))["total"] or 0
    if not approved_by and before + amount_minor > settings.REFUND_ALONE_MAX_MINOR:
        raise NotRefundable("needs_approval", str(settings.REFUND_ALONE_MAX_MINOR))


def shared_out(lines: Sequence[Line], amount_minor: int) -> list[Line]:
    """The lines with the amount shared out among them by their prices; what is beyond their prices is nobody's."""
    total = sum(line.price_minor for line in lines)
    left = min(amount_minor, total)
    shared = []
    for line in lines:
        back = min(line.price_minor, -(-left * line.price_minor // total)) if total else 0
        shared.append(Line(line.ticket, line.order_seat_id, line.price_minor, back))
        left, total = left - back, total - line.price_minor
    return shared


def fingerprint_of(order: Order, payment: Payment) -> str:
    """Changes whenever what a preview of a refund says may have changed."""
    facts = [order.state, order.winner, payment.state, str(payment.amount_minor)]
    facts += [f"{pk}:{state}" for pk, state in order.tickets.order_by("pk").values_list("pk", "state")]
    facts += [
        f"{number}:{state}" for number, state in payment.refunds.order_by("pk").values_list("number", "state")
    ]
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:32]


# -- inside the transaction
# ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Asked:
    """Who asked for what."""

    by: AskedBy
    actor: str
    key: str
    amount_minor: int
    seats_after: str
    reason: str = ""
    approved_by: str = ""
    facts: Any = None


def _lock(number: str) -> Order:
    orders.lock_order(number)
    return Order.objects.select_related("show", "tier").get(number=number)


def _known(
    order: Order, key: str, tickets: Sequence[str], amount_minor: int | None = None
) -> RefundRequest | None:
    known = RefundRequest.objects.filter(order=order, key=key).first()
    if known is None:
        return None
    same = set(known.seats.values_list("ticket__number", flat=True)) == set(tickets)
    if not same or (amount_minor is not None and amount_minor != known.amount_minor):
        raise KeyReused(key)
    return known


def _payment(order: Order, states: Sequence[OrderState]) -> Payment:
    if order.state not in states:
        raise NotRefundable("not_paid", order.state)
    return settle.lock_payment(order.winner)


def _chosen(order: Order, lines: Sequence[Line], numbers: Sequence[str]) -> list[Line]:
    """Exactly these tickets, all of them valid."""
    if not numbers:
        raise NotRefundable("no_tickets")
    by_number = {line.ticket.number: line for line in lines}
    for number in set(numbers) - set(by_number):
        mine = Ticket.objects.filter(order=order, number=number).exists()
        raise NotRefundable("ticket_void" if mine else "no_such_ticket", number)
    used = [number for number in numbers if by_number[number].ticket.state == TicketState.USED]
    if used:
        raise NotRefundable("ticket_used", used[0])
    return [line for line in lines if line.ticket.number in set(numbers)]


def _carry_out(
    order: Order, payment: Payment, lines: Sequence[Line], asked: _Asked, *, now: datetime
) -> RefundRequest:
    _void(lines)
    _take_back(order, lines, asked.seats_after)
    by = BY_RULE if asked.by == AskedBy.BUYER else BY_STAFF
    try:
        refund = refunds.request(
            payment,
            amount_minor=asked.amount_minor,
            reason=by,
            key=f"order:{order.number}:{hashlib.sha256(asked.key.encode()).hexdigest()[:32]}",
            now=now,
            actor=asked.actor,
        )
    except refunds.NotRefundable as error:
        raise NotRefundable("too_much", str(error)) from error
    request = RefundRequest.objects.create(
        order=order,
        key=asked.key,
        asked_by=asked.by,
        actor=asked.actor,
        approved_by=asked.approved_by,
        reason=asked.reason,
        amount_minor=asked.amount_minor,
        kept_minor=sum(line.kept_minor for line in lines),
        currency=order.currency,
        refund_number=refund.number,
        facts=asked.facts or {},
        made_at=now,
    )
    RefundedSeat.objects.bulk_create(
        RefundedSeat(
            request=request,
            order_seat_id=line.order_seat_id,
            ticket=line.ticket,
            price_minor=line.price_minor,
            back_minor=line.back_minor,
            seat_after=asked.seats_after,
        )
        for line in lines
    )
    return request


def _void(lines: Sequence[Line]) -> None:
    """The tickets admit nobody any more; one that was used a moment ago is not given back."""
    valid = Ticket.objects.filter(pk__in=[line.ticket.pk for line in lines], state=TicketState.VALID)
    if valid.update(state=TicketState.VOID) != len(lines):
        raise NotRefundable("ticket_used")


def _take_back(order: Order, lines: Sequence[Line], seats_after: str) -> None:
    if not lines:
        return
    keep = seats_after == SeatsAfter.KEPT
    seats.give_back([line.ticket.seat_id for line in lines], order_id=order.pk, keep=keep)
    phases.give_back_some(order.phase_id, order.buyer_id, len(lines))
    if not keep:
        release.some_on_commit(order.tier_id, order.buyer_id, len(lines))
