"""
Judging merchants: a night of 10,000 merchants who sold a million orders that day; and of a population of 500 over three
weeks with planted wrongs, what share of the cases is right and what share of the wrongs becomes one.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from benchmarks.figures import Figure, benchmark

MERCHANTS, ORDERS, BUYERS = 10_000, 1_000_000, 200_000
SMALL, DAYS, SHARE_BAD, SMALL_BUYERS = 500, 21, 0.1, 20_000
BAR_S = 120

# One day of many merchants; what happens to each order is decided by its number, so that it is the same in each run.
DAY = """
INSERT INTO planted (merchant, buyer_id, amount_minor, paid_at, refunded_at, disputed_at, account, device, show)
SELECT 'm' || lpad((n %% %(merchants)s)::text, 5, '0'), (%(buyers)s::bigint[])[(1 + (n * 7919) %% %(people)s)::int],
       10000 * (1 + n %% 37), %(midnight)s + (n %% 86000) * interval '1 second',
       CASE WHEN n %% 25 = 0 THEN %(midnight)s + (n %% 86000) * interval '1 second' + interval '10 minutes' END,
       CASE WHEN n %% 900 = 0 THEN %(midnight)s + interval '20 hours' END,
       CASE WHEN n %% 2 = 0 THEN 'a' || (n * 7919) %% %(people)s ELSE '' END, 'd' || (n * 7919) %% %(people)s, 'on'
  FROM generate_series(1::bigint, %(orders)s) n
"""


@lru_cache(maxsize=1)
def small() -> dict[str, Any]:
    """Cases and wrongs after three weeks that nobody marked anything in."""
    from django.db import connection
    from django.utils import timezone

    from desk.merchants import MERCHANT_SUSPECT
    from operations.planted import merchants as planted
    from operations.planted import trading as written
    from ticketing import trading

    now = timezone.localtime().replace(hour=3, minute=0, second=0, microsecond=0)
    midnight = now.replace(hour=0) - timedelta(days=DAYS)
    population = planted.population(merchants=SMALL, share_bad=SHARE_BAD, days=DAYS, seed=1)
    buyers = written.write_merchants(population, buyers=SMALL_BUYERS, now=now)
    for day in range(DAYS):
        begins = midnight + timedelta(days=day)
        sold = (
            sale
            for one in population
            for sale in planted.sales(one, day=day, midnight=begins, buyers=SMALL_BUYERS, seed=1)
        )
        written.write_sales(sold, buyers=buyers, tag=f"S{day:02d}X", now=now)
    _at_rest()
    for day in range(DAYS):
        trading.judge_night(now=midnight + timedelta(days=day + 1, hours=2, minutes=40))
    with connection.cursor() as cursor:
        cursor.execute(MERCHANT_SUSPECT.detector, dict(MERCHANT_SUSPECT.parameters))
        cases = {row[0] for row in cursor.fetchall()}
    wrong = {one.code for one in population if one.kind != planted.HONEST}
    return {"cases": len(cases), "wrongs": len(wrong), "right": len(cases & wrong), "merchants": SMALL}


@lru_cache(maxsize=1)
def large() -> dict[str, Any]:
    """Seconds to gather and judge one day, and to learn from 28 of them."""
    from django.utils import timezone

    from operations.planted import merchants as planted
    from operations.planted import trading as written
    from risk.trading import assess
    from ticketing import trading

    small()  # its merchants are in the same database, and their days are over
    now = timezone.localtime().replace(hour=3, minute=0, second=0, microsecond=0) - timedelta(days=40)
    midnight = now.replace(hour=0) - timedelta(days=1)
    population = planted.population(merchants=MERCHANTS + SMALL, share_bad=0, days=DAYS, seed=2)[SMALL:]
    buyers = written.write_merchants(population, buyers=BUYERS, now=now, prefix="u", venue="planted-2")
    values = {
        "merchants": MERCHANTS,
        "buyers": buyers,
        "people": BUYERS,
        "midnight": midnight,
        "orders": ORDERS,
    }
    written.write_rows(DAY, values, tag="LX", now=now)
    _at_rest()
    begun = time.perf_counter()
    judged = trading.judge_day(midnight.date(), now=now)
    judging_s = time.perf_counter() - begun
    _copy_days(midnight)
    begun = time.perf_counter()
    assess.learn(until=now.date(), now=now)
    return {
        "judging_s": round(judging_s, 1),
        "learning_s": round(time.perf_counter() - begun, 1),
        "judged": len(judged),
    }


def _copy_days(midnight: datetime) -> None:
    """The merchants' day, as if it had been the same on each of 27 days before."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO risk_merchantday (merchant, day, facts, measures, score, judged_at)
               SELECT merchant, day - n, facts, measures, score, judged_at
                 FROM risk_merchantday, generate_series(1, 27) n WHERE day = %s""",
            [midnight.date()],
        )


def _at_rest() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


@benchmark("trading", when_named=True)
def trading() -> Figure:
    told = large()
    return Figure(
        "trading",
        told["judging_s"] + told["learning_s"],
        "s",
        bar=BAR_S,
        facts={**told, "merchants": MERCHANTS, "orders": ORDERS},
    )


@benchmark("trading_precision", when_named=True)
def trading_precision() -> Figure:
    told = small()
    return Figure("trading_precision", told["right"] / told["cases"], "share", bar=0.7, facts=told)


@benchmark("trading_recall", when_named=True)
def trading_recall() -> Figure:
    told = small()
    return Figure("trading_recall", told["right"] / told["wrongs"], "share", bar=0.9, facts=told)
