"""`manage.py pace` and `manage.py verify_draw`, on a real show."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from risk import draw, pacing, steering, waiting_room
from risk.room_models import Room, RoomState
from ticketing import orders
from ticketing.models import PriceTier, Show
from ticketing.pace import stock_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def room(show: Show) -> Room:
    waiting_room._epochs.clear()
    now = timezone.now()
    Room.objects.create(show=show.code, opens_at=now - timedelta(seconds=1), pace_min=10)
    return steering.collect(show=show.code, actor="ops", now=now)


def test_the_pacer_draws_at_the_opening_and_lets_people_in(room: Room) -> None:
    for buyer in range(1, 31):
        waiting_room.join(show=room.show, buyer_id=buyer, now=timezone.now())
    assert stock_of(room).free > 100
    call_command("pace", once=True)
    room.refresh_from_db()
    assert (room.state, room.drawn) == (RoomState.OPEN, 30)
    assert 1 <= room.serving_seen <= 30
    assert room.issued_safe >= 1030


@pytest.mark.parametrize("announced_in_s", [1800, -1800])
def test_whoever_has_ordered_is_no_longer_inside(
    show: Show, buyer: Any, clock: Any, announced_in_s: int
) -> None:
    """Opened by staff before or after the time that was announced: orders make room for those who still wait."""
    waiting_room._epochs.clear()
    tier = PriceTier.objects.get(show=show, code="UPPER")
    buyers = [buyer(f"fan{i}") for i in range(12)]
    orders.place_order(buyer=buyers[0], client_key="before", tier_id=tier.pk, quantity=1, now=clock())
    Room.objects.create(
        show=show.code, opens_at=clock() + timedelta(seconds=announced_in_s), max_inside=4, pace_min=100
    )
    room = steering.open_room(show=show.code, actor="ops", now=clock())
    for one in buyers:
        waiting_room.join(show=show.code, buyer_id=one.pk, now=clock())
    assert let_in(room, clock) == 4
    for turn in (4, 8):
        for one in buyers[turn - 4 : turn]:
            assert waiting_room.poll(show=show.code, buyer_id=one.pk, now=clock()).status == "admitted"
            assert let_in(room, clock) == turn  # they came, and have not ordered
        for one in buyers[turn - 4 : turn]:
            orders.place_order(buyer=one, client_key="in", tier_id=tier.pk, quantity=1, now=clock())
        assert let_in(room, clock) == turn + 4
    assert stock_of(room).orders == 8  # the one from before the opening is not among them


def let_in(room: Room, clock: Any) -> int:
    """Pace for two seconds; the place up to which people are let in."""
    for _ in range(8):
        clock.advance(milliseconds=249)
        pacing.step(show=room.show, stock=stock_of(room), now=clock())
    room.refresh_from_db()
    return room.serving_seen


def test_anybody_can_check_the_draw(room: Room) -> None:
    with pytest.raises(CommandError, match="not drawn yet"):
        call_command("verify_draw", room.show)
    for buyer in range(1, 31):
        waiting_room.join(show=room.show, buyer_id=buyer, now=timezone.now())
    opened = steering.open_room(show=room.show, actor="ops", now=timezone.now())
    told = verified(room.show, "--number", "7", "--all", "--json")
    place = draw.place(7, n=30, keys=draw.keys_of(opened.seed, 30))
    assert told == {"hash_right": True, "drawn": 30, "places": {"7": place}, "every_place_once": True}
    with pytest.raises(CommandError, match="not the one"):
        call_command("verify_draw", room.show, "--seed", "f" * 64, stdout=io.StringIO())


def verified(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("verify_draw", *arguments, stdout=out)
    return json.loads(out.getvalue())
