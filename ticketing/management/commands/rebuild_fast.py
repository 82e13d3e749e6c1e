"""manage.py rebuild_fast: make anew in the fast store what Postgres knows, after a loss; repeatable, also in a sale."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from basis import fast
from risk import waiting_room
from risk.room_models import Room
from ticketing.rush import keys, lanes, rebuild


class Command(BaseCommand):
    help = "Rebuild the rush's and the waiting rooms' part of the fast store from Postgres."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--show", action="append", default=[], help="only this show (its code); repeatable"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for tier_id in rebuild.due_tiers(show_codes=options["show"], now=timezone.now()):
            self.stdout.write(f"tier {tier_id}: {self.tier(tier_id)}")
        rooms = Room.objects.filter(show__in=options["show"]) if options["show"] else Room.objects.all()
        for room in rooms.order_by("pk"):
            made = waiting_room.restore(room, now_ms=int(timezone.now().timestamp() * 1000))
            self.stdout.write(f"room of {room.show}: {'restored' if made else 'was there'}")

    def tier(self, tier_id: int) -> str:
        """The drainer that has the tier looks at the rows within a second; a tier without one is loaded here."""
        now = timezone.now()
        fence = lanes.take(tier_id, worker="rebuild_fast", now=now)
        if fence is None:
            # Gone rather than wrong: its drainer writes it whole, and until then nothing is accepted.
            fast.store().delete(keys.sale(tier_id))
            return "its drainer loads it anew"
        lane = rebuild.lane_of(tier_id, fence=fence)
        rebuild.load(lane, now=now, anew=True)
        lanes.leave(tier_id, fence=fence, now=now)
        return f"{lane.hall.free if lane.hall else 0} seats are free; no drainer has it, start one: manage.py drain"
