"""Reads that decide nothing may ask a replica; nothing that decides does, and no money (M13)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import OperationalError, connections
from django.test import Client

from basis import replica
from operations.audit import audit
from ticketing import availability, expiry, orders, seats_left
from ticketing.models import Event, Order, OrderState, Show, Ticket


class ReplicaAsked(Exception):
    """Somebody has asked the replica."""


class Away(OperationalError):
    """What a replica says that is not there."""


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(replica, "_away_until", 0.0)
    cache.clear()


def install(monkeypatch, error: type[Exception]) -> None:
    """A replica that raises at the first question."""
    monkeypatch.setitem(connections.settings, replica.REPLICA, {**connections.settings["default"]})
    connection = connections[replica.REPLICA]
    for name in ("ensure_connection", "connect", "cursor"):
        monkeypatch.setattr(connection, name, lambda *_, **__: (_ for _ in ()).throw(error("asked")))


@pytest.fixture
def telltale(monkeypatch) -> Iterator[None]:
    install(monkeypatch, ReplicaAsked)
    yield
    del connections[replica.REPLICA]


@pytest.fixture
def away(monkeypatch) -> Iterator[None]:
    install(monkeypatch, Away)
    yield
    del connections[replica.REPLICA]


LOOKS = {
    "seats left": lambda show, now: seats_left.count(show.code, now=now),
    "tiers": lambda show, now: availability.by_tier(show, now=now),
    "sections": lambda show, now: availability.by_section(show),
    "events": lambda show, now: Client().get("/"),
    "events, API": lambda show, now: Client().get("/api/v1/events"),
    "event, API": lambda show, now: Client().get(f"/api/v1/events/{show.event.slug}"),
    "show, API": lambda show, now: Client().get(f"/api/v1/shows/{show.code}"),
    "availability, API": lambda show, now: Client().get(f"/api/v1/shows/{show.code}/availability"),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_what_people_look_at_asks_the_replica(show, clock, telltale, look):
    with pytest.raises(ReplicaAsked):
        look(show, clock())


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_while_it_is_away_the_primary_answers(show, clock, away, look):
    answer = look(show, clock())
    assert getattr(answer, "status_code", 200) == 200


def test_a_replica_that_was_away_is_not_asked_again_at_once(show, clock, away, caplog):
    seats_left.count(show.code, now=clock())
    seats_left.count(show.code, now=clock())
    assert [record.message for record in caplog.records].count("replica.away") == 1


def test_no_decision_asks_it(show, buyer, clock, settle_outbox, telltale):
    """An order's whole way with money, over HTTP as well; a second order is left to expire; then the audit."""
    lin = buyer("lin", cash=10_000_000)
    client = Client()
    client.force_login(lin)

    def post(path: str, body: dict[str, object]) -> dict[str, str]:
        answer = client.post(
            f"/api/v1/{path}",
            body,
            content_type="application/json",
            headers={"Idempotency-Key": f"{path}:{len(body)}"},
        )
        assert answer.status_code in (200, 201), answer.content
        return answer.json()

    number = post("orders", {"show": show.code, "tier": "GOLD", "quantity": 2})["number"]
    offer = post(f"orders/{number}/payment-token", {})
    paid = post("payments", {"order": number, "channel": "wallet", "token": offer["token"]})
    assert paid["state"] == "succeeded"
    gold = show.tiers.get(code="GOLD").pk
    left = orders.place_order(buyer=lin, client_key="k", tier_id=gold, quantity=1, now=clock())
    clock.advance(hours=2)
    expiry.expire_due(now=clock())
    settle_outbox()
    assert Order.objects.get(pk=left.pk).state == OrderState.EXPIRED
    assert Order.objects.get(number=number).state == OrderState.PAID
    assert Ticket.objects.count() == 2
    assert not [wrong for result in audit(now=clock()) for wrong in result.violations]


def test_an_object_that_was_looked_at_decides_at_the_primary(show, telltale):
    found = Show.objects.get(pk=show.pk)
    found._state.db = found.event._state.db = replica.REPLICA
    found.event.name_en = "Renamed"
    found.event.save()
    assert Event.objects.get(pk=found.event_id).name_en == "Renamed"
    assert found.tiers.count() == 6


def test_what_only_looks_cannot_write(show, monkeypatch):
    monkeypatch.setitem(connections.settings, replica.REPLICA, {**connections.settings["default"]})

    @replica.looks
    def not_only_a_look():
        Show.objects.filter(pk=show.pk).update(starts_at=show.starts_at + timedelta(days=1))

    with pytest.raises(replica.Decides):
        not_only_a_look()
    del connections[replica.REPLICA]


def test_without_one_everything_is_as_before(show, clock):
    assert replica.REPLICA not in connections
    assert replica.connection() is connections["default"]
    assert sum(tier.total for tier in seats_left.count(show.code, now=clock()).tiers) > 0
