"""
Submissions that have their orders already: their batch was committed and not published, or the fast store was wiped
and the buyer submitted again with the same key. They are answered with the order that exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from accounts.models import User
from ticketing.rush.hall import Place
from ticketing.rush.messages import PressMessage, Submission

FIND = """
WITH d AS (SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[]) AS d(number, buyer_id, client_key))
SELECT d.number, o.id, o.tier_id, o.quantity, o.number, o.amount_minor, o.currency, o.hold_until, o.state
  FROM d JOIN ticketing_order o ON o.number = d.number
UNION
SELECT d.number, o.id, o.tier_id, o.quantity, o.number, o.amount_minor, o.currency, o.hold_until, o.state
  FROM d JOIN ticketing_order o ON o.buyer_id = d.buyer_id AND o.client_key = d.client_key
"""
SEATS = """
SELECT given.order_id, seat.id, section.code, row.label, seat.label
  FROM ticketing_orderseat given JOIN ticketing_seat seat ON seat.id = given.seat_id
  JOIN ticketing_row row ON row.id = seat.row_id JOIN ticketing_section section ON section.id = row.section_id
 WHERE given.order_id = ANY(%s) ORDER BY given.order_id, seat.row_rank, seat.position
"""


def find(batch: Sequence[Submission], *, tier_id: int) -> dict[str, dict[str, Any] | None]:
    """
    By submitted number, the fields of `allocation.Held` of the order that exists; None if the buyer's key belongs to an
    order for something else.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            FIND,
            [
                [one.number for one in batch],
                [one.buyer_id for one in batch],
                [one.client_key for one in batch],
            ],
        )
        orders = cursor.fetchall()
        cursor.execute(SEATS, [[row[1] for row in orders]])
        seats: dict[int, list[tuple[int, Place]]] = {}
        for order_id, seat_id, *place in cursor.fetchall():
            seats.setdefault(order_id, []).append((seat_id, Place(*place)))
    asked = {one.number: one for one in batch}
    return {
        submitted: None
        if (tier, quantity) != (tier_id, asked[submitted].quantity)
        or not {seat_id for seat_id, _ in seats.get(order_id, ())}.issuperset(asked[submitted].seat_ids)
        else {
            "order": number,
            "seat_ids": [seat_id for seat_id, _ in seats.get(order_id, ())],
            "places": [place for _, place in seats.get(order_id, ())],
            "amount_minor": amount,
            "currency": currency,
            "hold_until": hold_until,
            "state": state,
        }
        for submitted, order_id, tier, quantity, number, amount, currency, hold_until, state in orders
    }


def buyers(batch: Sequence[Submission]) -> set[int]:
    """Those of the batch's buyers whose accounts exist and are open."""
    wanted = {one.buyer_id for one in batch}
    return set(User.objects.filter(pk__in=wanted, is_active=True).values_list("pk", flat=True))


def shut(presses: Sequence[PressMessage]) -> set[int]:
    """Those of the buyers whose accounts staff have shut."""
    wanted = {one.buyer_id for one in presses}
    return set(User.objects.filter(pk__in=wanted, is_active=False).values_list("pk", flat=True))
