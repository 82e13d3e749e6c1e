"""`manage.py pace` and `manage.py verify_draw`, on a real show."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from risk import draw, steering, waiting_room
from risk.room_models import Room, RoomState
from ticketing.models import Show
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
