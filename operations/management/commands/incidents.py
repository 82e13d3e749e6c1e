import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from operations import devservices, pace
from operations.demo import evening
from operations.devservices.console import EXPECTED_ERRORS
from operations.incidents import table
from operations.incidents.replay import INCIDENTS, SEEDS, Drill, run
from operations.incidents.verdict import Verdict
from operations.stack import Stack, StackError, StackInfo, running_stack

DATABASE, REDIS_DB, STATE = "kaipiao_incidents", 6, "incidents"
SHOWN_EVERY = 10
INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Replay the five incidents over HTTP against the running stack, or one of their own where none runs; "
        "exit 1 if any came out wrong."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON list")
        parser.add_argument(
            "--seeds", type=_count, default=SEEDS, help="how many of each (default: %(default)s)"
        )
        parser.add_argument("--seed", type=int, help="replay this one seed; 0 is the heavy one of 1 and 2")
        parser.add_argument(
            "--only",
            type=int,
            action="append",
            choices=sorted(INCIDENTS),
            help="one incident; may be repeated",
        )

    def handle(
        self, *, as_json: bool, seeds: int, seed: int | None, only: list[int] | None, **_: Any
    ) -> None:
        drill = Drill()
        drill = replace(drill, seeds=(seed,) if seed is not None else tuple(range(seeds + 1)))
        drill = replace(drill, only=tuple(sorted(set(only))) if only else drill.only)
        drill = replace(drill, only=tuple(sorted({incident for incident, _ in drill.pairs()})))
        if not drill.only:
            raise CommandError("seed 0 is the heavy one of incidents 1 and 2; the others have none")
        # SIGINT too: a shell starts its background jobs with that ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _as_interrupt)
        try:
            with _stack(self.stderr.write) as (stack, hold_limit_s):
                results = run(replace(drill, hold_limit_s=hold_limit_s), stack, heard=self._heard)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except (StackError, subprocess.CalledProcessError, *EXPECTED_ERRORS) as error:
            raise CommandError(str(error)) from error
        if as_json:
            self.stdout.write(json.dumps([result.as_json() for result in results], ensure_ascii=False))
        elif sys.stdout.isatty():
            table.show(results, Console())
        else:
            self.stdout.write("\n".join(table.lines(results)))
        if not all(result.right for result in results):
            raise SystemExit(1)

    def _heard(self, verdict: Verdict, done: int, of: int) -> None:
        if not verdict.right:
            self.stderr.write(f"incident {verdict.incident}, seed {verdict.seed}: {'; '.join(verdict.wrong)}")
        if done % SHOWN_EVERY == 0 or done == of:
            self.stderr.write(f"{done} of {of} replays done")


@contextmanager
def _stack(tell: Any) -> Iterator[tuple[StackInfo, float | None]]:
    """
    The stack that runs (the product's, else the demonstration's), or a quick one with a database of its own, ended with
    us; and its limit of a hold, if it is known.
    """
    demo = running_stack(state_dir=devservices.paths().state / evening.STATE)
    running = running_stack() or demo
    if running is not None:
        tell(f"replaying at {running.url}")
        yield running, pace.HOLD_LIMIT_S if running == demo else None
        return
    tell("no stack runs: starting one for the drill")
    own = Stack(
        env=pace.QUICK,
        database=DATABASE,
        redis_db=REDIS_DB,
        fresh=True,
        state_dir=devservices.paths().state / STATE,
        sandbox_time_factor=pace.SANDBOX_TIME_FACTOR,
    )
    was_up = bool(devservices.status()["up"])
    try:
        with own:
            yield own.info(), pace.HOLD_LIMIT_S
    finally:
        if not was_up:
            # Somebody else's services stay up; ours end with us.
            devservices.down()


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    # So that `kill` ends the stack as Ctrl-C does.
    raise KeyboardInterrupt


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1000:
        raise argparse.ArgumentTypeError("from 1 to 1000")
    return count
