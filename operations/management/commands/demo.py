import argparse
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from operations import devservices
from operations.demo import evening
from operations.demo.evening import Evening
from operations.devservices.console import EXPECTED_ERRORS
from operations.incidents import table
from operations.incidents.verdict import Told
from operations.stack import StackError

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Sell a show of 39,000 seats to a crowd over real HTTP with the channels misbehaving, replay the five "
        "incidents, audit the books, then serve the site until Ctrl-C."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="end after the audit; exit 1 if anything is wrong"
        )
        parser.add_argument("--buyers", type=int, default=evening.BUYERS, help="(default: %(default)s)")
        parser.add_argument(
            "--seats", type=int, default=evening.SEATS, help="how many must be sold (default: %(default)s)"
        )
        parser.add_argument("--seed", type=int, default=1, help="another number, another crowd and weather")
        parser.add_argument(
            "--incident-seeds", type=int, default=3, help="replays of each incident (default: %(default)s)"
        )

    def handle(
        self, *, once: bool, buyers: int, seats: int, seed: int, incident_seeds: int, **_: Any
    ) -> None:
        self.began_at = time.monotonic()
        # SIGINT too: a shell starts its background jobs with that ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _as_interrupt)
        was_up = bool(devservices.status()["up"])
        try:
            self._tell("starting Postgres, Valkey, channel sandbox, web, worker and beat")
            with evening.own_stack() as stack:
                play = Evening(stack, self._tell)
                wrong = self._play(play, buyers=buyers, seats=seats, seed=seed, incident_seeds=incident_seeds)
                self._verdict(wrong)
                if not once:
                    self._serve(play)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except (StackError, subprocess.CalledProcessError, *EXPECTED_ERRORS) as error:
            raise CommandError(str(error)) from error
        finally:
            if not was_up:
                # Somebody else's services stay up; ours end with us.
                devservices.down()
        if once and wrong:
            raise SystemExit(1)

    def _play(self, play: Evening, *, buyers: int, seats: int, seed: int, incident_seeds: int) -> list[str]:
        """The evening up to the audit; what was wrong with it, in words."""
        evening.forget_last_evening(play.stack)
        self._tell("building the hall: 39,000 seats in six tiers")
        self.people = play.seed()
        self._tell(f"doors open: {buyers:,} buyers at {play.stack.url}, the channels having a bad day")
        sold = play.sell(buyers=buyers, seed=seed)
        self._told_sale(sold)
        self._tell("the sale is over; waiting until nothing is left to do")
        left = play.come_to_rest()
        self._tell(f"replaying the five incidents, {incident_seeds} seeds each and the heavy ones")
        incidents = play.replay(seeds=incident_seeds)
        self._show_incidents(incidents)
        left = left or play.come_to_rest()
        self._tell("auditing every order, seat and fen")
        is_clean = play.audit()
        return [
            *(f"{name}: {count} did not come to rest" for name, count in left.items()),
            *(f"incident {told.id} came out wrong" for told in incidents if not told.right),
            *([] if is_clean else ["the audit found violations"]),
            *_wrong_with(sold, seats=seats),
        ]

    def _serve(self, play: Evening) -> None:
        url, people = play.stack.url, self.people
        variables = " ".join(
            f"{name}='{value}'"
            for name, value in play.stack.info().environment().items()
            if name in ("DATABASE_URL", "REDIS_URL")
        )
        self.stdout.write(
            f"""
The house is open:
  Shop        {url}/
  Buyer       {people["demo"]["handle"]} / {people["demo"]["password"]}
  Staff       {url}/admin/   {people["staff"]["handle"]} / {people["staff"]["password"]}
  API         {url}/api/docs/
  Channels    {play.stack.sandbox_url}/_control/books

What to look at next:
  Buy as the demo buyer, press Pay twice, pay at the sandbox's cashier, watch the order's timeline.
  In the administration: payments with the outcome "surplus", and the refunds that they became.
  {variables} {sys.executable} manage.py audit

Holds last 20 seconds here, so that you can watch one run out. Ctrl-C ends everything.
"""
        )
        self.stdout.flush()
        signal.pause()

    def _told_sale(self, sold: dict[str, Any]) -> None:
        counts, latency = sold["counts"], sold["latency_ms"]
        self._tell(
            f"sold {counts.get('seats_sold', 0):,} seats in {sold['seconds']:.0f} s, {sold['requests']:,} requests: "
            f"{counts.get('orders', 0):,} orders, paid {counts.get('paid_wallet', 0):,} by wallet, "
            f"{counts.get('paid_alipay', 0):,} by Alipay, {counts.get('paid_wechat', 0):,} by WeChat Pay"
        )
        self._tell("buyers ended: " + ", ".join(f"{how} {count:,}" for how, count in sold["ends"].items()))
        self._tell(
            "told: " + ", ".join(f"{what} {count:,}" for what, count in list(sold["refusals"].items())[:8])
        )
        steps = ("look", "order", "token", "press", "track")
        spread = ", ".join(
            f"{step} {latency[step]['p50']:.0f}/{latency[step]['p99']:.0f}"
            for step in steps
            if step in latency
        )
        self._tell(f"milliseconds p50/p99: {spread}")

    def _show_incidents(self, incidents: list[Told]) -> None:
        if sys.stdout.isatty():
            table.show(incidents, Console())
        else:
            self.stdout.write("\n".join(table.lines(incidents)))

    def _verdict(self, wrong: list[str]) -> None:
        for line in wrong:
            self._tell(f"WRONG: {line}")
        self._tell("all right" if not wrong else f"{len(wrong)} things went wrong")

    def _tell(self, text: str) -> None:
        self.stdout.write(f"[{time.monotonic() - self.began_at:4.0f} s] {text}")
        self.stdout.flush()


def _wrong_with(sold: dict[str, Any], *, seats: int) -> list[str]:
    wrong = []
    if sold["counts"].get("seats_sold", 0) < seats:
        wrong.append(f"{sold['counts'].get('seats_sold', 0)} seats sold, {seats} were to be")
    if sold["failures_count"]:
        wrong.append(f"{sold['failures_count']} failures, the first: {sold['failures'][0]}")
    return wrong


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    # So that `kill` ends everything as Ctrl-C does.
    raise KeyboardInterrupt
