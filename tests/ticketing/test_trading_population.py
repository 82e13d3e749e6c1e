"""Merchants with planted wrongs among honest ones: each wrong is found by its own rule, and few others are bothered."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from desk.merchants import MERCHANT_SUSPECT
from operations.planted import merchants as planted
from operations.planted import trading as written
from operations.planted.merchants import HONEST, KINDS, Merchant
from risk.trading import marking
from risk.trading_models import RiskFinding
from tests.conftest import Clock
from ticketing import trading

# Merchants with fewer orders a day stay below what shares are judged by.
JUDGED_FROM = 15
MERCHANTS, SHARE_BAD, DAYS, BUYERS, SEED = 60, 1 / 3, 12, 3000, 1


def night(midnight: datetime, day: int) -> datetime:
    return midnight + timedelta(days=day + 1, hours=2, minutes=40)


@pytest.fixture
def midnight(clock: Clock) -> datetime:
    today = timezone.localtime(clock()).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS)


@pytest.fixture
def population(db: None, clock: Clock, midnight: datetime) -> list[Merchant]:
    found = planted.population(merchants=MERCHANTS, share_bad=SHARE_BAD, days=DAYS, seed=SEED)
    buyers = written.write_merchants(found, buyers=BUYERS, now=clock())
    for day in range(DAYS):
        sold: Iterable[planted.Sale] = (
            sale
            for one in found
            for sale in planted.sales(
                one, day=day, midnight=midnight + timedelta(days=day), buyers=BUYERS, seed=SEED
            )
        )
        written.write_sales(sold, buyers=buyers, tag=f"{day}X", now=clock())
    with connection.cursor() as cursor:
        # What autovacuum does for a sale of days it cannot do for rows that no other transaction sees: it finds the
        # tables empty, and plans made by that took minutes. Our own look keeps it away until the end of the test.
        cursor.execute("ANALYZE")
    return found


def suspects() -> set[str]:
    """The merchants about whom the desk would open a case."""
    with connection.cursor() as cursor:
        cursor.execute(MERCHANT_SUSPECT.detector, dict(MERCHANT_SUSPECT.parameters))
        return {row[0] for row in cursor.fetchall()}


def mark_all(kinds: dict[str, str], at: datetime) -> None:
    for finding in RiskFinding.objects.filter(state="open"):
        state = "false_alarm" if kinds[finding.merchant] == HONEST else "confirmed"
        marking.mark(finding_id=finding.pk, state=state, actor="mei", reason="looked into", now=at)


def test_wrongs_are_found_and_honest_merchants_seldom(population: list[Merchant], midnight: datetime) -> None:
    for day in range(DAYS):
        trading.judge_night(now=night(midnight, day))
    kinds = {one.code: one.kind for one in population}
    found = set(RiskFinding.objects.values_list("merchant", "rule"))
    for kind in KINDS:
        wrong = {one.code for one in population if one.kind == kind and one.orders > JUDGED_FROM}
        assert {code for code in wrong if (code, kind) in found} == wrong, kind
    cases, wrong = suspects(), {code for code, kind in kinds.items() if kind != HONEST}
    assert len(cases & wrong) / len(wrong) >= 0.9, wrong - cases
    assert len(cases & wrong) / len(cases) >= 0.9, cases - wrong


def test_marking_makes_the_nights_quieter_and_no_less_sharp(
    population: list[Merchant], midnight: datetime
) -> None:
    kinds = {one.code: one.kind for one in population}
    for day in range(DAYS):
        trading.judge_night(now=night(midnight, day))
        mark_all(kinds, night(midnight, day))
    wrong = {code for code, kind in kinds.items() if kind != HONEST}
    last: date = (midnight + timedelta(days=DAYS - 2)).date()
    lately = list(RiskFinding.objects.filter(day__gte=last).values_list("merchant", flat=True))
    assert len(wrong & set(lately)) / len(wrong) >= 0.8
    assert sum(code in wrong for code in lately) / len(lately) >= 0.9
