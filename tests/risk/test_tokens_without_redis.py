"""
The payment token's decision when the fast store was wiped or is away: 200 presses of one button are one payment, and
what the absence costs is printed.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from django.conf import settings
from django.db import connection

from basis import fast
from operations import devservices
from payments import checkout, money
from payments.models import Outcome, Payment
from tests.races.crowd import crowd
from ticketing import orders
from ticketing.models import PriceTier, Ticket
from wallet import ledger

pytestmark = pytest.mark.django_db(transaction=True)

PRESSES, AT_ONCE = 200, 12
CASH = 1_000_000


@pytest.fixture
def pid() -> Iterator[int]:
    """The Valkey that these tests may hurt; whatever they did, it runs again afterwards."""
    found = devservices.status()["valkey"]
    if not found["managed"]:
        if os.environ.get("KAIPIAO_REQUIRE_ALL") == "1":
            pytest.fail("REDIS_URL names a Redis that is not ours to stop")
        pytest.skip("REDIS_URL names a Redis that is not ours to stop")
    yield found["pid"]
    with suppress(ProcessLookupError):
        os.kill(found["pid"], signal.SIGCONT)
    devservices.up()
    fast.store.cache_clear()


@pytest.fixture
def order(show, buyer, clock):
    from accounts.models import User

    User.objects.create_user("lin")
    tier = PriceTier.objects.get(show=show, code="UPPER")
    return orders.place_order(
        buyer=buyer("lin", cash=CASH), client_key="k", tier_id=tier.pk, quantity=1, now=clock()
    )


def press_all(order, clock, *, between=lambda _press: None) -> list[float]:
    """Press Pay 200 times with one token, 12 at a time; the seconds that each press took, in their order."""
    token = checkout.offer(kind="order", number=order.number, buyer_id=order.buyer_id, now=clock.now).token
    connection.close()

    def press(number: int) -> tuple[str, float]:
        between(number)
        begun = time.perf_counter()
        try:
            payment = checkout.pay(
                kind="order",
                number=order.number,
                buyer_id=order.buyer_id,
                channel="wallet",
                token=token,
                return_url="",
                now=clock.now,
            )
        finally:
            connection.close()
        return payment.number, time.perf_counter() - begun

    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(press, range(PRESSES)))
    assert len({number for number, _ in told}) == 1
    return sorted(seconds for _, seconds in told)


def press_once(order, clock) -> float:
    """The seconds that the one press of a fresh order page took."""
    token = checkout.offer(kind="order", number=order.number, buyer_id=order.buyer_id, now=clock.now).token
    begun = time.perf_counter()
    try:
        checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=order.buyer_id,
            channel="wallet",
            token=token,
            return_url="",
            now=clock.now,
        )
        return time.perf_counter() - begun
    finally:
        connection.close()


def assert_paid_once(order) -> None:
    assert Payment.objects.filter(outcome=Outcome.WON).count() == Payment.objects.count() == 1
    assert Ticket.objects.count() == 1
    assert ledger.balance(money.buyer_cash(order.buyer_id, "CNY")) == CASH - order.amount_minor


@contextmanager
def measured(what: str) -> Iterator[list[float]]:
    took: list[float] = []
    begun = time.perf_counter()
    yield took
    whole = time.perf_counter() - begun
    median, slowest = statistics.median(took) * 1000, max(took) * 1000
    print(f"\n{what}: {len(took)} presses in {whole:.2f} s, median {median:.1f} ms, slowest {slowest:.0f} ms")


def test_with_the_store_answering(order, clock, pid):
    with measured("store answers") as took:
        took.extend(press_all(order, clock))
    assert_paid_once(order)


def test_with_the_store_wiped_before_every_press(order, clock, pid):
    with measured("store wiped before every press") as took:
        took.extend(press_all(order, clock, between=lambda _press: devservices.wipe_valkey()))
    assert_paid_once(order)


def test_with_the_store_killed_in_the_middle(order, clock, pid):
    def kill_at_the_twentieth(press: int) -> None:
        if press == 20:
            devservices.kill_valkey()

    with measured("store killed at press 20") as took:
        took.extend(press_all(order, clock, between=kill_at_the_twentieth))
    assert_paid_once(order)


def test_with_the_store_silent(order, clock, pid):
    """The worst way to be away: it accepts connections and never answers."""
    fast.store().ping()
    os.kill(pid, signal.SIGSTOP)
    with measured("store silent") as took:
        took.extend(press_all(order, clock))
    assert_paid_once(order)


def test_a_silent_store_does_not_slow_a_whole_sale(show, buyer, clock, pid):
    """Every order pays once: after the first waits the process knows for a second that nobody answers."""
    tier = PriceTier.objects.get(show=show, code="UPPER")
    placed = [
        orders.place_order(buyer=person, client_key="k", tier_id=tier.pk, quantity=1, now=clock())
        for person in crowd(buyer, 60, cash=CASH)
    ]
    fast.store().ping()
    os.kill(pid, signal.SIGSTOP)
    with measured("store silent, 60 orders") as took, ThreadPoolExecutor(AT_ONCE) as pool:
        connection.close()
        took.extend(pool.map(lambda order: press_once(order, clock), placed))
    assert Payment.objects.filter(outcome=Outcome.WON).count() == len(placed)
    # Without that knowledge each order waits for both of its questions to the store.
    assert sum(took) < 0.75 * len(placed) * 2 * settings.REDIS_TIMEOUT_S


def test_the_first_press_meets_a_store_that_falls_silent(order, clock, pid):
    def stop_at_the_first(press: int) -> None:
        if press == 0:
            os.kill(pid, signal.SIGSTOP)

    with measured("store silent from the first press on") as took:
        took.extend(press_all(order, clock, between=stop_at_the_first))
    assert_paid_once(order)
