"""
Leaving the line: a buyer gives his place up, and those behind him do not wait for it.

The places that were left are bits beside the room, as the claims are; the pacer passes over them at once, where it
waits a claim window for everybody else who does not come. A number that is left before the draw has no place yet: it
takes part in the draw like all others, and the pacer marks its place after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from basis import fast
from risk import draw, waiting_room
from risk.room_models import Room
from risk.signing import Pass, QueueNumber

# How many numbers that were left before the draw get their places in one step of the pacer.
PLACED_A_STEP = 1000
# How often a step looks at the places behind those that were left; what is then missing comes with the next step.
LOOKS = 64


def quit_line(*, show: str, buyer_id: int, shown: QueueNumber | None = None, now: datetime) -> Pass | None:
    """
    Give the buyer's place up, if he has one; joining again is at the end of the line. Whose turn it is stays: answered
    is his pass, which has to be made void first.

    :raises waiting_room.NoRoom: see there
    :raises basis.fast.FastStoreAway: he may still have his place; asking again is safe
    """
    try:
        standing = waiting_room.ask("quit", show, buyer_id, shown, now, more=places)
    except (waiting_room.NotInside, waiting_room.HasLeft):
        return None
    return waiting_room.pass_of(show, buyer_id, standing)


def places(show: str, epoch: int) -> list[str]:
    """The places that were left (a bitmap), and the numbers that were left before they had one (a set)."""
    tag = waiting_room.keys(show, epoch, 0)[0]
    return [f"{tag}:{epoch}:left", f"{tag}:{epoch}:left-undrawn"]


@dataclass(frozen=True, slots=True)
class Vacated:
    """
    Places that were left: `ahead` of those let in, or without a place yet; `passed` by the line; of these, `skipped` up
    to the floor.
    """

    ahead: int = 0
    passed: int = 0
    skipped: int = 0


def vacated(room: Room, *, serving: int, floor: int) -> Vacated:
    """
    How many places were left, and where.

    :raises basis.fast.FastStoreAway: see there
    """
    bitmap, undrawn = places(room.show, room.epoch)
    if room.drawn is not None:
        _give_places(room, bitmap, undrawn)
    pipe = fast.store().pipeline(transaction=False)
    pipe.bitcount(bitmap)
    _count(pipe, bitmap, 0, serving)
    _count(pipe, bitmap, 0, floor)
    pipe.scard(undrawn)
    total, passed, skipped, without = map(int, pipe.execute())
    return Vacated(total - passed + without, passed, skipped)


def places_for(room: Room, *, buyers: int, serving: int) -> int:
    """How many places after `serving` hold so many buyers: those that were left take nobody's turn."""
    taken = buyers
    for _ in range(LOOKS):
        pipe = fast.store().pipeline(transaction=False)
        _count(pipe, places(room.show, room.epoch)[0], serving + 1, serving + taken)
        empty = int(pipe.execute()[0])
        if taken - empty >= buyers:
            break
        taken = buyers + empty
    return taken


def _give_places(room: Room, bitmap: str, undrawn: str) -> None:
    """Mark the places of numbers that were left before the draw. One that is lost on the way has its claim window."""
    numbers = [int(number) for number in fast.store().spop(undrawn, PLACED_A_STEP) or ()]
    if not numbers:
        return
    drawn = room.drawn or 0
    keys = draw.keys_of(room.seed, drawn)
    pipe = fast.store().pipeline(transaction=False)
    for number in numbers:
        place = draw.place(number, n=drawn, keys=keys) if number <= drawn else number
        pipe.setbit(bitmap, place, 1)
    pipe.execute()


def _count(pipe: Any, bitmap: str, first: int, last: int) -> None:
    # Place 0 does not exist, so its bit is never set.
    pipe.execute_command("BITCOUNT", bitmap, first, last, "BIT")
