"""What the spectator sees: a live table on a terminal, a plain line every two seconds elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from operations.crowd.tally import Tally

LIVE_EVERY_S = 0.25
LINE_EVERY_S = 2.0

Show = Callable[[Tally], Awaitable[None]]


def display() -> Show:
    """The display that fits where standard output goes."""
    return live if sys.stdout.isatty() else lines


async def lines(tally: Tally) -> None:
    rate = Rate(tally)
    try:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            print(line(tally, rate.per_second()), flush=True)
    finally:
        print(line(tally, rate.per_second()), flush=True)


async def live(tally: Tally) -> None:
    rate = Rate(tally)
    with Live(console=Console(), refresh_per_second=8, transient=False) as screen:
        try:
            while True:
                screen.update(picture(tally, rate.per_second()))
                await asyncio.sleep(LIVE_EVERY_S)
        finally:
            screen.update(picture(tally, rate.per_second()))


class Rate:
    """Requests per second over the last few seconds."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._seen = [(time.monotonic(), tally.requests)]

    def per_second(self) -> float:
        now = time.monotonic()
        self._seen = [*(seen for seen in self._seen if now - seen[0] < 3.0), (now, self._tally.requests)]
        first_at, first = self._seen[0]
        return (self._tally.requests - first) / max(now - first_at, 0.001)


def eta_s(tally: Tally) -> float | None:
    """Seconds until the last buyer is done, if the rest takes as long as those before."""
    if tally.done < 20:
        return None
    return tally.seconds / tally.done * (tally.buyers - tally.done)


def line(tally: Tally, rate: float) -> str:
    counts, eta = tally.counts, eta_s(tally)
    refused = sum(count for refusal, count in tally.refusals.items() if refusal.startswith("shop 4"))
    return (
        f"crowd {tally.seconds:5.0f}s  buyers {tally.done}/{tally.buyers}  orders {counts['orders']}  "
        f"seats sold {counts['seats_sold']}  paid wallet {counts['paid_wallet']} alipay {counts['paid_alipay']} "
        f"wechat {counts['paid_wechat']}  refusals {refused}  {rate:.0f} requests/s"
        + (f"  ETA {eta:.0f}s" if eta is not None else "")
    )


def picture(tally: Tally, rate: float) -> Group:
    counts, eta = tally.counts, eta_s(tally)
    table = Table(box=None, show_header=False, padding=(0, 2))
    for _ in range(3):
        table.add_column(style="dim")
        table.add_column(justify="right", style="bold")
    rows = [
        ("orders", counts["orders"], "paid, wallet", counts["paid_wallet"], "retries", counts["retries"]),
        (
            "seats held",
            counts["seats_held"],
            "paid, Alipay",
            counts["paid_alipay"],
            "switches",
            counts["switches"],
        ),
        (
            "seats sold",
            counts["seats_sold"],
            "paid, WeChat",
            counts["paid_wechat"],
            "came late",
            counts["came_late"],
        ),
        ("requests/s", f"{rate:.0f}", "refunded", counts["surplus_refunded"], "cancelled", counts["cancels"]),
    ]
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    head = Text(f"{tally.done} of {tally.buyers} buyers done in {tally.seconds:.0f} s")
    head.append(f", about {eta:.0f} s to go" if eta is not None else "", style="dim")
    failures = Text(f"{len(tally.failures)} failures", style="red") if tally.failures else Text("no failures")
    return Group(head, ProgressBar(total=max(tally.buyers, 1), completed=tally.done), table, failures)
