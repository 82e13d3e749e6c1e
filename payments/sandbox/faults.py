"""
Misbehaviour on request. A fault is either ordered for certain trades and operations, a number of times, or
part of the weather: a chance for everybody, decided by seed, trade number and operation, so that the same
seed gives the same day again.

Orders and weather live in the books: a restarted sandbox misbehaves as before.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from payments.sandbox.books import Books

REQUEST_OPS = frozenset(
    {"open", "query", "close", "refund", "refund_query", "pay", "transfer", "transfer_query"}
)
# Asking for a statement and fetching its file: ordered faults only, no weather.
OPS = REQUEST_OPS | {"notify", "bill", "bill_file"}
NOTIFY_FAULTS = frozenset(
    {
        "notify_lost",
        "notify_doubled",
        "notify_concurrent",
        "notify_late",
        "notify_out_of_order",
        "notify_forged",
        "probe",
        "wrong_amount",
    }
)
REQUEST_FAULTS = frozenset(
    {
        "notify_before_response",
        "http_500_after_success",
        "http_500",
        "no_answer",
        "drop_connection",
        "decline",
        "slow",
        "bad_signature",
        "unsigned",
        "alipay_20000",
        "system_error",
        "fund_change_n",
    }
)
# Where the weather strikes when it is not told: a refund that is declined for good is nobody's idea of
# weather.
WEATHER_OPS = {"decline": frozenset({"pay"}), "fund_change_n": frozenset({"refund"})}


@dataclass(frozen=True, slots=True)
class Fault:
    """One misbehaviour that is due now. `name` is empty for none."""

    name: str = ""
    args: dict[str, Any] = field(default_factory=dict)

    def seconds(self, default: float) -> float:
        return float(self.args.get("seconds", default))


NONE = Fault()


class BadOrder(ValueError):
    """The control request names no known fault or operation."""


class Faults:
    """Decides, for one operation on one trade, whether something goes wrong and what."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.reload()

    def reload(self) -> None:
        # Read into memory: every request asks, almost none is struck.
        self._orders = self._books.all("SELECT * FROM faults ORDER BY id")
        self._weather = {
            row["name"]: json.loads(row["value"]) for row in self._books.all("SELECT * FROM weather")
        }

    def order(self, *, fault: str, match: dict[str, str], times: int | None, args: dict[str, Any]) -> None:
        """:raises BadOrder: see there"""
        op = match.get("op", "")
        if fault not in NOTIFY_FAULTS | REQUEST_FAULTS:
            raise BadOrder(f"unknown fault {fault!r}")
        if op and op not in OPS:
            raise BadOrder(f"unknown op {op!r}")
        self._books.insert(
            "faults",
            channel=match.get("channel", ""),
            number=match.get("number", ""),
            op=op,
            fault=fault,
            times=times,
            args=json.dumps(args),
        )
        self.reload()

    def clear(self, number: str = "") -> None:
        """Take back the orders for one number, or all."""
        self._books.update("DELETE FROM faults WHERE ? IN ('', number)", number)
        self.reload()

    def listed(self) -> list[dict[str, Any]]:
        return [order | {"args": json.loads(order["args"])} for order in self._orders]

    def set_weather(self, weather: dict[str, Any]) -> None:
        """:raises BadOrder: see there"""
        for name in set(weather) - {"seed", "args"}:
            if name not in NOTIFY_FAULTS | REQUEST_FAULTS:
                raise BadOrder(f"unknown fault {name!r}")
        with self._books.change() as db:
            db.execute("DELETE FROM weather")
            db.execute("DELETE FROM struck")
            rows = [(name, json.dumps(value)) for name, value in weather.items()]
            db.executemany("INSERT INTO weather VALUES (?, ?)", rows)
        self.reload()

    def weather(self) -> dict[str, Any]:
        return dict(self._weather)

    def strike(self, *, channel: str, op: str, number: str, trade_number: str = "") -> Fault:
        """
        What goes wrong now, used up. `number` is the refund's own number for a refund; an order may name
        either.
        """
        for order in self._orders:
            if _matches(order, channel, op, {number, trade_number or number}):
                self._use_up(order)
                return Fault(order["fault"], json.loads(order["args"]))
        return self._by_chance(channel, op, number) if self._weather else NONE

    def _use_up(self, order: dict[str, Any]) -> None:
        if order["times"] is None:
            return
        self._books.update("UPDATE faults SET times = times - 1 WHERE id = ?", order["id"])
        self._books.update("DELETE FROM faults WHERE times <= 0")
        self.reload()

    def _by_chance(self, channel: str, op: str, number: str) -> Fault:
        text = f"{self._weather.get('seed', 0)}|{channel}|{number}|{op}"
        draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
        for name in sorted(set(self._weather) - {"seed", "args"}):
            if op not in _ops_of(name):
                continue
            draw -= float(self._weather[name])
            if draw < 0:
                return self._once(name, channel, op, number)
        return NONE

    def _once(self, name: str, channel: str, op: str, number: str) -> Fault:
        # The draw is the same every time: without this, a query that is struck once would be struck for ever.
        known = "SELECT 1 AS struck FROM struck WHERE channel = ? AND number = ? AND op = ?"
        if self._books.one(known, channel, number, op):
            return NONE
        self._books.insert("struck", channel=channel, number=number, op=op)
        return Fault(name, dict(self._weather.get("args", {}).get(name, {})))


def _ops_of(fault: str) -> frozenset[str]:
    if fault in NOTIFY_FAULTS:
        return frozenset({"notify"})
    return WEATHER_OPS.get(fault, REQUEST_OPS)


def _matches(order: dict[str, Any], channel: str, op: str, numbers: set[str]) -> bool:
    if order["channel"] not in ("", channel) or order["op"] not in ("", op):
        return False
    possible = NOTIFY_FAULTS if op == "notify" else REQUEST_FAULTS
    return order["fault"] in possible and any(name.startswith(order["number"]) for name in numbers)
