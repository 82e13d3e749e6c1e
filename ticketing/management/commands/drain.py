"""manage.py drain: answer the submissions and payments of a rush, until told to stop."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from ticketing.rush.drainer import Drainer


class Command(BaseCommand):
    help = "Drain the streams of the tiers on sale: allocate seats and take wallet payments, in batches."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--show", action="append", default=[], help="only this show (its code); repeatable"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        told: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda signum, _frame: told.append(signum))
        worker = f"{socket.gethostname()[:40]}:{os.getpid()}"
        drainer = Drainer(worker=worker, clock=timezone.now, show_codes=options["show"])
        self.stdout.write(f"Draining as {worker}")
        self.stdout.flush()
        drainer.run(stopping=lambda: bool(told))
        self.stdout.write(f"Drained: {drainer.tally}")
