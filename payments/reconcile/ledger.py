"""Our successes of the day with the ledger: what each one moved on the channel's clearing account."""

from __future__ import annotations

from typing import Any

from django.db import connection

from payments import money

PAYMENT = """
SELECT 'payment' AS kind, payment.number, 'pay:' || payment.number AS entry, payment.id AS payment_id,
       NULL::bigint AS refund_id, payment.amount_minor, payment.currency, payment.paid_at AS at
  FROM payments_payment payment WHERE payment.channel = %(channel)s AND payment.state = 'succeeded'
"""
REFUND = """
SELECT 'refund', refund.number, 'refund:' || refund.number, payment.id, refund.id, -refund.amount_minor,
       refund.currency, refund.refunded_at
  FROM payments_refund refund CROSS JOIN LATERAL (
    SELECT one.id FROM payments_payment one WHERE one.id = refund.payment_id AND one.channel = %(channel)s LIMIT 1
  ) payment
 WHERE refund.state = 'succeeded' AND refund.destination = 'origin'
"""
PAID_TODAY = "payment.paid_at >= %(begins)s AND payment.paid_at < %(ends)s"
REFUNDED_TODAY = "refund.refunded_at >= %(begins)s AND refund.refunded_at < %(ends)s"
# Nearly all of a day's are booked at about the time at which they happened: these are found as a set, among the
# entries of about that day. What is not among them is looked up one by one, wherever in history it was booked.
UNBOOKED = f"""
CREATE TEMPORARY TABLE unbooked ON COMMIT DROP AS
SELECT * FROM ({PAYMENT} AND {PAID_TODAY} UNION ALL {REFUND} AND {REFUNDED_TODAY}) ours
 WHERE NOT EXISTS ({money.CLEARED_EXACTLY.format(entry="ours.entry", amount="-ours.amount_minor")}
   AND entry.id BETWEEN %(first)s AND %(last)s AND posting.entry_id BETWEEN %(first)s AND %(last)s)
UNION ALL {PAYMENT} AND NOT ({PAID_TODAY}) AND payment.number IN (SELECT number FROM waiting WHERE kind = 'payment')
UNION ALL {REFUND} AND NOT ({REFUNDED_TODAY}) AND refund.number IN (SELECT number FROM waiting WHERE kind = 'refund');
ANALYZE unbooked;
"""  # noqa: S608
LEDGER = f"""
INSERT INTO found (klass, kind, number, day, payment_id, refund_id, ours_minor, theirs_minor, currency, facts, mark)
SELECT 'ledger_differs', kind, number, (at AT TIME ZONE %(zone)s)::date, payment_id, refund_id, amount_minor, NULL,
       currency, jsonb_build_object('booked_minor', booked), coalesce(booked::text, 'nothing')
  FROM (
    SELECT ours.*, ({money.CLEARED.format(entry="ours.entry")}) AS booked FROM unbooked ours
     WHERE ({money.CLEARED_EXACTLY.format(entry="ours.entry", amount="-ours.amount_minor")} LIMIT 1) IS NULL
  ) ours;
DROP TABLE unbooked;
"""  # noqa: S608


def find(values: dict[str, Any]) -> None:
    values = {**values, "clearing": money.clearing_accounts(values["channel"])}
    with connection.cursor() as cursor:
        cursor.execute(money.BOOKED_BETWEEN, values)
        values["first"], values["last"] = cursor.fetchone()
        cursor.execute(UNBOOKED, values)
        cursor.execute(LEDGER, values)
