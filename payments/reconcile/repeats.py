"""
One number listed more than once, on one statement or on several. One line counts: that with the reference that we
know, else the earliest. The others are duplicates, and are compared with nothing else.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

REPEATED = """
CREATE TEMPORARY TABLE repeated ON COMMIT DROP AS
SELECT kind, number FROM payments_statementline
 WHERE channel = %(channel)s AND day = %(day)s AND kind IN ('payment', 'refund') AND statement_id = %(statement)s
   AND number <> ''
 GROUP BY kind, number HAVING count(*) > 1
UNION
SELECT kind, number FROM waiting WHERE number <> '' AND kind IN ('payment', 'refund')
"""
# On other days, asked for only when there are any: a look per line, however long the history (LIMIT keeps it so).
ELSEWHERE = """
INSERT INTO repeated
SELECT line.kind, line.number FROM payments_statementline line
 CROSS JOIN LATERAL (
   SELECT 1 FROM payments_statementline other
    WHERE other.number = line.number AND other.kind = line.kind AND other.channel = line.channel
      AND other.statement_id <> line.statement_id AND other.statement_id IN (SELECT id FROM live) LIMIT 1) again
 WHERE line.channel = %(channel)s AND line.day = %(day)s AND line.kind IN ('payment', 'refund')
   AND line.statement_id = %(statement)s AND line.number <> ''
"""
EXTRA = """
INSERT INTO extra
SELECT id, day || '/' || nth FROM (
  SELECT line.id, line.day,
         row_number() OVER (PARTITION BY line.kind, line.number
           ORDER BY (line.reference IS DISTINCT FROM payment.channel_reference), line.day, line.line_no) AS place,
         row_number() OVER (PARTITION BY line.kind, line.number, line.day ORDER BY line.line_no) AS nth
    FROM (SELECT DISTINCT kind, number FROM repeated) repeated
    JOIN payments_statementline line ON line.number = repeated.number AND line.kind = repeated.kind
     AND line.channel = %(channel)s AND line.statement_id IN (SELECT id FROM live)
    LEFT JOIN payments_payment payment ON payment.number = line.number AND line.kind = 'payment'
) ranked WHERE place > 1
"""
FOUND = """
INSERT INTO found (klass, kind, number, day, line_id, payment_id, refund_id, theirs_minor, currency, facts, mark)
SELECT 'duplicate', line.kind, line.number, line.day, line.id, payment.id, refund.id, line.amount_minor, line.currency,
       jsonb_build_object('reference', line.reference, 'line', line.line_no), extra.nth
  FROM extra JOIN payments_statementline line ON line.id = extra.line_id
  LEFT JOIN payments_payment payment ON payment.number = line.number AND line.kind = 'payment'
  LEFT JOIN payments_refund refund ON refund.number = line.number AND line.kind = 'refund'
"""


def find(values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(REPEATED, values)
        cursor.execute("SELECT count(*) FROM live")
        if cursor.fetchone()[0] > 1:
            cursor.execute(ELSEWHERE, values)
        cursor.execute("ANALYZE repeated")
        cursor.execute(EXTRA, values)
        cursor.execute("ANALYZE extra")
        cursor.execute(FOUND, values)
