"""Whoever leaves the line makes room at once, and his number brings him back nowhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from basis import fast
from risk import leaving, pacing, signing, steering, waiting_room
from risk.pacing import Stock
from risk.room_models import Room
from risk.signing import QueueNumber

pytestmark = pytest.mark.django_db
SHOW = "gala"


@pytest.fixture
def room(db: None, clock: Any) -> Room:
    waiting_room._epochs.clear()
    now = clock()
    made = Room.objects.create(show=SHOW, opens_at=now + timedelta(seconds=60), pace_min=10, pace_max=100)
    steering.collect(show=SHOW, actor="ops", now=now)
    return made


@pytest.fixture
def opened(room: Room, clock: Any) -> Room:
    return steering.open_room(show=SHOW, actor="ops", now=clock())


def enter(buyer_id: int, clock: Any) -> QueueNumber:
    standing = waiting_room.join(show=SHOW, buyer_id=buyer_id, now=clock())
    return signing.read_number(signing.sign_number(waiting_room.number_of(SHOW, buyer_id, standing)))


def ask(buyer_id: int, clock: Any, shown: QueueNumber | None = None) -> waiting_room.Standing:
    return waiting_room.poll(show=SHOW, buyer_id=buyer_id, shown=shown, now=clock())


def quit_line(buyer_id: int, clock: Any, shown: QueueNumber | None = None) -> Any:
    return leaving.quit_line(show=SHOW, buyer_id=buyer_id, shown=shown, now=clock())


def step(clock: Any) -> pacing.Step:
    clock.advance(seconds=1)
    taken = pacing.step(show=SHOW, stock=Stock(1000, 0, 0, 0), now=clock())
    assert taken is not None
    return taken


def test_the_next_one_comes_in_his_place_at_once(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=2)
    for buyer in range(1, 8):
        enter(buyer, clock)
    for buyer in (1, 3, 4):
        quit_line(buyer, clock)
    taken = step(clock)
    assert (taken.admitted, taken.serving, taken.waiting) == (2, 5, 2)
    assert [ask(buyer, clock).status for buyer in (2, 5)] == ["admitted", "admitted"]
    assert step(clock).admitted == 0  # those who left are not counted as inside, nor as expected
    assert pacing.counters(Room.objects.get()) | {"pace_per_minute": 0} == {
        "issued": 7, "serving": 5, "waiting": 2, "claims": 2, "skipped": 0, "left": 3, "pace_per_minute": 0,
    }  # fmt: skip


def test_without_leaving_his_place_is_kept_for_the_claim_window(opened: Room, clock: Any) -> None:
    """What leaving spares those behind: the same line with a first buyer who only goes away."""
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=1, claim_window_s=30)
    enter(1, clock)
    enter(2, clock)
    assert step(clock).serving == 1
    assert (step(clock).admitted, ask(2, clock).status) == (0, "waiting")


def test_a_turn_that_was_not_come_for_is_left_too(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=1, claim_window_s=30)
    enter(1, clock)
    enter(2, clock)
    assert step(clock).serving == 1
    quit_line(1, clock)
    assert (step(clock).admitted, ask(2, clock).status) == (1, "admitted")


def test_a_number_brings_nobody_back(opened: Room, clock: Any) -> None:
    number = enter(1, clock)
    enter(2, clock)
    assert quit_line(1, clock, number) is None
    for shown in (number, None):
        with pytest.raises(waiting_room.NotInside):
            ask(1, clock, shown)
    again = waiting_room.join(show=SHOW, buyer_id=1, shown=number, now=clock())
    assert (again.number, again.waiting) == (3, 2)


def test_again_and_without_a_place_nothing_happens(opened: Room, clock: Any) -> None:
    for buyer in (1, 2, 3):
        enter(buyer, clock)
    for _ in range(3):
        quit_line(2, clock)
    quit_line(99, clock)
    assert ask(3, clock).waiting == 2
    assert (step(clock).serving, ask(3, clock).status) == (3, "admitted")


def test_nobody_leaves_for_another(opened: Room, clock: Any) -> None:
    mine = enter(1, clock)
    quit_line(2, clock, mine)
    assert ask(1, clock, mine).place == 1
    forged = QueueNumber("another", 1, 1, 1)
    quit_line(3, clock, forged)
    assert ask(1, clock).waiting == 1


def test_whoever_has_a_pass_stays_until_it_is_void(opened: Room, clock: Any) -> None:
    enter(1, clock)
    step(clock)
    admitted = waiting_room.pass_of(SHOW, 1, ask(1, clock))
    assert quit_line(1, clock) == admitted is not None
    assert ask(1, clock).status == "admitted"


def test_before_the_draw_too(room: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=5)
    for buyer in range(1, 21):
        enter(buyer, clock)
    for buyer in range(1, 16):
        quit_line(buyer, clock)
    assert ask(20, clock).waiting == 5
    steering.open_room(show=SHOW, actor="ops", now=clock())
    served = step(clock)
    assert (served.admitted, served.waiting) == (5, 0)
    assert {ask(buyer, clock).status for buyer in range(16, 21)} == {"admitted"}


def test_a_full_room_has_room_again(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), capacity=2)
    enter(1, clock)
    enter(2, clock)
    with pytest.raises(waiting_room.RoomFull):
        enter(3, clock)
    quit_line(1, clock)
    assert enter(3, clock).number == 3


def test_a_wiped_store_forgets_who_left_and_skips_them(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=1, claim_window_s=5)
    for buyer in (1, 2):
        enter(buyer, clock)
    quit_line(1, clock)
    step(clock)
    fast.store().flushdb()
    for _ in range(12):
        step(clock)
    assert ask(2, clock, QueueNumber(SHOW, 2, 2, 1)).status in {"admitted", "missed"}
