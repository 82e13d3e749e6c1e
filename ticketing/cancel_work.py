"""
Giving a cancelled show back: the work behind `ticketing.cancelling`, driven by one message of the outbox until every
refund is done. Each step is a short transaction over a slice and looks at what is there, so that it may die anywhere
and be repeated by anybody.

It is as fast as the workers are: it asks for further refunds only while few of those that it asked for wait to be sent,
so that a full house neither floods a channel nor keeps other sales' payments from being asked about.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction

from payments import outbox
from payments.models import OutboxMessage, RefundState
from risk import steering
from risk.room_models import Room, RoomState
from ticketing import cancelling, orders, refund_all, seats
from ticketing.cancel_models import CANCELLATION_LIFECYCLE, CancellationState, ShowCancellation
from ticketing.models import OPEN_ORDER_STATES, Order, OrderState, Seat, SeatState
from ticketing.refund_all import Why

SLICE = 200
"""So many orders go in one transaction."""
SLICES_A_TURN = 5
SEATS_A_STEP = 5_000
AHEAD = 400
"""While so many refunds wait to be sent, no more are asked for."""
SOON, LATER = timedelta(seconds=1), timedelta(seconds=15)
STRAGGLERS = timedelta(seconds=60)
"""Until so long after the decision, a process that had not heard of it may have placed an order."""
REASON = "show_cancelled"


@outbox.handles(cancelling.WORK)
def work(payload: dict[str, str], *, attempt: int, now: datetime) -> datetime | None:
    """A turn of the work; when the next one is due, None when all is back."""
    cancelled = ShowCancellation.objects.select_related("show").get(show__code=payload["show"])
    if cancelled.state == CancellationState.DONE and not _is_open(cancelled):
        return None
    _close_room(cancelled, now=now)
    for _ in range(SLICES_A_TURN):
        if end_orders(cancelled, now=now) < SLICE:
            break
    keep_seats(cancelled)
    for _ in range(SLICES_A_TURN):
        if _refunds_waiting(now) >= AHEAD:
            return now + SOON
        if not refund_slice(cancelled, now=now):
            return _all_asked(cancelled, now=now)
    return now


def end_orders(cancelled: ShowCancellation, *, now: datetime) -> int:
    """End a slice of orders that are not paid; money that is on its way all the same goes back by itself."""
    with transaction.atomic():
        found = Order.objects.select_for_update(of=("self",), no_key=True).filter(
            show_id=cancelled.show_id, state__in=OPEN_ORDER_STATES
        )
        open_orders = list(found.order_by("pk")[:SLICE])
        if open_orders:
            actor = f"staff:{cancelled.actor}"[:64]
            orders.close(open_orders, to=OrderState.CANCELLED, reason=REASON, actor=actor, now=now)
    return len(open_orders)


def keep_seats(cancelled: ShowCancellation) -> None:
    """Take free seats off sale, so that no process sells one, whatever it knows; a tier at a time."""
    for tier_id in cancelled.show.tiers.order_by("pk").values_list("pk", flat=True):
        while _keep_some(tier_id) == SEATS_A_STEP:
            pass


def _keep_some(tier_id: int) -> int:
    with transaction.atomic():
        seats.lock_tier(tier_id)
        free = Seat.objects.filter(tier=tier_id, order=None, state=SeatState.FREE).order_by("pk")
        keys = list(free.values_list("pk", flat=True)[:SEATS_A_STEP])
        return Seat.objects.filter(pk__in=keys, state=SeatState.FREE).update(state=SeatState.BLOCKED)


def refund_slice(cancelled: ShowCancellation, *, now: datetime) -> int:
    """Ask for all the money of a slice of paid orders; answer how many refunds it made."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"{cancelling.OWED} ORDER BY o.id LIMIT {SLICE} FOR NO KEY UPDATE OF o",
                {"show": cancelled.show_id, "after": 0},
            )
            keys = [row[0] for row in cursor.fetchall()]
        # Read again under the lock: one of them may be refunded by now.
        found = Order.objects.filter(pk__in=keys, state=OrderState.PAID).order_by("pk")
        why = Why(cancelled.actor, cancelled.approved_by, cancelled.reason)
        return refund_all.give_all_back(list(found), why=why, now=now) if keys else 0


def _refunds_waiting(now: datetime) -> int:
    """Refunds that should be on their way and that no worker has come to."""
    waiting = OutboxMessage.objects.filter(kind="refund.drive", done_at=None, due_at__lte=now)
    return waiting.values("pk")[:AHEAD].count()


def _all_asked(cancelled: ShowCancellation, *, now: datetime) -> datetime | None:
    """Every refund is asked for: done, once all of them are, and nobody can have come later."""
    under_way = _under_way(
        cancelled
    )  # first: an order whose money is back leaves seats that are looked for next
    if _is_open(cancelled):
        return now + SOON
    with transaction.atomic():
        if cancelled.state == CancellationState.ENDING:
            CANCELLATION_LIFECYCLE.move(cancelled, to=CancellationState.RETURNING, at=now, reason="all_asked")
        if under_way or now < cancelled.cancelled_at + STRAGGLERS:
            return now + LATER
        CANCELLATION_LIFECYCLE.move(
            cancelled, to=CancellationState.DONE, at=now, reason="all_back", done_at=now
        )
    return None


def _is_open(cancelled: ShowCancellation) -> bool:
    """Whether an order can be paid, a seat be sold, or money was not asked for."""
    show = cancelled.show_id
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS ({cancelling.OWED})", {"show": show, "after": 0})
        owed = bool(cursor.fetchone()[0])
    return (
        owed
        or Order.objects.filter(show=show, state__in=OPEN_ORDER_STATES).exists()
        or Seat.objects.filter(show=show, state__in=(SeatState.FREE, SeatState.HELD)).exists()
    )


UNDER_WAY = """
SELECT EXISTS (SELECT 1 FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
                 JOIN ticketing_order o ON o.number = payment.purchase_number AND payment.purchase_kind = 'order'
                WHERE o.show_id = %s AND refund.state <> %s)
"""


def _under_way(cancelled: ShowCancellation) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(UNDER_WAY, [cancelled.show_id, str(RefundState.SUCCEEDED)])
        return bool(cursor.fetchone()[0])


def _close_room(cancelled: ShowCancellation, *, now: datetime) -> None:
    """Nobody waits for a show that does not take place."""
    code = cancelled.show.code
    if Room.objects.filter(show=code).exclude(state=RoomState.CLOSED).exists():
        steering.close(show=code, actor=f"staff:{cancelled.actor}", now=now)


def look_again(*, now: datetime) -> int:
    """
    Drive what nothing drives: a cancelled show whose work is lost, or that has something open again although it was
    done. Answers how many. Called on a schedule.
    """
    count = 0
    for cancelled in ShowCancellation.objects.select_related("show").order_by("pk"):
        key = f"cancel:{cancelled.show.code}"
        if OutboxMessage.objects.filter(key=key, done_at=None).exists():
            continue
        if cancelled.state == CancellationState.DONE:
            if not _is_open(cancelled):
                continue
            CANCELLATION_LIFECYCLE.move(
                cancelled, to=CancellationState.ENDING, at=now, reason="something_came", done_at=None
            )
        with transaction.atomic():
            outbox.put(cancelling.WORK, key=key, payload={"show": cancelled.show.code}, due_at=now, now=now)
            outbox.hasten([key], now=now)
        count += 1
    return count
