"""What two people book at the desk."""

from __future__ import annotations

from datetime import datetime

from wallet import ledger
from wallet.ledger import Entry, Line


def book_by_hand(
    *, key: str, debit: str, credit: str, amount_minor: int, reference: str, memo: str, now: datetime
) -> None:
    """
    An entry that two people made (desk). The same `key` books once.

    :raises InsufficientFunds: a bounded account would fall below its floor
    """
    lines = (Line(debit, -amount_minor), Line(credit, amount_minor))
    ledger.post(Entry(key, "by_hand", reference, lines, memo), at=now)


def reverse_by_hand(entry: str, *, by: str, memo: str, now: datetime) -> None:
    """
    Undo an entry; two people decided it (desk). Raises as `wallet.ledger.reverse` does.

    :raises NoSuchEntry: there is no entry of this key
    """
    if not ledger.lines_of(entry):
        raise NoSuchEntry(entry)
    ledger.reverse(entry, by=by, at=now, memo=memo)


def release_hold(*, key: str, now: datetime) -> None:
    """
    Give money that was set aside back to its owner. Repeatable.

    :raises HoldEnded: it was spent before
    """
    ledger.release(key=key, now=now)


class NoSuchEntry(Exception):
    """The ledger has no entry of this key."""
