"""
Sold orders written as sets: every row that the way from the hold to the ticket would have left behind.

The statements follow that way in its order. Money goes through the ledger's one door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from payments import money
from ticketing.models import SalePhase, Show
from wallet import ledger
from wallet.ledger import Entry, Line

CNY = "CNY"
BATCH = 5000


@dataclass(frozen=True, slots=True)
class SoldOrder:
    """One order that was placed, paid and delivered, and the numbers of its parts."""

    number: str
    payment: str
    tickets: Sequence[str]
    seat_ids: Sequence[int]
    client_key: str
    buyer_id: int
    tier_id: int
    price_minor: int
    channel: str
    placed_at: datetime
    paid_at: datetime

    @property
    def amount_minor(self) -> int:
        return self.price_minor * len(self.seat_ids)


TABLES = """
CREATE TEMPORARY TABLE seeded (
  number text, payment text, client_key text, buyer_id bigint, tier_id bigint, quantity int, price_minor bigint,
  amount_minor bigint, channel text, placed_at timestamptz, paid_at timestamptz
) ON COMMIT DROP;
CREATE TEMPORARY TABLE seeded_seat (number text, ticket text, seat_id bigint) ON COMMIT DROP;
"""

STEPS = {
    "orders": """
INSERT INTO ticketing_order (number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor, currency,
                             state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
SELECT number, buyer_id, client_key, %(show)s, %(phase)s, tier_id, quantity, amount_minor, 'CNY',
       'paid', false, payment, placed_at, placed_at + %(hold)s, placed_at + %(hold_limit)s
  FROM seeded ORDER BY placed_at, number
""",
    "seats": """
UPDATE ticketing_seat seat SET state = 'S', order_id = o.id
  FROM seeded_seat taken JOIN ticketing_order o ON o.number = taken.number
 WHERE seat.id = taken.seat_id AND seat.state = 'F'
""",
    "seats of orders": """
INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor)
SELECT o.id, taken.seat_id, seeded.price_minor
  FROM seeded_seat taken JOIN seeded ON seeded.number = taken.number JOIN ticketing_order o ON o.number = taken.number
 ORDER BY taken.seat_id
""",
    "order events": """
INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
SELECT o.id, step.from_state, step.to_state,
       CASE WHEN step.to_state = 'paid' THEN seeded.paid_at ELSE seeded.placed_at END, step.reason, '',
       CASE WHEN step.to_state = 'held' THEN jsonb_build_object('seats', seeded.quantity)
            ELSE jsonb_build_object('payment', seeded.payment) END
  FROM seeded JOIN ticketing_order o ON o.number = seeded.number
  JOIN (VALUES (1, true, '', 'held', 'placed'), (1, false, '', 'held', 'placed'),
               (2, false, 'held', 'paying', 'payment_started'),
               (3, false, 'paying', 'paid', 'paid'), (3, true, 'held', 'paid', 'paid'))
       AS step(nth, from_wallet, from_state, to_state, reason) ON step.from_wallet = (seeded.channel = 'wallet')
 ORDER BY o.id, step.nth
""",
    "allowances": """
INSERT INTO ticketing_allowance AS allowance (phase_id, buyer_id, taken)
SELECT %(phase)s, buyer_id, sum(quantity) FROM seeded GROUP BY buyer_id ORDER BY buyer_id
ON CONFLICT (phase_id, buyer_id) DO UPDATE SET taken = allowance.taken + excluded.taken
""",
    "payments": """
INSERT INTO payments_payment (number, purchase_kind, purchase_number, buyer_id, channel, amount_minor, currency,
                              subject, state, outcome, created_at, expires_at, opening_at, cashier_kind, cashier_url,
                              channel_reference, refusal, paid_at)
SELECT payment, 'order', number, buyer_id, channel, amount_minor, 'CNY', 'Tickets ' || number,
       'succeeded', 'won', placed_at, placed_at + %(window)s, placed_at, '', '',
       CASE WHEN channel = 'wallet' THEN payment ELSE 'seed' || substr(payment, 2) END, '', paid_at
  FROM seeded ORDER BY placed_at, payment
""",
    "payment events": """
INSERT INTO payments_paymentevent (payment_id, from_state, to_state, at, reason, actor, facts)
SELECT payment.id, step.from_state, step.to_state,
       CASE WHEN step.to_state = 'succeeded' THEN seeded.paid_at ELSE seeded.placed_at END,
       CASE step.nth WHEN 1 THEN 'pressed_pay' WHEN 2 THEN 'channel'
            ELSE CASE WHEN step.from_wallet THEN 'wallet' ELSE 'notify' END END, '',
       CASE step.nth WHEN 1 THEN jsonb_build_object('channel', seeded.channel) WHEN 2 THEN '{}'::jsonb
            ELSE jsonb_build_object('channel_reference', payment.channel_reference, 'outcome', 'won') END
  FROM seeded JOIN payments_payment payment ON payment.number = seeded.payment
  JOIN (VALUES (1, true, '', 'created'), (1, false, '', 'created'), (2, false, 'created', 'pending'),
               (3, false, 'pending', 'succeeded'), (3, true, 'created', 'succeeded'))
       AS step(nth, from_wallet, from_state, to_state) ON step.from_wallet = (seeded.channel = 'wallet')
 ORDER BY payment.id, step.nth
""",
    "messages": """
INSERT INTO payments_outboxmessage (key, kind, payload, due_at, attempts, done_at, last_error, created_at)
SELECT 'chase:' || payment, 'payment.chase', jsonb_build_object('payment', payment), paid_at, 1, paid_at, '', placed_at
  FROM seeded WHERE channel <> 'wallet'
""",
    "tickets": """
INSERT INTO ticketing_ticket (number, order_id, seat_id, show_id, buyer_id, state, issued_at)
SELECT taken.ticket, o.id, taken.seat_id, o.show_id, o.buyer_id, 'valid', seeded.paid_at
  FROM seeded_seat taken JOIN seeded ON seeded.number = taken.number JOIN ticketing_order o ON o.number = taken.number
 ORDER BY o.id, taken.seat_id
""",
}


def write(
    orders: Sequence[SoldOrder],
    *,
    show: Show,
    phase: SalePhase,
    now: datetime,
    told: Callable[[str, int, int], None],
) -> None:
    """
    Write `orders` in the caller's transaction; `told` hears each step. Buyers who pay from the wallet have the money.

    :raises IntegrityError: a seat is not free, a number exists, or a wallet has too little; the caller rolls back
    """
    values: dict[str, Any] = {
        "show": show.pk,
        "phase": phase.pk,
        "hold": settings.ORDER_HOLD,
        "hold_limit": max(settings.ORDER_HOLD, settings.ORDER_HOLD_LIMIT),
        "window": settings.PAYMENT_WINDOW,
    }
    steps = len(STEPS) + 2
    with connection.cursor() as cursor:
        _load(cursor, orders)
        told("drafts", 1, steps)
        for nth, (name, statement) in enumerate(STEPS.items(), start=2):
            cursor.execute(statement, values)
            told(name, nth, steps)
        cursor.execute("DROP TABLE seeded, seeded_seat")  # the caller's transaction may write more
    for first in range(0, len(orders), BATCH):
        ledger.post_all([_entry(order) for order in orders[first : first + BATCH]], at=now)
    told("ledger", steps, steps)


def _load(cursor: Any, orders: Iterable[SoldOrder]) -> None:
    cursor.execute(TABLES)
    with cursor.copy("COPY seeded FROM STDIN") as copy:
        for order in orders:
            copy.write_row(
                (
                    order.number,
                    order.payment,
                    order.client_key,
                    order.buyer_id,
                    order.tier_id,
                    len(order.seat_ids),
                    order.price_minor,
                    order.amount_minor,
                    order.channel,
                    order.placed_at,
                    order.paid_at,
                )
            )
    with cursor.copy("COPY seeded_seat FROM STDIN") as copy:
        for order in orders:
            for ticket, seat_id in zip(order.tickets, order.seat_ids, strict=True):
                copy.write_row((order.number, ticket, seat_id))
    cursor.execute("ANALYZE seeded, seeded_seat")


def _entry(order: SoldOrder) -> Entry:
    source = (
        money.buyer_cash(order.buyer_id, CNY)
        if order.channel == "wallet"
        else money.clearing(order.channel, CNY)
    )
    lines = (Line(source, -order.amount_minor), Line(money.guarantee(CNY), order.amount_minor))
    return Entry(f"pay:{order.payment}", "payment", order.number, lines)
