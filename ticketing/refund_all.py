"""
A slice of orders gets all its money back at once, whatever any rule says: what `ticketing.refunding` does for one
order, as sets, in the caller's transaction. For shows that do not take place.

Locks: the orders by their ids (the caller), their payments, then tickets, seats and allowances; accounts come last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from payments import refund_many
from payments.models import Refund
from payments.refund_many import Wanted
from ticketing import phases
from ticketing.models import (
    ORDER_LIFECYCLE,
    Order,
    OrderSeat,
    OrderState,
    RefundedSeat,
    RefundRequest,
    Seat,
    SeatState,
    Ticket,
    TicketState,
)
from ticketing.refund_models import AskedBy, SeatsAfter
from ticketing.refunding import Line, shared_out

BY_SHOW = "show_cancelled"
"""The refunds' reason."""


@dataclass(frozen=True, slots=True)
class Why:
    """Who decided it, and what the requests say."""

    actor: str
    approved_by: str
    reason: str


def give_all_back(orders: Sequence[Order], *, why: Why, now: datetime) -> int:
    """
    Void these paid orders' tickets, keep their seats from sale, and request all that is left of their payments; the
    caller has locked them. Answers how many refunds there are.
    """
    refunds = refund_many.request_all(
        [Wanted(order.winner, f"show:{order.number}") for order in orders],
        reason=BY_SHOW,
        actor=f"staff:{why.actor}"[:64],
        now=now,
    )
    mine = [order for order in orders if order.winner in refunds]
    lines = _take_back(mine)
    requests = {order.pk: _request(order, refunds[order.winner], why, lines, now) for order in mine}
    RefundRequest.objects.bulk_create(requests.values())
    RefundedSeat.objects.bulk_create(
        RefundedSeat(
            request=requests[order.pk],
            order_seat_id=line.order_seat_id,
            ticket=line.ticket,
            price_minor=line.price_minor,
            back_minor=line.back_minor,
            seat_after=SeatsAfter.KEPT,
        )
        for order in mine
        for line in shared_out(lines[order.pk], refunds[order.winner].amount_minor)
    )
    _end(mine, refunds, now=now)
    return len(refunds)


def _end(orders: Sequence[Order], refunds: Mapping[str, Refund], *, now: datetime) -> None:
    """Orders whose money is all back already, as `ticketing.fulfil` ends one; their seats and tickets are gone."""
    done = refund_many.in_full(refund.payment for refund in refunds.values())
    over = [order for order in orders if order.winner in done]
    ORDER_LIFECYCLE.move_all(over, to=OrderState.REFUNDED, at=now, reason="refunded_in_full")


def _take_back(orders: Sequence[Order]) -> Mapping[int, list[Line]]:
    """
    Tickets, also used ones, admit nobody any more; seats are kept from sale; allowances are given back. By order, what
    each seat cost.
    """
    keys = [order.pk for order in orders]
    given = {
        (order_id, seat_id): (pk, price)
        for pk, order_id, seat_id, price in OrderSeat.objects.filter(order__in=keys).values_list(
            "pk", "order_id", "seat_id", "price_minor"
        )
    }
    lines: dict[int, list[Line]] = defaultdict(list)
    for ticket in Ticket.objects.filter(order__in=keys).exclude(state=TicketState.VOID).order_by("pk"):
        pk, price = given[ticket.order_id, ticket.seat_id]
        lines[ticket.order_id].append(Line(ticket, pk, price, price))
    tickets = [line.ticket.pk for several in lines.values() for line in several]
    Ticket.objects.filter(pk__in=tickets).update(state=TicketState.VOID)
    Seat.objects.filter(order__in=keys).update(state=SeatState.BLOCKED, order=None)
    phases.give_back_many((order.phase_id, order.buyer_id, len(lines[order.pk])) for order in orders)
    return lines


def _request(
    order: Order, refund: Refund, why: Why, lines: Mapping[int, list[Line]], now: datetime
) -> RefundRequest:
    used = [line.ticket.number for line in lines[order.pk] if line.ticket.state == TicketState.USED]
    return RefundRequest(
        order=order,
        key="show",
        asked_by=AskedBy.SHOW,
        actor=why.actor,
        approved_by=why.approved_by,
        reason=why.reason,
        amount_minor=refund.amount_minor,
        kept_minor=_kept(lines[order.pk], refund.amount_minor),
        currency=order.currency,
        refund_number=refund.number,
        facts={"used": used} if used else {},
        made_at=now,
    )


def _kept(lines: Sequence[Line], amount_minor: int) -> int:
    """More than nothing only where staff had refunded money before, without its tickets."""
    return sum(line.kept_minor for line in shared_out(lines, amount_minor))
