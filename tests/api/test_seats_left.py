"""Availability: right, at most a second old, counted by one of many, and there without the fast store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
from django.db import connection
from django.utils import timezone

from basis import fast
from ticketing import seats_left
from ticketing.models import SalePhase, Seat, SeatState, Show

pytestmark = pytest.mark.django_db


def upper(who, show):
    return who.get(f"/shows/{show.code}/availability").json()["tiers"][-1]


def test_it_counts_what_is_for_sale(show, stranger, lin, place):
    Seat.objects.filter(pk__in=Seat.objects.filter(tier__code="UPPER")[:10]).update(state=SeatState.BLOCKED)
    place(lin, quantity=3)
    left = upper(stranger, show)
    assert (left["total"], left["free"]) == (390, 387)


def test_it_is_shared(show, lin, place, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(seats_left, "YOUNG_MS", 60_000)
    monkeypatch.setattr(seats_left, "KEEP_MS", 60_000)
    before = lin.get(f"/shows/{show.code}/availability").json()
    place(lin)
    with django_assert_num_queries(0):
        assert lin.get(f"/shows/{show.code}/availability").json() == before


def test_after_a_second_it_is_counted_anew(show, stranger, lin, place):
    before = stranger.get(f"/shows/{show.code}/availability").json()
    assert 0 < fast.store().pttl(seats_left._key(show.code)) <= 1000
    place(lin)
    time.sleep(1.05)
    after = stranger.get(f"/shows/{show.code}/availability").json()
    assert after["tiers"][-1]["free"] == 399
    assert after["as_of"] > before["as_of"]


def test_while_one_counts_the_others_read_the_old(show, django_assert_num_queries):
    now = timezone.now()
    seats_left.of(show.code, now=now)
    later = now + timedelta(milliseconds=seats_left.YOUNG_MS + 10)
    fast.store().set(seats_left._guard(show.code), 1)
    with django_assert_num_queries(0):
        assert seats_left.of(show.code, now=later).as_of == now
    fast.store().delete(seats_left._guard(show.code))
    assert seats_left.of(show.code, now=later).as_of == later


def test_a_guard_whose_holder_died_delays_a_moment_only(show):
    fast.store().set(seats_left._guard(show.code), 1)
    started = time.monotonic()
    assert seats_left.of(show.code, now=timezone.now()).tiers[-1].free == 400
    assert time.monotonic() - started < 2


def test_phases(show, stranger):
    def phase():
        fast.store().flushdb()
        return stranger.get(f"/shows/{show.code}/availability").json()["phase"]

    assert (phase()["state"], phase()["per_buyer_limit"]) == ("open", 4)
    opens_at = timezone.now() + timedelta(hours=1)
    SalePhase.objects.filter(kind="general").update(opens_at=opens_at)
    assert phase()["state"] == "coming"
    assert phase()["opens_at"] == opens_at.isoformat().replace("+00:00", "Z")
    SalePhase.objects.filter(kind="general").delete()
    assert phase() is None


def test_a_phase_opens_to_the_moment_also_from_the_cache(show):
    now = timezone.now()
    opens_at = now + timedelta(milliseconds=100)
    SalePhase.objects.filter(kind="general").update(opens_at=opens_at)
    found = seats_left.of(show.code, now=now)
    assert found.phase(now).state(now) == "coming"
    kept = seats_left.of(show.code, now=opens_at)
    assert kept.as_of == now
    assert kept.phase(opens_at).state(opens_at) == "open"


def test_a_show_without_tiers(show, stranger):
    Show.objects.create(event=show.event, venue=show.venue, code="bare", starts_at=show.starts_at)
    left = stranger.get("/shows/bare/availability").json()
    assert (left["tiers"], left["phase"]) == ([], None)


def test_without_the_fast_store(show, stranger, monkeypatch):
    away = redis.Redis(unix_socket_path="/nonexistent/valkey.sock", socket_connect_timeout=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(fast, "store", lambda: away)
        assert upper(stranger, show)["free"] == 400


@pytest.mark.django_db(transaction=True)
def test_a_stampede_counts_once(show, monkeypatch):
    counted = []
    count = seats_left.count

    def slow(code, *, now):
        counted.append(now)
        time.sleep(0.1)
        return count(code, now=now)

    monkeypatch.setattr(seats_left, "count", slow)
    barrier = threading.Barrier(16)

    def look(_):
        barrier.wait(10)
        try:
            return seats_left.of(show.code, now=timezone.now()).tiers[-1].free
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(look, range(16))) == {400}
    assert len(counted) == 1
