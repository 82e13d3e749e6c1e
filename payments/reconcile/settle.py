"""
Settlement of the clearing accounts: what a funds statement says the channel kept as fees or sent to our bank leaves
the channel's clearing account. What was booked before for the same day counts: a statement that replaces another books
the difference, and running it again books nothing.

Payments and refunds were booked when they happened; a funds statement must move as much as the day's trade statement.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.db import connection

from payments import money
from payments.reconcile.scope import BOTH
from payments.reconcile_models import ReconcileRun, Settlement
from payments.statement_models import Statement, StatementKind

# Fees stand in lines of their own, or are told inside the line of a payment.
MOVED = """
WITH moved AS (
  SELECT currency, coalesce(sum(fee_milli), 0) / 1000 AS fee,
         coalesce(-sum(amount_minor) FILTER (WHERE kind = 'transfer'), 0) AS transfer
    FROM payments_statementline WHERE channel = %(channel)s AND day = %(day)s AND statement_id = %(funds)s
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
"""

# The trade statement's sums of the day, of what it covers, against the funds statement's, with the fees that were taken
# inside a line; and movements that are none of what we know.
FUNDS = """
WITH sums AS (
  SELECT kind, currency, coalesce(round(sum(amount_minor + CASE kind WHEN 'other' THEN 0 ELSE fee_milli END / 1000.0)
           FILTER (WHERE statement_id = %(funds)s)), 0)::bigint AS funds,
         coalesce(sum(amount_minor) FILTER (WHERE statement_id = %(trade)s AND status <> 'failed'), 0)::bigint AS trade
    FROM payments_statementline
   WHERE channel = %(channel)s AND day = %(day)s AND kind = ANY(%(kinds)s)
     AND statement_id IN (%(funds)s, %(trade)s)
   GROUP BY kind, currency
)
SELECT concat_ws(':', %(channel)s, kind, 'funds_differ', %(day)s, currency, left(md5(concat_ws('/', trade, funds)), 8)),
       kind, currency, trade, funds FROM sums WHERE trade <> funds
"""
KEEP = """
INSERT INTO payments_discrepancy (key, run_id, channel, day, klass, kind, number, ours_minor, theirs_minor, currency,
  state, resolution, reason, resolved_by, facts, first_seen_day, found_at)
VALUES (%(key)s, %(run)s, %(channel)s, %(day)s, 'funds_differ', %(kind)s, '', %(trade)s, %(moved)s, %(currency)s,
  'open', '', '', '', '{}', %(day)s, %(now)s) ON CONFLICT (key) DO NOTHING
"""
SETTLE = """
UPDATE payments_discrepancy SET state = 'resolved', resolution = 'agrees', resolved_at = %(now)s
 WHERE channel = %(channel)s AND day = %(day)s AND klass = 'funds_differ' AND state IN ('open', 'carried')
   AND kind = ANY(%(kinds)s) AND NOT key = ANY(%(keys)s)
"""


def book(*, channel: str, day: date, now: datetime) -> dict[str, int]:
    """Book the day's funds statement in the caller's transaction; fen by kind, nothing where there is no statement."""
    funds = _counting(channel, day, StatementKind.FUNDS)
    if funds is None:
        return {}
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
    _compare(values)
    return {f"{kind}:{currency}": amount for kind, currency, amount in moved}


def _compare(values: dict[str, Any]) -> None:
    trade = _counting(values["channel"], values["day"], StatementKind.TRADE)
    run = ReconcileRun.objects.filter(statement=trade).order_by("pk").last() if trade else None
    if trade is None or run is None:
        return
    values = {**values, "trade": trade.pk, "kinds": [*(trade.totals.get("covers") or BOTH), "other"]}
    with connection.cursor() as cursor:
        cursor.execute(FUNDS, values)
        odd = cursor.fetchall()
        for key, kind, currency, listed, moved in odd:
            found = {"key": key, "kind": kind, "currency": currency, "trade": listed, "moved": moved}
            cursor.execute(KEEP, {**values, **found, "run": run.pk})
        cursor.execute(SETTLE, {**values, "keys": [row[0] for row in odd]})


def _counting(channel: str, day: date, kind: StatementKind) -> Statement | None:
    return Statement.objects.filter(channel=channel, day=day, kind=kind, replaced_by=None).first()
