"""
Our successes that no line names. Near the cut-off, or while a statement on which the line may stand is not loaded, they
are carried; else the channel does not know of them.

A payment's line stands on the day of its payment; one that is listed as revoked is not missing, its state differs
(`compare`). A refund's may stand on any day from our request to the channel's answer: WeChat Pay lists them when they
are submitted. While the statement of its own day does not cover the kind, nothing is missing, however long ago it was.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

# The few that today's lines do not name, counted before the others' lines are asked: a look per row, not all history.
UNLISTED = """
CREATE TEMPORARY TABLE unlisted ON COMMIT DROP AS
SELECT * FROM (
  {day}
  UNION ALL
  {waiting}
) ours WHERE NOT EXISTS (
  SELECT 1 FROM payments_statementline line
   WHERE line.channel = %(channel)s AND line.day = %(day)s AND line.kind = '{kind}'
     AND line.statement_id = %(statement)s AND line.number = ours.number);
ANALYZE unlisted;
"""
ABSENT = """
WITH absent AS MATERIALIZED (
  SELECT *, EXISTS (
      SELECT 1 FROM generate_series((from_at AT TIME ZONE %(zone)s)::date,
                                    (until_at AT TIME ZONE %(zone)s)::date, interval '1 day') AS may(day)
       WHERE NOT EXISTS (SELECT 1 FROM live WHERE live.day = may.day::date AND live.covers ? '{kind}')
    ) AND (done_at > %(now)s - %(carry)s OR NOT EXISTS (
      SELECT 1 FROM live WHERE live.day = (done_at AT TIME ZONE %(zone)s)::date AND live.covers ? '{kind}')) AS waits
    FROM unlisted WHERE NOT EXISTS (
    SELECT 1 FROM payments_statementline line
     WHERE line.number = unlisted.number AND line.kind = '{kind}' AND line.channel = %(channel)s
       AND line.statement_id IN (SELECT id FROM live)
    ) AND NOT ('{kind}' = 'payment' AND EXISTS (
    SELECT 1 FROM payments_statementline line
     WHERE line.payment_number = unlisted.number AND line.status = 'revoked' AND line.channel = %(channel)s
       AND line.statement_id IN (SELECT id FROM live)))
)
INSERT INTO found (klass, kind, number, day, state, payment_id, refund_id, ours_minor, currency, facts, mark)
SELECT CASE WHEN waits THEN 'crossing' ELSE '{klass}' END, '{kind}', number, (done_at AT TIME ZONE %(zone)s)::date,
       CASE WHEN waits THEN 'carried' ELSE 'open' END, payment_id, refund_id, amount_minor, currency,
       jsonb_build_object('our_reference', reference, 'at', done_at),
       CASE WHEN waits THEN '' ELSE amount_minor::text END
  FROM absent;
DROP TABLE unlisted;
"""
PAYMENT = """
SELECT payment.number, payment.id AS payment_id, NULL::bigint AS refund_id, payment.amount_minor, payment.currency,
       payment.channel_reference AS reference, payment.paid_at AS done_at, payment.paid_at - %(window)s AS from_at,
       payment.paid_at + %(window)s AS until_at
  FROM payments_payment payment WHERE payment.channel = %(channel)s AND payment.state = 'succeeded'
"""
REFUND = """
SELECT refund.number, payment.id AS payment_id, refund.id AS refund_id, -refund.amount_minor AS amount_minor,
       refund.currency, refund.channel_reference AS reference, refund.refunded_at AS done_at,
       refund.created_at - %(window)s AS from_at, refund.refunded_at + %(window)s AS until_at
  FROM payments_refund refund CROSS JOIN LATERAL (
    SELECT * FROM payments_payment one WHERE one.id = refund.payment_id AND one.channel = %(channel)s LIMIT 1) payment
 WHERE refund.state = 'succeeded' AND refund.destination = 'origin'
   AND refund.reason <> 'chargeback'  -- no refund of ours there: its movement is told as one that names none
"""


def _question(kind: str, klass: str, ours: str, at: str, number: str) -> str:
    today = f"{at} >= %({kind}s_begin)s AND {at} < %(ends)s"
    waiting = f"{number} IN (SELECT number FROM waiting WHERE kind = '{kind}')"  # noqa: S608
    return (UNLISTED + ABSENT).format(
        kind=kind,
        klass=klass,
        day=f"{ours} AND {today}",
        waiting=f"{ours} AND NOT ({today}) AND {waiting}",
    )


PAYMENTS = _question("payment", "missing_there", PAYMENT, "payment.paid_at", "payment.number")
REFUNDS = _question("refund", "refund_missing_there", REFUND, "refund.refunded_at", "refund.number")


def find(values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(PAYMENTS, values)
        cursor.execute(REFUNDS, values)
