"""
Replay incidents against a running stack, many seeds side by side. A replay that cannot be played is not right.

Seed 0 is the heavy one of incidents 1 and 2: a thousand presses, 64 at a time, with nothing else going on. Seeds from
1 on vary timing, order, fault and channel; the same seed is the same story, though not the same microseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from types import ModuleType

import psycopg

from operations.crowd.phone import open_session
from operations.crowd.seeding import Made, Wish
from operations.incidents import (
    four_deductions,
    late_money,
    lost_notify,
    paid_twice,
    pressed_again,
)
from operations.incidents.channel_books import ChannelBooks
from operations.incidents.scene import Stage
from operations.incidents.verdict import Told, Verdict, told
from operations.stack import CHECKOUT, StackInfo

INCIDENTS: dict[int, ModuleType] = {
    module.ID: module for module in (pressed_again, four_deductions, late_money, lost_notify, paid_twice)
}
HEAVY_SEED = 0
HEAVY = (1, 2)
SEEDS = 20
SHOW = "drill"
AT_ONCE = 10
# Those of incident 3 mostly wait for a hold to run out.
WAITING_AT_ONCE = 40
CONNECTIONS = 128
BUYERS_A_SEED = {1: 1, 2: 1, 3: 2, 4: 1, 5: 1}

Heard = Callable[[Verdict, int, int], None]
"""Hears of each finished replay: its verdict, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class Drill:
    """
    Which incidents, with which seeds, at which show (made if missing) of the stack; `hold_limit_s` as the stack was
    told it, None if that is not known.
    """

    only: tuple[int, ...] = tuple(INCIDENTS)
    seeds: tuple[int, ...] = tuple(range(SEEDS + 1))
    show: str = SHOW
    hold_limit_s: float | None = None

    def pairs(self) -> list[tuple[int, int]]:
        """What is replayed: (incident, seed), those that wait longest first. Only two incidents have a heavy seed."""
        found = [
            (incident, seed)
            for incident in self.only
            for seed in self.seeds
            if seed != HEAVY_SEED or incident in HEAVY
        ]
        return sorted(found, key=lambda pair: (pair[0] != late_money.ID, pair[1], pair[0]))


def run(drill: Drill, stack: StackInfo, *, heard: Heard | None = None) -> list[Told]:
    """
    Replay, and tell one result per incident, in their order.

    :raises subprocess.CalledProcessError: the buyers cannot be made in the stack's database
    """
    made = _make_buyers(drill, stack)
    verdicts = asyncio.run(_replay_all(drill, stack, made, heard))
    return [
        told(incident, INCIDENTS[incident].NAME, [each for each in verdicts if each.incident == incident])
        for incident in sorted(drill.only)
    ]


def _make_buyers(drill: Drill, stack: StackInfo) -> Made:
    """Fresh buyers for every seed; money in the wallet for incident 2 only."""
    cash = [
        four_deductions.CASH_MINOR if incident == four_deductions.ID else 0
        for incident, _ in drill.pairs()
        for _ in range(BUYERS_A_SEED[incident])
    ]
    return make_in_stack(
        stack.environment(), show=drill.show, prefix=f"drill-{token_hex(4)}-", cash_minor=cash
    )


def make_in_stack(
    environment: Mapping[str, str], *, show: str, prefix: str, cash_minor: Sequence[int]
) -> Made:
    """
    Show and buyers in the database of a stack, by a process that is connected to it.

    :raises subprocess.CalledProcessError: it failed; its output went to ours
    """
    with tempfile.TemporaryDirectory(prefix="kaipiao-") as place:
        wish_path, answer = Path(place) / "wish.json", Path(place) / "made.json"
        wish = Wish(show=show, prefix=prefix, cash_minor=list(cash_minor), answer=str(answer))
        wish_path.write_text(json.dumps(asdict(wish)))
        subprocess.run(
            [sys.executable, "-m", "operations.crowd.seeding", str(wish_path)],
            cwd=CHECKOUT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
            stdin=subprocess.DEVNULL,
            check=True,
        )
        return Made(**json.loads(answer.read_text()))


async def _replay_all(drill: Drill, stack: StackInfo, made: Made, heard: Heard | None) -> list[Verdict]:
    tokens = _dealt(drill, made.tokens)
    async with open_session(at_once=CONNECTIONS) as session:
        stage = Stage(
            session=session,
            shop_url=stack.url,
            books=ChannelBooks(session, stack.sandbox_url),
            show=made.show,
            sections=made.sections,
            tokens=tokens,
            end_hold=partial(_end_hold, stack.database_url),
            hold_limit_s=drill.hold_limit_s,
        )
        verdicts: list[Verdict] = []
        pairs = drill.pairs()

        async def replay(incident: int, seed: int) -> None:
            verdicts.append(await _replay(stage, incident, seed))
            if heard is not None:
                heard(verdicts[-1], len(verdicts), len(pairs))

        for incident, seed in pairs:
            if seed == HEAVY_SEED:
                await replay(incident, seed)
        await _side_by_side([pair for pair in pairs if pair[1] != HEAVY_SEED], replay)
    return sorted(verdicts, key=lambda verdict: (verdict.incident, verdict.seed))


async def _side_by_side(pairs: list[tuple[int, int]], replay: Callable[[int, int], Awaitable[None]]) -> None:
    busy, waiting = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(WAITING_AT_ONCE)

    async def placed(incident: int, seed: int) -> None:
        async with waiting if incident == late_money.ID else busy:
            await replay(incident, seed)

    async with asyncio.TaskGroup() as replays:
        for incident, seed in pairs:
            replays.create_task(placed(incident, seed))


def _dealt(drill: Drill, tokens: list[str]) -> dict[int, list[str]]:
    """The tokens, in the order in which `_make_buyers` asked for them."""
    dealt: dict[int, list[str]] = {incident: [] for incident in drill.only}
    left = iter(tokens)
    for incident, _ in drill.pairs():
        dealt[incident] += [next(left) for _ in range(BUYERS_A_SEED[incident])]
    return dealt


async def _replay(stage: Stage, incident: int, seed: int) -> Verdict:
    verdict = Verdict(incident, seed)
    heavy = {"heavy": True} if seed == HEAVY_SEED else {}
    try:
        await INCIDENTS[incident].replay(stage, seed, verdict, **heavy)
    except Exception as error:
        # Whatever keeps a replay from its end, the incident did not come out right: never a gap in the table.
        verdict.wrong.append(f"not played to its end: {type(error).__name__}: {error}")
        traceback.print_exc(file=sys.stderr)
    return verdict


async def _end_hold(database_url: str, order: str) -> None:
    """
    Let an order's hold run out now, in a stack whose holds last longer than anybody watches. This is the one thing that
    a drill does behind the shop's back, and only to an order of its own.
    """
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE ticketing_order SET hold_until = now() WHERE number = %s AND state IN ('held', 'paying')",
            [order],
        )
