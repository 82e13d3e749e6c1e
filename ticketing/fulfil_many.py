"""
The batch handler of orders (payments.batch): what `ticketing.fulfil` does for one paid order, for hundreds as sets.
Every order here is open and locked, so its seats are there: no money is late in a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from django.db import connection

from basis import numbers
from basis.lifecycle import StaleState
from payments import money
from payments.batch import Winner
from ticketing.fulfil import OrderHandler
from ticketing.models import Order

FIELDS = (
    *("id", "number", "buyer_id", "show_id", "amount_minor", "currency"),
    *("state", "winner", "hold_until", "hold_limit", "quantity"),
)
LOCK = f"""
SELECT {", ".join(FIELDS)}
  FROM ticketing_order WHERE number = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 (column names of our own model)

# Orders and their history, then seats, as ticketing.fulfil does them one by one; the seats come back for the tickets.
SETTLE = """
WITH paid AS (
  UPDATE ticketing_order o SET state = 'paid', winner = d.payment
    FROM unnest(%(ids)s::bigint[], %(payments)s::text[]) AS d(id, payment)
   WHERE o.id = d.id AND o.state = 'held' RETURNING o.id, o.winner
), told AS (
  INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
  SELECT id, 'held', 'paid', %(now)s, 'paid', '', jsonb_build_object('payment', winner) FROM paid ORDER BY id
  RETURNING order_id
), sold AS (
  UPDATE ticketing_seat SET state = 'S' WHERE order_id = ANY(%(ids)s) AND state = 'H' RETURNING id, order_id
)
SELECT sold.order_id, sold.id FROM sold JOIN paid ON paid.id = sold.order_id ORDER BY sold.order_id, sold.id
"""
TICKETS = """
INSERT INTO ticketing_ticket (number, order_id, seat_id, show_id, buyer_id, state, issued_at)
SELECT d.number, d.order_id, d.seat_id, d.show_id, d.buyer_id, 'valid', %s
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
       WITH ORDINALITY AS d(number, order_id, seat_id, show_id, buyer_id, nth) ORDER BY d.nth
"""


class OrderBatchHandler:
    """See payments.batch.BatchHandler."""

    def lock_all(self, numbers: Sequence[str]) -> Mapping[str, object]:
        with connection.cursor() as cursor:
            cursor.execute(LOCK, [list(numbers)])
            rows = [dict(zip(FIELDS, row, strict=True)) for row in cursor.fetchall()]
        return {row["number"]: Order(**row) for row in rows}

    quote_locked = OrderHandler.quote_locked

    def credit(self, currency: str) -> str:
        return money.guarantee(currency)

    def settle_all(self, winners: Sequence[Winner], *, now: datetime) -> None:
        """
        :raises basis.lifecycle.StaleState: an order changed although it was locked, or has lost seats
        """
        orders = {cast(Order, winner.purchase).pk: cast(Order, winner.purchase) for winner in winners}
        if not orders:
            return
        with connection.cursor() as cursor:
            values: dict[str, Any] = {
                "ids": list(orders),
                "payments": [winner.payment for winner in winners],
                "now": now,
            }
            cursor.execute(SETTLE, values)
            sold = cursor.fetchall()
            wanted = sum(order.quantity for order in orders.values())
            if len(sold) != wanted:
                raise StaleState(f"{len(sold)} of {wanted} seats of {len(orders)} paid orders")
            cursor.execute(
                TICKETS,
                [
                    now,
                    [numbers.new_number(numbers.TICKET, now) for _ in sold],
                    [order_id for order_id, _ in sold],
                    [seat_id for _, seat_id in sold],
                    [orders[order_id].show_id for order_id, _ in sold],
                    [orders[order_id].buyer_id for order_id, _ in sold],
                ],
            )
