"""
Incident 5: nothing happens at the first channel, so the buyer pays at a second one; then he finishes at the first, too.

Right: the change closes the first trade at its channel. If both succeed all the same, exactly one wins the order, the
other goes back by itself, the tickets are untouched, and the timeline tells both.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from operations.crowd.cashier import PAID
from operations.incidents.scene import CHANNELS, Person, Stage, expect_all_square, is_settled
from operations.incidents.verdict import Verdict

ID, NAME = 5, "Paid at two channels"
CLOSED, OPEN, FIRST_FIRST, AT_ONCE, PAID_BEFORE = (
    "first trade closed in time",
    "close failed, both paid",
    "close failed, the first one paid first",
    "close failed, both paid at once",
    "first one was paid before the change",
)
PLOTS = (CLOSED, OPEN, FIRST_FIRST, AT_ONCE, PAID_BEFORE)
OUTAGES = ("http_500", "drop_connection", "unsigned")


@dataclass(frozen=True, slots=True)
class Plot:
    """One seed's story: how the two payments come to meet."""

    what: str
    first_channel: str

    @property
    def second_channel(self) -> str:
        return CHANNELS[1 - CHANNELS.index(self.first_channel)]

    @property
    def pays_twice(self) -> bool:
        return self.what in (OPEN, FIRST_FIRST, AT_ONCE)


async def replay(stage: Stage, seed: int, verdict: Verdict) -> None:
    dice = random.Random(f"paid-twice:{seed}")  # noqa: S311
    plot = Plot(PLOTS[seed % len(PLOTS)], CHANNELS[seed // len(PLOTS) % 2])
    verdict.note(plot=plot.what, first_channel=plot.first_channel)
    lin = stage.person(ID, dice)
    order = await lin.order(dice.choice(list(stage.sections)), quantity=dice.randint(1, 4))
    number = order["number"]
    first = await lin.start(number, plot.first_channel)
    if plot.what == PAID_BEFORE:
        await change_after_paying(lin, plot, first, verdict)
    else:
        await change_and_pay_both(lin, plot, first, dice.choice(OUTAGES), verdict)
    await lin.until(f"orders/{number}", lambda seen: seen["state"] == "paid")
    await expect_one_winner(lin, number, plot, verdict)
    await expect_all_square(lin, number, verdict)


async def change_after_paying(lin: Person, plot: Plot, first: dict[str, Any], verdict: Verdict) -> None:
    """The change finds out that the first trade is paid: that is the answer, and nothing is opened elsewhere."""
    number = first["purchase"]["number"]
    await lin.stage.books.misbehave("notify_lost", number=first["number"], op="notify", times=None)
    page = await lin.open_cashier(first)
    offer = await lin.offer(number)
    await lin.cashier.pay(page)
    async with lin.stage.opening.together():
        again = await lin.press(number, plot.second_channel, offer["token"])
    verdict.expect("change_answers_the_paid_one", again.data.get("number") == first["number"], True)


async def change_and_pay_both(
    lin: Person, plot: Plot, first: dict[str, Any], outage: str, verdict: Verdict
) -> None:
    """Both cashiers are open; what the first one still takes depends on whether its trade could be closed."""
    books, first_page = lin.stage.books, await lin.open_cashier(first)
    if plot.pays_twice:
        for op in ("query", "close"):
            await books.misbehave(outage, number=first["number"], op=op, times=None)
    second = await lin.start(first["purchase"]["number"], plot.second_channel)
    verdict.expect("second_is_another_payment", second["number"] != first["number"], True)
    second_page = await lin.open_cashier(second)
    pages = [first_page, second_page] if plot.what == FIRST_FIRST else [second_page, first_page]
    if plot.what == AT_ONCE:
        results = list(await asyncio.gather(*(lin.cashier.pay(page) for page in pages)))
    else:
        results = [await lin.cashier.pay(page) for page in pages]
    verdict.expect("cashiers_that_took_money_as_told", results.count(PAID) == 1 + plot.pays_twice, True)
    await books.calm(first["number"])


async def expect_one_winner(lin: Person, number: str, plot: Plot, verdict: Verdict) -> None:
    for payment in await lin.items("payments"):
        await lin.until(f"payments/{payment['number']}", is_settled)
    payments = await lin.items("payments")
    surplus = [payment for payment in payments if payment["outcome"] == "surplus"]
    verdict.expect("payments_refunded_by_themselves", len(surplus), int(plot.pays_twice))
    refunds = [refund for payment in surplus for refund in payment["refunds"]]
    verdict.expect("refunds", len(refunds), len(surplus))
    trades = await lin.stage.books.trades_of(number)
    verdict.note(trades=dict.fromkeys((f"{trade['channel']} {trade['state']}" for trade in trades), 1))
    if plot.what == CLOSED:
        first = min(trades, key=lambda trade: trade["created_at"])
        verdict.expect("first_trade_is_closed_at_its_channel", first["state"] == "closed", True)
    if plot.pays_twice:
        codes = await lin.codes(number)
        succeeded = sum(code.startswith("payment.succeeded.") for code in codes)
        verdict.expect("successes_told_in_the_timeline", succeeded, 2)
        told = {"refund.requested.paid_twice", "refund.succeeded.channel"} <= set(codes)
        verdict.expect("refund_told_in_the_timeline", told, True)
