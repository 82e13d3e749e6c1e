"""
The waiting room: a ticket dispenser in front of a sale (M8).

A buyer gets the next number, signed; the room keeps two counters (issued, serving) and one mark per buyer, so that a
position is a subtraction. The marks lie in hashes of some 60 fields, which the store packs to about 9 bytes a buyer.
Reload, another tab, another device: the mark gives the same number. A wiped store: the signed number that the buyer
holds restores mark and counter; the rest comes from Postgres (`risk.room_models.Room`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from basis import fast
from basis.scripts import Script
from risk import draw, signing, switches
from risk.room_models import Room, RoomState
from risk.signing import Pass, QueueNumber

ROOM = Script(Path(__file__).parent / "lua" / "room.lua")
# A buyer's bucket is his id modulo this: 1.9 million make some 57 marks a bucket, however their ids are spread.
BUCKETS = 32_768

_epochs: dict[str, int] = {}  # what this process last saw; a wrong guess costs one more call


class NoRoom(Exception):
    """This show has no waiting room."""


class RoomClosed(Exception):
    """Nobody can join: not yet opened, being drained, or closed for good."""


class RoomFull(Exception):
    """As many wait as the staff allow. Trying again later may help."""


class SoldOut(Exception):
    """There is nothing left to wait for."""


class NotInside(Exception):
    """This buyer has no number in the room, or has left the line."""


class HasLeft(Exception):
    """The buyer had a place, and it is given up now."""


REFUSALS: dict[str, type[Exception]] = {
    "closed": RoomClosed,
    "full": RoomFull,
    "sold_out": SoldOut,
    "none": NotInside,
    "left": HasLeft,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where a buyer stands, as `look` in room.lua answers.

    `status`: waiting, admitted, missed (the turn passed unused), over (the pass expired), sold_out, closed.
    `place` is 0 and `ahead` -1 before the draw; waits are -1 when unknown; `expires_s` is the pass's end in Unix
    seconds. `outlook`: good, tight, unlikely, none, unknown.
    """

    status: str
    state: str
    number: int
    place: int
    ahead: int
    waiting: int
    wait_low_s: int
    wait_high_s: int
    interval_ms: int
    outlook: str
    expires_s: int
    epoch: int

    @property
    def may_rejoin(self) -> bool:
        return self.status in {"missed", "over"}


def join(*, show: str, buyer_id: int, shown: QueueNumber | None = None, now: datetime) -> Standing:
    """
    Give the buyer a number, or find the one that he has; `shown` is a signed number that he brought along.

    :raises NoRoom: see there
    :raises RoomClosed: see there
    :raises RoomFull: see there
    :raises SoldOut: see there
    :raises basis.fast.FastStoreAway: numbers are given out by the fast store alone
    """
    return ask("join", show, buyer_id, shown, now)


def poll(*, show: str, buyer_id: int, shown: QueueNumber | None = None, now: datetime) -> Standing:
    """
    Where the buyer stands. When it is his turn, asking is coming: he is given his pass, and its life begins.

    :raises NoRoom: see there
    :raises NotInside: see there
    :raises basis.fast.FastStoreAway: the store did not answer
    """
    return ask("poll", show, buyer_id, shown, now)


def leave(*, show: str, nonce: str, is_counted: bool, now: datetime) -> None:
    """
    End a buyer's turn before its time, by the nonce of his pass: his place inside is the next one's at once.
    `is_counted`: he has ordered, so he counts as gone already. Whose turn is over stays as he is.

    :raises basis.fast.FastStoreAway: the store did not answer; the turn ends by itself
    """
    try:
        epoch, number, buyer_id = map(int, nonce.split("-"))
    except ValueError:
        return  # not one of ours
    args: list[str | int | float | bytes] = [
        "leave",
        epoch,
        field(buyer_id),
        number,
        _ms(now),
        int(not is_counted),
    ]
    ROOM.run(keys=keys(show, epoch, buyer_id), args=args)


def number_of(show: str, buyer_id: int, standing: Standing) -> QueueNumber:
    return QueueNumber(show, buyer_id, standing.number, standing.epoch)


def pass_of(show: str, buyer_id: int, standing: Standing) -> Pass | None:
    """The admitted buyer's pass; None for everybody else. Asking again gives the same pass."""
    if standing.status != "admitted":
        return None
    number = number_of(show, buyer_id, standing)
    return Pass(show, buyer_id, standing.number, standing.expires_s, signing.nonce_of(number))


def open_draw(room: Room) -> int:
    """Fix who takes part in the draw, and draw: one atomic step in the store. Answers how many they are."""
    for _try in range(3):
        # The pace that it begins with is told at once: who asks before the pacer's first step would come far too late.
        args: list[str | int] = ["open", room.epoch, room.seed, int(room.pace_min * 1000)]
        answer = ROOM.run(keys=keys(room.show, room.epoch, 0), args=args)
        if answer[0] == "opened":
            return int(answer[1])
        restore(room, now_ms=int(room.opens_at.timestamp() * 1000))
    raise fast.FastStoreAway(f"the room of {room.show} does not stay in the store")


def restore(room: Room, *, now_ms: int) -> bool:
    """
    Put the room into a store that does not have it, or has an older generation. False: it was there.

    The counter starts beyond every number that may have been given out: a gap makes positions a little too high,
    while a number given twice would make two buyers one.
    """
    values: dict[str, Any] = {
        **settings_of(room),
        "issued": room.issued_safe,
        "serving": room.serving_seen,
        "floor": room.floor_seen,
        "came_before": room.came_seen,
        "restored_ms": now_ms,
    }
    if room.drawn is not None:
        values |= {"drawn": room.drawn, "keys": ",".join(map(str, draw.keys_of(room.seed, room.drawn)))}
    flat = [part for pair in values.items() for part in pair]
    answer = ROOM.run(keys=keys(room.show, room.epoch, 0), args=["restore", room.epoch, *flat])
    _epochs[room.show] = int(answer[1])
    return str(answer[0]) == "restored"


def put(room: Room) -> None:
    """Tell the store the staff's wishes; put the whole room there if it has none, or an older generation."""
    if not restore(room, now_ms=0):
        wish(room)


def wish(room: Room) -> None:
    """Repeat the staff's wishes to a store that has the room."""
    flat = [part for pair in settings_of(room).items() for part in pair]
    fast.store().hset(keys(room.show, room.epoch, 0)[0], items=flat)


def state_of(room: Room) -> str:
    """What the room does: while staff have stopped the sale, nobody is let in to wait in vain."""
    going = room.state in (RoomState.OPEN, RoomState.DRAINING)
    return RoomState.PAUSED if going and switches.stopped(switches.SALE, room.show) else room.state


def settings_of(room: Room) -> dict[str, Any]:
    """What the store must know of the staff's wishes. The pacer repeats it at every step."""
    return {
        "state": state_of(room),
        "opens_ms": int(room.opens_at.timestamp() * 1000),
        "polls": room.polls_per_s,
        "pass_s": room.pass_life_s,
        "capacity": room.capacity,
        "sold_out": int(room.sold_out),
    }


def keys(show: str, epoch: int, buyer_id: int) -> list[str]:
    """The room, the buyer's marks, the claims: one hash tag, so one node of a cluster."""
    tag = f"room:{{show:{show}}}"
    return [tag, f"{tag}:{epoch}:{buyer_id % BUCKETS}", f"{tag}:{epoch}:claims"]


def field(buyer_id: int) -> int:
    """The name of the buyer's mark in his bucket: small, so that it packs well."""
    return buyer_id // BUCKETS


def ask(
    what: str,
    show: str,
    buyer_id: int,
    shown: QueueNumber | None,
    now: datetime,
    *,
    more: Callable[[str, int], list[str]] | None = None,
) -> Standing:
    """
    Run room.lua for a buyer, in whichever generation the store has; `more` names the keys that this verb needs besides.

    :raises NoRoom: see there
    :raises Exception: one of `REFUSALS`
    :raises basis.fast.FastStoreAway: the store did not answer
    """
    epoch = _epochs.get(show, 1)
    for _try in range(4):
        number = _number_in(shown, show, buyer_id, epoch)
        args: list[str | int | float | bytes] = [what, epoch, field(buyer_id), number, _ms(now)]
        named = keys(show, epoch, buyer_id) + (more(show, epoch) if more else [])
        answer = ROOM.run(keys=named, args=args)
        match answer[0]:
            case "epoch":
                epoch = _epochs[show] = int(answer[1])
            case "unknown":
                epoch = _restored(show, now)
            case status if len(answer) == 2:
                raise REFUSALS[status](show)
            case _:
                return _standing(answer)
    raise fast.FastStoreAway(f"the room of {show} does not stay in the store")


def _number_in(shown: QueueNumber | None, show: str, buyer_id: int, epoch: int) -> int:
    """The number that a buyer showed, if it is his, for this room and of this generation; else 0."""
    if shown is None or (shown.show, shown.buyer_id, shown.epoch) != (show, buyer_id, epoch):
        return 0
    return shown.number


def _restored(show: str, now: datetime) -> int:
    room = Room.objects.filter(show=show).first()
    if room is None:
        raise NoRoom(show)
    restore(room, now_ms=_ms(now))
    return _epochs[show]


def _standing(answer: Sequence[str | int]) -> Standing:
    texts = {0, 1, 9}
    values = [str(value) if i in texts else int(value) for i, value in enumerate(answer)]
    return Standing(*values)  # type: ignore[arg-type]


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)
