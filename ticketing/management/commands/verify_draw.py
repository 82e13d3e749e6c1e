"""Checks a draw: that the revealed seed is the one whose hash was published, and where a number stands by it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from risk import draw
from risk.room_models import Room


class Command(BaseCommand):
    help = "Check the draw of a show's waiting room; anybody can, with the seed, its hash and how many took part."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "show", nargs="?", help="a show's code: seed, hash and size are read from its room"
        )
        parser.add_argument("--seed", help="the revealed seed")
        parser.add_argument("--hash", dest="published", help="the hash that was published before the opening")
        parser.add_argument("--drawn", type=int, help="how many took part")
        parser.add_argument("--number", type=int, action="append", default=[], help="a number to place")
        parser.add_argument("--all", action="store_true", help="check that every place is taken exactly once")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        seed, published, drawn = self.facts(options)
        keys = draw.keys_of(seed, drawn)
        places = {
            number: draw.place(number, n=drawn, keys=keys) for number in options["number"] if number <= drawn
        }
        told: dict[str, Any] = {
            "hash_right": draw.hash_of(seed) == published,
            "drawn": drawn,
            "places": places,
        }
        if options["all"]:
            taken = {draw.place(number, n=drawn, keys=keys) for number in range(1, drawn + 1)}
            told["every_place_once"] = len(taken) == drawn
        self.tell(told, as_json=options["json"])
        if not told["hash_right"] or not told.get("every_place_once", True):
            raise CommandError("The draw is not the one that was announced.")

    def facts(self, options: dict[str, Any]) -> tuple[str, str, int]:
        room = Room.objects.filter(show=options["show"]).first() if options["show"] else None
        if room is not None and room.drawn is None:
            raise CommandError(f"{room.show} was not drawn yet. Published hash of the seed: {room.seed_hash}")
        seed = options["seed"] or (room.seed if room else "")
        published = options["published"] or (room.seed_hash if room else "")
        drawn = options["drawn"] if options["drawn"] is not None else (room.drawn if room else None)
        if not seed or not published or drawn is None:
            raise CommandError("Name a show, or give --seed, --hash and --drawn.")
        return seed, published, drawn

    def tell(self, told: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(told))
            return
        self.stdout.write(f"hash of the seed  {'right' if told['hash_right'] else 'WRONG'}")
        self.stdout.write(f"took part         {told['drawn']:,}")
        for number, place in told["places"].items():
            self.stdout.write(f"number {number:,} stands at place {place:,}")
        if "every_place_once" in told:
            self.stdout.write(f"every place once  {'yes' if told['every_place_once'] else 'NO'}")
