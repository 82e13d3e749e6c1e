"""
Steering a waiting room while people stand in it: each verb writes who did what, then tells the fast store.

Postgres holds the wish; the pacer repeats it to the store at every step, so a store that was away learns it later.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import transaction

from basis import events, fast
from risk import draw, waiting_room
from risk.room_models import DRAWN_BY, Room, RoomEvent, RoomState

log = events.get_logger(__name__)

BOUNDS = (
    "pace_min",
    "pace_max",
    "max_inside",
    "capacity",
    "claim_window_s",
    "pass_life_s",
    "polls_per_s",
    "opens_at",
)
COLLECTING = (RoomState.CLOSED, RoomState.DRAW)


class NotNow(Exception):
    """The room's state does not allow this. `state` says which one it is in."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


def collect(*, show: str, actor: str, now: datetime) -> Room:
    """
    Let buyers in to wait for the draw; the hash of the seed is public from here on.

    :raises NotNow: the draw is over
    """
    return _steer(show, "collect", actor, now, change=lambda room: _before_draw(room, RoomState.DRAW))


def open_room(*, show: str, actor: str, now: datetime) -> Room:
    """
    Draw, if that was not done, and let people in. Who was there before is drawn; from now on, first come, first served.
    """
    with transaction.atomic():
        room = _locked(show)
        facts: dict[str, Any] = {"from": room.state}
        if room.drawn is None:
            room.state = RoomState.DRAW
            _put(room)
            room.drawn = waiting_room.open_draw(room)
            facts |= {"drawn": room.drawn, "seed": room.seed}
        room.state = RoomState.OPEN
        _record(room, DRAWN_BY, actor, now, facts)
    _put(room)
    return room


def pause(*, show: str, actor: str, now: datetime) -> Room:
    """
    Let nobody more in for now; everybody keeps his place, and those let in keep their pass.

    :raises NotNow: the room is not open
    """
    allowed = (RoomState.OPEN, RoomState.DRAINING)
    return _steer(show, "pause", actor, now, change=lambda room: _go(room, RoomState.PAUSED, allowed))


def drain(*, show: str, actor: str, now: datetime) -> Room:
    """
    Let nobody more join, and everybody who waits in.

    :raises NotNow: the room is not open
    """
    allowed = (RoomState.OPEN, RoomState.PAUSED)
    return _steer(show, "drain", actor, now, change=lambda room: _go(room, RoomState.DRAINING, allowed))


def close(*, show: str, actor: str, now: datetime) -> Room:
    """Let nobody join or in. Passes that were given out stay good."""
    return _steer(show, "close", actor, now, change=lambda room: setattr(room, "state", RoomState.CLOSED))


def adjust(*, show: str, actor: str, now: datetime, **bounds: Any) -> Room:
    """
    Change bounds (those in `BOUNDS`) while the room runs.

    :raises ValueError: no such bound
    :raises NotNow: the opening is moved after the draw
    """
    unknown = sorted(set(bounds) - set(BOUNDS))
    if unknown:
        raise ValueError(f"no such bound: {unknown}")

    def change(room: Room) -> None:
        if "opens_at" in bounds and room.drawn is not None:
            raise NotNow(room.state)
        for name, value in bounds.items():
            setattr(room, name, value)

    return _steer(
        show, "adjust", actor, now, change=change, facts={name: str(value) for name, value in bounds.items()}
    )


def start_over(*, show: str, actor: str, now: datetime) -> Room:
    """A new generation: every number and place is void, a new seed is drawn, the room is closed."""
    with transaction.atomic():
        room = _locked(show)
        facts = {"epoch": room.epoch + 1}
        room.epoch += 1
        room.seed, room.drawn, room.state = draw.new_seed(), None, RoomState.CLOSED
        room.issued_safe = room.serving_seen = room.floor_seen = room.came_seen = 0
        room.sold_out = False
        _record(room, "start over", actor, now, facts)
    _put(room)
    return room


def set_sold_out(*, show: str, sold_out: bool, actor: str, now: datetime) -> Room:
    """Tell all who wait at once that nothing is left, or take it back."""
    action = "sold out" if sold_out else "on sale again"
    return _steer(show, action, actor, now, change=lambda room: setattr(room, "sold_out", sold_out))


def _before_draw(room: Room, to: RoomState) -> None:
    if room.drawn is not None:
        raise NotNow(room.state)
    _go(room, to, COLLECTING)


def _go(room: Room, to: RoomState, allowed: tuple[RoomState, ...]) -> None:
    if room.state not in (*allowed, to):
        raise NotNow(room.state)
    room.state = to


def _steer(
    show: str,
    action: str,
    actor: str,
    now: datetime,
    *,
    change: Callable[[Room], Any],
    facts: dict[str, Any] | None = None,
) -> Room:
    with transaction.atomic():
        room = _locked(show)
        before = room.state
        change(room)
        _record(room, action, actor, now, {"from": before, **(facts or {})})
    _put(room)
    return room


def _locked(show: str) -> Room:
    """
    :raises waiting_room.NoRoom: there is none
    """
    room = Room.objects.select_for_update(no_key=True).filter(show=show).first()
    if room is None:
        raise waiting_room.NoRoom(show)
    return room


def _record(room: Room, action: str, actor: str, now: datetime, facts: dict[str, Any]) -> None:
    room.full_clean(exclude=["show"])
    room.save()
    RoomEvent.objects.create(room=room, at=now, actor=actor[:64], action=action, facts=facts)
    log.info("room.steered", show=room.show, action=action, state=room.state)


def _put(room: Room) -> None:
    """Tell the store now; if it is away, the pacer tells it later."""
    with suppress(fast.FastStoreAway):
        waiting_room.put(room)
