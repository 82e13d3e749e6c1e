"""Our successes of the day with the ledger: what each one moved on the channel's clearing account."""

from __future__ import annotations

from typing import Any

from django.db import connection

from payments import money

LEDGER = """
INSERT INTO found (klass, kind, number, day, payment_id, refund_id, ours_minor, theirs_minor, currency, facts, mark)
SELECT 'ledger_differs', '{kind}', ours.number, (ours.at AT TIME ZONE %(zone)s)::date, ours.payment_id, ours.refund_id,
       ours.amount_minor, NULL, ours.currency, jsonb_build_object('booked_minor', booked),
       coalesce(booked::text, 'nothing')
  FROM (SELECT ours.*, ({sum}) AS booked FROM ({day} UNION ALL {waiting}) ours WHERE NOT EXISTS ({exact})) ours
"""
PAYMENT = """
SELECT payment.number, payment.id AS payment_id, NULL::bigint AS refund_id, payment.amount_minor, payment.currency,
       payment.paid_at AS at
  FROM payments_payment payment WHERE payment.channel = %(channel)s AND payment.state = 'succeeded'
"""
REFUND = """
SELECT refund.number, payment.id AS payment_id, refund.id AS refund_id, -refund.amount_minor AS amount_minor,
       refund.currency, refund.refunded_at AS at
  FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
 WHERE payment.channel = %(channel)s AND refund.state = 'succeeded'
"""


def _question(kind: str, ours: str, at: str, number: str, entry: str) -> str:
    today = f"{at} >= %(begins)s AND {at} < %(ends)s"
    waiting = f"{number} IN (SELECT number FROM waiting WHERE kind = '{kind}')"  # noqa: S608
    return LEDGER.format(
        kind=kind,
        day=f"{ours} AND {today}",
        waiting=f"{ours} AND NOT ({today}) AND {waiting}",
        sum=money.CLEARED.format(entry=entry),
        exact=money.CLEARED_EXACTLY.format(entry=entry, amount="-ours.amount_minor"),
    )


PAYMENTS = _question("payment", PAYMENT, "payment.paid_at", "payment.number", "'pay:' || ours.number")
REFUNDS = _question("refund", REFUND, "refund.refunded_at", "refund.number", "'refund:' || ours.number")


def find(values: dict[str, Any]) -> None:
    values = {**values, "clearing": money.clearing_accounts(values["channel"])}
    with connection.cursor() as cursor:
        cursor.execute(PAYMENTS, values)
        cursor.execute(REFUNDS, values)
