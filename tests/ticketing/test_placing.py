"""Placing an order: the same key is the same order, and what is refused leaves no trace."""

from __future__ import annotations

import pytest

from ticketing import orders, phases, seats
from ticketing.models import Allowance, Order, OrderEvent, PriceTier, Seat, SeatState


@pytest.fixture
def lin(buyer):
    return buyer("lin")


@pytest.fixture
def tier(show):
    return PriceTier.objects.get(show=show, code="UPPER")


@pytest.fixture
def place(clock, tier):
    def go(buyer, key="k", **wish):
        wish = {"quantity": 2} | wish
        return orders.place_order(buyer=buyer, client_key=key, tier_id=tier.pk, now=clock(), **wish)

    return go


def free_seats(tier):
    return list(
        Seat.objects.filter(tier=tier, state=SeatState.FREE).order_by("pk").values_list("pk", flat=True)
    )


def nothing_happened():
    return not Order.objects.exists() and not OrderEvent.objects.exists() and not Allowance.objects.exists()


def test_the_same_key_is_the_same_order(place, lin):
    assert place(lin).pk == place(lin).pk
    assert Order.objects.count() == 1


def test_the_same_key_for_something_else_is_refused(place, lin, tier):
    chosen = free_seats(tier)
    place(lin, quantity=0, seat_ids=chosen[:2])
    assert place(lin, quantity=0, seat_ids=chosen[1::-1])  # the same seats in another order
    for other in ({"quantity": 3}, {"quantity": 0, "seat_ids": chosen[2:4]}):
        with pytest.raises(orders.KeyReused):
            place(lin, **other)
    assert Order.objects.count() == 1


def test_another_buyers_key_is_another_order(place, lin, buyer):
    assert place(lin).pk != place(buyer("mei")).pk


def test_a_taken_seat_refuses_the_whole_order(place, lin, buyer, tier):
    chosen = free_seats(tier)[:3]
    place(buyer("mei"), quantity=0, seat_ids=chosen[:1])
    with pytest.raises(seats.SeatsTaken) as refused:
        place(lin, quantity=0, seat_ids=chosen)
    assert refused.value.seat_ids == chosen[:1]
    assert not Order.objects.filter(buyer=lin).exists()
    assert not Allowance.objects.filter(buyer=lin).exists()


def test_the_limit_counts_every_live_order_and_forgets_cancelled_ones(place, lin, clock):
    first = place(lin, key="a", quantity=3)
    with pytest.raises(phases.LimitReached) as refused:
        place(lin, key="b", quantity=2)
    assert (refused.value.limit, refused.value.left) == (4, 1)
    orders.cancel(number=first.number, actor="lin", now=clock())
    assert place(lin, key="c", quantity=4)


@pytest.mark.parametrize("quantity", [0, -1, 7])
def test_a_quantity_out_of_bounds_is_refused(place, lin, quantity):
    with pytest.raises(orders.BadQuantity):
        place(lin, quantity=quantity)
    assert nothing_happened()


def test_before_the_opening_nothing_is_sold_and_the_opening_is_told(place, lin, show, clock):
    phase = show.phases.get(kind="general")
    clock.now = phase.opens_at.replace(microsecond=0)
    clock.advance(hours=-1)
    with pytest.raises(phases.NotOnSale) as refused:
        place(lin)
    assert refused.value.opens_at == phase.opens_at
    assert nothing_happened()


def test_a_presale_is_for_invited_buyers(place, lin, buyer, show, clock):
    from ticketing.models import Invitation

    presale = show.phases.get(kind="presale")
    clock.now = presale.opens_at
    with pytest.raises(phases.NotEligible):
        place(lin)
    assert nothing_happened()
    Invitation.objects.create(phase=presale, buyer=lin)
    assert place(lin).phase_id == presale.pk


def test_a_sold_out_tier_says_so(place, buyer, tier):
    left = len(free_seats(tier))
    for i in range(left // 4):
        place(buyer(f"b{i}"), quantity=4)
    with pytest.raises(seats.SoldOut):
        place(buyer("late"), quantity=4)
    assert Seat.objects.filter(tier=tier, state=SeatState.FREE).count() == left % 4
