"""The waiting room's page, also without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from risk import pacing, steering, waiting_room
from risk.room_models import Room
from ticketing.models import Show

pytestmark = pytest.mark.django_db


@pytest.fixture
def room(show: Show, clock: Any) -> Room:
    waiting_room._epochs.clear()
    now = clock()
    Room.objects.create(show=show.code, opens_at=now + timedelta(minutes=5), pace_min=5)
    return steering.collect(show=show.code, actor="ops", now=now)


@pytest.fixture
def lin(buyer: Callable[..., Any]) -> Client:
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(buyer("lin"), backend="accounts.signin.PhoneOrEmailBackend")
    return client


def address(room: Room) -> str:
    return f"/shows/{room.show}/queue/"


def stage(page: Any) -> str:
    found = re.search(r'data-stage="(\w+)"', page.content.decode())
    assert found
    return found.group(1)


def refresh(page: Any) -> int:
    found = re.search(r'http-equiv="refresh" content="(\d+)"', page.content.decode())
    return int(found.group(1)) if found else 0


def test_from_the_door_to_the_pass(lin: Client, room: Room, clock: Any) -> None:
    page = lin.get(address(room))
    assert (stage(page), room.seed_hash in page.content.decode()) == ("not_in", True)
    joined = lin.post(address(room))
    assert (joined.status_code, joined["Location"]) == (303, address(room))
    drawn = lin.get(address(room))
    assert (stage(drawn), "You are in the draw" in drawn.content.decode()) == ("waiting", True)
    assert 5 <= refresh(drawn) <= 60
    assert room.seed not in drawn.content.decode()

    steering.open_room(show=room.show, actor="ops", now=clock())
    inline = lin.get(address(room))
    assert "People ahead of you" in inline.content.decode()
    assert '<progress class="line-progress" data-progress max="1" value="1"' in inline.content.decode()
    assert room.seed in inline.content.decode()
    pacing.step(show=room.show, stock=pacing.Stock(100, 0, 0, 0), now=clock())
    admitted = lin.get(address(room))
    assert (stage(admitted), refresh(admitted)) == ("admitted", 0)
    assert f"pass_{room.show}" in admitted.cookies
    assert "no-store" in admitted["Cache-Control"] or "no-cache" in admitted["Cache-Control"]


def test_the_cookie_alone_keeps_the_place(lin: Client, room: Room) -> None:
    lin.post(address(room))
    other = Client()
    other.cookies[f"queue_{room.show}"] = lin.cookies[f"queue_{room.show}"].value
    assert stage(other.get(address(room))) == "waiting"
    token = lin.cookies[f"queue_{room.show}"].value
    assert stage(Client().get(f"{address(room)}?number={token}")) == "waiting"


def test_who_is_nobody_is_asked_to_sign_in(client: Client, room: Room) -> None:
    page = client.get(address(room))
    assert stage(page) == "not_in"
    assert "/sign-in/?next=" in page.content.decode()
    assert stage(client.post(address(room))) == "not_in"
    assert client.get("/shows/none/queue/").status_code == 404


def test_the_ends_are_told(lin: Client, room: Room, clock: Any) -> None:
    lin.post(address(room))
    steering.open_room(show=room.show, actor="ops", now=clock())
    steering.set_sold_out(show=room.show, sold_out=True, actor="ops", now=clock())
    page = lin.get(address(room))
    assert (stage(page), refresh(page)) == ("sold_out", 0)
    assert "goes on from your place" in page.content.decode()
    steering.set_sold_out(show=room.show, sold_out=False, actor="ops", now=clock())
    assert stage(lin.get(address(room))) == "waiting"  # the same place, as it says
    steering.start_over(show=room.show, actor="ops", now=clock())
    assert stage(lin.post(address(room))) == "closed"
    assert stage(lin.get(address(room))) == "closed"


def test_a_buyer_leaves_by_a_button(lin: Client, room: Room, buyer: Callable[..., Any]) -> None:
    lin.post(address(room))
    page = lin.get(address(room)).content.decode()
    assert f'action="{address(room)}leave/"' in page
    # Whoever looks with a number that is not his own is offered no such thing, and cannot do it.
    token = lin.cookies[f"queue_{room.show}"].value
    other = Client()
    other.force_login(buyer("hu"), backend="accounts.signin.PhoneOrEmailBackend")
    assert "leave/" not in other.get(f"{address(room)}?number={token}").content.decode()
    other.post(f"{address(room)}leave/?number={token}")
    assert stage(lin.get(address(room))) == "waiting"

    for _press in range(2):
        left = lin.post(f"{address(room)}leave/")
        assert (left.status_code, left["Location"]) == (303, address(room))
    told = lin.get(address(room))
    assert (stage(told), "You have left the line." in told.content.decode()) == ("not_in", True)
    assert not lin.cookies[f"queue_{room.show}"].value
    assert Client().post(f"{address(room)}leave/")["Location"].startswith("/sign-in/")
    assert lin.get(f"{address(room)}leave/").status_code == 405
