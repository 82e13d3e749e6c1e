"""
Settlement of the clearing accounts: what a funds statement says the channel kept as fees or sent to our bank leaves
the channel's clearing account. What was booked before for the same day counts: a statement that replaces another books
the difference, and running it again books nothing. Payments and refunds were booked when they happened.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from payments import money
from payments.reconcile_models import Settlement
from payments.statement_models import Statement

# A movement that names a withdrawal of ours is money sent to our bank and from there to somebody: the ledger's bank
# account was charged for it when it was paid out (payments.money).
PAID_OUT = """line.kind = 'other' AND EXISTS (
  SELECT 1 FROM payments_withdrawal withdrawal
   WHERE withdrawal.number = line.payment_number AND withdrawal.channel = line.channel
     AND withdrawal.currency = line.currency AND withdrawal.amount_minor = abs(line.amount_minor))"""
# The same of one that our books say was not paid out: its movement is told, its withdrawal asked about.
PAID_OUT_AS_BOOKED = PAID_OUT.replace(
    "withdrawal.channel = line.channel", "withdrawal.channel = line.channel AND withdrawal.state <> 'refused'"
)
# Fees stand in lines of their own, or are told inside the line of a payment.
MOVED = f"""
WITH moved AS (
  SELECT currency, coalesce(sum(fee_milli), 0) / 1000 AS fee,
         coalesce(-sum(amount_minor) FILTER (WHERE kind = 'transfer' OR {PAID_OUT}), 0) AS transfer
    FROM payments_statementline line WHERE channel = %(channel)s AND day = %(day)s AND statement_id = %(funds)s
   GROUP BY currency
), wanted AS (
  SELECT currency, 'fee' AS kind, round(fee)::bigint AS minor FROM moved
  UNION ALL SELECT currency, 'transfer', transfer::bigint FROM moved
), booked AS (
  SELECT currency, kind, sum(amount_minor) AS minor FROM payments_settlement
   WHERE channel = %(channel)s AND day = %(day)s GROUP BY currency, kind
)
SELECT coalesce(wanted.kind, booked.kind), coalesce(wanted.currency, booked.currency),
       (coalesce(wanted.minor, 0) - coalesce(booked.minor, 0))::bigint
  FROM wanted FULL JOIN booked USING (currency, kind)
 WHERE coalesce(wanted.minor, 0) <> coalesce(booked.minor, 0) ORDER BY 1, 2
"""  # noqa: S608


def book(funds: Statement, *, now: datetime) -> dict[str, int]:
    """Book a day's funds statement in the caller's transaction; fen by kind and currency."""
    channel, day = funds.channel, funds.day
    values: dict[str, Any] = {"channel": channel, "day": day, "funds": funds.pk, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(MOVED, values)
        moved = cursor.fetchall()
    for kind, currency, amount in moved:
        key = f"settle:{channel}:{day}:{kind}:{currency}:{funds.pk}"
        Settlement.objects.create(
            key=key,
            channel=channel,
            day=day,
            kind=kind,
            statement=funds,
            amount_minor=amount,
            currency=currency,
            booked_at=now,
        )
        money.book_settlement(
            key=key,
            channel=channel,
            currency=currency,
            kind=kind,
            amount_minor=amount,
            reference=f"{channel}:{day}",
            at=now,
        )
    return {f"{kind}:{currency}": amount for kind, currency, amount in moved}
