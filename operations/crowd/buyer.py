"""
One buyer's evening: look, order, pay or not, and stay until it is certain how it ended.

`Buyer.evening` holds a place in the rush only while the buyer does something. Waiting for an abandoned hold to run
out, or for a refund, takes no place: people wait at home.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from operations.crowd import habits
from operations.crowd.cashier import PAID, Cashier, Page
from operations.crowd.habits import Habit
from operations.crowd.phone import Answer, OutOfPatience, Phone
from operations.crowd.tally import Tally

FINAL_ORDER = frozenset({"paid", "cancelled", "expired", "refunded"})
ENDED_PAYMENT = frozenset({"succeeded", "failed", "closed"})
FINAL_WITHIN_S = 180.0
CASHIER_WITHIN_S = 30.0
POLLS_S = (0.4, 0.8, 1.5, 2.0, 3.0)
ORDER_TRIES = 4
LATE_BY_S = 1.5


@dataclass(slots=True)
class World:
    """What the buyers of one crowd share. `sections` tells the hall's sections by tier, best tier first."""

    session: aiohttp.ClientSession
    shop_url: str
    show: str
    sections: dict[str, list[str]]
    seed: int
    tally: Tally
    places: asyncio.Semaphore


@dataclass(slots=True)
class Buyer:
    """A buyer with his phone, his browser, and what he has done so far."""

    world: World
    index: int
    token: str
    habit: Habit = field(init=False)
    phone: Phone = field(init=False)
    cashier: Cashier = field(init=False)
    dice: random.Random = field(init=False)
    order: dict[str, Any] = field(default_factory=dict)
    paid_at_cashier: list[str] = field(default_factory=list)
    late_page: tuple[str, Page] | None = None
    channels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.world
        self.habit = habits.habit_of(world.seed, self.index)
        self.dice = random.Random(f"{world.seed}:{self.index}:dice")  # noqa: S311 - a simulation
        self.phone = Phone(world.session, world.shop_url, self.token, world.tally, self.dice)
        self.cashier = Cashier(world.session, world.tally)

    @property
    def tally(self) -> Tally:
        return self.world.tally

    async def evening(self) -> None:
        """Live it, and note how it ended. What nobody foresaw is noted too, never swallowed."""
        try:
            self.tally.ended(await self._evening())
        except OutOfPatience as error:
            self.tally.failures.append(f"buyer {self.index} out of patience: {error}")
            self.tally.ended("out_of_patience")

    async def _evening(self) -> str:
        async with self.world.places:
            end = await self._rush()
        if end:
            return end
        if self.late_page is not None:
            await self._come_late(*self.late_page)
        return await self._until_certain()

    # -- the rush -------------------------------------------------------------------------------------------

    async def _rush(self) -> str:
        """Up to the point where only time can tell; how it ended if it did already."""
        tiers = await self._look()
        if self.habit.way == habits.LOOKS_ONLY:
            return "looked_only"
        if not tiers:
            return "sold_out"
        refusal = await self._place_order(tiers)
        if refusal:
            return refusal
        await asyncio.sleep(self.habit.thinks_s)
        match self.habit.way:
            case habits.LEAVES_ORDER:
                pass
            case habits.CANCELS:
                await self._cancel()
            case habits.LEAVES_CASHIER | habits.CANCELS_AT_CASHIER | habits.COMES_LATE:
                await self._open_and_stop()
            case habits.SWITCHES | habits.PAYS_BOTH:
                await self._switch()
            case _:
                await self._pay(self.habit.channel)
        return ""

    async def _look(self) -> list[str]:
        """The codes of the tiers that still have enough seats, the one this buyer likes first."""
        answer = await self.phone.get("look", f"shows/{self.world.show}/availability")
        tiers = [tier["code"] for tier in answer.data.get("tiers", []) if tier["free"] >= self.habit.quantity]
        if tiers:
            start = int(self.habit.taste * len(tiers))
            tiers = tiers[start:] + tiers[:start]
        return tiers

    async def _place_order(self, tiers: list[str]) -> str:
        """Hold seats in the first tier that has them; the refusal's code if none does."""
        refused = "sold_out"
        for tier in (tiers * ORDER_TRIES)[:ORDER_TRIES]:
            answer = await self._ask_for_seats(tier, on_map=self.habit.on_map and refused != "seats_taken")
            if answer.ok:
                self.order = answer.data
                self.tally.counts["orders"] += 1
                self.tally.counts["seats_held"] += int(self.order["quantity"])
                return ""
            refused = answer.code or str(answer.status)
            if refused not in ("sold_out", "seats_taken"):
                break
        return refused

    async def _ask_for_seats(self, tier: str, *, on_map: bool) -> Answer:
        wanted: dict[str, Any] = {"show": self.world.show, "tier": tier, "quantity": self.habit.quantity}
        chosen = await self._choose_on_map(tier) if on_map else []
        if chosen:
            wanted = {"show": self.world.show, "tier": tier, "seats": chosen}
            self.tally.counts["chosen_on_map"] += 1
        if self.habit.accepts_equal:
            wanted["accept_equal_seats"] = True
        return await self.phone.post("order", "orders", wanted)

    async def _choose_on_map(self, tier: str) -> list[int]:
        """Free seats side by side somewhere in a section; none if it has no such place."""
        section = self.dice.choice(self.world.sections[tier])
        answer = await self.phone.get("map", f"shows/{self.world.show}/sections/{section}/seats")
        rows = list(answer.data.get("rows", []))
        self.dice.shuffle(rows)
        for row in rows:
            side_by_side = together(row["seats"], self.habit.quantity)
            if side_by_side:
                return side_by_side
        return []

    async def _cancel(self) -> None:
        answer = await self.phone.post("cancel", f"orders/{self.order['number']}/cancel", {})
        self.tally.counts["cancels" if answer.ok else "cancels_refused"] += 1

    async def _open_and_stop(self) -> None:
        """Go as far as the cashier's page and leave it, give the order up, or come back too late."""
        opened = await self._press_and_open(self.habit.channel)
        if opened is None:
            return
        match self.habit.way:
            case habits.CANCELS_AT_CASHIER:
                await self._cancel()
            case habits.COMES_LATE:
                self.late_page = opened

    async def _switch(self) -> None:
        """Nothing seems to happen at the first channel, so take another; some then finish at the first, too."""
        first = await self._press_and_open(self.habit.channel)
        self.tally.counts["switches"] += 1
        await self._pay(self.habit.second_channel)
        if first is not None and self.habit.way == habits.PAYS_BOTH:
            await self._pay_page(*first)

    # -- paying ---------------------------------------------------------------------------------------------

    async def _pay(self, channel: str) -> None:
        if channel == habits.WALLET:
            payment = await self._press(channel)
            if payment is not None and payment["state"] == "failed":
                # Too little in the wallet: the page offers the other channels.
                await self._pay(self.dice.choice((habits.ALIPAY, habits.WECHAT)))
            return
        opened = await self._press_and_open(channel)
        if opened is not None and await self._pay_page(*opened) == "declined":
            self.tally.counts["declined"] += 1

    async def _press_and_open(self, channel: str) -> tuple[str, Page] | None:
        """Press Pay and open the cashier: the payment's number and the page. None if there is nothing to pay."""
        give_up_at = time.monotonic() + CASHIER_WITHIN_S
        while time.monotonic() < give_up_at:
            payment = await self._press(channel)
            if payment is None or payment["state"] in ENDED_PAYMENT:
                return None
            if payment.get("cashier"):
                page = await self.cashier.open(payment["cashier"]["url"])
                return None if page is None else (payment["number"], page)
            # The channel has not answered yet; the page says so and lets him press again.
            await asyncio.sleep(2.0)
        self.tally.counts["no_cashier"] += 1
        return None

    async def _press(self, channel: str) -> dict[str, Any] | None:
        """Press Pay, some more than once: every press must name the same payment. None if it cannot be paid."""
        number = self.order["number"]
        offer = await self.phone.post("token", f"orders/{number}/payment-token", {})
        if not offer.ok or not offer.data.get("token"):
            return None
        body = {"order": number, "channel": channel, "token": offer.data["token"]}
        key = self.phone.new_key()
        presses = [
            self.phone.post("press", "payments", body, key=key if self.habit.same_key else "")
            for _ in range(self.habit.presses)
        ]
        answers = await asyncio.gather(*presses)
        self.tally.counts["presses"] += len(answers)
        named = {answer.data["number"] for answer in answers if answer.ok}
        if len(named) > 1:
            self.tally.failures.append(f"order {number}: presses named {sorted(named)}")
        answered = [answer.data for answer in answers if answer.ok]
        self.channels.update({payment["number"]: payment["channel"] for payment in answered})
        return answered[-1] if answered else None

    async def _pay_page(self, payment: str, page: Page) -> str:
        result = await self.cashier.pay(page)
        self.tally.counts[f"cashier_{result}"] += 1
        if result == PAID:
            self.paid_at_cashier.append(payment)
        return result

    async def _come_late(self, payment: str, page: Page) -> None:
        order = await self._order_now()
        late = seconds_until(order["hold_until"]) + LATE_BY_S
        await asyncio.sleep(max(late, 0.0))
        self.tally.counts["came_late"] += 1
        await self._pay_page(payment, page)

    # -- afterwards -----------------------------------------------------------------------------------------

    async def _until_certain(self) -> str:
        """Follow the order, and every payment the buyer gave money for, until each is final."""
        for payment in self.paid_at_cashier:
            await self._follow_payment(payment)
        order = await self._follow_order()
        if order["state"] == "paid":
            self.tally.counts["seats_sold"] += int(order["quantity"])
            self.tally.counts[f"paid_{self.channels.get(order['payment'], 'otherwise')}"] += 1
        return str(order["state"])

    async def _follow_payment(self, number: str) -> None:
        """He saw "paid" at the cashier: the shop must come to know it, and give back what it does not need."""
        payment = await self._poll("payment", f"payments/{number}", _is_settled)
        if payment.get("outcome") == "surplus":
            self.tally.counts["surplus_refunded"] += 1

    async def _follow_order(self) -> dict[str, Any]:
        return await self._poll(
            "track", f"orders/{self.order['number']}", lambda order: order["state"] in FINAL_ORDER
        )

    async def _poll(self, step: str, path: str, is_final: Any) -> dict[str, Any]:
        """
        Ask until `is_final`, as the app does while its page is open.

        :raises OutOfPatience: not final within `FINAL_WITHIN_S`
        """
        give_up_at = time.monotonic() + FINAL_WITHIN_S
        for tries in range(10_000):
            answer = await self.phone.get(step, path)
            if answer.ok and is_final(answer.data):
                return answer.data
            if time.monotonic() > give_up_at:
                raise OutOfPatience(f"{path} rests at {answer.data.get('state')}")
            await asyncio.sleep(self._pause_s(answer.data, tries))
        raise OutOfPatience(path)

    def _pause_s(self, seen: dict[str, Any], tries: int) -> float:
        """Often at first; while only a hold has to run out, not before it may have."""
        pause = POLLS_S[min(tries, len(POLLS_S) - 1)]
        waits_for_hold = seen.get("state") in ("held", "paying") and not self.paid_at_cashier
        if waits_for_hold:
            pause = max(pause, seconds_until(seen["hold_until"]) + 1.0)
        return pause * self.dice.uniform(1.0, 1.2)

    async def _order_now(self) -> dict[str, Any]:
        answer = await self.phone.get("track", f"orders/{self.order['number']}")
        return answer.data if answer.ok else self.order


def _is_settled(payment: dict[str, Any]) -> bool:
    if payment["state"] != "succeeded":
        return False
    refunds = payment.get("refunds", [])
    return payment["outcome"] == "won" or any(refund["state"] == "succeeded" for refund in refunds)


def together(seats: list[dict[str, Any]], quantity: int) -> list[int]:
    """The ids of `quantity` free neighbours in a row; none if there are not that many."""
    run: list[int] = []
    for seat in seats:
        run = [*run, int(seat["id"])] if seat["state"] == "free" else []
        if len(run) == quantity:
            return run
    return []


def seconds_until(moment: str) -> float:
    """From now to an RFC 3339 time; below zero if it is past."""
    return (datetime.fromisoformat(moment.replace("Z", "+00:00")) - datetime.now(UTC)).total_seconds()
