"""Sample data: the same every time, written once, with facts that the audit finds nothing wrong with."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts.models import User
from operations import audit, seeding
from payments import money
from ticketing.models import Order, Seat, SeatState, Ticket
from wallet import ledger

pytestmark = pytest.mark.django_db


def seed(*arguments: str) -> dict[str, Any]:
    told = StringIO()
    call_command("seed", "--json", "--show", "hall", "--rows-per-section", "1", *arguments, stdout=told)
    return json.loads(told.getvalue())


def violations(now: Any) -> dict[str, Any]:
    return {result.check.name: result.violations for result in audit.audit(now=now) if not result.ok}


def test_the_command_says_what_it_made_and_repeats_without_making_more(clock: Any) -> None:
    first = seed("--buyers", "7", "--cash", "5000", "--sold", "400")
    assert (first["buyers"], first["sold"]) == (7, 400)
    assert first["orders"] > 100
    assert first["staff"]["password"]
    again = seed("--buyers", "7", "--cash", "9000", "--sold", "400")
    assert (again["orders"], again["sold"], again["staff"]["password"]) == (0, 400, None)
    b1 = User.objects.get(handle="b000001")
    assert not b1.has_usable_password()
    assert ledger.balance(money.buyer_cash(b1.pk, "CNY")) == 5000
    assert User.objects.get(handle="demo").check_password(first["demo"]["password"])
    assert User.objects.get(handle="staff").check_password(first["staff"]["password"])
    assert violations(clock()) == {}


def test_more_may_be_sold_later(clock: Any) -> None:
    show = seeding.seed_show(code="hall", now=clock(), rows_per_section=1)
    seeding.seed_sold(show=show, seats=100, now=clock())
    sold = seeding.seed_sold(show=show, seats=250, now=clock())
    assert sold.seats_in_all == 250
    assert Seat.objects.filter(show=show, state=SeatState.SOLD).count() == Ticket.objects.count() == 250
    assert violations(clock()) == {}


def test_the_same_seed_writes_the_same_orders(clock: Any) -> None:
    now = clock()

    def sold(chosen: int) -> list[Any]:
        with transaction.atomic():
            show = seeding.seed_show(code="hall", now=now, rows_per_section=1)
            seeding.seed_sold(show=show, seats=200, now=now, seed=chosen)
            found = list(
                Order.objects.order_by("number").values_list("number", "winner", "quantity", "tier__code")
            )
            found += list(
                Ticket.objects.order_by("number").values_list("number", "seat__row__label", "seat__label")
            )
            transaction.set_rollback(True)
        return found

    assert sold(3) == sold(3)
    assert sold(3) != sold(4)


def test_every_tier_has_its_share_and_parties_sit_together(clock: Any) -> None:
    show = seeding.seed_show(code="hall", now=clock(), rows_per_section=1)
    total = Seat.objects.filter(show=show).count()
    seeding.seed_sold(show=show, seats=total // 2, now=clock())
    for tier in show.tiers.all():
        seats = Seat.objects.filter(tier=tier)
        assert abs(seats.filter(state=SeatState.SOLD).count() - seats.count() / 2) <= 1
    for order in Order.objects.filter(show=show):
        places = sorted(order.held_seats.values_list("row_id", "position"))
        assert len({row for row, _ in places}) == 1
        assert places[-1][1] - places[0][1] == len(places) - 1


def test_a_house_that_is_full_says_so(clock: Any) -> None:
    show = seeding.seed_show(code="hall", now=clock(), rows_per_section=1)
    total = Seat.objects.filter(show=show).count()
    seeding.seed_sold(show=show, seats=total, now=clock())
    assert not Seat.objects.filter(show=show, state=SeatState.FREE).exists()
    with pytest.raises(seeding.NotEnough):
        seeding.seed_sold(show=show, seats=total + 1, now=clock())
    assert violations(clock()) == {}


def test_production_takes_no_sample_data(settings: Any) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        seed()
