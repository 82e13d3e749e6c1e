"""
Successes of ours that were recorded when the statement of their day had already been compared: a notify that came days
late, an answer asked out of the channel, a refund that its bank took a week for. Nobody runs their day again for them,
so that every full run looks at those which were recorded since the last one began.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection

# A success is dated before its transaction begins and seen when it commits: longer than any transaction may take.
COMMITTED_WITHIN = timedelta(hours=1)

SINCE = """
SELECT max(started_at) FROM payments_reconcilerun WHERE channel = %(channel)s AND state = 'done'
"""
# Of days that a run of the statement which counts has compared; this run's own day is looked at as a whole.
LATE = """
INSERT INTO waiting (kind, number, day, klass, key)
SELECT DISTINCT kind, number, done.day, '', '' FROM (
  SELECT 'payment' AS kind, payment.number, (payment.paid_at AT TIME ZONE %(zone)s)::date AS day
    FROM payments_paymentevent event CROSS JOIN LATERAL (
      SELECT * FROM payments_payment one WHERE one.id = event.payment_id LIMIT 1) payment
   WHERE event.at >= %(since)s AND event.to_state = 'succeeded'
     AND payment.channel = %(channel)s AND payment.state = 'succeeded'
  UNION ALL
  SELECT 'refund', refund.number, (refund.refunded_at AT TIME ZONE %(zone)s)::date
    FROM payments_refundevent event
   CROSS JOIN LATERAL (SELECT * FROM payments_refund one WHERE one.id = event.refund_id LIMIT 1) refund
   CROSS JOIN LATERAL (SELECT * FROM payments_payment one WHERE one.id = refund.payment_id LIMIT 1) payment
   WHERE event.at >= %(since)s AND event.to_state = 'succeeded'
     AND payment.channel = %(channel)s AND refund.state = 'succeeded' AND refund.destination = 'origin'
) done JOIN live ON live.day = done.day AND live.covers ? done.kind
 WHERE done.day <> %(day)s
   AND EXISTS (SELECT 1 FROM payments_reconcilerun run WHERE run.statement_id = live.id AND run.state = 'done')
"""


def add(values: dict[str, Any]) -> int:
    """Put them among what is judged again; how many there are. Nothing, unless a whole day is being compared."""
    if values["statement"] is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(SINCE, values)
        (last,) = cursor.fetchone()
        if last is None:
            return 0
        cursor.execute(LATE, {**values, "since": last - COMMITTED_WITHIN})
        added: int = cursor.rowcount
        if added:
            cursor.execute("ANALYZE waiting")
    return added
