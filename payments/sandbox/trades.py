"""
The rules that both gateways share about trades and refunds. What each says about them on the wire is its own
module's.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from payments.sandbox.books import Books, Row

BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gateway says no; `code` is the business code of its own protocol."""

    code: str
    message: str
    status: int = 400


def beijing(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, BEIJING)


def reference(prefix: str) -> str:
    """A gateway's own number: 28 digits, beginning with the day as both gateways' do."""
    day = beijing(time.time()).strftime("%Y%m%d")
    return prefix + day + "".join(secrets.choice("0123456789") for _ in range(20 - len(prefix)))


def find(books: Books, channel: str, number: str) -> Row | None:
    """
    The trade as of now. An Alipay trade closes by itself at its deadline; at WeChat the deadline stops
    payment and leaves the trade open until the merchant closes it.
    """
    trade = books.one("SELECT * FROM trades WHERE channel = ? AND number = ?", channel, number)
    if trade and channel == "alipay" and trade["state"] == "waiting" and is_past(trade):
        return set_closed(books, trade, at=trade["expires_at"])
    return trade


def is_past(trade: Row) -> bool:
    return bool(trade["expires_at"] <= time.time())


def set_closed(books: Books, trade: Row, *, at: float) -> Row:
    _set(books, trade, state="closed", closed_at=at)
    return trade


def set_waiting(books: Books, trade: Row) -> Row:
    """The buyer has opened the page or scanned the code: from now on the merchant can see the trade."""
    if trade["state"] == "offered" and not is_past(trade):
        _set(books, trade, state="waiting")
    return trade


def set_paid(books: Books, trade: Row) -> None:
    _set(books, trade, state="paid", paid_at=time.time())


def _set(books: Books, trade: Row, **values: object) -> None:
    assignments = ", ".join(f"{name} = ?" for name in values)
    statement = f"UPDATE trades SET {assignments} WHERE channel = ? AND number = ?"  # noqa: S608
    books.update(statement, *values.values(), trade["channel"], trade["number"])
    trade.update(values)


def refund_of(books: Books, channel: str, refund_number: str, number: str = "") -> Row | None:
    """The refund as of now: one that was being worked on is done when its time has come."""
    statement = "SELECT * FROM refunds WHERE channel = ? AND refund_number = ?"
    values = [channel, refund_number]
    if number:
        statement, values = statement + " AND number = ?", [*values, number]
    refund = books.one(statement, *values)
    if refund and refund["state"] == "processing" and refund["done_at"] <= time.time():
        done = "UPDATE refunds SET state = 'success' WHERE channel = ? AND refund_number = ? AND number = ?"
        books.update(done, channel, refund_number, refund["number"])
        refund["state"] = "success"
    return refund


def add_refund(
    books: Books, trade: Row, *, number: str, amount_minor: int, reason: str, notify_url: str, takes_s: float
) -> Row:
    """Book a refund against a paid trade. The caller has checked that it fits in what is left."""
    now = time.time()
    refund: Row = {
        "channel": trade["channel"],
        "refund_number": number,
        "number": trade["number"],
        "reference": reference("50"),
        "amount_minor": amount_minor,
        "reason": reason,
        "notify_url": notify_url,
        "state": "processing" if takes_s else "success",
        "created_at": now,
        "done_at": now + takes_s,
    }
    with books.change():
        books.insert("refunds", **refund)
        _set(books, trade, refunded_minor=trade["refunded_minor"] + amount_minor)
    return refund
