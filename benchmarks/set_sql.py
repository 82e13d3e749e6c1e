"""
The ceiling of a rush: the rows that an order leaves behind, written in final form by set-based SQL, `BATCH` orders a
transaction over one connection, with every seat, number and account known beforehand. No choice, no checks, no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import psycopg

from basis import numbers

BATCH = 500


@dataclass(frozen=True, slots=True)
class Sale:
    """One order with everything chosen."""

    buyer_id: int
    tier_id: int
    price_minor: int
    seats: Sequence[int]
    cash_id: int


ORDERS = """
CREATE TEMP TABLE given ON COMMIT DROP AS
SELECT * FROM unnest(%(orders)s::text[], %(payments)s::text[], %(buyers)s::bigint[], %(tiers)s::bigint[],
                     %(quantities)s::int[], %(amounts)s::bigint[], %(cash)s::bigint[])
  WITH ORDINALITY AS d(number, payment, buyer_id, tier_id, quantity, amount, cash_id, nth);
"""
STEPS = """
INSERT INTO ticketing_allowance AS a (phase_id, buyer_id, taken) SELECT %(phase)s, buyer_id, quantity FROM given
ON CONFLICT (phase_id, buyer_id) DO UPDATE SET taken = a.taken + excluded.taken;

CREATE TEMP TABLE placed ON COMMIT DROP AS
WITH placed AS (
  INSERT INTO ticketing_order (number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor,
    currency, state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
  SELECT number, buyer_id, number, %(show)s, %(phase)s, tier_id, quantity, amount, 'CNY', 'paid', false, payment,
         %(now)s, %(until)s, %(until)s FROM given ORDER BY nth RETURNING id, number
) SELECT placed.id, given.* FROM placed JOIN given USING (number);

CREATE TEMP TABLE seat ON COMMIT DROP AS
SELECT placed.id AS order_id, placed.buyer_id, placed.amount / placed.quantity AS price, s.seat_id, s.ticket
  FROM unnest(%(seat_orders)s::text[], %(seats)s::bigint[], %(tickets)s::text[]) AS s(number, seat_id, ticket)
  JOIN placed USING (number);

UPDATE ticketing_seat SET state = 'S', order_id = seat.order_id FROM seat
 WHERE ticketing_seat.id = seat.seat_id AND state = 'F';

INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor) SELECT order_id, seat_id, price FROM seat;

INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
SELECT id, step.a, step.b, %(now)s, step.reason, '', '{}' FROM placed
 CROSS JOIN (VALUES (1, '', 'held', 'placed'), (2, 'held', 'paid', 'paid')) AS step(n, a, b, reason) ORDER BY id, n;

INSERT INTO risk_burnedtoken (nonce, subject, buyer_id, burned_for, burned_at)
SELECT md5(payment), 'order:' || number, buyer_id, payment, %(now)s FROM placed;

CREATE TEMP TABLE paid ON COMMIT DROP AS
WITH paid AS (
  INSERT INTO payments_payment (number, purchase_kind, purchase_number, buyer_id, channel, amount_minor, currency,
    subject, state, outcome, created_at, expires_at, opening_at, cashier_kind, cashier_url, channel_reference, refusal,
    paid_at)
  SELECT payment, 'order', number, buyer_id, 'wallet', amount, 'CNY', 'Tickets ' || number, 'succeeded', 'won',
         %(now)s, %(until)s, %(now)s, '', '', payment, '', %(now)s FROM placed ORDER BY id RETURNING id
) SELECT id FROM paid;

INSERT INTO payments_paymentevent (payment_id, from_state, to_state, at, reason, actor, facts)
SELECT id, step.a, step.b, %(now)s, step.reason, '', '{}' FROM paid
 CROSS JOIN (VALUES (1, '', 'created', 'pressed_pay'), (2, 'created', 'succeeded', 'wallet')) AS step(n, a, b, reason)
 ORDER BY id, n;

WITH entry AS (
  INSERT INTO wallet_journalentry (key, kind, reference, memo, at)
  SELECT 'pay:' || payment, 'payment', number, '', %(now)s FROM placed ORDER BY id RETURNING id, reference
)
INSERT INTO wallet_posting (entry_id, account_id, amount_minor)
SELECT entry.id, side.account, side.amount FROM entry JOIN placed ON placed.number = entry.reference
 CROSS JOIN LATERAL (VALUES (placed.cash_id, -placed.amount), (%(guarantee)s, placed.amount)) AS side(account, amount);

INSERT INTO ticketing_ticket (number, order_id, seat_id, show_id, buyer_id, state, issued_at)
SELECT ticket, order_id, seat_id, %(show)s, buyer_id, 'valid', %(now)s FROM seat;
"""


def sell(url: str, sales: Sequence[Sale], *, show: int, phase: int, guarantee: int) -> float:
    """Orders a second."""
    begun, left = time.perf_counter(), iter(sales)
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        while batch := list(islice(left, BATCH)):
            values = _values(batch) | {"show": show, "phase": phase, "guarantee": guarantee}
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(ORDERS, values)
                cursor.execute(STEPS, values)
    return len(sales) / (time.perf_counter() - begun)


def _values(batch: Sequence[Sale]) -> dict[str, object]:
    now = datetime.now(UTC)
    orders = [numbers.new_number(numbers.ORDER, now) for _ in batch]
    return {
        "now": now,
        "until": now + timedelta(minutes=15),
        "orders": orders,
        "payments": [numbers.new_number(numbers.PAYMENT, now) for _ in batch],
        "buyers": [sale.buyer_id for sale in batch],
        "tiers": [sale.tier_id for sale in batch],
        "quantities": [len(sale.seats) for sale in batch],
        "amounts": [sale.price_minor * len(sale.seats) for sale in batch],
        "cash": [sale.cash_id for sale in batch],
        "seat_orders": [order for order, sale in zip(orders, batch, strict=True) for _ in sale.seats],
        "seats": [seat for sale in batch for seat in sale.seats],
        "tickets": [numbers.new_number(numbers.TICKET, now) for sale in batch for _ in sale.seats],
    }
