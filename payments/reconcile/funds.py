"""
The movements of a day with its trades, number by number: what a channel lists as paid or refunded must have moved on
our account with it, and its fee must be the one that it kept. What stands on the other side of midnight in one of the
two statements is looked for there; until that day's are here it is carried.

Some channels name a refund's movement by the refund's number, others by its payment's: a statement says which
(`totals.refunds_by`). Movements that name nothing of ours, or are of no kind that we know, are told each by itself.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from payments.reconcile.settle import PAID_OUT_AS_BOOKED

MANY = 100
NAMING = "SELECT refunds_by FROM live_funds ORDER BY day DESC LIMIT 1"
# What is to be judged: of this day what does not agree on the day itself, and what is unsettled of any day.
JUDGED = """
CREATE TEMPORARY TABLE judged (day date, kind text, key text, PRIMARY KEY (day, kind, key)) ON COMMIT DROP;
INSERT INTO judged SELECT DISTINCT day, kind, number FROM waiting WHERE klass = 'funds_differ' AND number <> '';
"""
# `listed` by the trades, `moved` by the movements, before fees that were taken inside.
ENTRIES = """
SELECT line.id, line.day, line.kind, line.currency, line.happened_at, line.amount_minor AS listed, 0 AS moved,
       line.fee_milli AS fee_listed, NULL::bigint AS fee_moved,
       CASE WHEN line.kind = 'refund' AND %(refunds_by)s = 'payment' THEN line.payment_number
            ELSE coalesce(nullif(line.number, ''), line.payment_number) END AS key
  FROM payments_statementline line
 WHERE line.channel = %(channel)s AND line.kind IN ('payment', 'refund') AND line.status <> 'failed' AND {trades}
 UNION ALL
SELECT line.id, line.day, line.kind, line.currency, line.happened_at, 0,
       line.amount_minor + CASE line.kind WHEN 'fee' THEN 0 ELSE line.fee_milli END / 1000.0, NULL,
       nullif(line.fee_milli, 0), coalesce(nullif(line.number, ''), line.payment_number)
  FROM payments_statementline line
 WHERE line.channel = %(channel)s AND line.kind IN ('payment', 'refund', 'fee') AND {movements}
"""
OF_THE_DAY = ENTRIES.format(
    trades="line.day = %(day)s AND line.statement_id = %(statement)s",
    movements="line.day = %(day)s AND line.statement_id = %(funds)s",
)
# A fee may be rounded to the fen in one statement and not in the other, once a line.
DIFFER = f"""
INSERT INTO judged
SELECT DISTINCT %(day)s::date, kind, key FROM (
  SELECT kind, key FROM ({OF_THE_DAY}) entry
   WHERE kind = ANY(%(covers)s) AND key <> ''
   GROUP BY kind, key, currency HAVING sum(listed) <> round(sum(moved))
   UNION ALL
  SELECT 'fee', key FROM ({OF_THE_DAY}) entry WHERE key <> ''
   GROUP BY key HAVING abs(sum(fee_listed) - sum(fee_moved)) > 500 * count(*)
) differing ON CONFLICT DO NOTHING
"""  # noqa: S608
# Nothing moved beside many trades: a statement that the channel forgot is one difference, not one for each of them.
NOTHING_MOVED = """
INSERT INTO found (klass, kind, number, day, ours_minor, theirs_minor, currency, facts, mark)
SELECT 'funds_differ', 'payment', '', live.day, sum(line.amount_minor), 0, line.currency,
       jsonb_build_object('trades', count(*)), concat_ws('/', live.day, line.currency)
  FROM live JOIN live_funds ON live_funds.day = live.day AND live_funds.lines = 0
  JOIN payments_statementline line ON line.channel = %(channel)s AND line.day = live.day AND line.statement_id = live.id
 WHERE live.lines > %(many)s
   AND (live.id = %(statement)s OR live.day IN (SELECT day FROM waiting WHERE klass = 'funds_differ' AND number = ''))
 GROUP BY live.day, line.currency
"""
DAYS = """
SELECT array_agg(DISTINCT judged.day + n) FROM judged CROSS JOIN generate_series(-1, 1) AS n
"""
NEAR = ENTRIES.format(
    trades="line.day = ANY(%(days)s) AND line.statement_id IN (SELECT id FROM live)",
    movements="line.day = ANY(%(days)s) AND line.statement_id IN (SELECT id FROM live_funds)",
)
# Each with what its neighbours have under the same number. One that only one side has, close to a midnight beyond which
# the other side is not here yet, waits for it.
AMOUNTS = f"""
WITH entry AS MATERIALIZED (
  SELECT judged.day AS of, near.* FROM judged JOIN ({NEAR}) near
      ON near.kind = judged.kind AND near.key = judged.key AND near.day BETWEEN judged.day - 1 AND judged.day + 1
   WHERE judged.kind <> 'fee'
), summed AS (
  SELECT of, kind, key, currency, coalesce(sum(listed) FILTER (WHERE day = of), 0)::bigint AS listed,
         coalesce(round(sum(moved) FILTER (WHERE day = of)), 0)::bigint AS moved,
         coalesce(max(id) FILTER (WHERE day = of AND fee_listed IS NULL), max(id) FILTER (WHERE day = of)) AS line_id,
         min(happened_at) FILTER (WHERE day = of) < of::timestamp AT TIME ZONE %(zone)s + %(window)s AS early,
         max(happened_at) FILTER (WHERE day = of) >= (of + 1)::timestamp AT TIME ZONE %(zone)s - %(window)s AS late
    FROM entry GROUP BY of, kind, key, currency
  HAVING sum(listed) <> round(sum(moved))
     AND coalesce(sum(listed) FILTER (WHERE day = of), 0) <> coalesce(round(sum(moved) FILTER (WHERE day = of)), 0)
), judgement AS (
  SELECT *, (listed = 0 OR moved = 0) AND %(now)s < (of + 1)::timestamp AT TIME ZONE %(zone)s + %(carry)s AND EXISTS (
      SELECT 1 FROM (VALUES (of - 1, early), (of + 1, late)) AS beyond(day, close)
       WHERE close AND NOT EXISTS (SELECT 1 FROM live WHERE moved <> 0 AND live.day = beyond.day
                         UNION ALL SELECT 1 FROM live_funds WHERE listed <> 0 AND live_funds.day = beyond.day)) AS waits
    FROM summed
)
INSERT INTO found (klass, kind, number, day, state, line_id, payment_id, refund_id, ours_minor, theirs_minor, currency,
                   facts, mark)
SELECT 'funds_differ', judgement.kind, judgement.key, of, CASE WHEN waits THEN 'carried' ELSE 'open' END, line_id,
       payment.id, refund.id, listed, moved, judgement.currency,
       jsonb_build_object('listed_minor', listed, 'moved_minor', moved),
       concat_ws('/', of, judgement.currency, listed, moved)
  FROM judgement
  LEFT JOIN payments_payment payment ON payment.number = judgement.key AND payment.channel = %(channel)s
  LEFT JOIN payments_refund refund ON refund.number = judgement.key AND judgement.kind = 'refund'
"""  # noqa: S608
FEES = f"""
INSERT INTO found (klass, kind, number, day, line_id, payment_id, ours_minor, theirs_minor, fee_milli,
                   fee_expected_milli, currency, facts, mark)
SELECT 'funds_differ', 'fee', fee.key, fee.day, fee.line_id, payment.id, round(listed / 1000), round(moved / 1000),
       moved, listed, fee.currency, jsonb_build_object('listed_milli', listed, 'moved_milli', moved),
       concat_ws('/', fee.day, listed, moved)
  FROM (
    SELECT near.day, near.key, sum(fee_listed) AS listed, sum(fee_moved) AS moved, max(near.currency) AS currency,
           max(id) FILTER (WHERE fee_moved IS NOT NULL) AS line_id
      FROM judged JOIN ({NEAR}) near ON near.day = judged.day AND near.key = judged.key
     WHERE judged.kind = 'fee'
     GROUP BY near.day, near.key HAVING abs(sum(fee_listed) - sum(fee_moved)) > 500 * count(*)
  ) fee LEFT JOIN payments_payment payment ON payment.number = fee.key AND payment.channel = %(channel)s
"""  # noqa: S608
UNNAMED = f"""
INSERT INTO found (klass, kind, number, day, line_id, ours_minor, theirs_minor, currency, facts, mark)
SELECT 'funds_differ', kind, reference, day, id, 0, amount_minor, currency,
       jsonb_build_object('line', line_no, 'reference', reference), concat_ws('/', day, currency, amount_minor)
  FROM payments_statementline line
 WHERE channel = %(channel)s
   AND (kind = 'other' AND NOT ({PAID_OUT_AS_BOOKED})
        OR kind IN ('payment', 'refund') AND number = '' AND payment_number = '')
   AND (day = %(day)s AND statement_id = %(funds)s
        OR id IN (SELECT line_id FROM waiting WHERE klass = 'funds_differ')
           AND statement_id IN (SELECT id FROM live_funds))
"""  # noqa: S608


def find(values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(JUDGED)
        cursor.execute(NAMING)
        naming = cursor.fetchone()
        if naming is None:
            return
        values = {**values, "refunds_by": naming[0]}
        cursor.execute(NOTHING_MOVED, {**values, "many": MANY})
        if values["statement"] and values["funds"] and not cursor.rowcount:
            cursor.execute(DIFFER, values)
        cursor.execute(UNNAMED, values)
        cursor.execute(DAYS)
        days = cursor.fetchone()[0]
        if days:
            cursor.execute("ANALYZE judged")
            cursor.execute(AMOUNTS, {**values, "days": days})
            cursor.execute(FEES, {**values, "days": days})
