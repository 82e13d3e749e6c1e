"""Many buyers want the same seats: nobody is given what somebody else has, and nobody waits for ever."""

from __future__ import annotations

import random

import pytest
from django.db import IntegrityError, transaction

from tests.races.crowd import at_once, count, crowd, errors
from ticketing import orders, phases, seats
from ticketing.models import Allowance, Order, PriceTier, SalePhase, Seat, SeatState

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 16


@pytest.fixture
def vip(show):
    return PriceTier.objects.get(show=show, code="VIP")


def leave_free(tier, seats_left):
    """Block all but the first few seats of the tier, and answer their ids."""
    kept = list(
        Seat.objects.filter(tier=tier)
        .order_by("row_rank", "position")
        .values_list("pk", flat=True)[:seats_left]
    )
    Seat.objects.filter(tier=tier).exclude(pk__in=kept).update(state=SeatState.BLOCKED)
    return kept


def ordering(person, tier, clock, *, quantity=1, seat_ids=(), key="k"):
    now = clock()
    return lambda: orders.place_order(
        buyer=person, client_key=key, tier_id=tier.pk, quantity=quantity, seat_ids=seat_ids, now=now
    )


def test_sixteen_buyers_and_three_seats(vip, buyer, clock, nothing_broken):
    leave_free(vip, 3)
    outcomes = at_once([ordering(person, vip, clock) for person in crowd(buyer)])
    assert errors(outcomes, seats.SoldOut) == []
    assert (count(outcomes, Order), count(outcomes, seats.SoldOut)) == (3, 13)
    assert Seat.objects.filter(tier=vip, state=SeatState.HELD).count() == 3
    nothing_broken()


def test_without_the_tiers_lock_buyers_are_refused_while_seats_are_free(vip, buyer, clock, monkeypatch):
    """All choose the same best seat; the conditional update saves the seats, and sends away buyers for nothing."""
    monkeypatch.setattr(seats, "lock_tier", lambda _tier: None)
    outcomes = at_once([ordering(person, vip, clock) for person in crowd(buyer)])
    assert count(outcomes, seats.SeatsTaken) > 0
    assert Seat.objects.filter(tier=vip, state=SeatState.FREE).count() > THREADS


def test_without_lock_and_condition_a_seat_is_sold_twice(vip, buyer, clock, monkeypatch):
    unasked = orders.PLACE.replace(" AND seat.state = 'F'", "")
    assert unasked != orders.PLACE
    monkeypatch.setattr(seats, "lock_tier", lambda _tier: None)
    monkeypatch.setattr(orders, "PLACE", unasked)
    leave_free(vip, 3)
    outcomes = at_once([ordering(person, vip, clock) for person in crowd(buyer)])
    assert count(outcomes, Order) > 3


def test_a_buyer_in_many_tabs_takes_no_more_than_the_limit(show, vip, buyer, clock, nothing_broken):
    lin = buyer("lin")
    limit = SalePhase.objects.get(show=show, kind="general").per_buyer_limit
    outcomes = at_once([ordering(lin, vip, clock, key=f"tab {tab}") for tab in range(THREADS)])
    assert errors(outcomes, phases.LimitReached) == []
    assert count(outcomes, Order) == limit
    assert Allowance.objects.get(buyer=lin).taken == limit
    nothing_broken()


def test_without_the_conditional_upsert_the_limit_is_passed(show, vip, buyer, clock, monkeypatch):
    def read_then_write(phase, buyer_id, quantity):
        known = phases.taken(phase.pk, buyer_id)
        if known + quantity > phase.per_buyer_limit:
            raise phases.LimitReached(phase.per_buyer_limit, 0)
        Allowance.objects.update_or_create(
            phase=phase,
            buyer_id=buyer_id,
            create_defaults={"taken": quantity},
            defaults={"taken": known + quantity},
        )

    monkeypatch.setattr(phases, "take_allowance", read_then_write)
    monkeypatch.setattr(seats, "lock_tier", lambda _tier: None)
    lin = buyer("lin")
    Allowance.objects.create(phase=SalePhase.objects.get(show=show, kind="general"), buyer=lin, taken=0)
    row = list(Seat.objects.filter(tier=vip).values_list("pk", flat=True)[:THREADS])
    works = [ordering(lin, vip, clock, seat_ids=[seat], key=f"tab {tab}") for tab, seat in enumerate(row)]
    assert count(at_once(works), Order) > 4


def test_one_key_pressed_by_sixteen_tabs_is_one_order(vip, buyer, clock, nothing_broken):
    lin = buyer("lin")
    outcomes = at_once([ordering(lin, vip, clock, quantity=2) for _ in range(THREADS)])
    assert errors(outcomes) == []
    assert len({order.number for order in outcomes}) == 1
    assert Seat.objects.filter(order__buyer=lin).count() == 2
    nothing_broken()


def test_hundreds_of_overlapping_choices_never_deadlock(vip, buyer, clock, nothing_broken):
    chance = random.Random(69)
    row = list(
        Seat.objects.filter(tier=vip).order_by("row_rank", "position").values_list("pk", flat=True)[:24]
    )
    people = crowd(buyer)

    def chooser(person, tries):
        def choose():
            outcomes = []
            for number, wanted in enumerate(tries):
                try:
                    order = ordering(person, vip, clock, seat_ids=wanted, key=f"{number}")()
                    outcomes.append(order)
                    orders.cancel(number=order.number, actor="buyer", now=clock())
                except (seats.SeatsTaken, phases.LimitReached) as refusal:
                    outcomes.append(refusal)
            return outcomes

        return choose

    works = [chooser(person, [chance.sample(row, 4) for _ in range(20)]) for person in people]
    outcomes = at_once(works)
    assert errors(outcomes) == []
    told = [one for mine in outcomes for one in mine]
    assert len(told) == THREADS * 20
    assert count(told, Order) > 0
    assert Seat.objects.filter(tier=vip).exclude(state=SeatState.FREE).count() == 0
    nothing_broken()


def test_seats_taken_one_by_one_in_the_buyers_order_do_deadlock(vip, buyer, clock, monkeypatch):
    """Twin: no tier lock, and each seat locked in the order in which it was chosen."""

    write = orders._write

    def write_in_turn(order, chosen, *, reason):
        for seat in chosen:
            list(Seat.objects.select_for_update().filter(pk=seat))
        return write(order, chosen, reason=reason)

    monkeypatch.setattr(seats, "lock_tier", lambda _tier: None)
    monkeypatch.setattr(orders, "_write", write_in_turn)
    row = list(Seat.objects.filter(tier=vip).order_by("position").values_list("pk", flat=True)[:4])
    chance = random.Random(5)
    seen = []
    for turn in range(12):
        people = crowd(buyer)
        works = [
            ordering(person, vip, clock, seat_ids=chance.sample(row, 4), key=f"t{turn}") for person in people
        ]
        outcomes = at_once(works)
        seen += [one for one in outcomes if "deadlock" in str(one)]
        Seat.objects.filter(tier=vip).update(state=SeatState.FREE, order=None)
        if seen:
            return
    pytest.fail("the race does not show: the test above proves nothing")


def test_the_database_itself_refuses_a_seat_without_its_order(vip):
    seat = Seat.objects.filter(tier=vip).first()
    with pytest.raises(IntegrityError), transaction.atomic():
        Seat.objects.filter(pk=seat.pk).update(state=SeatState.SOLD)
