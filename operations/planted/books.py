"""Our side of a planted day, as sets: payments and refunds that ended as they should, and their postings."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from operations.planted.file import FIRST_HOUR, SECONDS, Plan
from operations.planted.kinds import PARTS, REFUND_EVERY
from payments import money

CHANNEL = "alipay"
CHUNK = 100_000

SHAPES = f"""
CREATE TEMPORARY TABLE odd (nth bigint PRIMARY KEY, name text) ON COMMIT DROP;
CREATE TEMPORARY TABLE odd_refund (nth bigint PRIMARY KEY, name text) ON COMMIT DROP;
CREATE TEMPORARY VIEW planted_payment AS
SELECT nth, name, 'P' || %(ordinal)s || lpad(upper(to_hex(nth)), 14, '0') AS number,
       10000 + nth * 7919 %% 990 * 100 AS minor,
       CASE WHEN name = 'another currency' THEN 'USD' ELSE 'CNY' END AS currency,
       %(midnight)s::timestamptz + make_interval(secs => CASE
         WHEN name IN ('listed on the next day', 'never listed, near midnight') THEN 86399 - nth %% 300
         ELSE {FIRST_HOUR * 3600} + nth * {SECONDS} / %(spread)s END) AS at,
       %(date)s || '22' || lpad(nth::text, 18, '0') AS reference
  FROM (SELECT nth, odd.name FROM generate_series(1, %(payments)s::bigint) AS nth LEFT JOIN odd USING (nth)) plan
 WHERE name IS DISTINCT FROM 'unknown here';
CREATE TEMPORARY VIEW planted_refund AS
SELECT plan.nth, plan.name, part || %(ordinal)s || lpad(upper(to_hex(plan.nth)), 14, '0') AS number,
       paid.number AS payment,
       CASE WHEN part = 'S' THEN paid.minor - paid.minor / 2
            WHEN plan.nth %% 2 = 1 AND plan.name IS DISTINCT FROM '{PARTS}' THEN paid.minor
            ELSE paid.minor / 2 END AS minor, paid.at + interval '10 minutes' AS at
  FROM (SELECT nth, odd_refund.name
          FROM generate_series(1, %(refunds)s::bigint) AS nth LEFT JOIN odd_refund USING (nth)) plan
  JOIN planted_payment paid ON paid.nth = plan.nth * {REFUND_EVERY}
  JOIN (VALUES ('R'), ('S')) AS parts(part) ON part = 'R' OR plan.name = '{PARTS}'
 WHERE plan.name IS DISTINCT FROM 'refund unknown here';
"""  # noqa: S608
PAYMENTS = """
INSERT INTO payments_payment (number, purchase_kind, purchase_number, buyer_id, channel, amount_minor, currency,
  subject, state, outcome, created_at, expires_at, cashier_kind, cashier_url, channel_reference, refusal, paid_at)
SELECT number, 'planted', number, 1, %(channel)s, minor, currency, 'Tickets', state,
       CASE state WHEN 'succeeded' THEN 'won' ELSE '' END, at - interval '1 minute', at + interval '15 minutes', '', '',
       CASE state WHEN 'succeeded' THEN reference ELSE '' END, '', CASE state WHEN 'succeeded' THEN at END
  FROM (SELECT *, CASE name WHEN 'still pending here' THEN 'pending' WHEN 'closed here' THEN 'closed'
                            ELSE 'succeeded' END AS state FROM planted_payment) planted
"""
REFUNDS = """
INSERT INTO payments_refund (number, payment_id, key, amount_minor, currency, reason, state, refusal, channel_reference,
  requested_by, created_at, refunded_at)
SELECT planted.number, payment.id, 'planted:' || planted.number, minor, 'CNY', 'asked',
       CASE WHEN name = 'refund still on its way here' THEN 'processing' ELSE 'succeeded' END, '', '', '',
       at - interval '1 second', CASE WHEN name = 'refund still on its way here' THEN NULL ELSE at END
  FROM planted_refund planted JOIN payments_payment payment ON payment.number = planted.payment
"""
ENTRIES = """
WITH booked AS (
  SELECT 'pay:' || number AS key, 'payment' AS kind, number AS reference, at, currency, %(channel)s AS channel,
         minor + CASE WHEN name = 'a fen too much booked' THEN 1 ELSE 0 END AS minor
    FROM planted_payment
   WHERE nth > %(after)s AND nth <= %(until)s
     AND coalesce(name, '') NOT IN ('nothing booked', 'still pending here', 'closed here')
  UNION ALL
  SELECT 'refund:' || number, 'refund', payment, at, 'CNY', %(channel)s, -minor
    FROM planted_refund WHERE nth > %(after)s AND nth <= %(until)s
     AND coalesce(name, '') NOT IN ('refund not booked', 'refund still on its way here')
), entry AS (
  INSERT INTO wallet_journalentry (key, kind, reference, memo, at)
  SELECT key, kind, reference, '', at FROM booked RETURNING id, key
)
INSERT INTO wallet_posting (entry_id, account_id, amount_minor)
SELECT entry.id, account.id, CASE account.kind WHEN 'clearing' THEN -booked.minor ELSE booked.minor END
  FROM booked JOIN entry USING (key)
  JOIN wallet_account account ON account.currency = booked.currency
   AND (account.kind, account.owner) IN (('clearing', booked.channel), ('guarantee', ''))
"""


def write(plan: Plan, *, now: datetime) -> None:
    """Write payments, refunds and entries in one transaction, the ledger's guards in force."""
    for currency in ("CNY", "USD"):
        money.open_system_accounts(channels=[CHANNEL], currency=currency, now=now)
    values: dict[str, Any] = {
        "ordinal": f"{plan.day.toordinal():05X}",
        "date": f"{plan.day:%Y%m%d}",
        "midnight": datetime.combine(plan.day, time(), ZoneInfo(settings.TIME_ZONE)),
        "payments": plan.payments,
        "refunds": plan.refunds,
        "spread": plan.payments + 1,
        "channel": CHANNEL,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(SHAPES, values)
        for table, odd in (("odd", plan.odd), ("odd_refund", plan.odd_refunds)):
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in odd.items():
                    copy.write_row(row)
        cursor.execute("ANALYZE odd, odd_refund")
        cursor.execute(PAYMENTS, values)
        cursor.execute("ANALYZE payments_payment")
        cursor.execute(REFUNDS, values)
        for after in range(0, plan.payments, CHUNK):
            cursor.execute(ENTRIES, {**values, "after": after, "until": after + CHUNK})
        cursor.execute("DROP VIEW planted_refund, planted_payment; DROP TABLE odd, odd_refund")
        cursor.execute(
            "ANALYZE payments_payment, payments_refund, wallet_account, wallet_journalentry, wallet_posting"
        )
