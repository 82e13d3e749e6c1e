"""
What a day's statement says: the gateways' own books of that day, with the differences that somebody planted.

A difference is planted in the statement of trades, in that of movements, or in both (`where`); the books stay true.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from payments.sandbox import trades
from payments.sandbox.books import Books, Row
from payments.sandbox.trades import BEIJING

# Thousandths: both gateways keep 0.6 % of a payment and give it back with a refund.
FEE_PER_MILLE = 6
PAYMENT, REFUND = "payment", "refund"
TRADE, FUNDS, BOTH = "trade", "funds", "both"


@dataclass(frozen=True, slots=True)
class BillRow:
    """One payment or refund as a statement tells it. Amounts are above zero; `kind` tells the direction."""

    kind: str
    number: str
    payment_number: str
    reference: str
    payment_reference: str
    subject: str
    buyer: str
    amount_minor: int
    fee_milli: int
    at: datetime
    created_at: datetime
    currency: str = "CNY"
    status: str = "SUCCESS"


def rows_of(books: Books, channel: str, day: date, *, where: str) -> list[BillRow]:
    """The day's rows in the order of their times."""
    start = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
    bounds = start.timestamp(), (start + timedelta(days=1)).timestamp()
    rows = [*_payments(books, channel, *bounds), *_refunds(books, channel, *bounds)]
    for planted in _planted(books, channel, day, where):
        rows = ROW_DIFFERENCES[planted["what"]](rows, planted)
    rows += _moved_here(books, channel, day, where)
    return sorted(rows, key=lambda row: row.at)


def file_differences(books: Books, channel: str, day: date, *, where: str) -> dict[str, Row]:
    """What is wrong with the file as a whole, by name."""
    found = books.all("SELECT * FROM planted WHERE channel = ? AND day = ?", channel, day.isoformat())
    return {
        row["what"]: row for row in found if row["what"] in FILE_DIFFERENCES and row["place"] in (where, BOTH)
    }


# -- the books -----------------------------------------------------------------------------------------------


def _payments(books: Books, channel: str, first: float, last: float) -> list[BillRow]:
    statement = "SELECT * FROM trades WHERE channel = ? AND paid_at >= ? AND paid_at < ?"
    return [_payment(row) for row in books.all(statement, channel, first, last)]


def _payment(row: Row) -> BillRow:
    return BillRow(
        kind=PAYMENT,
        number=row["number"],
        payment_number=row["number"],
        reference=row["reference"],
        payment_reference=row["reference"],
        subject=row["subject"],
        buyer=row["buyer"],
        amount_minor=row["amount_minor"],
        fee_milli=_fee(row["channel"], row["amount_minor"]),
        at=trades.beijing(row["paid_at"]),
        created_at=trades.beijing(row["created_at"]),
    )


def _refunds(books: Books, channel: str, first: float, last: float) -> list[BillRow]:
    # WeChat puts a refund on the day on which it was asked for, Alipay on the day on which it was done.
    when = "r.created_at" if channel == "wechat" else "r.done_at"
    statement = f"""SELECT r.*, t.reference AS trade, t.subject, t.buyer, t.created_at AS trade_at
        FROM refunds r JOIN trades t ON (t.channel, t.number) = (r.channel, r.number)
        WHERE r.channel = ? AND {when} >= ? AND {when} < ?"""  # noqa: S608
    return [_refund(row) for row in books.all(statement, channel, first, last)]


def _refund(row: Row) -> BillRow:
    wechat = row["channel"] == "wechat"
    return BillRow(
        kind=REFUND,
        number=row["refund_number"],
        payment_number=row["number"],
        reference=row["reference"],
        payment_reference=row["trade"],
        subject=row["subject"],
        buyer=row["buyer"],
        amount_minor=row["amount_minor"],
        fee_milli=_fee(row["channel"], row["amount_minor"]),
        at=trades.beijing(row["created_at"] if wechat else row["done_at"]),
        created_at=trades.beijing(row["trade_at"]),
        status="SUCCESS" if row["done_at"] <= time.time() else "PROCESSING",
    )


def _fee(channel: str, amount_minor: int) -> int:
    """In thousandths of a fen. Alipay keeps whole fen, WeChat to five decimals of a yuan."""
    exact = amount_minor * FEE_PER_MILLE
    return exact if channel == "wechat" else (exact + 500) // 1000 * 1000


# -- planted differences -------------------------------------------------------------------------------------

Change = Callable[[BillRow, dict[str, Any]], list[BillRow]]


def _planted(books: Books, channel: str, day: date, where: str) -> list[dict[str, Any]]:
    found = books.all(
        "SELECT * FROM planted WHERE channel = ? AND day = ? ORDER BY id", channel, day.isoformat()
    )
    return [
        row | {"args": json.loads(row["args"])}
        for row in found
        if row["what"] in ROW_DIFFERENCES and row["place"] in (where, BOTH)
    ]


def _changed(change: Change) -> Callable[[list[BillRow], dict[str, Any]], list[BillRow]]:
    """A difference of one row: what `change` makes of it."""

    def apply(rows: list[BillRow], planted: dict[str, Any]) -> list[BillRow]:
        changed: list[BillRow] = []
        for row in rows:
            changed += change(row, planted["args"]) if row.number == planted["number"] else [row]
        return changed

    return apply


def _invented(rows: list[BillRow], planted: dict[str, Any]) -> list[BillRow]:
    """A row that the merchant knows nothing of."""
    args, number = planted["args"], planted["number"] or f"NOSUCH{planted['id']:08d}"
    day = date.fromisoformat(planted["day"])
    at = datetime(day.year, day.month, day.day, 12, tzinfo=BEIJING)
    amount = int(args.get("minor", 100))
    invented = BillRow(
        kind=str(args.get("kind", PAYMENT)),
        number=number,
        payment_number=str(args.get("payment", number)),
        reference=f"99{planted['id']:026d}",
        payment_reference=f"99{planted['id']:026d}",
        subject="?",
        buyer="",
        amount_minor=amount,
        fee_milli=_fee(planted["channel"], amount),
        at=at,
        created_at=at,
    )
    return [*rows, invented]


def _moved_here(books: Books, channel: str, day: date, where: str) -> list[BillRow]:
    """What was moved over midnight from the day before."""
    yesterday = day - timedelta(days=1)
    numbers = {
        row["number"] for row in _planted(books, channel, yesterday, where) if row["what"] == "next_day"
    }
    if not numbers:
        return []
    midnight = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
    first, last = (midnight - timedelta(days=1)).timestamp(), midnight.timestamp()
    found = [*_payments(books, channel, first, last), *_refunds(books, channel, first, last)]
    return [replace(row, at=midnight + timedelta(seconds=1)) for row in found if row.number in numbers]


def _other_status(row: BillRow, args: dict[str, Any]) -> list[BillRow]:
    usual = "REVOKED" if row.kind == PAYMENT else "PROCESSING"
    return [replace(row, status=str(args.get("status", usual)))]


ROW_DIFFERENCES: dict[str, Callable[[list[BillRow], dict[str, Any]], list[BillRow]]] = {
    "missing": _changed(lambda row, args: []),
    "doubled": _changed(lambda row, args: [row, row]),
    "amount": _changed(
        lambda row, args: [replace(row, amount_minor=row.amount_minor + int(args.get("minor", 1)))]
    ),
    "fee": _changed(lambda row, args: [replace(row, fee_milli=row.fee_milli + int(args.get("milli", 1000)))]),
    "status": _changed(_other_status),
    "currency": _changed(lambda row, args: [replace(row, currency=str(args.get("currency", "USD")))]),
    "renumbered": _changed(
        lambda row, args: [replace(row, number=str(args.get("number", "X" + row.number[1:])))]
    ),
    "reference": _changed(
        lambda row, args: [replace(row, reference=str(args.get("reference", "9" + row.reference[1:])))]
    ),
    "next_day": _changed(lambda row, args: []),
    "invented": _invented,
}
# Of the file, not of a row.
FILE_DIFFERENCES = frozenset(
    {"totals", "truncated", "damaged", "other_merchant", "wrong_sha1", "not_ready", "junk"}
)
# What the format of a channel cannot say.
ONLY_WECHAT = frozenset({"currency", "status", "wrong_sha1"})
