"""
What a run found becomes rows, once; what it no longer finds is settled by itself. A row that a person settled is never
touched, and never opened again while the facts are the same; one that settled by itself and comes back is a new row.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import connection

from payments.reconcile_models import ReconcileRun

KEYS = """
UPDATE found SET key = concat_ws(':', %(channel)s, kind, klass, number, left(md5(mark), 8));
ANALYZE found;
"""
# What is known of a key, with and without the number of its return.
KNOWN = """
CREATE TEMPORARY TABLE known ON COMMIT DROP AS
SELECT found.key, count(*) AS times, bool_or(old.state IN ('open', 'carried')) AS alive,
       bool_or(old.resolved_by <> '') AS decided
  FROM (SELECT DISTINCT key, number FROM found) found
  JOIN payments_discrepancy old ON old.number = found.number AND regexp_replace(old.key, '#[0-9]+$', '') = found.key
 GROUP BY found.key
"""
OPEN = """
INSERT INTO payments_discrepancy (key, run_id, channel, day, klass, kind, number, line_id, payment_id, refund_id,
  ours_minor, theirs_minor, fee_milli, fee_expected_milli, currency, state, resolution, reason, resolved_by, facts,
  first_seen_day, found_at)
SELECT DISTINCT ON (found.key) found.key || CASE WHEN known.times > 0 THEN '#' || known.times + 1 ELSE '' END,
       coalesce(%(run)s, (SELECT max(run_id) FROM waiting WHERE waiting.number = found.number)), %(channel)s,
       found.day, klass, kind, number, line_id, payment_id, refund_id, ours_minor, theirs_minor, fee_milli,
       fee_expected_milli, currency, found.state, '', '', '', facts,
       CASE WHEN %(statement)s IS NULL THEN found.day ELSE %(day)s END, %(now)s
  FROM found LEFT JOIN known ON known.key = found.key
 WHERE NOT coalesce(known.alive, false) AND NOT coalesce(known.decided, false)
 ORDER BY found.key, line_id
"""
# A statement that replaces another has lines of its own; our side may have moved without ending the difference; what
# was carried is open when its time is over.
FRESHEN = """
UPDATE payments_discrepancy old SET line_id = found.line_id, facts = found.facts, state = found.state
  FROM waiting JOIN found ON found.key = waiting.key
 WHERE old.id = waiting.id
   AND (old.line_id IS DISTINCT FROM found.line_id OR old.facts <> found.facts OR old.state <> found.state)
"""
SETTLE = """
UPDATE payments_discrepancy old SET state = 'resolved', resolved_at = %(now)s,
       resolution = CASE WHEN old.klass <> 'crossing' THEN 'agrees'
                         WHEN EXISTS (SELECT 1 FROM found WHERE found.number = old.number AND found.kind = old.kind)
                         THEN 'still_missing' ELSE 'matched_later' END
  FROM waiting WHERE old.id = waiting.id AND NOT EXISTS (SELECT 1 FROM found WHERE found.key = waiting.key)
"""
COUNT = """
SELECT coalesce(jsonb_object_agg(klass, n), '{}') FROM (
  SELECT klass, count(DISTINCT key) AS n FROM found WHERE day = %(day)s OR line_id IS NULL GROUP BY klass) per
"""
LISTED = """
SELECT (SELECT count(*) FROM payments_statementline
         WHERE channel = %(channel)s AND day = %(day)s AND kind IN ('payment', 'refund')
           AND statement_id = %(statement)s),
       (SELECT count(DISTINCT line_id) FROM found JOIN payments_statementline line ON line.id = found.line_id
         WHERE line.statement_id = %(statement)s)
"""


def keep(run: ReconcileRun | None, values: dict[str, Any]) -> dict[str, Any]:
    """Write and settle; answer the counts of the run."""
    with connection.cursor() as cursor:
        cursor.execute(KEYS, values)
        cursor.execute(KNOWN, values)
        cursor.execute(OPEN, {**values, "run": run.pk if run else None})
        opened = cursor.rowcount
        cursor.execute(FRESHEN, values)
        cursor.execute(SETTLE, values)
        settled = cursor.rowcount
    return _count(values) | {"opened": opened, "settled_by_itself": settled}


def _count(values: dict[str, Any]) -> dict[str, Any]:
    """How many lines there were, how many of them agree in everything, and what was found."""
    with connection.cursor() as cursor:
        cursor.execute(LISTED, values)
        lines, odd = cursor.fetchone()
        cursor.execute(COUNT, values)
        (found,) = cursor.fetchone()
    return {"lines": lines, "matched": lines - odd, "found": json.loads(found)}
