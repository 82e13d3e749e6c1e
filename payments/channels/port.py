"""
What the product asks of a payment channel, and the answers a channel can give.

A channel answers in three ways: it did it, it refused, or we do not know. `Unknown` is an answer like the others:
the caller asks again on a schedule and never guesses. An adapter returns `Unknown` for a timeout, a broken
connection, an HTTP 5xx, and any answer whose signature is missing or wrong.

Amounts are integers in the currency's smallest unit (CNY: fen). Times are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Trade:
    """One payment as a channel sees it. `number` is unique at the channel for ever ([A-Za-z0-9]{8,32})."""

    number: str
    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    return_url: str = ""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """One refund of (part of) one paid trade. Repeating it with the same `number` refunds only once."""

    number: str
    payment_number: str
    channel_reference: str
    amount_minor: int
    total_minor: int
    currency: str
    reason: str


# -- answers about a payment ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The trade is open. The buyer pays at `url`: a page to go to ("redirect") or a code to scan ("qr")."""

    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Paid:
    """The channel took the buyer's money."""

    channel_reference: str
    amount_minor: int
    currency: str
    paid_at: datetime
    # Who paid, as the channel names him where it does; two answers that agree about the money are equal without it.
    payer: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The trade exists and is not paid; the buyer may still pay it."""


@dataclass(frozen=True, slots=True)
class Absent:
    """
    The channel has no such trade *yet*. Alipay creates a page or code trade only when the buyer opens it, so an
    absent trade may still be paid until its `expires_at`.
    """


@dataclass(frozen=True, slots=True)
class Closed:
    """The trade can never be paid: closed, expired or revoked at the channel."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class AlreadyPaid:
    """`close` came too late: the trade is paid. Ask `query` for the facts."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The channel refused, for good."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """We do not know what happened. `reason` is for staff and logs."""

    reason: str


# -- answers about a refund -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refunded:
    """The money went back to the buyer."""

    channel_reference: str
    amount_minor: int
    refunded_at: datetime


@dataclass(frozen=True, slots=True)
class RefundAccepted:
    """The channel works on it; ask again."""


@dataclass(frozen=True, slots=True)
class RefundAbsent:
    """The channel has no such refund; sending it again with the same number is right."""


OpenResult = Started | Declined | Unknown
QueryResult = Paid | Waiting | Absent | Closed | Unknown
CloseResult = Closed | AlreadyPaid | Absent | Unknown
RefundResult = Refunded | RefundAccepted | Declined | Unknown
RefundQueryResult = Refunded | RefundAccepted | RefundAbsent | Declined | Unknown


# -- what a channel tells us by itself ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notice:
    """
    A verified notification. `event_id` is the channel's own id, equal in every repetition of one notification.
    Exactly one of `payment` and `refund` is set. `refund` notices name our refund number; an adapter that only
    learns *that* something changed sets `payment_number`/`refund_number` and leaves the fact to a query.
    """

    event_id: str
    key_id: str
    payment_number: str
    payment: Paid | Closed | Waiting | None = None
    refund_number: str = ""
    refund: Refunded | Declined | None = None
    transfer_number: str = ""  # of a withdrawal; it leaves the fact to a query


class NotifyRefused(Exception):
    """The message is not the channel's, not for us, or too old. `reason` is a stable code, e.g. `bad_signature`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """The HTTP answer a channel expects to a notification."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """
    One payment channel over a network. Every method may take seconds and must be called outside any transaction.
    None of them raises for what a channel or a network can do; a raised exception is a defect or bad configuration.
    """

    code: str

    def open(self, trade: Trade) -> OpenResult: ...

    def query(self, number: str) -> QueryResult: ...

    def close(self, number: str) -> CloseResult: ...

    def refund(self, order: RefundOrder) -> RefundResult: ...

    def query_refund(self, order: RefundOrder) -> RefundQueryResult: ...

    def read_notify(self, *, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """
        Verify and read one notification.

        :raises NotifyRefused: it must change nothing
        """
        ...

    def accepted(self) -> Reply:
        """The answer that stops the channel from repeating the notification."""
        ...

    def refused(self, error: NotifyRefused) -> Reply:
        """The answer that makes the channel repeat the notification."""
        ...
