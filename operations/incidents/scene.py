"""
What a replay stands on: a buyer with his phone and browser, seats nobody else is sent to, the channels' books, and the
few questions that every incident asks at its end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from operations.crowd.buyer import seconds_until, together
from operations.crowd.cashier import Cashier, Page
from operations.crowd.phone import Answer, Phone
from operations.crowd.tally import Tally
from operations.incidents.channel_books import ChannelBooks
from operations.incidents.verdict import Verdict

CHANNELS = ("alipay", "wechat")
SETTLED_WITHIN_S = 150.0
LONG_HOLD_S = 60.0
POLL_S = 0.25


class DrillFailed(Exception):
    """The replay could not be played to its end: something did not happen that it needs."""


@dataclass(slots=True)
class Opening:
    """
    Who may open a trade at a channel now. A fault that must strike the opening itself cannot name the trade, which has
    no number yet: whoever orders one opens alone, everybody else together.
    """

    _inside: int = 0
    _change: asyncio.Condition = field(default_factory=asyncio.Condition)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        async with self._turn, self._change:
            self._inside += 1
        try:
            yield
        finally:
            async with self._change:
                self._inside -= 1
                self._change.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._turn:
            async with self._change:
                await self._change.wait_for(lambda: self._inside == 0)
            yield


@dataclass(slots=True)
class Stage:
    """What all replays of one run share."""

    session: aiohttp.ClientSession
    shop_url: str
    books: ChannelBooks
    show: str
    sections: dict[str, list[str]]
    tokens: dict[int, list[str]]
    end_hold: Callable[[str], Awaitable[None]]
    hold_limit_s: float | None = None
    tally: Tally = field(default_factory=Tally)
    opening: Opening = field(default_factory=Opening)
    rows: dict[str, list[list[dict[str, Any]]]] = field(default_factory=dict)
    fetching: asyncio.Lock = field(default_factory=asyncio.Lock)

    def person(self, incident: int, dice: random.Random) -> Person:
        """A buyer whom nobody else plays; those of incident 2 have money in the wallet."""
        phone = Phone(self.session, self.shop_url, self.tokens[incident].pop(), self.tally, dice)
        return Person(self, phone, Cashier(self.session, self.tally))

    async def own_row(self, tier: str, quantity: int) -> list[int]:
        """
        Neighbouring free seats in a row that no other replay is given, from the back of the tier: best-available orders
        come from the front.
        """
        async with self.fetching:
            while True:
                while not self.rows.get(tier):
                    if not self.sections[tier]:
                        raise DrillFailed(f"the hall has no free row left in {tier}")
                    self.rows[tier] = await self._rows_of(self.sections[tier].pop())
                seats = together(self.rows[tier].pop(), quantity)
                if seats:
                    return seats

    async def _rows_of(self, section: str) -> list[list[dict[str, Any]]]:
        phone = Phone(self.session, self.shop_url, "", self.tally, random.Random(section))  # noqa: S311
        answer = await phone.get("map", f"shows/{self.show}/sections/{section}/seats")
        return [row["seats"] for row in answer.data.get("rows", [])]


@dataclass(slots=True)
class Person:
    """A buyer in a replay. Every step goes through the public API or the channel's cashier."""

    stage: Stage
    phone: Phone
    cashier: Cashier

    async def order(
        self, tier: str, *, quantity: int = 0, seats: list[int] | None = None, **more: Any
    ) -> dict[str, Any]:
        """
        Hold seats.

        :raises DrillFailed: the shop refused
        """
        wanted: dict[str, Any] = {"show": self.stage.show, "tier": tier, **more}
        wanted |= {"seats": seats} if seats else {"quantity": quantity}
        answer = await self.phone.post("order", "orders", wanted)
        return _good("order", answer)

    async def offer(self, order: str) -> dict[str, Any]:
        """Open the order's page: the payment token, and the payment to resume."""
        return _good("token", await self.phone.post("token", f"orders/{order}/payment-token", {}))

    async def press(self, order: str, channel: str, token: str, *, key: str = "") -> Answer:
        """Press Pay, as often as the app repeats it by itself."""
        body = {"order": order, "channel": channel, "token": token}
        return await self.phone.post("press", "payments", body, key=key)

    async def press_once(self, order: str, channel: str, token: str, *, key: str = "") -> Answer | None:
        """One press, one answer, whatever it is."""
        body = {"order": order, "channel": channel, "token": token}
        return await self.phone.once("press", "POST", "payments", body=body, key=key or self.phone.new_key())

    async def start(self, order: str, channel: str) -> dict[str, Any]:
        """Reach the order's page and press Pay once: the payment."""
        offer = await self.offer(order)
        async with self.stage.opening.together():
            return _good("press", await self.press(order, channel, offer["token"]))

    async def open_cashier(self, payment: dict[str, Any]) -> Page:
        """
        Go to the cashier that the payment names.

        :raises DrillFailed: it names none, or the channel shows no page
        """
        cashier = payment.get("cashier")
        page = await self.cashier.open(cashier["url"]) if cashier else None
        if page is None:
            raise DrillFailed(f"payment {payment['number']} has no cashier: {payment['state']}")
        return page

    async def see(self, path: str) -> dict[str, Any]:
        return _good(
            path.split("/", maxsplit=1)[0], await self.phone.get(path.split("/", maxsplit=1)[0], path)
        )

    async def items(self, path: str) -> list[dict[str, Any]]:
        """A list of the buyer's own; he has few enough of everything for one page."""
        found: list[dict[str, Any]] = (await self.see(path))["items"]
        return found

    async def codes(self, order: str) -> list[str]:
        """What the order's timeline tells, as codes."""
        return [line["code"] for line in await self.items(f"orders/{order}/timeline")]

    async def until(
        self, path: str, holds: Callable[[dict[str, Any]], bool], *, within_s: float = SETTLED_WITHIN_S
    ) -> dict[str, Any]:
        """
        Look, and only look, until it holds.

        :raises DrillFailed: it does not within `within_s`
        """
        give_up_at = time.monotonic() + within_s
        while True:
            seen = await self.see(path)
            if holds(seen):
                return seen
            if time.monotonic() > give_up_at:
                raise DrillFailed(
                    f"{path} rests at {seen.get('state')} {seen.get('outcome', '')} after {within_s:.0f} s"
                )
            await asyncio.sleep(POLL_S)

    async def until_hold_ends(self, order: str) -> dict[str, Any]:
        """Wait until the order has expired; a hold that is minutes long is brought to its end by the drill."""
        seen = await self.see(f"orders/{order}")
        patience_s = SETTLED_WITHIN_S
        if seconds_until(seen["hold_until"]) > LONG_HOLD_S:
            await self.stage.end_hold(order)
        else:
            patience_s += LONG_HOLD_S
        return await self.until(
            f"orders/{order}", lambda found: found["state"] not in ("held", "paying"), within_s=patience_s
        )


def _good(what: str, answer: Answer) -> dict[str, Any]:
    if not answer.ok:
        raise DrillFailed(f"{what}: {answer.status} {answer.code} {answer.data.get('detail', '')}")
    return answer.data


def is_settled(payment: dict[str, Any]) -> bool:
    """Final, with its money either kept for the order or back with the buyer."""
    if payment["state"] in ("failed", "closed"):
        return True
    if payment["state"] != "succeeded":
        return False
    return payment["outcome"] == "won" or _refunded(payment) == payment["amount"]["amount"]


def _refunded(payment: dict[str, Any]) -> int:
    done = (refund["amount"]["amount"] for refund in payment["refunds"] if refund["state"] == "succeeded")
    return sum(done)


async def expect_all_square(person: Person, order_number: str, verdict: Verdict) -> None:
    """
    At rest, our records and the channels' books agree about this order: one winner if it is paid and none if it is not,
    tickets for exactly its seats, and at the channels exactly its price or nothing.
    """
    for payment in await person.items("payments"):
        await person.until(f"payments/{payment['number']}", is_settled)
    order = await person.see(f"orders/{order_number}")
    payments = [p for p in await person.items("payments") if p["purchase"]["number"] == order_number]
    is_paid = order["state"] == "paid"
    won = [payment for payment in payments if payment["outcome"] == "won"]
    verdict.expect("payments_that_won", len(won), 1 if is_paid else 0)
    price = order["amount"]["amount"] if is_paid else 0
    through_channel = price if won and won[0]["channel"] != "wallet" else 0
    trades = await person.stage.books.trades_of(order_number)
    kept = sum(
        trade["amount_minor"] - trade["refunded_minor"] for trade in trades if trade["state"] == "paid"
    )
    verdict.expect("fen_kept_at_the_channels", kept, through_channel)
    tickets = [ticket for ticket in await person.items("tickets") if ticket["order"] == order_number]
    valid = Counter(ticket["state"] for ticket in tickets)["valid"]
    verdict.expect("valid_tickets", valid, order["quantity"] if is_paid else 0)
    verdict.note(order_ended=order["state"])
