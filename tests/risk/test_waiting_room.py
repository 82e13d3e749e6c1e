"""The waiting room: one place a buyer, whatever he reloads and whatever the store forgets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from basis import fast
from risk import draw, leaving, signing, steering, switches, waiting_room
from risk.pacing import Stock, step
from risk.room_models import Room, RoomEvent, RoomState
from risk.signing import NotOurs, Pass, QueueNumber

pytestmark = pytest.mark.django_db
SHOW = "gala"
PLENTY = Stock(free=10_000, held=0, orders=0, seats_ordered=0)


@pytest.fixture
def room(db: None, clock: Any) -> Room:
    """A room whose draw is in a minute."""
    now = clock()
    made = Room.objects.create(show=SHOW, opens_at=now + timedelta(seconds=60), pace_min=10, pace_max=100)
    waiting_room._epochs.clear()
    return made


@pytest.fixture
def opened(room: Room, clock: Any) -> Room:
    """Open, and nobody was there before."""
    return steering.open_room(show=SHOW, actor="ops", now=clock())


def enter(buyer_id: int, now: datetime, shown: QueueNumber | None = None) -> waiting_room.Standing:
    return waiting_room.join(show=SHOW, buyer_id=buyer_id, shown=shown, now=now)


def ask(buyer_id: int, now: datetime, shown: QueueNumber | None = None) -> waiting_room.Standing:
    return waiting_room.poll(show=SHOW, buyer_id=buyer_id, shown=shown, now=now)


def signed(buyer_id: int, standing: waiting_room.Standing) -> QueueNumber:
    text = signing.sign_number(waiting_room.number_of(SHOW, buyer_id, standing))
    return signing.read_number(text)


# -- signing ---------------------------------------------------------------------------------------
def test_a_number_reads_back_and_nothing_else_does() -> None:
    number = QueueNumber("gala-night", 7, 123, 1)
    text = signing.sign_number(number)
    assert signing.read_number(text) == number
    foreign = signing.sign_pass(Pass("gala-night", 7, 123, 99, "1-123-7"))
    spoilt = [
        text[:-1] + ("A" if text[-1] != "A" else "B"),
        text.replace("123", "124"),
        foreign,
        "",
        "v1",
        "v1.a~b",
        "é" * 9,
    ]
    for bad in spoilt:
        with pytest.raises(NotOurs):
            signing.read_number(bad)


def test_older_keys_verify(settings: Any) -> None:
    text = signing.sign_number(QueueNumber("gala", 7, 1, 1))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    assert signing.read_number(text).number == 1
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(NotOurs):
        signing.read_number(text)


# -- one place a buyer -----------------------------------------------------------------------------
def test_no_room_no_number(db: None, clock: Any) -> None:
    with pytest.raises(waiting_room.NoRoom):
        waiting_room.join(show="nowhere", buyer_id=1, now=clock())


def test_a_closed_room_takes_nobody(room: Room, clock: Any) -> None:
    with pytest.raises(waiting_room.RoomClosed):
        enter(1, clock())


def test_first_come_first_served(opened: Room, clock: Any) -> None:
    standings = [enter(buyer, clock()) for buyer in (50, 7, 900_000)]
    assert [one.place for one in standings] == [1, 2, 3]
    assert [one.ahead for one in standings] == [0, 1, 2]
    assert {one.status for one in standings} == {"waiting"}


def test_reload_other_tab_other_device(opened: Room, clock: Any) -> None:
    enter(1, clock())
    first = enter(2, clock())
    enter(3, clock())
    again = [enter(2, clock()), ask(2, clock()), ask(2, clock(), signed(2, first))]
    assert {one.number for one in again} == {2}
    assert again[0].waiting == 3


def test_thousands_join_at_once_and_press_twice(opened: Room, clock: Any) -> None:
    now = clock()
    buyers = [buyer for buyer in range(1, 2001) for _press in range(2)]
    with ThreadPoolExecutor(32) as pool:
        standings = list(pool.map(lambda buyer: (buyer, enter(buyer, now).number), buyers))
    numbers = dict(standings)
    assert sorted(numbers.values()) == list(range(1, 2001))
    assert all(numbers[buyer] == number for buyer, number in standings)


def test_another_buyers_number_is_worth_nothing(opened: Room, clock: Any) -> None:
    mine = enter(1, clock())
    theirs = ask_or_none(2, clock(), signed(1, mine))
    assert theirs is None
    assert enter(2, clock(), signed(1, mine)).number == 2


def ask_or_none(*args: Any) -> waiting_room.Standing | None:
    try:
        return ask(*args)
    except waiting_room.NotInside:
        return None


def test_a_full_room_says_so(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), capacity=2)
    enter(1, clock())
    enter(2, clock())
    with pytest.raises(waiting_room.RoomFull):
        enter(3, clock())
    assert enter(2, clock()).number == 2


# -- the draw --------------------------------------------------------------------------------------
def test_the_draw_is_fair_and_can_be_checked(room: Room, clock: Any) -> None:
    published = steering.collect(show=SHOW, actor="ops", now=clock()).seed_hash
    before = [enter(buyer, clock()) for buyer in range(100, 200)]
    assert {(one.place, one.ahead, one.status) for one in before} == {(0, -1, "waiting")}
    assert Room.objects.get(show=SHOW).revealed_seed == ""

    clock.advance(seconds=61)
    step(show=SHOW, stock=Stock(0, 1, 0, 0), now=clock())
    late = enter(500, clock())
    after = Room.objects.get(show=SHOW)
    assert (after.state, after.drawn) == (RoomState.OPEN, 100)
    assert draw.hash_of(after.revealed_seed) == published
    keys = draw.keys_of(after.revealed_seed, 100)
    places = [ask(buyer, clock()).place for buyer in range(100, 200)]
    assert places == [draw.place(one.number, n=100, keys=keys) for one in before]
    assert sorted(places) == list(range(1, 101))
    assert places != list(range(1, 101))
    assert late.place == 101


def test_opening_twice_draws_once(room: Room, clock: Any) -> None:
    steering.collect(show=SHOW, actor="ops", now=clock())
    enter(1, clock())
    first = steering.open_room(show=SHOW, actor="ops", now=clock())
    enter(2, clock())
    second = steering.open_room(show=SHOW, actor="ops", now=clock())
    assert (first.drawn, second.drawn, first.seed) == (1, 1, second.seed)


# -- the pacer -------------------------------------------------------------------------------------
def test_people_are_let_in_by_turns_and_get_one_pass(opened: Room, clock: Any) -> None:
    for buyer in range(1, 101):
        enter(buyer, clock())
    step(show=SHOW, stock=PLENTY, now=clock())
    clock.advance(seconds=1)
    taken = step(show=SHOW, stock=PLENTY, now=clock())
    assert taken is not None
    assert 5 <= taken.serving <= 40
    first = ask(1, clock())
    assert first.status == "admitted"
    admitted = waiting_room.pass_of(SHOW, 1, first)
    assert admitted is not None
    assert signing.read_pass(signing.sign_pass(admitted)).buyer_id == 1
    clock.advance(seconds=30)
    assert waiting_room.pass_of(SHOW, 1, ask(1, clock())) == admitted
    assert waiting_room.pass_of(SHOW, 1, enter(1, clock())) == admitted
    last = ask(100, clock())
    assert (last.status, waiting_room.pass_of(SHOW, 100, last)) == ("waiting", None)
    assert last.wait_low_s >= 0 < last.wait_high_s


def test_the_pace_stays_between_the_staffs_bounds(opened: Room, clock: Any) -> None:
    for buyer in range(1, 501):
        enter(buyer, clock())
    start = clock()
    served = run_pacer(clock, seconds=10, stock=PLENTY)
    elapsed = (clock() - start).total_seconds()
    assert 0.8 * 10 * elapsed <= served <= 10 * elapsed + 20


def test_no_more_are_inside_than_allowed(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=7)
    for buyer in range(1, 51):
        enter(buyer, clock())
    assert run_pacer(clock, seconds=20, stock=PLENTY) == 7


def test_no_more_are_let_in_than_the_stock_is_worth(opened: Room, clock: Any) -> None:
    for buyer in range(1, 501):
        enter(buyer, clock())
    scarce = Stock(free=10, held=0, orders=0, seats_ordered=0)
    served = run_pacer(clock, seconds=20, stock=scarce)
    assert 5 <= served <= 30
    assert ask(500, clock()).outlook == "unlikely"


def test_abandoned_places_are_skipped(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=10, claim_window_s=5)
    for buyer in range(1, 31):
        enter(buyer, clock())
    assert run_pacer(clock, seconds=4, stock=PLENTY) == 10
    assert ask(1, clock()).status == "admitted"  # the others of the first ten do not come
    run_pacer(clock, seconds=4, stock=PLENTY)
    assert Room.objects.get(show=SHOW).serving_seen == 19
    missed = ask(2, clock())
    assert (missed.status, missed.may_rejoin) == ("missed", True)
    again = enter(2, clock())
    assert (again.status, again.number) == ("waiting", 31)
    assert ask(2, clock(), signed(2, missed)).number == 31


def test_a_pass_ends_and_its_buyer_may_queue_again(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), pass_life_s=30)
    enter(1, clock())
    run_pacer(clock, seconds=2, stock=PLENTY)
    assert ask(1, clock()).status == "admitted"
    clock.advance(seconds=31)
    assert ask(1, clock()).status == "over"
    assert enter(1, clock()).number == 2


def test_sold_out_is_told_to_all_at_once(opened: Room, clock: Any) -> None:
    for buyer in range(1, 21):
        enter(buyer, clock())
    step(show=SHOW, stock=Stock(free=0, held=3, orders=9, seats_ordered=18), now=clock())
    assert ask(20, clock()).status == "waiting"
    step(show=SHOW, stock=Stock(free=0, held=0, orders=9, seats_ordered=18), now=clock())
    assert {ask(buyer, clock()).status for buyer in range(1, 21)} == {"sold_out"}
    with pytest.raises(waiting_room.SoldOut):
        enter(99, clock())
    step(show=SHOW, stock=Stock(free=2, held=0, orders=9, seats_ordered=18), now=clock())
    assert ask(20, clock()).status in {"waiting", "admitted"}


def test_pausing_and_draining(opened: Room, clock: Any) -> None:
    for buyer in range(1, 51):
        enter(buyer, clock())
    steering.pause(show=SHOW, actor="ops", now=clock())
    assert run_pacer(clock, seconds=5, stock=PLENTY) == 0
    enter(51, clock())
    steering.drain(show=SHOW, actor="ops", now=clock())
    with pytest.raises(waiting_room.RoomClosed):
        enter(52, clock())
    assert run_pacer(clock, seconds=10, stock=PLENTY) == 51


def test_two_pacers_let_in_no_more_than_one(opened: Room, clock: Any) -> None:
    for buyer in range(1, 501):
        enter(buyer, clock())
    now = clock()
    step(show=SHOW, stock=PLENTY, now=now)
    served = set()
    for _ in range(20):
        now += timedelta(milliseconds=250)
        for _pacer in range(2):
            taken = step(show=SHOW, stock=PLENTY, now=now)
            served.add(taken.serving if taken else 0)
    assert 40 <= max(served) <= 75


def run_pacer(clock: Any, *, seconds: float, stock: Stock) -> int:
    for _ in range(int(seconds * 4)):
        clock.advance(milliseconds=249)
        step(show=SHOW, stock=stock, now=clock())
    return Room.objects.get(show=SHOW).serving_seen if seconds < 1 else serving()


def serving() -> int:
    return int(fast.store().hget(f"room:{{show:{SHOW}}}", "serving") or 0)


# -- generations and loss --------------------------------------------------------------------------
def test_a_new_generation_voids_older_numbers(opened: Room, clock: Any) -> None:
    old = enter(1, clock())
    steering.start_over(show=SHOW, actor="ops", now=clock())
    steering.open_room(show=SHOW, actor="ops", now=clock())
    assert ask_or_none(1, clock(), signed(1, old)) is None
    new = enter(2, clock())
    assert (new.number, new.epoch) == (1, 2)


def test_a_wiped_store_gives_everybody_his_place_back(opened: Room, clock: Any) -> None:
    numbers = {buyer: signed(buyer, enter(buyer, clock())) for buyer in range(1, 301)}
    run_pacer(clock, seconds=2, stock=PLENTY)
    served = serving()
    fast.store().flushdb()
    newcomer = enter(900, clock())
    assert newcomer.number > 300
    for buyer in (300, 1, 150):
        assert ask(buyer, clock(), numbers[buyer]).number == numbers[buyer].number
    assert enter(300, clock()).number == 300  # restored: another device of his finds it
    assert serving() == served


def test_a_wiped_store_forgets_nothing_of_who_comes_and_buys(opened: Room, clock: Any) -> None:
    """Without it nobody of all those let in had come: twenty were let in for each seat that is left."""
    steering.adjust(show=SHOW, actor="ops", now=clock(), claim_window_s=5, pass_life_s=10, max_inside=400)
    numbers = {buyer: signed(buyer, enter(buyer, clock())) for buyer in range(1, 1001)}
    came: set[int] = set()
    sold = 0

    def on(seconds: int, free: int) -> Any:
        nonlocal sold
        for _ in range(seconds):
            clock.advance(seconds=1)
            stock = Stock(free=free, held=0, orders=sold, seats_ordered=sold)
            told = step(show=SHOW, stock=stock, now=clock())
            assert told is not None
            for buyer in range(1, told.serving + 1):
                if buyer not in came and ask(buyer, clock(), numbers[buyer]).status == "admitted":
                    came.add(buyer)
                    sold += buyer % 2  # every other one buys
        return told

    before = on(25, free=10_000)
    assert before.show_up > 0.9
    assert before.conversion < 0.8
    fast.store().flushdb()
    after = on(1, free=10_000)
    assert after.show_up == pytest.approx(before.show_up, abs=0.15)
    assert after.conversion == pytest.approx(before.conversion, abs=0.15)
    scarce = on(12, free=3)
    assert scarce.serving - after.serving < 20


def test_a_wiped_store_is_restored_by_the_pacer_with_the_same_draw(room: Room, clock: Any) -> None:
    steering.collect(show=SHOW, actor="ops", now=clock())
    numbers = {buyer: signed(buyer, enter(buyer, clock())) for buyer in range(1, 101)}
    steering.open_room(show=SHOW, actor="ops", now=clock())
    step(show=SHOW, stock=PLENTY, now=clock())
    places = {buyer: ask(buyer, clock()).place for buyer in range(50, 101)}
    fast.store().flushdb()
    step(show=SHOW, stock=PLENTY, now=clock())
    assert {buyer: ask(buyer, clock(), numbers[buyer]).place for buyer in range(50, 101)} == places


def test_nothing_of_a_room_stays_in_the_store_for_good(opened: Room, clock: Any) -> None:
    for buyer in range(1, 31):
        enter(buyer, clock())
    run_pacer(clock, seconds=3, stock=PLENTY)
    ask(1, clock())
    leaving.quit_line(show=SHOW, buyer_id=30, now=clock())
    run_pacer(clock, seconds=1, stock=PLENTY)
    kept = fast.store().keys("room:*")
    assert len(kept) >= 5
    assert not [key for key in kept if fast.store().pttl(key) < 0]


def test_the_counter_never_falls_behind_a_shown_number(opened: Room, clock: Any) -> None:
    far = QueueNumber(SHOW, 5, 77_000, 1)
    assert ask(5, clock(), far).number == 77_000
    assert enter(6, clock()).number == 77_001


# -- steering --------------------------------------------------------------------------------------
def test_who_did_what_is_kept(room: Room, clock: Any) -> None:
    steering.collect(show=SHOW, actor="wang", now=clock())
    steering.open_room(show=SHOW, actor="li", now=clock())
    steering.adjust(show=SHOW, actor="li", now=clock(), pace_max=500.0)
    kept = RoomEvent.objects.order_by("pk").values_list("actor", "action")
    assert list(kept) == [("wang", "collect"), ("li", "open"), ("li", "adjust")]
    with pytest.raises(steering.NotNow):
        steering.collect(show=SHOW, actor="li", now=clock())
    with pytest.raises(ValueError, match="no such bound"):
        steering.adjust(show=SHOW, actor="li", now=clock(), seed="x")


# -- a place inside that nobody needs ------------------------------------------------------------------------------
def test_who_leaves_makes_room_at_once(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=1)
    for buyer in (1, 2, 3):
        enter(buyer, clock())
    assert let_in(clock) == 1
    first = ask(1, clock())
    assert (first.status, let_in(clock)) == ("admitted", 0)
    leave(1, first, clock)
    assert ask(1, clock()).status == "over"
    assert let_in(clock) == 1
    second = ask(2, clock())
    # Twice, with another's pass, and after the turn: nothing more is counted.
    leave(1, first, clock)
    waiting_room.leave(show=SHOW, nonce="no nonce", is_counted=False, now=clock())
    assert (second.status, let_in(clock)) == ("admitted", 0)
    assert enter(1, clock()).number == 4


def test_who_has_ordered_is_not_counted_twice(opened: Room, clock: Any) -> None:
    steering.adjust(show=SHOW, actor="ops", now=clock(), max_inside=2)
    for buyer in range(1, 6):
        enter(buyer, clock())
    assert let_in(clock) == 2
    first, _second = ask(1, clock()), ask(2, clock())
    assert let_in(clock, orders=1) == 1  # the first has ordered
    ask(3, clock())
    leave(1, first, clock, is_counted=True)
    assert let_in(clock, orders=1) == 0


def test_while_the_sale_is_stopped_nobody_is_let_in(opened: Room, clock: Any, monkeypatch: Any) -> None:
    why = {"kind": "sale", "target": SHOW, "actor": "ops", "reason": "a test"}
    monkeypatch.setitem(switches._targets, "sale", lambda: [(SHOW, SHOW)])
    for buyer in (1, 2):
        enter(buyer, clock())
    switches.stop(**why, now=clock())
    assert let_in(clock) == 0
    told = ask(1, clock())
    assert (told.status, told.state, told.place) == ("waiting", "paused", 1)
    assert Room.objects.get().state == RoomState.OPEN  # the staff's own wish is as it was
    switches.resume(**why, now=clock())
    assert let_in(clock) == 2
    assert ask(1, clock()).status == "admitted"


def let_in(clock: Any, orders: int = 0) -> int:
    """One step of the pacer, a second later."""
    clock.advance(seconds=1)
    done = step(show=SHOW, stock=Stock(1000, 0, orders, 2 * orders), now=clock())
    assert done is not None
    return done.admitted


def leave(buyer_id: int, standing: waiting_room.Standing, clock: Any, *, is_counted: bool = False) -> None:
    nonce = f"{standing.epoch}-{standing.number}-{buyer_id}"
    waiting_room.leave(show=SHOW, nonce=nonce, is_counted=is_counted, now=clock())
