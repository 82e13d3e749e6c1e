"""What leaves a channel's account without a buyer, and a show's money on its way to its organiser (M20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from payments.money.accounts import guarantee, merchant
from wallet import ledger
from wallet.ledger import Entry, Line
from wallet.models import AccountKind


def book_settlement(
    *, key: str, channel: str, currency: str, kind: str, amount_minor: int, reference: str, at: datetime
) -> None:
    """
    A channel owes us `amount_minor` less, because it kept it (`kind` is "fee") or sent it to our bank ("transfer").
    Below zero it is the other way round: a fee given back, a transfer that returned.
    """
    if kind == "fee":
        (source,) = ledger.open_accounts(AccountKind.CHANNEL_FEE, [channel], now=at, currency=currency)
    else:
        (source,) = ledger.open_accounts(AccountKind.BANK, [""], now=at, currency=currency)
    (owed,) = ledger.open_accounts(AccountKind.CLEARING, [channel], now=at, currency=currency)
    lines = (Line(source, -amount_minor), Line(owed, amount_minor))
    ledger.post(Entry(key, "settlement", reference, lines), at=at)


@dataclass(frozen=True, slots=True)
class ShowSettled:
    """A show's money to its organiser (`net_minor`) and to the platform (`fee_minor`); below zero it comes back."""

    key: str
    reference: str
    merchant: str
    currency: str
    net_minor: int
    fee_minor: int


def book_show_settlements(settled: Sequence[ShowSettled], *, at: datetime) -> None:
    """
    Out of the guarantee account, all in one statement.

    :raises InsufficientFunds: an organiser has less than is to come back; nothing is booked
    """
    for currency in {one.currency for one in settled}:
        owners = sorted({one.merchant for one in settled if one.currency == currency})
        ledger.open_accounts(AccountKind.MERCHANT, owners, now=at, currency=currency)
        ledger.open_accounts(AccountKind.FEE, [""], now=at, currency=currency)
    entries = []
    for one in settled:
        lines = (
            Line(guarantee(one.currency), -one.net_minor - one.fee_minor),
            Line(merchant(one.merchant, one.currency), one.net_minor),
            Line(ledger.account_code(AccountKind.FEE, currency=one.currency), one.fee_minor),
        )
        moved = tuple(line for line in lines if line.amount_minor)
        entries.append(Entry(one.key, "show_settlement", one.reference, moved))
    ledger.post_all(entries, at=at)


# For statements over many payments: what an entry moved on clearing accounts (`%(clearing)s`, by their ids).
CLEARED = """
SELECT sum(posting.amount_minor)
  FROM wallet_journalentry entry JOIN wallet_posting posting ON posting.entry_id = entry.id
 WHERE entry.key = {entry} AND posting.account_id = ANY(%(clearing)s)
"""
# The entries of about a day, by their ids; the subquery is kept from walking the ids of all history in their order.
BOOKED_BETWEEN = """
SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM (
  SELECT id FROM wallet_journalentry WHERE at >= %(near_begins)s AND at < %(near_ends)s OFFSET 0) near
"""
CLEARED_EXACTLY = """
SELECT 1 FROM wallet_journalentry entry JOIN wallet_posting posting ON posting.entry_id = entry.id
 WHERE entry.key = {entry} AND posting.account_id = ANY(%(clearing)s) AND posting.amount_minor = {amount}
"""
