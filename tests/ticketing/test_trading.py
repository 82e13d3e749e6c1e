"""What an organiser's day looked like: each fact is planted, and found as it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from operations import seeding
from payments import disputes
from payments.models import Notification, Payment, Refund
from risk.trading_models import BuyerDevice, MerchantPerson, RiskFinding
from tests.conftest import Clock
from ticketing import tasks, trading
from ticketing.models import Event, Order, Show

SEATS = 60


@pytest.fixture
def noon(show: Show, clock: Clock) -> datetime:
    """A day of paid orders, every buyer another one, all paid between noon and two."""
    noon = timezone.localtime(clock()).replace(hour=12, minute=0, second=0, microsecond=0)
    seeding.seed_sold(show=show, seats=SEATS, now=clock())
    for n, order in enumerate(Order.objects.order_by("pk")):
        Payment.objects.filter(number=order.winner).update(paid_at=noon + timedelta(minutes=n))
    Show.objects.update(starts_at=noon + timedelta(days=30))
    return noon


def day_of(noon: datetime) -> Any:
    (found,) = trading.gather(noon.date(), now=noon + timedelta(hours=11))
    return found


def paid_at(order: Order, at: datetime) -> None:
    Payment.objects.filter(number=order.winner).update(paid_at=at)


def given_to(buyer: User, orders: list[Order]) -> None:
    Order.objects.filter(pk__in=[order.pk for order in orders]).update(buyer=buyer)


@pytest.fixture
def orders(noon: datetime) -> list[Order]:
    return list(Order.objects.order_by("pk"))


def test_an_ordinary_day(noon: datetime, orders: list[Order]) -> None:
    found = day_of(noon)
    assert (found.paid, found.took_minor) == (len(orders), sum(order.amount_minor for order in orders))
    assert found.largest_minor == max(order.amount_minor for order in orders)
    assert (found.at_night, found.off_show, found.refunded, found.own_people) == (0, 0, 0, 0)
    assert found.buyer.orders <= 2
    assert trading.judge_day(noon.date(), now=noon + timedelta(hours=11))[0].found == []


def test_money_of_other_days_is_not_counted(noon: datetime, orders: list[Order]) -> None:
    paid_at(orders[0], noon - timedelta(days=1))
    paid_at(orders[1], noon + timedelta(days=1))
    assert day_of(noon).paid == len(orders) - 2


def test_nights_and_dead_shows(noon: datetime, orders: list[Order]) -> None:
    for order in orders[:3]:
        paid_at(order, noon - timedelta(hours=9))
    assert day_of(noon).at_night == 3
    Show.objects.update(starts_at=noon - timedelta(hours=5))
    found = day_of(noon)
    assert found.off_show == len(orders) - 3
    Event.objects.update(published=False)
    assert day_of(noon).off_show == len(orders)


def test_one_buyer_one_device_one_account(
    noon: datetime, orders: list[Order], buyer: Callable[..., User]
) -> None:
    lin, mei = buyer("lin"), buyer("mei")
    given_to(lin, orders[:5])
    given_to(mei, orders[5:7])
    for who in (lin, mei):
        BuyerDevice.objects.create(buyer_id=who.pk, device="one", first_seen=noon, last_seen=noon)
    for order in orders[3:7]:
        Payment.objects.filter(number=order.winner).update(channel="alipay")
        Notification.objects.create(
            channel="alipay", received_at=noon, verdict="applied", payment_number=order.winner,
            body=b"", facts={"what": "Paid", "payer": "a-blind-index"},
        )  # fmt: skip
    found = day_of(noon)
    assert (found.buyer.name, found.buyer.orders) == (str(lin.pk), 5)
    assert set(found.buyer.numbers) == {order.number for order in orders[:5]}
    assert (found.device.name, found.device.orders) == ("one", 7)
    assert found.card.orders == 4
    assert found.card.name == "a-blind-index"


def test_refunds_and_round_trips(noon: datetime, orders: list[Order], buyer: Callable[..., User]) -> None:
    lin = buyer("lin")
    given_to(lin, orders[:4])
    for n, order in enumerate(orders[:4]):
        payment = Payment.objects.get(number=order.winner)
        assert payment.paid_at is not None
        Refund.objects.create(
            number=f"R{n}", payment=payment, key=f"t{n}", amount_minor=payment.amount_minor, currency="CNY",
            reason="x", state="succeeded", created_at=noon,
            refunded_at=payment.paid_at + timedelta(minutes=30 if n < 3 else 90),
        )  # fmt: skip
    Order.objects.filter(pk__in=[order.pk for order in orders[:4]]).update(state="refunded")
    found = day_of(noon)
    assert (found.refunded, found.refunded_soon, found.round_trips) == (4, 3, 4)
    assert (found.week_refunded, found.week_paid) == (4, len(orders))


def test_money_that_goes_back_days_later_is_seen(
    noon: datetime, orders: list[Order], buyer: Callable[..., User]
) -> None:
    """Sold on one day, refunded on another on which nothing is sold: each day alone looks like nothing."""
    given_to(buyer("lin"), orders[:5])
    later = noon + timedelta(days=3)
    for n, order in enumerate(orders[:5]):
        Refund.objects.create(
            number=f"R{n}", payment=Payment.objects.get(number=order.winner), key=f"t{n}",
            amount_minor=order.amount_minor, currency="CNY", reason="x", state="succeeded", created_at=later,
            refunded_at=later,
        )  # fmt: skip
    Order.objects.filter(pk__in=[order.pk for order in orders[:5]]).update(state="refunded")
    trading.judge_day(noon.date(), now=noon + timedelta(hours=11))
    (found,) = trading.gather(later.date(), now=later + timedelta(hours=1))
    assert (found.paid, found.week_refunded, found.week_paid) == (0, 5, len(orders))
    assert found.round_trips == 5
    trading.judge_day(later.date(), now=later + timedelta(hours=1))
    assert RiskFinding.objects.get().rule == "round_trips"


def test_who_comes_back_now_and_then_goes_round_no_circles(
    noon: datetime, orders: list[Order], buyer: Callable[..., User]
) -> None:
    """An agency that buys twelve and gives five back."""
    given_to(buyer("lin"), orders[:12])
    for n, order in enumerate(orders[:5]):
        Refund.objects.create(
            number=f"R{n}", payment=Payment.objects.get(number=order.winner), key=f"t{n}",
            amount_minor=order.amount_minor, currency="CNY", reason="x", state="succeeded", created_at=noon,
            refunded_at=noon + timedelta(hours=5),
        )  # fmt: skip
    Order.objects.filter(pk__in=[order.pk for order in orders[:5]]).update(state="refunded")
    assert day_of(noon).round_trips == 0


def test_disputes_are_counted_until_they_are_dismissed(noon: datetime, orders: list[Order]) -> None:
    filed = [
        disputes.file(
            payment_number=order.winner, kind="complaint", source="alipay", reference=f"c{n}", actor="alipay",
            opened_at=noon + timedelta(hours=3), now=noon + timedelta(hours=3),
        )
        for n, order in enumerate(orders[:4])
    ]  # fmt: skip
    found = day_of(noon)
    assert (found.month_disputed, found.month_paid) == (4, len(orders))
    assert set(found.numbers["dispute_rate"]) == {order.number for order in orders[:4]}
    trading.judge_day(noon.date(), now=noon + timedelta(hours=11))
    assert RiskFinding.objects.get().rule == "dispute_rate"
    disputes.decide(dispute_id=filed[0].pk, upheld=False, actor="mei", reason="was there", now=noon)
    assert day_of(noon).month_disputed == 3


def test_split_orders(noon: datetime, orders: list[Order], buyer: Callable[..., User]) -> None:
    given_to(buyer("lin"), orders[:9])
    Order.objects.filter(pk__in=[order.pk for order in orders[:9]]).update(amount_minor=50_000)
    # A row of six, then a gap of eleven minutes, then three.
    for n, order in enumerate(orders[:9]):
        paid_at(order, noon + timedelta(minutes=9 * n + (11 if n >= 6 else 0)))
    found = day_of(noon)
    assert (found.split, found.split_minor) == (6, 300_000)


def test_its_own_people_and_their_devices(
    noon: datetime, orders: list[Order], buyer: Callable[..., User]
) -> None:
    boss, front = buyer("boss"), buyer("front")
    merchant = orders[0].show.event.organiser.code
    MerchantPerson.objects.create(merchant=merchant, user=boss)
    for who in (boss, front):
        BuyerDevice.objects.create(buyer_id=who.pk, device="office", first_seen=noon, last_seen=noon)
    given_to(boss, orders[:2])
    given_to(front, orders[2:6])
    found = day_of(noon)
    assert found.own_people == 6
    trading.judge_day(noon.date(), now=noon + timedelta(hours=11))
    finding = RiskFinding.objects.get(rule="self_dealing")
    assert set(finding.evidence["orders"]) == {order.number for order in orders[:6]}


def test_beat_judges_today_and_the_night_learns(noon: datetime, orders: list[Order]) -> None:
    now = timezone.now()
    for order in orders:
        paid_at(order, now - timedelta(seconds=5))
    Event.objects.update(published=False)
    assert tasks.judge_todays_trading() >= 1  # at night they are odd for that too
    assert "without_show" in RiskFinding.objects.values_list("rule", flat=True)
    tasks.judge_yesterdays_trading()
    from risk.trading_models import TradingRule

    assert TradingRule.objects.filter(learned_at__isnull=False).count() == 13


def test_signing_in_notes_the_device(db: None, buyer: Callable[..., User]) -> None:
    lin = buyer("lin")
    client = Client()
    client.cookies["device"] = "a-device-mark-of-a-phone"
    for _again in range(2):
        answer = client.post(
            "/api/v1/auth/session",
            {"identifier": "lin", "password": "a long enough password"},
            content_type="application/json",
        )
        assert answer.status_code in (200, 201), answer.content
    seen = BuyerDevice.objects.get()
    assert seen.buyer_id == lin.pk
    assert "phone" not in seen.device


def test_a_held_settlement_stands_on_the_organiser(show: Show, clock: Clock) -> None:
    from risk.trading import marking

    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    code = show.event.organiser.code
    assert f"riskfinding/?q={code}" not in client.get("/admin/ticketing/organiser/").content.decode()
    marking.hold(merchant=code, actor="boss", reason="sells to itself", now=clock())
    assert f"riskfinding/?q={code}" in client.get("/admin/ticketing/organiser/").content.decode()
