"""
The ceiling of a sale: the same rows as plain SQL, row by row, by the same number of clients, in the same two
transactions, and nothing else: no HTTP, no rules, no search for seats, no idempotency keys.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from basis import numbers


@dataclass(frozen=True, slots=True)
class Sale:
    """One order of one seat, with everything chosen beforehand."""

    buyer_id: int
    seat_id: int
    tier_id: int
    price_minor: int
    cash_id: int


@dataclass(frozen=True, slots=True)
class Stage:
    """What all sales share."""

    show_id: int
    phase_id: int
    guarantee_id: int


def sell(url: str, stage: Stage, sales: Sequence[Sale], *, clients: int, run_s: float) -> float:
    """Sales a second."""
    done = [0] * clients
    barrier = threading.Barrier(clients + 1)

    def client(place: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            barrier.wait()
            end = time.perf_counter() + run_s
            for sale in sales[place::clients]:
                if time.perf_counter() > end:
                    return
                number, order_id = _hold(connection, stage, sale)
                _pay(connection, stage, sale, number, order_id)
                done[place] += 1

    threads = [threading.Thread(target=client, args=(place,), daemon=True) for place in range(clients)]
    for thread in threads:
        thread.start()
    barrier.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begun)


ORDER = """
INSERT INTO ticketing_order (number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor, currency,
  state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
VALUES (%s, %s, %s, %s, %s, %s, 1, %s, 'CNY', 'held', false, '', %s, %s, %s) RETURNING id
"""
ALLOWANCE = """
INSERT INTO ticketing_allowance AS a (phase_id, buyer_id, taken) VALUES (%s, %s, 1)
ON CONFLICT (phase_id, buyer_id) DO UPDATE SET taken = a.taken + 1
"""
ORDER_EVENT = """
INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
VALUES (%s, %s, %s, %s, %s, '', '{}')
"""


def _hold(connection: psycopg.Connection, stage: Stage, sale: Sale) -> tuple[str, int]:
    now = datetime.now(UTC)
    number = numbers.new_number(numbers.ORDER, now)
    until, limit = now + timedelta(minutes=15), now + timedelta(minutes=25)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(ALLOWANCE, [stage.phase_id, sale.buyer_id])
        values = [
            number,
            sale.buyer_id,
            number,
            stage.show_id,
            stage.phase_id,
            sale.tier_id,
            sale.price_minor,
        ]
        order_id = int(cursor.execute(ORDER, [*values, now, until, limit]).fetchone()[0])  # type: ignore[index]
        cursor.execute(
            "UPDATE ticketing_seat SET state = 'H', order_id = %s WHERE id = %s", [order_id, sale.seat_id]
        )
        cursor.execute(
            "INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor) VALUES (%s, %s, %s)",
            [order_id, sale.seat_id, sale.price_minor],
        )
        cursor.execute(ORDER_EVENT, [order_id, "", "held", now, "placed"])
    return number, order_id


PAYMENT = """
INSERT INTO payments_payment (number, purchase_kind, purchase_number, buyer_id, channel, amount_minor, currency,
  subject, state, outcome, created_at, expires_at, cashier_kind, cashier_url, channel_reference, refusal, paid_at)
VALUES (%(number)s, 'order', %(order)s, %(buyer)s, 'wallet', %(amount)s, 'CNY',
  's', 'succeeded', 'won', %(now)s, %(now)s, '', '', %(number)s, '', %(now)s) RETURNING id
"""
PAYMENT_EVENT = """
INSERT INTO payments_paymentevent (payment_id, from_state, to_state, at, reason, actor, facts)
VALUES (%s, %s, %s, %s, %s, '', '{}')
"""
BURNED = """
INSERT INTO risk_burnedtoken (nonce, subject, buyer_id, burned_for, burned_at) VALUES (%s, %s, %s, %s, %s)
"""
ENTRY = """
INSERT INTO wallet_journalentry (key, kind, reference, memo, at) VALUES (%s, 'payment', %s, '', %s) RETURNING id
"""
TICKET = """
INSERT INTO ticketing_ticket (number, order_id, seat_id, show_id, buyer_id, state, issued_at)
VALUES (%s, %s, %s, %s, %s, 'valid', %s)
"""


def _pay(connection: psycopg.Connection, stage: Stage, sale: Sale, order: str, order_id: int) -> None:
    now = datetime.now(UTC)
    number = numbers.new_number(numbers.PAYMENT, now)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            BURNED,
            [secrets.token_hex(16), f"order:{order}", sale.buyer_id, number, now],
        )
        facts = {
            "number": number,
            "order": order,
            "buyer": sale.buyer_id,
            "amount": sale.price_minor,
            "now": now,
        }
        payment_id = int(cursor.execute(PAYMENT, facts).fetchone()[0])  # type: ignore[index]
        cursor.execute(PAYMENT_EVENT, [payment_id, "", "created", now, "pressed_pay"])
        cursor.execute(PAYMENT_EVENT, [payment_id, "created", "succeeded", now, "wallet"])
        cursor.execute(
            "UPDATE ticketing_order SET state = 'paid', winner = %s WHERE id = %s", [number, order_id]
        )
        cursor.execute(ORDER_EVENT, [order_id, "held", "paid", now, "paid"])
        cursor.execute("UPDATE ticketing_seat SET state = 'S' WHERE id = %s", [sale.seat_id])
        ticket = numbers.new_number(numbers.TICKET, now)
        cursor.execute(TICKET, [ticket, order_id, sale.seat_id, stage.show_id, sale.buyer_id, now])
        _book(cursor, stage, sale, f"pay:{number}", order)


def _book(cursor: psycopg.Cursor, stage: Stage, sale: Sale, key: str, order: str) -> None:
    cursor.execute(ENTRY, [key, order, datetime.now(UTC)])
    entry_id = cursor.fetchone()[0]  # type: ignore[index]
    # Both lines at once: the ledger's trigger takes no entry in halves.
    cursor.execute(
        "INSERT INTO wallet_posting (entry_id, account_id, amount_minor) VALUES (%s, %s, %s), (%s, %s, %s)",
        [entry_id, sale.cash_id, -sale.price_minor, entry_id, stage.guarantee_id, sale.price_minor],
    )
