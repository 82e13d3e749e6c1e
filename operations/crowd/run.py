"""
All buyers at once. `python -m operations.crowd PLAN.json` is a process of its own, so that the crowd's work is never
done by the shop's interpreter, nor the other way round.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from operations.crowd.buyer import Buyer, World
from operations.crowd.phone import open_session
from operations.crowd.tally import Tally

AT_ONCE = 64
"""More would not buy faster: they would wait inside the shop instead of before it, while their holds run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a crowd process is told. `tokens` are the buyers' API tokens, one each, issued before the sale."""

    shop_url: str
    show: str
    sections: dict[str, list[str]]
    seed: int
    tokens: list[str]
    at_once: int = AT_ONCE
    seats_wanted: int = 0
    summary: str = ""

    def write(self, path: Path) -> None:
        """The tokens are secrets: for the owner's eyes only."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Plan:
        return Plan(**json.loads(path.read_text()))


async def run(plan: Plan, *, show: Callable[[Tally], Any] | None = None) -> Tally:
    """
    Let every buyer live his evening; at most `plan.at_once` of them do something at a time.

    :param show: an asynchronous display of the tally, run beside the crowd until it is cancelled
    """
    tally = Tally(buyers=len(plan.tokens))
    display = asyncio.create_task(show(tally)) if show is not None else None
    async with open_session(at_once=plan.at_once) as session:
        world = World(
            session=session,
            shop_url=plan.shop_url,
            show=plan.show,
            sections=plan.sections,
            seed=plan.seed,
            tally=tally,
            places=asyncio.Semaphore(plan.at_once),
        )
        async with asyncio.TaskGroup() as evenings:
            for index, token in enumerate(plan.tokens):
                evenings.create_task(Buyer(world, index, token).evening())
    if display is not None:
        display.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await display
    return tally


async def run_until_stopped(plan: Plan, *, show: Callable[[Tally], Any] | None) -> Tally | None:
    """The same; None when SIGINT or SIGTERM ended it early."""
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(run(plan, show=show))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return None
