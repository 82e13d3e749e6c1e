"""
How each check's invariant is broken on purpose, in SQL, with the database's own guards out of the way.

`also` names the other checks that the same harm is bound to trip; everything not named must stay clean.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    check: str
    how: str
    sql: str
    names: str = ""  # a name of the scene whose number the violation must tell
    also: tuple[str, ...] = ()
    without: tuple[tuple[str, str], ...] = ()  # (table, constraint); an index starts with `!`
    violations: int = 1


def an_event(what: str, of: str, source: str, to: str) -> str:
    table, subject = {"order": ("ticketing", "order"), "topup": ("wallet", "topup")}.get(
        what, ("payments", what)
    )
    return (
        f"INSERT INTO {table}_{subject}event ({subject}_id, from_state, to_state, at, reason, actor, facts)"
        f" SELECT id, '{source}', '{to}', now(), 'x', '', '{{}}' FROM {table}_{subject} WHERE number = %({of})s"
    )


SEAT_OF = (
    "(SELECT min(seat.id) FROM ticketing_seat seat JOIN ticketing_order o ON o.id = seat.order_id"
    " WHERE o.number = %({})s)"
)
ORDER_ID = "(SELECT id FROM ticketing_order WHERE number = %({})s)"
PAYMENT_ID = "(SELECT id FROM payments_payment WHERE number = %({})s)"
ENTRY_ID = "(SELECT id FROM wallet_journalentry WHERE key = '{}' || %({})s)"
ACCOUNT = "(SELECT id FROM wallet_account WHERE code = '{}')"
BUYER_CASH = "(SELECT min(id) FROM wallet_account WHERE kind = 'buyer_cash' AND balance_minor > 100000)"
