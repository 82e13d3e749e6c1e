"""Polls of the waiting room: what the edge answers is what Django would have answered, and Python is not asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from basis import fast
from operations.edge import Edge
from risk import leaving, pacing, room_answers, signing, steering, waiting_room
from risk.pacing import Stock
from risk.room_models import Room
from tests.edge.conftest import free_port, log_of

pytestmark = pytest.mark.django_db(transaction=True)
SHOW = "gala-night"
PATH = f"/api/v1/shows/{SHOW}/queue"
REMEMBERED_S = 0.15  # a worker's memory of a room is at most a tenth of a second old


@pytest.fixture
def room(db: None) -> Room:
    waiting_room._epochs.clear()
    now = timezone.now()
    made = Room.objects.create(show=SHOW, opens_at=now + timedelta(minutes=10), pace_min=20, max_inside=100)
    steering.collect(show=SHOW, actor="ops", now=now)
    return made


def enter(buyer_id: int) -> str:
    standing = waiting_room.join(show=SHOW, buyer_id=buyer_id, now=timezone.now())
    return signing.sign_number(waiting_room.number_of(SHOW, buyer_id, standing))


def as_django(token: str) -> tuple[dict[str, Any], int]:
    number = signing.read_number(token)
    now = timezone.now()
    standing = waiting_room.poll(show=SHOW, buyer_id=number.buyer_id, shown=number, now=now)
    return room_answers.of(SHOW, number.buyer_id, standing, now=now), room_answers.status_of(standing)


def same(http: httpx2.Client, one: Edge, token: str) -> dict[str, Any]:
    """Ask both; what they say may differ by the time between the two questions only."""
    answer = http.get(one.url + PATH, headers={"Queue-Number": token})
    told, (expected, status) = answer.json(), as_django(token)
    assert answer.status_code == status
    assert told.keys() == expected.keys()
    for name in told.keys() - {"lastUpdated", "refreshIntervalSeconds"}:
        assert told[name] == expected[name], name
    assert told["refreshIntervalSeconds"] == pytest.approx(expected["refreshIntervalSeconds"], abs=1.0)
    return expected


def test_the_edge_answers_as_django_does(edges: Callable[..., Edge], room: Room, http: httpx2.Client) -> None:
    nobody = f"127.0.0.1:{free_port()}"  # no Python behind it
    one = edges(upstream=nobody)
    tokens = [enter(buyer) for buyer in range(1, 121)]
    time.sleep(REMEMBERED_S)
    assert same(http, one, tokens[5])["state"] == "draw"

    steering.open_room(show=SHOW, actor="ops", now=timezone.now())
    tokens += [enter(buyer) for buyer in range(900_000, 900_010)]
    time.sleep(REMEMBERED_S)
    for token in (*tokens[:30], tokens[-1]):
        assert same(http, one, token)["status"] == "waiting"

    pacing.step(show=SHOW, stock=Stock(500, 0, 0, 0), now=timezone.now())
    time.sleep(REMEMBERED_S)
    statuses = {same(http, one, token)["status"] for token in tokens}
    assert statuses == {"admitted", "waiting"}

    steering.pause(show=SHOW, actor="ops", now=timezone.now())
    time.sleep(REMEMBERED_S)
    assert same(http, one, tokens[-1])["queueAll"] is True
    pacing.step(show=SHOW, stock=Stock(0, 0, 9, 18), now=timezone.now())
    time.sleep(REMEMBERED_S)
    assert {same(http, one, token)["status"] for token in tokens} == {"admitted", "sold_out"}
    assert not [line for line in log_of(one) if line["upstream_seconds"]]


def test_header_address_and_cookie(edges: Callable[..., Edge], room: Room, http: httpx2.Client) -> None:
    one = edges()
    token = enter(7)
    asks = [
        http.get(one.url + PATH, headers={"Queue-Number": token}),
        http.get(f"{one.url}{PATH}?number={token}"),
        http.get(one.url + PATH, headers={"Cookie": f"a=b; queue_{SHOW}={token}; c=d"}),
        http.get(one.url + PATH, headers={"Queue-Number": "v1.forged", "Cookie": f"queue_{SHOW}={token}"}),
    ]
    assert [ask.json()["number"] for ask in asks] == [1, 1, 1, 1]
    assert asks[0].headers["Cache-Control"] == "no-store"
    assert int(asks[0].headers["Retry-After"]) >= 1
    assert http.head(one.url + PATH, headers={"Queue-Number": token}).status_code == 202


def test_the_pass_comes_with_a_cookie_and_is_the_same_everywhere(
    edges: Callable[..., Edge], room: Room, http: httpx2.Client
) -> None:
    one = edges()
    token = enter(7)
    steering.open_room(show=SHOW, actor="ops", now=timezone.now())
    pacing.step(show=SHOW, stock=Stock(500, 0, 0, 0), now=timezone.now())
    time.sleep(REMEMBERED_S)
    answer = http.get(one.url + PATH, headers={"Queue-Number": token})
    told = answer.json()["pass"]
    admitted = signing.read_pass(told["token"])
    assert (admitted.show, admitted.buyer_id, admitted.nonce) == (SHOW, 7, "1-1-7")
    assert f"pass_{SHOW}={told['token']}" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert as_django(token)[0]["pass"] == told


def test_whatever_the_edge_cannot_say_django_says(
    edges: Callable[..., Edge], room: Room, http: httpx2.Client, live_server: Any
) -> None:
    one = edges(upstream=live_server.url.removeprefix("http://"))
    token = enter(7)
    forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert http.get(one.url + PATH, headers={"Queue-Number": forged}).status_code == 401
    assert http.get(one.url + PATH).json()["code"] == "not_authenticated"
    assert http.post(one.url + PATH).status_code in {401, 403}
    other = http.get(f"{one.url}/api/v1/shows/other/queue", headers={"Queue-Number": token})
    assert other.status_code == 401
    steering.start_over(show=SHOW, actor="ops", now=timezone.now())
    time.sleep(REMEMBERED_S)
    assert http.get(one.url + PATH, headers={"Queue-Number": token}).json()["code"] == "not_in_queue"


def test_a_wiped_store_is_rebuilt_by_the_polls(
    edges: Callable[..., Edge], room: Room, http: httpx2.Client, live_server: Any
) -> None:
    one = edges(upstream=live_server.url.removeprefix("http://"))
    steering.open_room(show=SHOW, actor="ops", now=timezone.now())
    tokens = [enter(buyer) for buyer in range(1, 31)]
    pacing.step(show=SHOW, stock=Stock(0, 5, 0, 0), now=timezone.now())
    fast.store().flushdb()
    time.sleep(REMEMBERED_S)
    numbers = []
    for token in tokens:
        numbers.append(http.get(one.url + PATH, headers={"Queue-Number": token}).json()["number"])
        time.sleep(0.01)
    assert numbers == list(range(1, 31))
    assert [
        waiting_room.join(show=SHOW, buyer_id=buyer, now=timezone.now()).number for buyer in (1, 17, 30)
    ] == [1, 17, 30]


def test_one_number_that_polls_too_fast_is_slowed_and_keeps_its_place(
    edges: Callable[..., Edge], room: Room, http: httpx2.Client
) -> None:
    one = edges(
        polls_per_second=1
    )  # twenty at once and then one a second: no machine is too slow to exceed it
    token = enter(7)
    answers = [http.get(one.url + PATH, headers={"Queue-Number": token}) for _ in range(60)]
    slowed = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:20]] == [202] * 20
    assert slowed[0].json()["code"] == "too_many_requests"
    assert slowed[0].headers["Retry-After"]
    assert slowed[0].headers["RateLimit"] == '"polls";r=0;t=1'
    other = enter(8)
    assert http.get(one.url + PATH, headers={"Queue-Number": other}).status_code == 202
    assert as_django(token)[0]["number"] == 1


def test_who_has_left_is_not_counted_and_gets_no_turn(
    edges: Callable[..., Edge], room: Room, http: httpx2.Client, live_server: Any
) -> None:
    one = edges(upstream=live_server.url.removeprefix("http://"))
    steering.open_room(show=SHOW, actor="ops", now=timezone.now())
    left, stays = enter(1), enter(2)
    leaving.quit_line(show=SHOW, buyer_id=1, now=timezone.now())
    time.sleep(REMEMBERED_S)
    assert same(http, one, stays)["waiting"] == 1
    pacing.step(show=SHOW, stock=Stock(500, 0, 0, 0), now=timezone.now())
    time.sleep(REMEMBERED_S)
    assert same(http, one, stays)["status"] == "admitted"
    answer = http.get(one.url + PATH, headers={"Queue-Number": left})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_in_queue")
    assert http.delete(one.url + PATH, headers={"Queue-Number": stays}).status_code in {401, 403}
    assert same(http, one, stays)["status"] == "admitted"
