"""
Deliver notifications on the gateways' own schedules until the merchant acknowledges them.

What is owed stands in the books, so a restarted sandbox goes on where it stopped. The gaps between attempts
are the published ones divided by the time factor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

from payments.sandbox import trades, transfers
from payments.sandbox.books import Books, Row
from payments.sandbox.faults import Fault, Faults
from payments.sandbox.keys import Material
from payments.sandbox.messages import Facts, Message, compose

MINUTE, HOUR = 60, 3600
GAPS_S = {
    "alipay": (4 * MINUTE, 10 * MINUTE, 10 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 15 * HOUR),
    "wechat": (
        *(15, 15, 30, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE),
        *(HOUR, 3 * HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR),
    ),
}
PATIENCE_S = 5.0
AT_ONCE = 64
IDLE_S = 0.5
HELD_S = 30.0
HELD_STEP_S = 0.1
ANSWER_BYTES_KEPT = 200


class Notifier:
    """One task that hands due notifications to at most `AT_ONCE` deliveries."""

    def __init__(
        self, *, books: Books, keys: Material, faults: Faults, time_factor: float, app_url: str = ""
    ) -> None:
        # The app's own address, which the merchant enters at the gateway: what concerns no trade comes there.
        self.app_url = app_url
        self._books = books
        self._keys = keys
        self._faults = faults
        self._time_factor = time_factor
        self._wake = asyncio.Event()
        self._underway: dict[int, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    def owe(self, trade: Row, refund: Row | None = None, *, due_at: float = 0.0) -> None:
        """
        Book a notification, in the same change as the fact it tells. Without an address there is none to
        send.
        """
        url = refund["notify_url"] if refund else trade["notify_url"]
        refund_number = refund["refund_number"] if refund else ""
        self._owe(trade["channel"], trade["number"], refund_number, url, due_at)

    def owe_transfer(self, number: str, *, due_at: float) -> None:
        """Book the message that a transfer will have changed by then."""
        self._owe("alipay", number, "", self.app_url, due_at)

    def _owe(self, channel: str, number: str, refund_number: str, url: str, due_at: float) -> None:
        if not url:
            return
        fault = self._faults.strike(
            channel=channel, op="notify", number=refund_number or number, trade_number=number
        )
        now = time.time()
        late_s = fault.seconds(5.0) if fault.name == "notify_late" else 0.0
        self._books.insert(
            "notifies",
            event_id=uuid4().hex,
            channel=channel,
            number=number,
            refund_number=refund_number,
            url=url,
            created_at=now,
            due_at=max(due_at, now) + late_s,
            fault=fault.name,
            args=json.dumps(fault.args),
        )
        self._wake.set()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
            self._session = session
            while True:
                self._wake.clear()
                self._start_due()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._until_next())

    async def stop(self) -> None:
        for task in self._underway.values():
            task.cancel()
        await asyncio.gather(*self._underway.values(), return_exceptions=True)

    async def deliver_now(self, channel: str, number: str) -> None:
        """
        Deliver what is owed about one trade before going on: for a notification that overtakes an answer.
        """
        statement = "SELECT * FROM notifies WHERE state = 'pending' AND channel = ? AND number = ?"
        for row in self._books.all(statement, channel, number):
            task = self._underway.get(row["id"]) or self._start(row)
            await asyncio.wait([task])

    def _start_due(self) -> None:
        room = AT_ONCE - len(self._underway)
        statement = "SELECT * FROM notifies WHERE state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?"
        for row in self._books.all(statement, time.time(), AT_ONCE + len(self._underway)):
            if room and row["id"] not in self._underway:
                self._start(row)
                room -= 1

    def _start(self, row: Row) -> asyncio.Task[None]:
        task = asyncio.create_task(self._deliver(row))
        self._underway[row["id"]] = task
        task.add_done_callback(lambda _: self._ended(row["id"]))
        return task

    def _ended(self, notify_id: int) -> None:
        self._underway.pop(notify_id, None)
        self._wake.set()

    def _until_next(self) -> float:
        if len(self._underway) >= AT_ONCE:
            return IDLE_S
        # The ones underway are due as well: look only at what comes after now.
        row = self._books.one(
            "SELECT min(due_at) AS due_at FROM notifies WHERE state = 'pending' AND due_at > ?", time.time()
        )
        next_at = row["due_at"] if row else None
        return IDLE_S if next_at is None else min(max(next_at - time.time(), 0.001), IDLE_S)

    # -- one delivery ----------------------------------------------------------------------------------------

    async def _deliver(self, row: Row) -> None:
        # Never tell anybody what a crash could still make undone.
        await self._books.durable()
        fault = Fault(row["fault"], json.loads(row["args"]))
        if fault.name == "notify_out_of_order" and self._is_held(row, fault):
            self._postpone(row, HELD_STEP_S)
            return
        try:
            answers = await self._attempt(row, fault)
        except LookupError:  # The books were reset meanwhile.
            return
        self._note(row, answers)

    async def _attempt(self, row: Row, fault: Fault) -> list[str]:
        """What the merchant answered to each message of this attempt; the last one decides."""
        match fault.name:
            case "notify_lost" if row["attempts"] < fault.args.get("attempts", len(GAPS_S["wechat"]) + 1):
                return ["lost"]
            case "notify_doubled":
                return [await self._send(row), await self._send(row)]
            case "notify_concurrent":
                times = int(fault.args.get("k", 4))
                return list(await asyncio.gather(*(self._send(row) for _ in range(times))))
            case "notify_forged":
                return [await self._send(row, "forged"), await self._send(row)]
            case "probe":
                return [await self._send(row, "probe"), await self._send(row)]
            case "wrong_amount":
                return [await self._send(row, "wrong_amount", fault.args)]
            case _:
                return [await self._send(row)]

    async def _send(self, row: Row, variant: str = "true", args: dict[str, Any] | None = None) -> str:
        message = compose(self._keys, row["channel"], self.facts(row), variant=variant, args=args)
        if variant == "true":
            self._books.update(
                "UPDATE notifies SET sent_headers = ?, sent_body = ? WHERE id = ?",
                json.dumps(message.headers),
                message.body,
                row["id"],
            )
        status, body = await self.post(row["url"], message)
        return f"{variant} {status} {body}"

    def facts(self, row: Row) -> Facts:
        trade = trades.find(self._books, row["channel"], row["number"])
        transfer = None if trade else transfers.find(self._books, row["number"], self._time_factor)
        if transfer is not None:
            return Facts(row["event_id"], {}, None, 0, transfer)
        refund = None
        if row["refund_number"]:
            refund = trades.refund_of(self._books, row["channel"], row["refund_number"], row["number"])
        if trade is None:
            raise LookupError(row["number"])
        return Facts(row["event_id"], trade, refund, trade["refunded_minor"])

    async def post(self, url: str, message: Message) -> tuple[int, str]:
        """The merchant's answer, or status 0 and what went wrong. Only this machine is ever called."""
        if not is_loopback(url):
            return 0, "not on this machine"
        if self._session is None:
            return 0, "not started"
        try:
            async with self._session.post(
                url, data=message.body, headers=message.headers, allow_redirects=False
            ) as answer:
                return answer.status, (await answer.text(errors="replace"))[:ANSWER_BYTES_KEPT]
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return 0, type(error).__name__

    def _is_held(self, row: Row, fault: Fault) -> bool:
        """A notification that is to come after another about the same trade, unless none comes for long."""
        if time.time() - row["created_at"] > fault.seconds(HELD_S):
            return False
        other = "SELECT 1 AS found FROM notifies WHERE number = ? AND id > ? AND state = 'done'"
        return self._books.one(other, row["number"], row["id"]) is None

    def _postpone(self, row: Row, seconds: float) -> None:
        self._books.update("UPDATE notifies SET due_at = ? WHERE id = ?", time.time() + seconds, row["id"])

    def _note(self, row: Row, answers: list[str]) -> None:
        gaps = GAPS_S[row["channel"]]
        attempts = row["attempts"] + 1
        state, due_at = "pending", 0.0
        if _is_acknowledged(row["channel"], answers[-1]):
            state = "done"
        elif attempts > len(gaps):
            state = "exhausted"
        else:
            due_at = time.time() + gaps[attempts - 1] / self._time_factor
        kept = json.dumps([*json.loads(row["answers"]), *answers])
        self._books.update(
            "UPDATE notifies SET state = ?, attempts = ?, due_at = ?, answers = ? WHERE id = ?",
            *(state, attempts, due_at, kept, row["id"]),
        )


def _is_acknowledged(channel: str, answer: str) -> bool:
    if answer == "lost":
        return False
    _, status, body = answer.split(" ", 2)
    return (status, body) == ("200", "success") if channel == "alipay" else status in ("200", "204")


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
