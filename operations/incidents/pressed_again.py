"""
Incident 1: the buyer presses Pay again and again because nothing happens.

Right: one trade at the channel, one answer repeated to every press, no error page; a reload resumes the payment.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from operations.crowd.phone import Answer
from operations.incidents.scene import CHANNELS, Person, Stage, expect_all_square
from operations.incidents.verdict import Verdict

ID, NAME = 1, "Pay pressed again and again"
PRESSES, AT_ONCE = 40, 16
HEAVY_PRESSES, HEAVY_AT_ONCE = 1000, 64
SLOW_S = 1.2
CLEAR_REFUSALS = (409, 429)


async def replay(stage: Stage, seed: int, verdict: Verdict, *, heavy: bool = False) -> None:
    dice = random.Random(f"pressed-again:{seed}")  # noqa: S311
    lin = stage.person(ID, dice)
    channel, quantity = dice.choice(CHANNELS), dice.randint(1, 4)
    order = await lin.order(dice.choice(list(stage.sections)), quantity=quantity)
    number = order["number"]
    # "Nothing happens": the channel takes its time to open the trade, and he has minutes to press.
    is_slow = channel == "wechat" and dice.random() < 0.4
    verdict.note(channel=channel, channel_was_slow=is_slow)
    async with stage.opening.alone() if is_slow else stage.opening.together():
        if is_slow:
            await stage.books.misbehave("slow", channel=channel, op="open", seconds=SLOW_S)
        answers = await presses(lin, number, channel, dice, heavy=heavy)
    judge(verdict, answers)
    await expect_resumed(lin, number, channel, answers, verdict)
    await pay_with_both_hands(lin, number, verdict)
    trades = await stage.books.trades_of(number)
    verdict.expect("trades_at_the_channel", len(trades), 1)
    await expect_all_square(lin, number, verdict)


async def presses(
    lin: Person, number: str, channel: str, dice: random.Random, *, heavy: bool
) -> list[Answer | None]:
    """All with the page's one token; some are the same request again, most are new ones."""
    offer = await lin.offer(number)
    places = asyncio.Semaphore(HEAVY_AT_ONCE if heavy else AT_ONCE)
    keys = [lin.phone.new_key() for _ in range(4)]

    async def one(position: int) -> Answer | None:
        key = dice.choice(keys) if dice.random() < 0.25 else lin.phone.new_key()
        await asyncio.sleep(0 if heavy else position * dice.uniform(0, 0.01))
        async with places:
            return await lin.press_once(number, channel, offer["token"], key=key)

    return list(await asyncio.gather(*(one(i) for i in range(HEAVY_PRESSES if heavy else PRESSES))))


def judge(verdict: Verdict, answers: list[Answer | None]) -> None:
    """Every press is answered: with the payment, or with a clear "come again"."""
    seen = Counter(str(answer.status) if answer else "dropped" for answer in answers)
    unclear = [
        f"{answer.status} {answer.code}" if answer else "dropped"
        for answer in answers
        if answer is None
        or not (answer.ok or (answer.status in CLEAR_REFUSALS and answer.retry_after is not None))
    ]
    named = {answer.data["number"] for answer in answers if answer and answer.ok}
    verdict.note(presses=len(answers), answers=dict(seen))
    verdict.expect("unclear_answers", len(unclear), 0)
    verdict.expect("server_errors", sum(1 for answer in answers if answer and answer.status >= 500), 0)
    verdict.expect("payments_named", len(named), 1)
    if unclear:
        verdict.wrong.append(f"unclear answers: {dict(Counter(unclear))}")


async def expect_resumed(
    lin: Person, number: str, channel: str, answers: list[Answer | None], verdict: Verdict
) -> None:
    """He reloads the page, and presses once more on the new one: it is the same payment."""
    named = next((answer.data["number"] for answer in answers if answer and answer.ok), "")
    offer = await lin.offer(number)
    verdict.expect("reload_resumes_the_payment", (offer["payment"] or {}).get("number") == named, True)
    async with lin.stage.opening.together():
        again = await lin.press(number, channel, offer["token"])
    verdict.expect("press_after_reload_repeats", again.data.get("number") == named, True)


async def pay_with_both_hands(lin: Person, number: str, verdict: Verdict) -> None:
    """The cashier is open in two tabs, and Pay is pressed in both at once."""
    offer = await lin.offer(number)
    payment = await lin.until(
        f"payments/{offer['payment']['number']}", lambda seen: seen["cashier"] is not None
    )
    pages = [await lin.open_cashier(payment) for _ in range(2)]
    results = await asyncio.gather(*(lin.cashier.pay(page) for page in pages))
    verdict.expect("cashier_says", " ".join(sorted(set(results))), "paid")
    order = await lin.until(f"orders/{number}", lambda seen: seen["state"] == "paid")
    verdict.expect("paid_by_the_payment_pressed", order["payment"] == payment["number"], True)
    last = await lin.press(number, payment["channel"], offer["token"])
    verdict.expect("press_after_paid_repeats", last.data.get("number") == payment["number"], True)
