"""
One evening, step by step. Each step is what a person would type, run against the demonstration's own stack.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations import devservices, pace
from operations.crowd import habits
from operations.crowd.phone import open_session
from operations.crowd.run import Plan
from operations.demo import rest
from operations.incidents.channel_books import ChannelBooks
from operations.incidents.replay import Drill, make_in_stack, run
from operations.incidents.verdict import Told, Verdict
from operations.stack import CHECKOUT, Stack

DATABASE, REDIS_DB, STATE = "kaipiao_demo", 5, "demo"
SHOW = "tonight"
BUYERS, SEATS = 5_000, 2_000
CASH_MINOR = 1_000_000
REST_WITHIN_S = 120.0
REPLAYS_TOLD_EVERY = 5
# A bad day for both channels: about one trade in six meets something.
WEATHER = {
    "notify_lost": 0.04,
    "notify_doubled": 0.03,
    "notify_concurrent": 0.02,
    "notify_late": 0.03,
    "notify_forged": 0.02,
    "http_500_after_success": 0.015,
    "http_500": 0.01,
    "drop_connection": 0.01,
    "args": {"notify_late": {"seconds": 3}},
}

Tell = Callable[[str], None]


@dataclass(slots=True)
class Evening:
    """The stack of a demonstration and what is done with it."""

    stack: Stack
    tell: Tell

    @property
    def environment(self) -> dict[str, str]:
        return self.stack.environment()

    def seed(self) -> dict[str, Any]:
        """The show and the people who can sign in, as `manage.py seed` makes them."""
        facts: dict[str, Any] = json.loads(self._manage("seed", "--json", "--show", SHOW, "--buyers", "1"))
        return facts

    def sell(self, *, buyers: int, seed: int) -> dict[str, Any]:
        """
        Send the crowd, in bad weather; the crowd's summary.

        :raises subprocess.CalledProcessError: the crowd did not come to its end
        """
        cash = [CASH_MINOR if habits.has_money_in_wallet(seed, index) else 0 for index in range(buyers)]
        made = make_in_stack(self.environment, show=SHOW, prefix="crowd", cash_minor=cash)
        asyncio.run(self._set_weather({**WEATHER, "seed": seed}))
        with tempfile.TemporaryDirectory(prefix="kaipiao-") as place:
            summary = Path(place) / "summary.json"
            plan = Plan(
                shop_url=self.stack.url,
                show=SHOW,
                sections=made.sections,
                seed=seed,
                tokens=made.tokens,
                summary=str(summary),
            )
            plan.write(Path(place) / "plan.json")
            command = [sys.executable, "-m", "operations.crowd", str(Path(place) / "plan.json")]
            subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=True)
            sold: dict[str, Any] = json.loads(summary.read_text())
        asyncio.run(self._set_weather({}))
        return sold

    def come_to_rest(self) -> dict[str, int]:
        """Wait for holds to run out, for questions to be answered and refunds to arrive; what does not."""
        told_at: list[str] = []

        def told(left: dict[str, int]) -> None:
            text = ", ".join(f"{count} {name}" for name, count in left.items())
            if len(told_at) % 5 == 0:
                self.tell(f"waiting for {text}")
            told_at.append(text)

        return rest.wait(self.stack.info().database_url, timeout_s=REST_WITHIN_S, told=told)

    def replay(self, *, seeds: int) -> list[Told]:
        """The five incidents at the same stack, heavy seeds included."""
        drill = Drill(seeds=tuple(range(seeds + 1)), show=SHOW, hold_limit_s=pace.HOLD_LIMIT_S)

        def heard(verdict: Verdict, done: int, of: int) -> None:
            if not verdict.right:
                self.tell(f"incident {verdict.incident}, seed {verdict.seed}: {'; '.join(verdict.wrong)}")
            if done % REPLAYS_TOLD_EVERY == 0 or done == of:
                self.tell(f"{done} of {of} replays done")

        return run(drill, self.stack.info(), heard=heard)

    def audit(self) -> bool:
        """`manage.py audit`, shown as it is; whether it is clean."""
        done = subprocess.run(
            [sys.executable, "manage.py", "audit"],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0

    async def _set_weather(self, weather: dict[str, Any]) -> None:
        async with open_session(at_once=1) as session:
            await ChannelBooks(session, self.stack.sandbox_url).set_weather(weather)

    def _manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout


def own_stack() -> Stack:
    """A stack of the demonstration's own, in time lapse: never a database or books that somebody works with."""
    return Stack(
        env=pace.QUICK,
        database=DATABASE,
        redis_db=REDIS_DB,
        fresh=True,
        state_dir=devservices.paths().state / STATE,
        sandbox_time_factor=pace.SANDBOX_TIME_FACTOR,
        # Somebody who looks around afterwards may open a waiting room.
        extras=("drain", "pace"),
    )


def forget_last_evening(stack: Stack) -> None:
    """The sandbox's books of the last demonstration belong to a database that is no more."""

    async def reset() -> None:
        async with open_session(at_once=1) as session:
            await ChannelBooks(session, stack.sandbox_url).reset()

    asyncio.run(reset())
