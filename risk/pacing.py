"""
The pacer: how many of those who wait are let in now.

The stock says how many buyers are worth having inside: what is left, divided by the seats that a buyer takes and by the
share of those let in who come and buy. How fast orders complete says how many a second; the staff bound both. Whoever
does not come within the claim window is skipped, and his slot goes to the next in line.

A step is stateless: what it needs lies in the store beside the room, and `pace.lua` takes the step only if the room is
still as it was seen. So any number of pacers may run, and any of them may die.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from basis import fast
from basis.scripts import Script
from risk import leaving, steering, waiting_room
from risk.leaving import Vacated
from risk.room_models import Room, RoomState

PACE = Script(Path(__file__).parent / "lua" / "pace.lua")
PACER = "pacer"

# What is believed before there is evidence, and how many observations that belief is worth.
SHOW_UP_PRIOR, CONVERSION_PRIOR, PRIOR_WEIGHT = 0.8, 0.6, 20.0
SHARE_MIN = 0.05
OVERBOOKING = (
    1.1  # lets a tenth more in than the estimate asks for: an idle sale costs more than a short wait inside
)
HEADROOM = (
    1.5  # the pace may exceed the rate at which orders complete by this, so that a quick sale finds its speed
)
RATE_WINDOW_S = 10
SLEPT_MS_MAX = 2000  # a pacer that was away does not let the crowd of its absence in at once
ISSUED_MARGIN = 1000
NOBODY_LEFT = Vacated()
GOING = (RoomState.OPEN, RoomState.DRAINING)


@dataclass(frozen=True, slots=True)
class Stock:
    """
    What the sale says of itself: seats `free`, seats `held` in unpaid orders, orders placed since the room opened, and
    the seats in them.
    """

    free: int
    held: int
    orders: int
    seats_ordered: int


@dataclass(frozen=True, slots=True)
class Wave:
    """What the counters were in one second."""

    second: int
    serving: int
    claims: int
    finished: int
    issued: int
    left: int = 0  # turns that ended before their time, without an order


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a step looks at."""

    room: Room
    stock: Stock
    now_ms: int
    issued: int
    serving: int
    floor: int  # every place up to here had its claim window
    claims: int  # places that came, ever
    came: int  # of the places up to `floor`
    advanced_ms: int
    waves: tuple[Wave, ...]
    left: int = 0  # turns that ended before their time, ever
    vacated: Vacated = NOBODY_LEFT

    @property
    def is_going(self) -> bool:
        return waiting_room.state_of(self.room) in GOING

    def before(self, seconds: float) -> Wave:
        """The counters as they were so long ago, or as long ago as is remembered."""
        at = self.now_ms / 1000 - seconds
        known = next((wave for wave in reversed(self.waves) if wave.second <= at), None)
        return known or (self.waves[0] if self.waves else self.wave)

    @property
    def wave(self) -> Wave:
        return Wave(self.now_ms // 1000, self.serving, self.claims, self.stock.orders, self.issued, self.left)

    @property
    def waiting(self) -> int:
        return max(0, self.issued - self.serving - self.vacated.ahead)

    @property
    def expected(self) -> int:
        """Let in, did not come yet, still may."""
        gone = self.vacated.passed - self.vacated.skipped
        return max(0, self.serving - self.floor - (self.claims - self.came) - gone)

    @property
    def active(self) -> int:
        """Came, have a living pass, have neither ordered nor left."""
        then = self.before(self.room.pass_life_s)
        gone = (self.stock.orders - then.finished) + (self.left - then.left)
        return max(0, (self.claims - then.claims) - gone)

    @property
    def show_up(self) -> float:
        return _share(self.came, self.floor - self.vacated.skipped, SHOW_UP_PRIOR)

    @property
    def conversion(self) -> float:
        return _share(self.stock.orders, self.claims - self.active, CONVERSION_PRIOR)

    @property
    def worth_admitting(self) -> int:
        """How many more the stock is worth letting in, given who is inside."""
        seats_each = (self.stock.seats_ordered + 2 * PRIOR_WEIGHT) / (self.stock.orders + PRIOR_WEIGHT)
        buyers = self.stock.free / max(1.0, seats_each) * OVERBOOKING
        inside = (self.expected * self.show_up + self.active) * self.conversion
        return max(0, math.ceil((buyers - inside) / (self.show_up * self.conversion)))

    @property
    def pace(self) -> float:
        """Buyers a second, between the staff's bounds."""
        then = self.before(RATE_WINDOW_S)
        since_s = max(1.0, self.now_ms / 1000 - then.second)
        completing = max(0, self.stock.orders - then.finished) / since_s
        wanted = HEADROOM * completing / (self.show_up * self.conversion)
        return min(self.room.pace_max, max(self.room.pace_min, wanted))

    @property
    def advance(self) -> int:
        """How many to let in at this step."""
        if not self.is_going or self.stock.free <= 0:
            return 0
        slept_ms = min(SLEPT_MS_MAX, max(0, self.now_ms - self.advanced_ms))
        slots = self.room.max_inside - self.expected - self.active
        return max(0, min(int(self.pace * slept_ms / 1000), slots, self.worth_admitting, self.waiting))

    @property
    def rate_per_1000s(self) -> int:
        """How fast the line really moves: over the last seconds, or the pace that it begins with."""
        then = self.before(RATE_WINDOW_S)
        moved = self.serving - then.serving
        if moved <= 0:
            return int(self.pace * 1000) if self.is_going and self.stock.free > 0 else 0
        return int(moved * 1000 / max(1.0, self.now_ms / 1000 - then.second))


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did, as the command and the staff's page show it."""

    show: str
    state: str
    issued: int
    serving: int
    waiting: int
    admitted: int
    expected: int
    active: int
    claims: int
    pace: float
    conversion: float
    show_up: float
    free: int
    sold_out: bool


def step(*, show: str, stock: Stock, now: datetime) -> Step | None:
    """
    Let in who may come in now, skip who did not come, tell all if nothing is left. None: another pacer was faster.

    :raises waiting_room.NoRoom: see there
    :raises basis.fast.FastStoreAway: the store did not answer; nothing is lost, the next step makes up for it
    """
    room = Room.objects.filter(show=show).first()
    if room is None:
        raise waiting_room.NoRoom(show)
    if room.state == RoomState.DRAW and room.opens_at <= now:
        room = steering.open_room(show=show, actor=PACER, now=now)
    room = _sold_out_or_not(room, stock, now)
    seen = look(room=room, stock=stock, now=now)
    admitted = seen.advance
    serving = seen.serving + _places_for(seen, admitted)
    if not _take(seen, admitted, serving):
        return None
    _checkpoint(seen, serving, now)
    return _told(seen, admitted, serving)


def look(*, room: Room, stock: Stock, now: datetime) -> Situation:
    """Read the counters; put the room into a store that lost it."""
    now_ms = int(now.timestamp() * 1000)
    if not waiting_room.restore(room, now_ms=now_ms):
        waiting_room.wish(room)
    room_key, _marks, claims_key = waiting_room.keys(room.show, room.epoch, 0)
    pipe = fast.store().pipeline(transaction=False)
    pipe.hmget(room_key, ["issued", "serving", "floor", "advanced_ms", "left", "came_before"])
    pipe.lrange(_keys(room)[1], 0, -1)
    pipe.bitcount(claims_key)
    counters, waves, claims = pipe.execute()
    issued, serving, floor, advanced_ms, left, before = (int(value or 0) for value in counters)
    seen = tuple(Wave(*map(int, wave.split(":"))) for wave in waves)
    had_window = [
        wave.serving for wave in seen if wave.second * 1000 <= now_ms - room.claim_window_s * 1000 - 1000
    ]
    floor = max([floor, *had_window])
    # Who came before the store was wiped has no bit in it any more, and is evidence all the same.
    came, claims = before + _came(claims_key, floor), before + claims
    gone = leaving.vacated(room, serving=serving, floor=floor)
    return Situation(room, stock, now_ms, issued, serving, floor, claims, came, advanced_ms, seen, left, gone)


def counters(room: Room) -> dict[str, int]:
    """What a room's counters are now, for those who look; empty while the store is away or does not have the room."""
    room_key, _marks, claims_key = waiting_room.keys(room.show, room.epoch, 0)
    try:
        seen = fast.store().hmget(room_key, ["issued", "serving", "floor", "pace", "came_before", "epoch"])
        if seen[5] is None or int(seen[5]) != room.epoch:
            return {}
        issued, serving, floor, pace, before = (int(value or 0) for value in seen[:5])
        claims, came = before + int(fast.store().bitcount(claims_key)), before + _came(claims_key, floor)
        gone = leaving.vacated(room, serving=serving, floor=floor)
    except fast.FastStoreAway:
        return {}
    return {
        "issued": issued,
        "serving": serving,
        "waiting": max(0, issued - serving - gone.ahead),
        "claims": claims,
        "skipped": max(0, floor - gone.skipped - came),
        "left": gone.ahead + gone.passed,
        "pace_per_minute": pace * 60 // 1000,
    }


def waves(room: Room) -> tuple[Wave, ...]:
    """What a room's counters were, second by second, for those who look; empty while the store is away."""
    try:
        told = [str(wave) for wave in fast.store().lrange(_keys(room)[1], 0, -1)]
    except fast.FastStoreAway:
        return ()
    return tuple(Wave(*map(int, wave.split(":"))) for wave in told)


def _came(claims_key: str, floor: int) -> int:
    """How many of the places up to `floor` were claimed. Place 0 does not exist, so its bit is never set."""
    return int(fast.store().execute_command("BITCOUNT", claims_key, 0, floor, "BIT"))


def _places_for(seen: Situation, admitted: int) -> int:
    """How far the line moves to let in so many."""
    if not admitted or not seen.vacated.ahead:
        return admitted
    places = leaving.places_for(seen.room, buyers=admitted, serving=seen.serving)
    return min(places, seen.issued - seen.serving)


def _take(seen: Situation, admitted: int, serving: int) -> bool:
    second = seen.now_ms // 1000
    hopeless = serving + math.ceil((seen.worth_admitting - admitted) * OVERBOOKING)
    values = {
        "floor": seen.floor,
        "pace": seen.rate_per_1000s,
        "hopeless": hopeless if seen.room.drawn is not None else 0,
        "vacant": max(0, seen.vacated.ahead - (serving - seen.serving - admitted)),
    }
    # A slow pace needs several steps for one buyer: the time runs on until somebody was let in, or nobody could be.
    idle = min(seen.waiting, seen.worth_admitting) == 0 or not seen.is_going
    if admitted or idle or not seen.advanced_ms:
        values["advanced_ms"] = seen.now_ms
    wave = f"{second}:{serving}:{seen.claims}:{seen.stock.orders}:{seen.issued}:{seen.left}"
    keep = max(seen.room.pass_life_s, seen.room.claim_window_s) + RATE_WINDOW_S + 60
    flat = [part for pair in values.items() for part in pair]
    args = [seen.room.epoch, seen.serving, serving, second, wave, keep, *flat]
    bitmaps = [
        waiting_room.keys(seen.room.show, seen.room.epoch, 0)[2],
        leaving.places(seen.room.show, seen.room.epoch)[0],
    ]
    return bool(PACE.run(keys=[*_keys(seen.room), *bitmaps], args=args))


def _sold_out_or_not(room: Room, stock: Stock, now: datetime) -> Room:
    """Nothing free and nothing held that could come back: everybody is told at once. A refund may reopen the sale."""
    gone = stock.free <= 0 and stock.held <= 0
    if gone == room.sold_out or (gone and room.drawn is None):
        return room
    return steering.set_sold_out(show=room.show, sold_out=gone, actor=PACER, now=now)


def _checkpoint(seen: Situation, serving: int, now: datetime) -> None:
    """
    What a wiped store would be rebuilt from. The margin covers the numbers that are given out until the next steps.
    """
    joined = seen.issued - seen.before(RATE_WINDOW_S).issued
    Room.objects.filter(pk=seen.room.pk, epoch=seen.room.epoch).update(
        issued_safe=seen.issued + ISSUED_MARGIN + joined if seen.issued else 0,
        serving_seen=serving,
        floor_seen=seen.floor,
        came_seen=seen.came,
        seen_at=now,
    )


def _told(seen: Situation, admitted: int, serving: int) -> Step:
    return Step(
        show=seen.room.show,
        state=seen.room.state,
        issued=seen.issued,
        serving=serving,
        waiting=seen.waiting - admitted,
        admitted=admitted,
        expected=seen.expected + admitted,
        active=seen.active,
        claims=seen.claims,
        pace=round(seen.pace, 1),
        conversion=round(seen.conversion, 3),
        show_up=round(seen.show_up, 3),
        free=seen.stock.free,
        sold_out=seen.room.sold_out,
    )


def _share(part: float, whole: float, prior: float) -> float:
    return min(1.0, max(SHARE_MIN, (part + prior * PRIOR_WEIGHT) / (max(0.0, whole) + PRIOR_WEIGHT)))


def _keys(room: Room) -> list[str]:
    room_key = waiting_room.keys(room.show, room.epoch, 0)[0]
    return [room_key, f"{room_key}:{room.epoch}:waves"]
