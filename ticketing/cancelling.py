"""
A show does not take place: looked at first, decided once, by two people where it costs more than one may give back.

The decision is one short transaction: the sale stops, and a message of the outbox is left that ends every open order
and gives every paid one all its money back, in slices (ticketing.cancel_work), whatever the refund rule says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from payments import outbox
from risk import pacing, switches
from risk.room_models import Room
from ticketing.cancel_models import CANCELLATION_LIFECYCLE, ShowCancellation
from ticketing.models import OPEN_ORDER_STATES, Order, Seat, SeatState, Show, Ticket, TicketState

WORK = "show.cancel"


class NotCancellable(Exception):
    """Nothing was changed. `reason`: `needs_approval`, `same_person`, `reason_missing`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NoSuchShow(Exception):
    """There is no show of this code."""


@dataclass(frozen=True, slots=True)
class ByChannel:
    """What goes back through one channel. Amounts are in minor units."""

    channel: str
    currency: str
    orders: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Preview:
    """
    What cancelling the show would do now: `paid` orders whose money goes back by channel, `tickets` that become void
    (of them `used` admitted somebody already), `open_orders` that end with `held_seats`, `free_seats` that are sold to
    nobody any more, `waiting` in its waiting room. `needs_approval`: a second person must agree.
    """

    show: Show
    paid: tuple[ByChannel, ...]
    tickets: int
    used: int
    open_orders: int
    held_seats: int
    free_seats: int
    waiting: int
    needs_approval: bool
    cancelled_at: datetime | None

    @property
    def orders(self) -> int:
        return sum(one.orders for one in self.paid)

    @property
    def sums(self) -> dict[str, int]:
        """By currency."""
        found: dict[str, int] = {}
        for one in self.paid:
            found[one.currency] = found.get(one.currency, 0) + one.amount_minor
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "show": self.show.code,
            "orders": self.orders,
            "tickets": self.tickets,
            "used": self.used,
            "open_orders": self.open_orders,
            "held_seats": self.held_seats,
            "free_seats": self.free_seats,
            "waiting": self.waiting,
            "needs_approval": self.needs_approval,
            "by_channel": [
                {
                    "channel": one.channel,
                    "orders": one.orders,
                    "amount_minor": one.amount_minor,
                    "currency": one.currency,
                }
                for one in self.paid
            ],
        }


# Paid orders with money that no refund has asked for yet; `%(after)s` and `LIMIT` make slices of it.
OWED = """
SELECT o.id, payment.channel, payment.currency, payment.amount_minor - back.asked AS left_minor
  FROM ticketing_order o JOIN payments_payment payment ON payment.number = o.winner
  CROSS JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0)::bigint AS asked FROM payments_refund refund
                       WHERE refund.payment_id = payment.id) back
 WHERE o.show_id = %(show)s AND o.state = 'paid' AND payment.amount_minor > back.asked AND o.id > %(after)s
"""


def find(code: str) -> Show:
    """
    :raises NoSuchShow: see there
    """
    show = Show.objects.select_related("event", "venue").filter(code=code).first()
    if show is None:
        raise NoSuchShow(code)
    return show


def preview(code: str, *, actor: str = "", approved_by: str = "") -> Preview:
    """
    Look, without a lock; nothing is changed. With who acts, `needs_approval` is theirs.

    :raises NoSuchShow: see there
    """
    show = find(code)
    tickets = Ticket.objects.filter(show=show).exclude(state=TicketState.VOID)
    seats = Seat.objects.filter(show=show)
    paid = owed(show.pk)
    return Preview(
        show=show,
        paid=paid,
        tickets=tickets.count(),
        used=tickets.filter(state=TicketState.USED).count(),
        open_orders=Order.objects.filter(show=show, state__in=OPEN_ORDER_STATES).count(),
        held_seats=seats.filter(state=SeatState.HELD).count(),
        free_seats=seats.filter(state=SeatState.FREE).count(),
        waiting=_waiting(code),
        needs_approval=not approved_by and _costs(paid) > settings.REFUND_ALONE_MAX_MINOR,
        cancelled_at=show.cancelled_at,
    )


def owed(show_id: int) -> tuple[ByChannel, ...]:
    """What paid orders of the show took and no refund has asked for yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT channel, currency, count(*), sum(left_minor) FROM ({OWED}) owed GROUP BY 1, 2 ORDER BY 1, 2",  # noqa: S608
            {"show": show_id, "after": 0},
        )
        return tuple(ByChannel(row[0], row[1], row[2], int(row[3])) for row in cursor.fetchall())


def _costs(paid: tuple[ByChannel, ...]) -> int:
    """The most of one currency; two people are needed where it is more than one may give back."""
    by: dict[str, int] = {}
    for one in paid:
        by[one.currency] = by.get(one.currency, 0) + one.amount_minor
    return max(by.values(), default=0)


def _waiting(code: str) -> int:
    room = Room.objects.filter(show=code).first()
    return pacing.counters(room).get("waiting", 0) if room else 0


def cancel(
    *,
    code: str,
    reason: str,
    actor: str,
    approved_by: str = "",
    said_zh: str = "",
    said_en: str = "",
    now: datetime,
) -> ShowCancellation:
    """
    Decide it. The sale stops at once; orders are ended and refunded by the workers. Who approved, the caller vouches
    for. Repeatable: a show that is cancelled stays so, with its first reason.

    :raises NoSuchShow: see there
    :raises NotCancellable: see there
    """
    if not reason.strip():
        raise NotCancellable("reason_missing")
    if approved_by and approved_by == actor:
        raise NotCancellable("same_person")
    with transaction.atomic():
        show = Show.objects.select_for_update(no_key=True).filter(code=code).first()
        if show is None:
            raise NoSuchShow(code)
        known = ShowCancellation.objects.filter(show=show).first()
        if known is not None:
            return known
        seen = preview(code, approved_by=approved_by)
        if seen.needs_approval:
            raise NotCancellable("needs_approval")
        made = ShowCancellation.objects.create(
            show=show,
            reason=reason.strip()[:200],
            said_zh=said_zh.strip()[:300],
            said_en=said_en.strip()[:300],
            actor=actor,
            approved_by=approved_by,
            expected=seen.as_json(),
            cancelled_at=now,
        )
        CANCELLATION_LIFECYCLE.begin(made, at=now, reason="cancelled", actor=f"staff:{actor}"[:64])
        Show.objects.filter(pk=show.pk).update(cancelled_at=now)
        switches.stop(
            kind=switches.SALE,
            target=code,
            actor=actor,
            reason=made.reason,
            said_zh=made.said_zh,
            said_en=made.said_en,
            now=now,
        )
        outbox.put(WORK, key=f"cancel:{code}", payload={"show": code}, due_at=now, now=now)
    return made
