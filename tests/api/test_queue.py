"""The waiting room over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from risk import pacing, steering, waiting_room
from risk.room_models import Room

pytestmark = pytest.mark.django_db
QUEUE = "/shows/gala/queue"


@pytest.fixture
def room(db: None) -> Room:
    waiting_room._epochs.clear()
    now = timezone.now()
    Room.objects.create(show="gala", opens_at=now - timedelta(seconds=1), pace_min=5)
    return steering.open_room(show="gala", actor="ops", now=now)


def test_join_poll_and_get_a_pass(program: Any, room: Room) -> None:
    lin = program("lin")
    joined = lin.post(QUEUE, key=None)
    body = joined.json()
    assert joined.status_code == 202
    assert 1 <= int(joined["Retry-After"]) <= 60
    assert (body["inWaitingRoom"], body["number"], body["place"], body["pass"]) == (True, 1, 1, None)
    assert body["refreshIntervalSeconds"] > 0
    assert lin.post(QUEUE, key=None).json()["token"] == body["token"]

    stranger = program("wu", scopes=["wallet:read"])
    by_number = stranger.get(QUEUE, **{"Queue-Number": body["token"]})
    assert by_number.status_code == 202
    assert lin.get(f"{QUEUE}?number={body['token']}").json()["number"] == 1

    now = timezone.now()
    pacing.step(show="gala", stock=pacing.Stock(100, 0, 0, 0), now=now)
    admitted = lin.get(QUEUE)
    assert admitted.status_code == 200
    assert admitted.json()["status"] == "admitted"
    assert admitted.json()["pass"]["token"].startswith("v1.gala~")
    assert "Retry-After" not in admitted
    assert lin.get(QUEUE).json()["pass"] == admitted.json()["pass"]


def test_refusals(program: Any, room: Room) -> None:
    lin = program("lin")
    assert lin.get(QUEUE).json()["code"] == "not_in_queue"
    assert lin.post("/shows/nowhere/queue", key=None).status_code == 404
    assert program("wu", scopes=["wallet:read"]).post(QUEUE, key=None).status_code == 403
    steering.adjust(show="gala", actor="ops", now=timezone.now(), capacity=1)
    assert lin.post(QUEUE, key=None).status_code == 202
    full = program("hu").post(QUEUE, key=None)
    assert (full.status_code, full.json()["queueIsFull"], full["Retry-After"]) == (429, True, "30")
    steering.close(show="gala", actor="ops", now=timezone.now())
    assert program("hu").post(QUEUE, key=None).json()["code"] == "queue_closed"


def test_nobody_without_a_name_or_a_number(client: Any, program: Any, room: Room) -> None:
    assert client.get(f"/api/v1{QUEUE}").status_code == 401
    assert client.get(f"/api/v1{QUEUE}", headers={"Queue-Number": "v1.gala~1~1~1.forged"}).status_code == 401
    assert client.post(f"/api/v1{QUEUE}").status_code == 401


def test_the_cookie_carries_the_place_to_another_tab(client: Any, buyer: Any, room: Room) -> None:
    client.force_login(buyer("lin"))
    first = client.post(f"/api/v1{QUEUE}")
    assert first.cookies["queue_gala"]["httponly"]
    client.logout()
    client.cookies["queue_gala"] = first.cookies["queue_gala"].value
    assert client.get(f"/api/v1{QUEUE}").json()["number"] == first.json()["number"]


def test_a_lost_store_answers_unavailable(program: Any, room: Room, monkeypatch: Any) -> None:
    from basis import fast

    def away(*_args: Any, **_kwargs: Any) -> None:
        raise fast.FastStoreAway("gone")

    monkeypatch.setattr("basis.scripts.Script.run", away)
    answer = program("lin").post(QUEUE, key=None)
    assert answer.status_code == 503
    assert answer["Retry-After"]


# -- leaving -------------------------------------------------------------------------------------------------------
def test_leaving_is_for_good_and_may_be_said_twice(program: Any, room: Room) -> None:
    lin, hu = program("lin"), program("hu")
    token = lin.post(QUEUE, key=None).json()["token"]
    assert hu.post(QUEUE, key=None).json()["waiting"] == 2
    left = lin.delete(QUEUE)
    assert (left.status_code, left.content) == (204, b"")
    assert {name: cookie["max-age"] for name, cookie in left.cookies.items()} == {
        "queue_gala": 0,
        "pass_gala": 0,
    }
    assert lin.delete(QUEUE).status_code == 204
    assert hu.get(QUEUE).json()["waiting"] == 1
    assert lin.get(QUEUE).json()["code"] == "not_in_queue"
    assert lin.get(QUEUE, **{"Queue-Number": token}).json()["code"] == "not_in_queue"
    assert lin.post(QUEUE, key=None).json()["number"] == 3


def test_nobody_elses_place_can_be_left(client: Any, program: Any, room: Room) -> None:
    lin, hu = program("lin"), program("hu")
    token = lin.post(QUEUE, key=None).json()["token"]
    hu.post(QUEUE, key=None)
    refused = [hu.delete(QUEUE, **{"Queue-Number": token}), hu.delete(f"{QUEUE}?number={token}")]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(404, "not_in_queue")] * 2
    # The number alone is enough to look, not to leave.
    assert client.delete(f"/api/v1{QUEUE}", headers={"Queue-Number": token}).status_code == 401
    assert program("lin", scopes=["orders:read"]).delete(QUEUE).status_code == 403
    assert (lin.get(QUEUE).json()["number"], hu.get(QUEUE).json()["number"]) == (1, 2)
    assert hu.delete("/shows/nowhere/queue").json()["code"] == "not_found"
