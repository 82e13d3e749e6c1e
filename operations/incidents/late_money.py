"""
Incident 3: the buyer pays at the channel, and by the time the money is known the order is over.

Right: a payment in flight prolongs the hold, within a bound. Money that comes later still buys the same seats if they
are free, else equal ones if the buyer allowed it, else it goes back by itself, told in the timeline within seconds.
Never "cancelled and paid" at rest.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import datetime
from typing import Any

from operations.crowd.cashier import PAID, Page
from operations.incidents.scene import CHANNELS, DrillFailed, Person, Stage, expect_all_square
from operations.incidents.verdict import Verdict

ID, NAME = 3, "Money after the order was over"
SAME, EQUAL, REFUND, CANCELLED = "same seats", "equal seats", "refund", "cancelled, refund"
BRANCHES = (SAME, EQUAL, REFUND, CANCELLED)
TIERS = ("FIELD", "GOLD", "SILVER", "BRONZE", "UPPER")
TOLD_WITHIN_S = 15.0
OUTAGES = ("http_500", "drop_connection", "unsigned", "bad_signature")
CODE = {
    SAME: "order.paid.paid_late_same_seats",
    EQUAL: "order.paid.paid_late_equal_seats",
    REFUND: "refund.requested.too_late",
    CANCELLED: "refund.requested.cancelled",
}


async def replay(stage: Stage, seed: int, verdict: Verdict) -> None:
    dice = random.Random(f"late-money:{seed}")  # noqa: S311
    branch, channel, learns_by = (
        BRANCHES[seed % 4],
        CHANNELS[seed // 4 % 2],
        ("notify", "query")[seed // 8 % 2],
    )
    verdict.note(branch=branch, channel=channel, learned_by=learns_by)
    lin, tier, quantity = stage.person(ID, dice), dice.choice(TIERS), dice.randint(1, 4)
    seats = await stage.own_row(tier, quantity)
    allows = branch == EQUAL or (branch == SAME and seed % 3 == 0)
    order = await lin.order(tier, seats=seats, accept_equal_seats=allows)
    number = order["number"]
    await asyncio.sleep(dice.uniform(0.5, 3.0))
    payment = await lin.start(number, channel)
    judge_hold(order, await lin.see(f"orders/{number}"), stage.hold_limit_s, verdict)
    page = await lin.open_cashier(payment)
    await cut_off(stage, payment["number"], channel, dice)
    if channel == "alipay":
        # Alipay closes a trade at its deadline: he pays in time there, and it is we who hear of it too late.
        await pay(lin, page)
    over = await end_order(lin, number, branch)
    verdict.expect("order_over", over["state"], "cancelled" if branch == CANCELLED else "expired")
    rival = stage.person(ID, dice)
    taken = await rival.order(tier, seats=seats) if branch in (EQUAL, REFUND) else {}
    if channel == "wechat":
        await pay(lin, page)
    await hear_of_it(lin, payment, learns_by, verdict)
    await judge_end(lin, order, branch, verdict)
    await expect_all_square(lin, number, verdict)
    if taken:
        await rival.phone.post("cancel", f"orders/{taken['number']}/cancel", {})


def judge_hold(
    before: dict[str, Any], after: dict[str, Any], limit_s: float | None, verdict: Verdict
) -> None:
    """
    The press prolongs the hold, never past the shop's limit. Where the limit is not known to the drill, holds may be
    longer than a payment needs: then the press must at least not shorten it.
    """
    by = (_time(after["hold_until"]) - _time(before["hold_until"])).total_seconds()
    held = (_time(after["hold_until"]) - _time(after["placed_at"])).total_seconds()
    verdict.expect("state_while_paying", after["state"], "paying")
    verdict.expect_that(by > 0 if limit_s else by >= 0, "hold_prolonged_by_s", round(by, 2))
    verdict.expect("held_within_the_limit", limit_s is None or held <= limit_s, True)


async def cut_off(stage: Stage, number: str, channel: str, dice: random.Random) -> None:
    """Between the channel and us nothing gets through any more: no notification, no answer to any question."""
    await stage.books.misbehave("notify_lost", number=number, op="notify", times=None)
    outage = dice.choice(OUTAGES)
    for op in ("query", "close"):
        await stage.books.misbehave(outage, number=number, op=op, channel=channel, times=None)


async def pay(lin: Person, page: Page) -> None:
    result = await lin.cashier.pay(page)
    if result != PAID:
        raise DrillFailed(f"the cashier says {result}")


async def end_order(lin: Person, number: str, branch: str) -> dict[str, Any]:
    if branch != CANCELLED:
        return await lin.until_hold_ends(number)
    await lin.phone.post("cancel", f"orders/{number}/cancel", {})
    return await lin.see(f"orders/{number}")


async def hear_of_it(lin: Person, payment: dict[str, Any], learns_by: str, verdict: Verdict) -> None:
    """The channel is back: either it tells us again, or we ask it. The clock runs from here."""
    number, books = payment["number"], lin.stage.books
    heard_at = time.monotonic()
    if learns_by == "notify":
        status = await books.notify_now(payment["channel"], number)
        verdict.expect("notify_acknowledged", status in (200, 204), True)
    else:
        await books.calm(number)
    await lin.until(f"payments/{number}", lambda seen: seen["state"] == "succeeded")
    verdict.note(known_after_s=round(time.monotonic() - heard_at, 1))
    await books.calm(number)


async def judge_end(lin: Person, order: dict[str, Any], branch: str, verdict: Verdict) -> None:
    number = order["number"]
    told_from = time.monotonic()
    await lin.until(
        f"orders/{number}/timeline",
        lambda seen: CODE[branch] in [line["code"] for line in seen["items"]],
        within_s=TOLD_WITHIN_S,
    )
    verdict.note(told_after_s=round(time.monotonic() - told_from, 1))
    after = await lin.see(f"orders/{number}")
    keeps = branch in (SAME, EQUAL)
    wanted = "paid" if keeps else {REFUND: "expired", CANCELLED: "cancelled"}[branch]
    verdict.expect("order_state_right", after["state"] == wanted, True)
    if keeps:
        got_the_same = after["seats"] == order["seats"]
        verdict.expect("same_seats_where_free_else_equal", got_the_same == (branch == SAME), True)
        verdict.expect("price_is_the_same", after["amount"] == order["amount"], True)
        verdict.expect("as_many_seats", len(after["seats"]) == order["quantity"], True)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
