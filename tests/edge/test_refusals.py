"""What the edge refuses says when to come again, in whatever way it came to refuse."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from django.utils import timezone

from operations import edge
from operations.edge import Edge
from risk import signing
from tests.edge.conftest import Stub, free_port
from ticketing.rush import receipts
from ticketing.rush.receipts import Receipt

Edges = Callable[..., Edge]


def told_to_wait(answer: httpx2.Response, status: int, code: str = "unavailable") -> None:
    assert answer.status_code == status
    assert int(answer.headers["Retry-After"]) >= 1
    if str(answer.url.path).startswith("/api/"):
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.json()["code"], answer.json()["retryable"]) == (code, True)
    else:
        assert 'http-equiv="refresh"' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/wallet/",
        "/",
        "/events/gala/",
        "/static/none.css",
        "/api/v1/wallet",
        "/api/v1/events",
        "/api/v1/shows/x/queue",
    ],
)
def test_wherever_python_is_missed(edges: Edges, http: httpx2.Client, path: str) -> None:
    one = edges(upstream=f"127.0.0.1:{free_port()}")
    told_to_wait(http.get(one.url + path), 503)


@pytest.mark.parametrize("path", ["/wallet/", "/static/none.css", "/api/v1/wallet"])
def test_wherever_python_has_no_hand_free(edges: Edges, stub: Stub, http: httpx2.Client, path: str) -> None:
    one = edges(upstream=stub.address, upstream_slots=1)
    stub.delay_s = 0.5
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _i: http.get(one.url + path), range(6)))
    waiting = [answer for answer in answers if answer.status_code != 200]
    assert len(waiting) == 5
    for answer in waiting:
        told_to_wait(answer, 503)
        assert answer.headers["RateLimit-Policy"] == '"python";q=1;qu="concurrent-requests"'
        assert answer.headers["RateLimit"].startswith('"python";r=0;t=')


def test_a_large_body_wherever_it_is_sent(edges: Edges, stub: Stub, http: httpx2.Client) -> None:
    one = edges(upstream=stub.address)
    receipt = receipts.sign(Receipt(1, "K0000000001", 7))
    for path, size in (
        ("/api/v1/orders", 300_000),
        ("/api/v1/rush/orders", 9_000),
        (f"/api/v1/rush/orders/{receipt}/payment", 9_000),
    ):
        for body in (b"x" * size, iter([b"x" * size])):  # with its length, and in pieces
            answer = http.post(one.url + path, content=body)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), path
    assert stub.asked == []


def test_a_receipt_asks_no_faster_than_a_person(edges: Edges, stub: Stub, http: httpx2.Client) -> None:
    one = edges(upstream=stub.address, polls_per_second=1)
    mine, other = (receipts.sign(Receipt(1, "K0000000001", buyer)) for buyer in (7, 8))
    path = f"{one.url}/api/v1/rush/orders/{mine}"
    answers = [http.get(path if i % 2 else f"{path}/payment") for i in range(60)]
    slowed = [answer for answer in answers if answer.status_code == 429]
    assert answers[0].status_code == 200
    assert len(slowed) >= 20
    told_to_wait(slowed[0], 429, "too_many_requests")
    assert slowed[0].headers["RateLimit"] == '"polls";r=0;t=1'
    assert http.get(f"{one.url}/api/v1/rush/orders/{other}").status_code == 200


def test_what_the_store_forgot_costs_python_no_more_than_other_things(
    edges: Edges, stub: Stub, http: httpx2.Client
) -> None:
    """Ten thousand receipts, each asked once: the address is limited, whoever it asks for."""
    one = edges(upstream=stub.address, limits=edge.usual_limits(reads=5, writes=5))
    asked = [receipts.sign(Receipt(1, "K0000000001", buyer)) for buyer in range(30)]
    answers = [http.get(f"{one.url}/api/v1/rush/orders/{receipt}") for receipt in asked]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["RateLimit"] == '"reads";r=0;t=1'
    presses = [
        http.post(f"{one.url}/api/v1/rush/orders/{receipt}/payment", content=b"{") for receipt in asked
    ]
    assert 429 in {answer.status_code for answer in presses}


@pytest.mark.django_db(transaction=True)
def test_a_number_in_an_address_as_programs_write_it(edges: Edges, http: httpx2.Client) -> None:
    from datetime import timedelta

    from risk import steering, waiting_room
    from risk.room_models import Room

    waiting_room._epochs.clear()
    now = timezone.now()
    Room.objects.create(show="gala", opens_at=now + timedelta(minutes=10))
    steering.collect(show="gala", actor="ops", now=now)
    standing = waiting_room.join(show="gala", buyer_id=7, now=now)
    token = signing.sign_number(waiting_room.number_of("gala", 7, standing))
    one = edges(upstream=f"127.0.0.1:{free_port()}")
    told: Any = http.get(f"{one.url}/api/v1/shows/gala/queue?number={token.replace('~', '%7E')}")
    assert (told.status_code, told.json()["token"]) == (202, token)
