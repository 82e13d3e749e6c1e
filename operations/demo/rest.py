"""Whether anything in a stack still waits for something: read straight from its database, in one statement."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

UNREST = """
SELECT (SELECT count(*) FROM ticketing_order WHERE state IN ('held', 'paying')) AS open_orders,
       (SELECT count(*) FROM payments_payment WHERE state IN ('created', 'pending', 'unknown')) AS live_payments,
       (SELECT count(*) FROM payments_refund WHERE state <> 'succeeded') AS open_refunds,
       (SELECT count(*) FROM payments_outboxmessage WHERE done_at IS NULL) AS messages
"""
NAMES = ("open orders", "live payments", "open refunds", "messages to send")
LOOK_EVERY_S = 1.0


def unrest(database_url: str) -> dict[str, int]:
    """What is not finished yet, by name; empty when everything rests."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(UNREST).fetchone()
    return {name: count for name, count in zip(NAMES, row or (), strict=True) if count}


def wait(
    database_url: str, *, timeout_s: float, told: Callable[[dict[str, int]], None] | None = None
) -> dict[str, int]:
    """Wait until everything rests; what does not after `timeout_s`. `told` hears of the rest every second."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        left = unrest(database_url)
        if not left or time.monotonic() > give_up_at:
            return left
        if told is not None:
            told(left)
        time.sleep(LOOK_EVERY_S)
