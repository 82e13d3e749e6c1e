"""
Incident 2: the wallet holds five tickets' worth, the buyer wants one and presses Pay four times.

Right: one deduction, the rest untouched, one ticket, and every press answered with the same result.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

from operations.crowd.phone import Answer
from operations.incidents.scene import Person, Stage, expect_all_square
from operations.incidents.verdict import Verdict

ID, NAME = 2, "One ticket, four deductions"
TIER, PRICE_MINOR = "UPPER", 38_000
CASH_MINOR = 5 * PRICE_MINOR
"""As in the incident, where the ticket cost a fifth of what the wallet held."""
PRESSES, HEAVY_PRESSES, HEAVY_AT_ONCE = 4, 1000, 64
SAME = ("number", "channel", "state", "outcome", "amount", "purchase")


async def replay(stage: Stage, seed: int, verdict: Verdict, *, heavy: bool = False) -> None:
    dice = random.Random(f"four-deductions:{seed}")  # noqa: S311
    lin = stage.person(ID, dice)
    before = await cash(lin)
    order = await lin.order(TIER, quantity=1)
    verdict.expect("price_fen", order["amount"]["amount"], PRICE_MINOR)
    answers = await presses(lin, order["number"], dice, verdict, heavy=heavy)
    judge(verdict, answers)
    entries = await lin.items("wallet/entries")
    deductions = [entry["amount"]["amount"] for entry in entries if entry["amount"]["amount"] < 0]
    verdict.expect("wallet_before_fen", before, CASH_MINOR)
    verdict.expect("deductions", len(deductions), 1)
    verdict.expect("deducted_fen", -sum(deductions), PRICE_MINOR)
    verdict.expect("wallet_after_fen", await cash(lin), CASH_MINOR - PRICE_MINOR)
    await expect_all_square(lin, order["number"], verdict)


async def presses(
    lin: Person, number: str, dice: random.Random, verdict: Verdict, *, heavy: bool
) -> list[Answer]:
    """At once, one after the other, or from two tabs; as one request repeated, or as four of their own."""
    how = "at once" if heavy else dice.choice(["at once", "in a row", "two tabs"])
    one_key = lin.phone.new_key() if not heavy and dice.random() < 0.4 else ""
    verdict.note(pressed=how, as_one_request=bool(one_key))
    tokens = [(await lin.offer(number))["token"] for _ in range(2 if how == "two tabs" else 1)]
    places = asyncio.Semaphore(HEAVY_AT_ONCE)

    async def one(position: int) -> Answer:
        if how == "in a row":
            await asyncio.sleep(position * dice.uniform(0.0, 0.15))
        # Two tabs are two bodies only if their tokens differ; one key then belongs to one of them.
        key = f"{one_key}-{position % len(tokens)}" if one_key else ""
        async with places:
            return await lin.press(number, "wallet", tokens[position % len(tokens)], key=key)

    return list(await asyncio.gather(*(one(i) for i in range(HEAVY_PRESSES if heavy else PRESSES))))


def judge(verdict: Verdict, answers: list[Answer]) -> None:
    verdict.note(presses=len(answers), answers=dict(Counter(str(answer.status) for answer in answers)))
    verdict.expect("presses_not_answered_with_the_payment", sum(not answer.ok for answer in answers), 0)
    said = Counter(_said(answer.data) for answer in answers if answer.ok)
    verdict.expect("answers_that_differ", max(len(said) - 1, 0), 0)


def _said(payment: dict[str, Any]) -> str:
    return json.dumps({name: payment[name] for name in SAME}, sort_keys=True)


async def cash(lin: Person) -> int:
    return int((await lin.see("wallet"))["cash"]["amount"])
