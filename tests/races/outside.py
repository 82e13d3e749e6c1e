"""
A payment channel as its merchant sees it, at the port: it stands for the party outside, with books of its own.

Alipay's way with trades (`lazy`): a trade exists only once the buyer opened its page, and closes by itself at its
deadline. WeChat Pay's way: it exists at once, and after its deadline it takes no money but stays open until closed.
`trouble` makes the next calls of an operation end in silence, before or after the work was done.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from payments.channels import port


@dataclass
class Books:
    """One trade at the channel."""

    trade: port.Trade
    state: str = "waiting"  # offered, waiting, paid, closed
    paid_at: datetime | None = None
    refunds: dict[str, int] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)

    @property
    def net_minor(self) -> int:
        return (self.trade.amount_minor if self.state == "paid" else 0) - sum(self.refunds.values())


class Outside:
    """The port's `Channel`, played without a wire."""

    def __init__(self, code: str, clock: Callable[[], datetime], *, lazy: bool = False) -> None:
        self.code = code
        self.clock = clock
        self.lazy = lazy
        self.trades: dict[str, Books] = {}
        self.trouble: dict[str, list[str]] = {}
        self.opened: list[str] = []
        self._lock = threading.RLock()
        self._events = 0

    # -- the buyer at the channel ------------------------------------------------------------------------------

    def buyer_pays(self, number: str) -> bool:
        """Whether the channel took the money."""
        with self._lock:
            books = self.trades.get(number)
            if books is None or books.state not in ("offered", "waiting") or self._is_past(books):
                return False
            books.state, books.paid_at = "paid", self.clock()
            return True

    def buyer_looks(self, number: str) -> None:
        with self._lock:
            books = self.trades.get(number)
            if books and books.state == "offered" and not self._is_past(books):
                books.state = "waiting"

    def message(self, number: str, *, event_id: str = "") -> bytes:
        """A notification of the trade's payment; the same `event_id` is the same notification once more."""
        with self._lock:
            self._events += 1
            event_id = event_id or f"{self.code}-{number}-{self._events}"
        return json.dumps({"event": event_id, "number": number}).encode()

    @property
    def net_minor(self) -> int:
        """What the channel took less what it gave back."""
        return sum(books.net_minor for books in self.trades.values())

    # -- the port ----------------------------------------------------------------------------------------------

    def open(self, trade: port.Trade) -> port.OpenResult:
        def act() -> port.OpenResult:
            self.opened.append(trade.number)
            state = "offered" if self.lazy else "waiting"
            self.trades.setdefault(trade.number, Books(trade, state))
            return port.Started("redirect", f"https://channel.test/{trade.number}")

        return self._do("open", act)

    def query(self, number: str) -> port.QueryResult:
        return self._do("query", lambda: self._seen(number))

    def close(self, number: str) -> port.CloseResult:
        def act() -> port.CloseResult:
            match self._seen(number):
                case port.Paid():
                    return port.AlreadyPaid()
                case port.Waiting():
                    self.trades[number].state = "closed"
                    return port.Closed("closed")
                case other:
                    return other

        return self._do("close", act)

    def refund(self, order: port.RefundOrder) -> port.RefundResult:
        def act() -> port.RefundResult:
            books = self.trades[order.payment_number]
            if order.number not in books.refunds:
                if books.net_minor < order.amount_minor:
                    return port.Declined("TRADE_NOT_ENOUGH")
                books.refunds[order.number] = order.amount_minor
                if not self.lazy:
                    books.accepted.add(order.number)
                    return port.RefundAccepted()
            return self._refunded(order)

        return self._do("refund", act)

    def query_refund(self, order: port.RefundOrder) -> port.RefundQueryResult:
        def act() -> port.RefundQueryResult:
            if order.number not in self.trades[order.payment_number].refunds:
                return port.RefundAbsent()
            return self._refunded(order)

        return self._do("query_refund", act)

    def read_notify(self, *, headers: Mapping[str, str], body: bytes, now: datetime) -> port.Notice:
        told = json.loads(body)
        paid = self._seen(told["number"])
        if not isinstance(paid, port.Paid):
            raise port.NotifyRefused("forged")
        return port.Notice(told["event"], "key", told["number"], payment=paid)

    def accepted(self) -> port.Reply:
        return port.Reply(200, b"success")

    def refused(self, error: port.NotifyRefused) -> port.Reply:
        return port.Reply(400, error.reason.encode())

    # -- within ------------------------------------------------------------------------------------------------

    def _do(self, op: str, act: Callable[[], object]) -> object:
        with self._lock:
            how = self.trouble[op].pop(0) if self.trouble.get(op) else ""
            if how == "silent_before":
                return port.Unknown("no answer")
            done = act()
            return port.Unknown("no answer") if how == "silent_after" else done

    def _seen(self, number: str) -> port.QueryResult:
        with self._lock:
            books = self.trades.get(number)
            if books is None or books.state == "offered":
                return port.Absent()
            if self.lazy and books.state == "waiting" and self._is_past(books):
                books.state = "closed"
            if books.state == "paid":
                assert books.paid_at
                return port.Paid(f"ref-{number}", books.trade.amount_minor, "CNY", books.paid_at)
            return port.Closed("closed") if books.state == "closed" else port.Waiting()

    def _refunded(self, order: port.RefundOrder) -> port.Refunded:
        return port.Refunded(f"back-{order.number}", order.amount_minor, self.clock())

    def _is_past(self, books: Books) -> bool:
        return self.clock() >= books.trade.expires_at
