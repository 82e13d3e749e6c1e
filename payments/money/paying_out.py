"""Withdrawals: set aside, paid out, back again."""

from __future__ import annotations

from datetime import datetime

from payments.models import Withdrawal
from wallet import ledger
from wallet.ledger import Entry, Line
from wallet.models import AccountKind


def reserve_withdrawal(withdrawal: Withdrawal, *, now: datetime) -> None:
    """
    Set the money aside until the channel has spoken.

    :raises InsufficientFunds: less is available
    """
    ledger.reserve(
        key=withdrawal.hold,
        account=withdrawal.account,
        amount_minor=withdrawal.amount_minor,
        reference=withdrawal.number,
        now=now,
    )


def book_withdrawal_paid(withdrawal: Withdrawal, *, now: datetime) -> None:
    """
    What was set aside is gone, from the money that is ours outside. That the channel then has less of it, its statement
    of movements says (`book_settlement`, "transfer"): booked here too, it would leave the channel's account twice.
    """
    (bank,) = ledger.open_accounts(AccountKind.BANK, [""], now=now, currency=withdrawal.currency)
    amount = withdrawal.amount_minor
    lines = (Line(withdrawal.account, -amount), Line(bank, amount))
    entry = Entry(withdrawal.hold, "withdrawal", withdrawal.number, lines)
    ledger.capture(key=withdrawal.hold, entry=entry, now=now)


def book_withdrawal_after_all(withdrawal: Withdrawal, *, now: datetime) -> None:
    """
    It was given back, and the channel paid it out all the same: its owner has it twice until this is booked.

    :raises InsufficientFunds: he has less by now
    """
    (bank,) = ledger.open_accounts(AccountKind.BANK, [""], now=now, currency=withdrawal.currency)
    amount = withdrawal.amount_minor
    lines = (Line(withdrawal.account, -amount), Line(bank, amount))
    ledger.post(Entry(withdrawal.hold, "withdrawal", withdrawal.number, lines), at=now)


def book_withdrawal_returned(withdrawal: Withdrawal, *, now: datetime) -> None:
    """It came back after it was paid out."""
    bank = ledger.account_code(AccountKind.BANK, currency=withdrawal.currency)
    amount, key = withdrawal.amount_minor, f"withdraw-returned:{withdrawal.number}"
    lines = (Line(bank, -amount), Line(withdrawal.account, amount))
    ledger.post(Entry(key, "withdrawal_returned", withdrawal.number, lines), at=now)
