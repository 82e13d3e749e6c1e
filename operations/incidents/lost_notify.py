"""
Incident 4: the buyer pays, and the channel's notification never arrives.

Right: the channel is asked on a schedule until it answers, and the order is paid without anyone touching it. Meanwhile
not knowing stays not knowing: no silence and no error of the channel ever turns into "failed".
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from operations.crowd.cashier import PAID
from operations.incidents.scene import POLL_S, DrillFailed, Person, Stage, expect_all_square
from operations.incidents.verdict import Verdict

ID, NAME = 4, "The notify that never came"
PAID_WITHIN_S = 150.0
NEVER = frozenset({"failed", "closed"})
STORMS = ("calm", "http_500", "drop_connection", "no_answer", "bad_signature", "unsigned", "outage")
OUTAGE = {"alipay": "alipay_20000", "wechat": "system_error"}
ROUGH_OPENINGS = ("http_500_after_success", "drop_connection_after", "no_answer")
TRIES_S = 30.0


async def replay(stage: Stage, seed: int, verdict: Verdict) -> None:
    dice = random.Random(f"lost-notify:{seed}")  # noqa: S311
    channel = ("wechat", "alipay")[seed % 2]
    opening = dice.choice(ROUGH_OPENINGS) if channel == "wechat" and seed % 4 == 0 else "smooth"
    storm, strikes = STORMS[seed % len(STORMS)], dice.randint(1, 3)
    verdict.note(channel=channel, opening=opening, storm=storm)
    lin = stage.person(ID, dice)
    order = await lin.order(dice.choice(list(stage.sections)), quantity=dice.randint(1, 4))
    number = order["number"]
    payment = await open_trade(lin, number, channel, opening, verdict)
    await stage.books.misbehave("notify_lost", number=payment["number"], op="notify", times=None)
    if storm != "calm":
        fault = OUTAGE[channel] if storm == "outage" else storm
        await stage.books.misbehave(fault, number=payment["number"], op="query", times=strikes)
    page = await lin.open_cashier(payment)
    await asyncio.sleep(dice.uniform(0.0, 2.0))
    if await lin.cashier.pay(page) != PAID:
        raise DrillFailed("the cashier did not take the money")
    await watch(lin, payment["number"], verdict)
    await judge(stage, lin, number, payment["number"], verdict)
    await expect_all_square(lin, number, verdict)


async def open_trade(lin: Person, order: str, channel: str, opening: str, verdict: Verdict) -> dict[str, Any]:
    """Press Pay; if the channel's answer to that is lost too, the payment is unknown, and he presses on."""
    if opening == "smooth":
        return await lin.start(order, channel)
    offer = await lin.offer(order)
    async with lin.stage.opening.alone():
        if opening == "drop_connection_after":
            await lin.stage.books.misbehave("drop_connection", channel=channel, op="open", after=True)
        else:
            await lin.stage.books.misbehave(opening, channel=channel, op="open")
        first = await lin.press(order, channel, offer["token"])
    verdict.expect("unanswered_opening_is", first.data.get("state"), "unknown")
    give_up_at = time.monotonic() + TRIES_S
    while time.monotonic() < give_up_at:
        again = await lin.press(order, channel, offer["token"])
        verdict.expect("press_on_is_the_same", again.data.get("number") == first.data.get("number"), True)
        if again.data.get("cashier"):
            return again.data
        await asyncio.sleep(1.0)
    raise DrillFailed(f"no cashier after {TRIES_S:.0f} s")


async def watch(lin: Person, payment: str, verdict: Verdict) -> None:
    """Only look until it is paid, and note every state on the way."""
    began_at = time.monotonic()
    states: list[str] = []
    while time.monotonic() - began_at < PAID_WITHIN_S:
        seen = (await lin.see(f"payments/{payment}"))["state"]
        if not states or states[-1] != seen:
            states.append(seen)
        if seen == "succeeded" or seen in NEVER:
            break
        await asyncio.sleep(POLL_S)
    verdict.expect("payment_state", states[-1], "succeeded")
    verdict.expect("states_that_were_a_guess", len(NEVER & set(states)), 0)
    verdict.note(paid_after_s=round(time.monotonic() - began_at, 1))


async def judge(stage: Stage, lin: Person, order: str, payment: str, verdict: Verdict) -> None:
    arrived = [
        answer
        for notify in await stage.books.notifies_of(payment)
        for answer in notify["answers"]
        if answer != "lost"
    ]
    verdict.expect("notifies_that_arrived", len(arrived), 0)
    codes = await lin.codes(order)
    verdict.expect("learned_by_asking", "payment.succeeded.query" in codes, True)
    verdict.expect("order_paid", (await lin.see(f"orders/{order}"))["state"] == "paid", True)
