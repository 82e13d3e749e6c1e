"""
What each organiser's day looked like, for `risk.trading` to judge: one pass over the day's paid orders into a temporary
table, then a grouped query for each kind of fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from basis.sealed import blind_index
from risk.trading import assess
from risk.trading.assess import POPULATION_DAYS, Judged
from risk.trading.profile import Concentration, Trading

SOON = timedelta(hours=1)
SPLIT_GAP = timedelta(minutes=10)
DEVICE_DAYS = timedelta(days=60)
NIGHT = (1, 5)  # from, until, hours of the product's zone
NAMED = 20

PAID = """
DROP TABLE IF EXISTS pg_temp.trading_paid;
CREATE TEMPORARY TABLE trading_paid ON COMMIT DROP AS
SELECT organiser.code AS merchant, o.id, o.number, o.buyer_id, o.amount_minor, o.state, payment.paid_at,
       payment.number AS payment, event.published, show.starts_at
  FROM payments_payment payment
  JOIN ticketing_order o ON o.winner = payment.number
  JOIN ticketing_show show ON show.id = o.show_id
  JOIN ticketing_event event ON event.id = show.event_id
  JOIN ticketing_organiser organiser ON organiser.id = event.organiser_id
 WHERE payment.purchase_kind = 'order' AND payment.outcome = 'won'
   AND payment.paid_at >= %(since)s AND payment.paid_at < %(until)s;
ANALYZE trading_paid
"""

TOTALS = """
SELECT merchant, count(*), sum(amount_minor), max(amount_minor),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY amount_minor),
       count(*) FILTER (WHERE night), count(DISTINCT buyer_id),
       (array_agg(number ORDER BY amount_minor DESC, number))[1:%(named)s],
       (array_agg(number ORDER BY number) FILTER (WHERE night))[1:%(named)s]
  FROM (SELECT *, extract(hour FROM paid_at AT TIME ZONE %(zone)s) >= %(night_from)s
               AND extract(hour FROM paid_at AT TIME ZONE %(zone)s) < %(night_until)s AS night FROM trading_paid) paid
 GROUP BY 1 ORDER BY 1
"""

USUAL = """
SELECT merchant, percentile_disc(0.5) WITHIN GROUP (ORDER BY (facts ->> 'took_minor')::bigint), count(*)
  FROM risk_merchantday
 WHERE day >= %(day)s::date - %(days)s AND day < %(day)s AND (facts ->> 'paid')::int > 0 GROUP BY 1
"""

# Who has the most paid orders of each merchant, by buyer, by device, by account with the channel.
MOST = """
SELECT DISTINCT ON (merchant) merchant, who, orders, numbers FROM (
  SELECT paid.merchant, {who} AS who, count(DISTINCT paid.id) AS orders,
         (array_agg(DISTINCT paid.number))[1:%(named)s] AS numbers
    FROM trading_paid paid {joined} GROUP BY 1, 2
) grouped WHERE who <> '' ORDER BY merchant, orders DESC, who
"""
BUYER = MOST.format(who="paid.buyer_id::text", joined="")
DEVICE = MOST.format(
    who="seen.device",
    joined="JOIN risk_buyerdevice seen ON seen.buyer_id = paid.buyer_id AND seen.last_seen >= %(seen_since)s",
)
# Alipay names its account in the message; WeChat Pay's is sealed inside, and a bound card is not there yet.
CARD = MOST.format(
    who="told.account",
    joined="""JOIN LATERAL (
      SELECT substring(encode(notification.body, 'escape') FROM '(?:^|&)buyer_(?:open_)?id=([^&]+)') AS account
        FROM payments_notification notification
       WHERE notification.payment_number = paid.payment AND notification.channel = 'alipay'
         AND notification.verdict = 'applied' LIMIT 1
    ) told ON told.account IS NOT NULL""",
)

REFUNDS = """
SELECT organiser.code, count(DISTINCT o.id),
       count(DISTINCT o.id) FILTER (WHERE refund.refunded_at < payment.paid_at + %(soon)s),
       (array_agg(DISTINCT o.number))[1:%(named)s],
       (array_agg(DISTINCT o.number) FILTER (WHERE refund.refunded_at < payment.paid_at + %(soon)s))[1:%(named)s]
  FROM payments_refund refund
  JOIN payments_payment payment ON payment.id = refund.payment_id AND payment.outcome = 'won'
  JOIN ticketing_order o ON o.winner = payment.number
  JOIN ticketing_show show ON show.id = o.show_id
  JOIN ticketing_event event ON event.id = show.event_id
  JOIN ticketing_organiser organiser ON organiser.id = event.organiser_id
 WHERE refund.state = 'succeeded' AND refund.refunded_at >= %(since)s AND refund.refunded_at < %(until)s
 GROUP BY 1
"""

ROUND_TRIPS = """
SELECT DISTINCT ON (merchant) merchant, count(*), (array_agg(number ORDER BY number))[1:%(named)s]
  FROM trading_paid WHERE state = 'refunded' GROUP BY merchant, buyer_id ORDER BY merchant, count(*) DESC
"""

OWN_PEOPLE = """
SELECT paid.merchant, count(DISTINCT paid.id), (array_agg(DISTINCT paid.number))[1:%(named)s]
  FROM trading_paid paid
  JOIN risk_merchantperson person ON person.merchant = paid.merchant
 WHERE paid.buyer_id = person.user_id OR EXISTS (
         SELECT 1 FROM risk_buyerdevice theirs JOIN risk_buyerdevice buyers ON buyers.device = theirs.device
          WHERE theirs.buyer_id = person.user_id AND buyers.buyer_id = paid.buyer_id)
 GROUP BY 1
"""

SPLIT = """
SELECT DISTINCT ON (merchant) merchant, count(*), sum(amount_minor), (array_agg(number ORDER BY paid_at))[1:%(named)s]
  FROM (
    SELECT *, sum(breaks) OVER (PARTITION BY merchant, buyer_id, amount_minor ORDER BY paid_at, number) AS row_of
      FROM (SELECT *, coalesce(paid_at - lag(paid_at) OVER (
                         PARTITION BY merchant, buyer_id, amount_minor ORDER BY paid_at, number
                       ) > %(gap)s, false)::int AS breaks
              FROM trading_paid) gaps
  ) rows_of GROUP BY merchant, buyer_id, amount_minor, row_of ORDER BY merchant, count(*) DESC
"""

OFF_SHOW = """
SELECT merchant, count(*), (array_agg(number ORDER BY number))[1:%(named)s] FROM trading_paid
 WHERE NOT published OR paid_at > starts_at GROUP BY 1
"""


def judge_day(day: date, *, now: datetime) -> list[Judged]:
    """Judge what every organiser did on `day`, as far as it has come. Repeatable."""
    return assess.assess(gather(day, now=now), now=now)


def judge_night(*, now: datetime) -> list[Judged]:
    """The nightly round: yesterday in whole, then new bars from it and the days before."""
    today = timezone.localtime(now).date()
    judged = judge_day(today - timedelta(days=1), now=now)
    assess.learn(until=today, now=now)
    return judged


def gather(day: date, *, now: datetime) -> list[Trading]:
    """The day's facts, one `Trading` for each organiser that sold anything."""
    zone = timezone.get_default_timezone()
    since = datetime.combine(day, time.min, tzinfo=zone)
    values: dict[str, Any] = {
        "since": since,
        "until": min(since + timedelta(days=1), now),
        "day": day,
        "days": POPULATION_DAYS,
        "zone": str(zone),
        "night_from": NIGHT[0],
        "night_until": NIGHT[1],
        "named": NAMED,
        "soon": SOON,
        "gap": SPLIT_GAP,
        "seen_since": since - DEVICE_DAYS,
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            for statement in PAID.split(";"):
                cursor.execute(statement, values)
        found = _totals(day, values)
        for complete in (_usual, _most, _refunds, _habits):
            complete(found, values)
    return list(found.values())


def _totals(day: date, values: dict[str, Any]) -> dict[str, Trading]:
    return {
        merchant: Trading(
            merchant=merchant,
            day=day,
            paid=paid,
            took_minor=int(took),
            largest_minor=int(largest),
            middling_minor=int(middling),
            at_night=night,
            buyers=buyers,
            numbers={"surge": dear, "amount_out_of_pattern": dear, "at_night": by_night or []},
        )
        for merchant, paid, took, largest, middling, night, buyers, dear, by_night in _rows(TOTALS, values)
    }


def _usual(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for merchant, usual, days in _rows(USUAL, values):
        if merchant in found:
            found[merchant] = replace(found[merchant], usual_minor=int(usual), days_known=days)


def _most(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for name, rule, sql in (
        ("buyer", "one_buyer", BUYER),
        ("device", "one_device", DEVICE),
        ("card", "one_card", CARD),
    ):
        for merchant, who, orders, numbers in _rows(sql, values):
            # The account is somebody's; its blind index tells as well that it is the same one.
            shown = blind_index(who, "trading:account") if name == "card" else who
            most = Concentration(shown, orders, numbers)
            changes: Any = {name: most}
            found[merchant] = _named(replace(found[merchant], **changes), rule, numbers)


def _refunds(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for merchant, refunded, soon, numbers, quick in _rows(REFUNDS, values):
        if merchant in found:
            trading = replace(found[merchant], refunded=refunded, refunded_soon=soon)
            found[merchant] = _named(_named(trading, "refund_rate", numbers), "refunded_soon", quick or [])


def _habits(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for merchant, orders, numbers in _rows(ROUND_TRIPS, values):
        found[merchant] = _named(replace(found[merchant], round_trips=orders), "round_trips", numbers)
    for merchant, orders, numbers in _rows(OWN_PEOPLE, values):
        found[merchant] = _named(replace(found[merchant], own_people=orders), "self_dealing", numbers)
    for merchant, orders, minor, numbers in _rows(SPLIT, values):
        trading = replace(found[merchant], split=orders, split_minor=int(minor))
        found[merchant] = _named(trading, "splitting", numbers)
    for merchant, orders, numbers in _rows(OFF_SHOW, values):
        found[merchant] = _named(replace(found[merchant], off_show=orders), "without_show", numbers)


def _named(trading: Trading, rule: str, numbers: list[str]) -> Trading:
    return replace(trading, numbers={**trading.numbers, rule: numbers})


def _rows(sql: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        yield from cursor.fetchall()
