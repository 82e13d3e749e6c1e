"""The staff's desk at the waiting rooms."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from risk import pacing, waiting_room
from risk.room_models import Room, RoomEvent

pytestmark = pytest.mark.django_db
LIST = "/admin/risk/room/"


@pytest.fixture
def desk(db: None) -> Client:
    waiting_room._epochs.clear()
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(
        User.objects.create_superuser("wang", "a long enough password"),
        backend="accounts.signin.PhoneOrEmailBackend",
    )
    return client


@pytest.fixture
def room(db: None) -> Room:
    return Room.objects.create(show="gala", opens_at=timezone.now() + timedelta(hours=1))


def pull(desk: Client, room: Room, action: str) -> Room:
    answer = desk.post(LIST, {"action": action, "_selected_action": [room.pk]}, follow=True)
    assert answer.status_code == 200
    room.refresh_from_db()
    return room


def test_the_levers_move_the_room_and_are_written_down(desk: Client, room: Room) -> None:
    states = [
        pull(desk, room, action).state
        for action in ("collect", "open_now", "pause", "open_now", "drain", "close")
    ]
    assert states == ["draw", "open", "paused", "open", "draining", "closed"]
    assert set(RoomEvent.objects.values_list("actor", flat=True)) == {"wang"}
    assert RoomEvent.objects.count() == 6
    assert pull(desk, room, "start_over").epoch == 2
    refused = desk.post(LIST, {"action": "pause", "_selected_action": [room.pk]}, follow=True)
    assert "not possible now" in refused.content.decode()


def test_what_is_going_on_is_seen(desk: Client, room: Room) -> None:
    pull(desk, room, "collect")
    for buyer in range(1, 8):
        waiting_room.join(show="gala", buyer_id=buyer, now=timezone.now())
    pull(desk, room, "open_now")
    pacing.step(show="gala", stock=pacing.Stock(100, 0, 0, 0), now=timezone.now())
    assert pacing.counters(room) | {"pace_per_minute": 0} == {
        "issued": 7, "serving": 7, "waiting": 0, "claims": 0, "skipped": 0, "left": 0,
        "pace_per_minute": 0,
    }  # fmt: skip
    assert desk.get(LIST).status_code == 200
    page = desk.get(f"{LIST}{room.pk}/change/")
    assert room.seed in page.content.decode()


def test_bounds_change_while_it_runs_and_the_seed_stays_secret(desk: Client, room: Room) -> None:
    pull(desk, room, "collect")
    page = desk.get(f"{LIST}{room.pk}/change/").content.decode()
    assert room.seed_hash in page
    assert room.seed not in page
    form = {
        "opens_at_0": "2030-01-01", "opens_at_1": "12:00:00", "pace_min": "1", "pace_max": "77", "max_inside": "50",
        "capacity": "0", "claim_window_s": "60", "pass_life_s": "600", "polls_per_s": "20000",
        "events-TOTAL_FORMS": "0", "events-INITIAL_FORMS": "0",
    }  # fmt: skip
    answer = desk.post(f"{LIST}{room.pk}/change/", form)
    assert answer.status_code == 302, answer.content.decode()[:3000]
    room.refresh_from_db()
    assert (room.pace_max, room.max_inside) == (77, 50)
    kept = RoomEvent.objects.order_by("-pk")[0]
    assert (kept.action, kept.facts["pace_max"]) == ("adjust", "77.0")
