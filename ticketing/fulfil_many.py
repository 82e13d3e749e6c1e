"""
The batch handler of orders (payments.batch): what `ticketing.fulfil` does for one paid order, for hundreds as sets.
Every order here is open and locked, so its seats are there: no money is late in a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from basis import columns, numbers
from basis.lifecycle import StaleState
from payments import batch, money
from payments.batch import Winner
from ticketing.fulfil import OrderHandler


class LockedOrder(NamedTuple):
    """The columns of an order that a payment looks at. A row of the model costs as much as the rest of its payment."""

    pk: int
    number: str
    buyer_id: int
    show_id: int
    amount_minor: int
    currency: str
    state: str
    hold_until: datetime
    hold_limit: datetime
    quantity: int


LOCK = """
SELECT id, number, buyer_id, show_id, amount_minor, currency, state, hold_until, hold_limit, quantity
  FROM ticketing_order WHERE number = ANY(%s::text[]) ORDER BY id FOR NO KEY UPDATE
"""

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
  UPDATE ticketing_seat SET state = 'S' WHERE order_id = ANY(%(ids)s::bigint[]) AND state = 'H' RETURNING id, order_id
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
        with batch.one_or_many(numbers) as cursor:
            cursor.execute(LOCK, [columns.texts(numbers)])
            return {row[1]: LockedOrder(*row) for row in cursor.fetchall()}

    quote_locked = OrderHandler.quote_locked

    def credit(self, currency: str) -> str:
        return money.guarantee(currency)

    def settle_all(self, winners: Sequence[Winner], *, now: datetime) -> None:
        """
        :raises basis.lifecycle.StaleState: an order changed although it was locked, or has lost seats
        """
        orders = {order.pk: order for order in (cast(LockedOrder, winner.purchase) for winner in winners)}
        if not orders:
            return
        with batch.one_or_many(orders) as cursor:
            values: dict[str, Any] = {
                "ids": columns.wholes(orders),
                "payments": columns.texts(winner.payment for winner in winners),
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
                    columns.texts(numbers.new_number(numbers.TICKET, now) for _ in sold),
                    columns.wholes(order_id for order_id, _ in sold),
                    columns.wholes(seat_id for _, seat_id in sold),
                    columns.wholes(orders[order_id].show_id for order_id, _ in sold),
                    columns.wholes(orders[order_id].buyer_id for order_id, _ in sold),
                ],
            )
