"""The pacer: lets those who wait in, show by show, for as long as it runs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone

from basis import events, fast
from risk import pacing
from risk.room_models import Room
from ticketing.pace import stock_of, tiers_of, with_queued

log = events.get_logger(__name__)
OUTAGES = (fast.FastStoreAway, DatabaseError, InterfaceError)


class Command(BaseCommand):
    help = "Let buyers out of the waiting rooms, as stock, completed orders and the staff's bounds allow."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--show", action="append", help="only this show's room; may be repeated")
        parser.add_argument("--every", type=float, default=0.25, help="seconds between steps (0.25)")
        parser.add_argument("--once", action="store_true", help="one step, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["once"]:
            self.stdout.write("Pacing")
            self.stdout.flush()
        self.counted: dict[int, tuple[float, pacing.Stock]] = {}
        self.tiers: dict[int, list[int]] = {}
        while True:
            began = time.monotonic()
            try:
                self.step_all(options["show"])
            except OUTAGES as error:
                # A step makes up for those that were missed; until then everybody keeps his place.
                log.warning("pacer.outage", error=type(error).__name__)
                close_old_connections()
            if options["once"]:
                return
            time.sleep(max(0.01, options["every"] - (time.monotonic() - began)))

    def stock(self, room: Room) -> pacing.Stock:
        """Rows at most a second old: counting a large house four times a second would be felt by those who buy."""
        counted_at, stock = self.counted.get(room.pk) or (0.0, None)
        if stock is None or time.monotonic() - counted_at >= 1.0:
            stock, self.tiers[room.pk] = stock_of(room), tiers_of(room)
            self.counted[room.pk] = (time.monotonic(), stock)
        return with_queued(stock, self.tiers[room.pk])

    def step_all(self, shows: list[str] | None) -> None:
        rooms = Room.objects.exclude(state="closed", drawn=None)
        for room in rooms.filter(show__in=shows) if shows else rooms:
            taken = pacing.step(show=room.show, stock=self.stock(room), now=timezone.now())
            if taken is not None and taken.admitted:
                log.info("pacer.step", **asdict(taken))
