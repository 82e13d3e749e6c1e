"""
What a run looks at: the lines of one day's statement, our successes of that day, and everything of the channel that is
still unsettled, of whatever day. Working tables of the transaction hold it; days are Shanghai's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from payments.statement_models import Statement

BOTH = ("payment", "refund")


@dataclass(frozen=True, slots=True)
class Scope:
    """
    One channel, and the day that a statement lists; without a statement only what is unsettled is looked at again.
    `covers` says of what the statement would have a line: some list payments alone, or refunds alone.
    """

    channel: str
    day: date
    now: datetime
    statement: Statement | None = None
    funds: Statement | None = None

    @property
    def covers(self) -> tuple[str, ...]:
        if self.statement is None:
            return ()
        return tuple(self.statement.totals.get("covers") or BOTH)

    def values(self) -> dict[str, Any]:
        """What the statements may refer to."""
        zone = ZoneInfo(settings.TIME_ZONE)
        begins = datetime.combine(self.day, time(), zone)
        ends = datetime.combine(self.day + timedelta(days=1), time(), zone)
        fee_ppm = settings.CHANNEL_FEES_PPM.get(self.channel)
        return {
            "channel": self.channel,
            "day": self.day,
            "now": self.now,
            "zone": settings.TIME_ZONE,
            "statement": self.statement.pk if self.statement else None,
            "funds": self.funds.pk if self.funds else None,
            "covers": [*self.covers],
            "payments_begin": begins if "payment" in self.covers else ends,
            "refunds_begin": begins if "refund" in self.covers else ends,
            "begins": begins if self.statement else ends,
            "ends": ends,
            "near_begins": begins - settings.RECONCILE_CROSSING if self.statement else ends,
            "near_ends": ends + settings.RECONCILE_CROSSING if self.statement else ends,
            "window": settings.RECONCILE_CROSSING,
            "carry": settings.RECONCILE_CARRY,
            "fee_ppm": fee_ppm,
        }


# `waiting`: what is unsettled, to be judged again, and what was recorded late (`late`). `extra`: lines that repeat
# another. `found`: what this run sees.
WORKING_TABLES = """
CREATE TEMPORARY TABLE waiting ON COMMIT DROP AS
SELECT id, run_id, klass, kind, number, day, line_id, regexp_replace(key, '#[0-9]+$', '') AS key
  FROM payments_discrepancy WHERE channel = %(channel)s AND state IN ('open', 'carried');
CREATE TEMPORARY TABLE extra (line_id bigint PRIMARY KEY, nth text) ON COMMIT DROP;
CREATE TEMPORARY TABLE found (
  key text, klass text, kind text, number text, day date, state text DEFAULT 'open', line_id bigint, payment_id bigint,
  refund_id bigint, ours_minor bigint, theirs_minor bigint, fee_milli bigint, fee_expected_milli bigint, currency text,
  facts jsonb DEFAULT '{}', mark text DEFAULT ''
) ON COMMIT DROP;
"""

COUNTING = """
CREATE TEMPORARY TABLE live ON COMMIT DROP AS
SELECT id, day, lines, coalesce(totals -> 'covers', '["payment", "refund"]'::jsonb) AS covers FROM payments_statement
 WHERE channel = %(channel)s AND kind = 'trade' AND replaced_by_id IS NULL;
CREATE TEMPORARY TABLE live_funds ON COMMIT DROP AS
SELECT id, day, lines, coalesce(totals ->> 'refunds_by', 'number') AS refunds_by FROM payments_statement
 WHERE channel = %(channel)s AND kind = 'funds' AND replaced_by_id IS NULL;
"""

# Lines to be judged: the statement's, and those of other days on which something unsettled depends.
LINES = """
lines AS (
  SELECT * FROM payments_statementline
   WHERE channel = %(channel)s AND day = %(day)s AND kind = '{kind}' AND statement_id = %(statement)s
  UNION ALL
  SELECT * FROM payments_statementline WHERE id IN (
    SELECT line.id FROM waiting JOIN payments_statementline line ON line.number = waiting.number
     WHERE waiting.number <> '' AND line.channel = %(channel)s AND line.kind = '{kind}'
    UNION SELECT line_id FROM waiting WHERE kind = '{kind}'
    UNION SELECT line.id FROM waiting JOIN payments_statementline line ON line.payment_number = waiting.number
     WHERE line.status = 'revoked' AND waiting.kind = 'payment'
  ) AND channel = %(channel)s AND kind = '{kind}' AND statement_id IN (SELECT id FROM live)
    AND statement_id IS DISTINCT FROM %(statement)s
)
"""


def clear_away() -> None:
    """Drop the working tables, so that the caller's transaction may run another day."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DROP TABLE waiting, extra, found, live, live_funds, repeated, known, judged, elsewhere"
        )


def lay_out(values: dict[str, Any]) -> None:
    """Make the working tables; at the latest they go with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(WORKING_TABLES, values)
        cursor.execute(COUNTING, values)
        cursor.execute("ANALYZE waiting, live, live_funds")


def lines_of(kind: str) -> str:
    return LINES.format(kind=kind)
