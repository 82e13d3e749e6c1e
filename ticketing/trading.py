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

from payments.models import ChannelCode
from risk.trading import assess
from risk.trading.assess import POPULATION_DAYS, Judged
from risk.trading.profile import Concentration, Trading

SOON = timedelta(hours=1)
SPLIT_GAP = timedelta(minutes=10)
DEVICE_DAYS = timedelta(days=60)
# Refunds come days after the sale, disputes weeks: the day is judged together with those before it.
REFUND_DAYS, DISPUTE_DAYS = 7, 28
ROUND_TRIPS_MIN = 4  # fewer are not worth a look at what else the buyer bought
NIGHT = (1, 5)  # from, until, hours of the product's zone
NAMED = 20

SOLD_BY = """
  JOIN ticketing_order o ON o.winner = payment.number
  JOIN ticketing_show show ON show.id = o.show_id
  JOIN ticketing_event event ON event.id = show.event_id
  JOIN ticketing_organiser organiser ON organiser.id = event.organiser_id
"""

# A day of a million orders is more than what a page may take, and its sums want room to sort in.
PATIENT = "SET LOCAL statement_timeout = '10min'; SET LOCAL work_mem = '128MB';"

PAID = """
DROP TABLE IF EXISTS pg_temp.trading_paid;
CREATE TEMPORARY TABLE trading_paid ON COMMIT DROP AS
SELECT organiser.code AS merchant, o.id, o.number, o.buyer_id, o.amount_minor, payment.paid_at,
       payment.number AS payment, payment.channel, event.published, show.starts_at
  FROM payments_payment payment SOLD_BY
 WHERE payment.purchase_kind = 'order' AND payment.outcome = 'won' AND payment.state = 'succeeded'
   AND payment.channel = ANY(%(channels)s) AND payment.paid_at >= %(since)s AND payment.paid_at < %(until)s;
ANALYZE trading_paid
""".replace("SOLD_BY", SOLD_BY)

# Orders with money that went back lately, each once.
REFUNDED = """
DROP TABLE IF EXISTS pg_temp.trading_refunded;
CREATE TEMPORARY TABLE trading_refunded ON COMMIT DROP AS
SELECT organiser.code AS merchant, o.id, o.number, o.buyer_id, o.state, payment.paid_at,
       min(refund.refunded_at) AS first_at, max(refund.refunded_at) AS last_at
  FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id SOLD_BY
 WHERE refund.state = 'succeeded' AND refund.refunded_at >= %(refunds_since)s AND refund.refunded_at < %(until)s
   AND payment.outcome = 'won'
 GROUP BY organiser.code, o.id, payment.paid_at;
ANALYZE trading_refunded
""".replace("SOLD_BY", SOLD_BY)

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

# The days before: what is usual, and how many orders the refunds and disputes of late may be compared with.
USUAL = """
SELECT merchant, percentile_disc(0.5) WITHIN GROUP (ORDER BY (facts ->> 'took_minor')::bigint),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY (facts ->> 'largest_minor')::bigint), count(*),
       sum((facts ->> 'paid')::int) FILTER (WHERE day > %(day)s::date - %(refund_days)s), sum((facts ->> 'paid')::int)
  FROM risk_merchantday
 WHERE day > %(day)s::date - %(days)s AND day < %(day)s AND (facts ->> 'paid')::int > 0 GROUP BY 1
"""

# Who has the most paid orders of each merchant: one buyer, or one device or account with the channel of several.
MOST = """
SELECT DISTINCT ON (merchant) merchant, who, orders, numbers FROM (
  SELECT paid.merchant, {who} AS who, count(DISTINCT paid.id) AS orders,
         (array_agg(DISTINCT paid.number))[1:%(named)s] AS numbers
    FROM trading_paid paid {joined} GROUP BY 1, 2 HAVING count(DISTINCT paid.buyer_id) >= {buyers}
) grouped WHERE who <> '' ORDER BY merchant, orders DESC, who
"""
BUYER = MOST.format(who="paid.buyer_id::text", joined="", buyers=1)
DEVICE = MOST.format(
    who="seen.device",
    joined="JOIN risk_buyerdevice seen ON seen.buyer_id = paid.buyer_id AND seen.last_seen >= %(seen_since)s",
    buyers=2,
)
# What the channel's message named as the payer, as a blind index (payments.notify).
CARD = MOST.format(
    who="told.payer",
    joined="""JOIN payments_notification notification ON notification.payment_number = paid.payment
              AND notification.channel = paid.channel AND notification.verdict = 'applied'
    CROSS JOIN LATERAL (SELECT notification.facts ->> 'payer' AS payer) told""",
    buyers=2,
)

REFUNDS = """
SELECT merchant, count(*) FILTER (WHERE last_at >= %(since)s),
       count(*) FILTER (WHERE first_at >= %(since)s AND first_at < paid_at + %(soon)s),
       count(*) FILTER (WHERE paid_at >= %(refunds_since)s),
       (array_agg(number ORDER BY number) FILTER (WHERE paid_at >= %(refunds_since)s))[1:%(named)s],
       (array_agg(number ORDER BY number)
          FILTER (WHERE first_at >= %(since)s AND first_at < paid_at + %(soon)s))[1:%(named)s]
  FROM trading_refunded GROUP BY 1
"""

DISPUTES = """
SELECT organiser.code, count(DISTINCT o.id), (array_agg(DISTINCT o.number))[1:%(named)s]
  FROM payments_dispute dispute JOIN payments_payment payment ON payment.id = dispute.payment_id SOLD_BY
 WHERE dispute.opened_at >= %(disputes_since)s AND dispute.opened_at < %(until)s AND dispute.state <> 'dismissed'
 GROUP BY 1
""".replace("SOLD_BY", SOLD_BY)

# Of who buys much, some comes back: only a buyer who gives back most of what he bought goes round and round.
ROUND_TRIPS = """
SELECT DISTINCT ON (merchant) merchant, orders, numbers FROM (
  SELECT merchant, buyer_id, count(*) AS orders, (array_agg(number ORDER BY number))[1:%(named)s] AS numbers
    FROM trading_refunded WHERE state = 'refunded' GROUP BY 1, 2 HAVING count(*) >= %(round_trips)s
) back WHERE 2 * orders > (
  SELECT count(*) FROM ticketing_order o JOIN ticketing_show show ON show.id = o.show_id
    JOIN ticketing_event event ON event.id = show.event_id
    JOIN ticketing_organiser organiser ON organiser.id = event.organiser_id
   WHERE o.buyer_id = back.buyer_id AND organiser.code = back.merchant AND o.winner <> ''
     AND o.placed_at >= %(refunds_since)s AND o.placed_at < %(until)s)
 ORDER BY merchant, orders DESC
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
    """The day's facts, one `Trading` for each organiser that sold, gave money back or was complained about."""
    values = _values(day, now)
    with transaction.atomic():
        with connection.cursor() as cursor:
            for statement in (PATIENT + PAID + ";" + REFUNDED).split(";"):
                cursor.execute(statement, values)
        found = _totals(day, values)
        for complete in (_refunds, _disputes, _usual, _most, _habits):
            complete(found, values)
    return list(found.values())


def _values(day: date, now: datetime) -> dict[str, Any]:
    zone = timezone.get_default_timezone()
    since = datetime.combine(day, time.min, tzinfo=zone)
    return {
        "since": since,
        "until": min(since + timedelta(days=1), now),
        "day": day,
        "days": POPULATION_DAYS,
        "channels": ChannelCode.values,
        "refund_days": REFUND_DAYS,
        "round_trips": ROUND_TRIPS_MIN,
        "refunds_since": since - timedelta(days=REFUND_DAYS - 1),
        "disputes_since": since - timedelta(days=DISPUTE_DAYS - 1),
        "zone": str(zone),
        "night_from": NIGHT[0],
        "night_until": NIGHT[1],
        "named": NAMED,
        "soon": SOON,
        "gap": SPLIT_GAP,
        "seen_since": since - DEVICE_DAYS,
    }


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
    for merchant, usual, largest, days, lately, all_days in _rows(USUAL, values):
        if merchant in found:
            found[merchant] = replace(
                found[merchant],
                usual_minor=int(usual),
                usual_largest_minor=int(largest),
                days_known=days,
                week_paid=lately or 0,
                month_paid=all_days,
            )
    # The day itself belongs to its week and its month.
    for merchant, one in found.items():
        found[merchant] = replace(
            one, week_paid=one.week_paid + one.paid, month_paid=one.month_paid + one.paid
        )


def _most(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for name, rule, sql in (
        ("buyer", "one_buyer", BUYER),
        ("device", "one_device", DEVICE),
        ("card", "one_card", CARD),
    ):
        for merchant, who, orders, numbers in _rows(sql, values):
            changes: Any = {name: Concentration(who, orders, numbers)}
            found[merchant] = _named(replace(found[merchant], **changes), rule, numbers)


def _known(found: dict[str, Trading], merchant: str, values: dict[str, Any]) -> Trading:
    """The merchant's day; an empty one if it sold nothing."""
    return found.get(merchant) or Trading(merchant=merchant, day=values["day"])


def _refunds(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for merchant, refunded, soon, of_week, numbers, quick in _rows(REFUNDS, values):
        trading = replace(
            _known(found, merchant, values), refunded=refunded, refunded_soon=soon, week_refunded=of_week
        )
        found[merchant] = _named(_named(trading, "refund_rate", numbers or []), "refunded_soon", quick or [])
    for merchant, orders, numbers in _rows(ROUND_TRIPS, values):
        found[merchant] = _named(replace(found[merchant], round_trips=orders), "round_trips", numbers)


def _disputes(found: dict[str, Trading], values: dict[str, Any]) -> None:
    for merchant, disputed, numbers in _rows(DISPUTES, values):
        trading = replace(_known(found, merchant, values), month_disputed=disputed)
        found[merchant] = _named(trading, "dispute_rate", numbers)


def _habits(found: dict[str, Trading], values: dict[str, Any]) -> None:
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
