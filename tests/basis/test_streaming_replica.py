"""A real streaming replica (M13): what people look at is asked of it, however late it is; what decides never is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client

from basis import replica as asked
from operations.audit import audit
from tests.basis.streaming import PORT, Replica, streaming
from tests.needs import needed
from ticketing import orders, seats, seats_left
from ticketing.models import Order, OrderState, SeatState, Ticket


@pytest.fixture
def replica(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    if os.environ.get("DATABASE_URL"):
        needed("an embedded Postgres", "a replica is copied from one that the tests have started")
    monkeypatch.setattr(asked, "_away_until", 0.0)
    cache.clear()
    with streaming() as running:
        primary = connections.settings["default"]
        monkeypatch.setitem(
            connections.settings,
            asked.REPLICA,
            {
                **primary,
                "NAME": connections["default"].settings_dict["NAME"],
                "PORT": str(PORT),
                "OPTIONS": {
                    **{name: value for name, value in primary["OPTIONS"].items() if name != "pool"},
                    "connect_timeout": 10,  # A killed one refuses at once; a busy machine may take its time.
                    "options": "-c default_transaction_read_only=on",
                },
            },
        )
        with contextlib.suppress(AttributeError):
            del connections[
                asked.REPLICA
            ]  # a connection of that name which another test has left goes elsewhere
        connection = connections[asked.REPLICA]

        def ensure_connection() -> None:
            if connection.connection is None:
                with connection.wrap_database_errors:
                    connection.connect()

        # The test case lets nobody connect to a database that it was not told of before.
        monkeypatch.setattr(connection, "ensure_connection", ensure_connection)
        connection.ensure_connection()
        assert connection.connection.info.port == PORT
        yield running
        connection.close()
        del connections[asked.REPLICA]


def left(show: Any, clock: Any) -> int:
    """Free seats of the tier as people see them."""
    cache.clear()
    return next(tier.free for tier in seats_left.count(show.code, now=clock()).tiers if tier.code == "GOLD")


def again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The five seconds are over in which a replica that did not answer is not asked."""
    monkeypatch.setattr(asked, "_away_until", 0.0)


def test_lag_misleads_who_looks_and_nothing_that_decides(show, buyer, clock, settle_outbox, replica):
    lin, wei = buyer("lin", cash=100_000_000), buyer("wei", cash=100_000_000)
    gold = show.tiers.get(code="GOLD")
    # Four seats are left, and people see them.
    four = list(gold.seats.filter(state=SeatState.FREE).order_by("pk").values_list("pk", flat=True)[:4])
    gold.seats.exclude(pk__in=four).update(state=SeatState.BLOCKED)
    replica.catch_up()
    assert left(show, clock) == 4
    replica.hold_back()

    client = Client()
    client.force_login(lin)
    number = post(client, "orders", {"show": show.code, "tier": "GOLD", "quantity": 4})["number"]
    token = post(client, f"orders/{number}/payment-token", {})["token"]
    paid = post(client, "payments", {"order": number, "channel": "wallet", "token": token})
    assert paid["state"] == "succeeded"
    assert post(client, "payments", {"order": number, "channel": "wallet", "token": token}) == paid
    settle_outbox()
    assert Order.objects.get(number=number).state == OrderState.PAID
    assert Ticket.objects.count() == 4

    # The replica still shows the seats to everybody; nobody is sold one.
    assert left(show, clock) == 4
    with pytest.raises(seats.SoldOut):
        orders.place_order(buyer=wei, client_key="k", tier_id=gold.pk, quantity=1, now=clock())
    assert not [wrong for result in audit(now=clock()) for wrong in result.violations]

    replica.go_on()
    assert left(show, clock) == 0


def post(client: Client, path: str, body: dict[str, object]) -> dict[str, Any]:
    answer = client.post(
        f"/api/v1/{path}",
        body,
        content_type="application/json",
        headers={"Idempotency-Key": f"{path}:{len(body)}"},
    )
    assert answer.status_code in (200, 201), answer.content
    return dict(answer.json())


def test_a_replica_that_dies_and_comes_back(show, buyer, clock, replica, monkeypatch, caplog):
    gold = show.tiers.get(code="GOLD")
    replica.catch_up()
    before = left(show, clock)
    replica.hold_back()
    orders.place_order(buyer=buyer("lin"), client_key="k", tier_id=gold.pk, quantity=2, now=clock())
    assert left(show, clock) == before  # the replica's word

    replica.kill()
    assert left(show, clock) == before - 2  # the primary's
    assert left(show, clock) == before - 2
    assert [record.message for record in caplog.records].count("replica.away") == 1
    again(monkeypatch)
    assert left(show, clock) == before - 2
    assert Client().get(f"/api/v1/shows/{show.code}/availability").status_code == 200

    replica.start()
    replica.catch_up()
    replica.hold_back()
    orders.place_order(buyer=buyer("wei"), client_key="k", tier_id=gold.pk, quantity=1, now=clock())
    again(monkeypatch)
    assert left(show, clock) == before - 2  # the replica's word again, by the same process


def test_it_refuses_to_write_by_itself(show, replica):
    """Also to who goes round the router."""
    with pytest.raises(Exception, match="read-only"), connections[asked.REPLICA].cursor() as cursor:
        cursor.execute("UPDATE ticketing_show SET code = code")
