"""
Halves of a day: some channels give the payments and the refunds of a day in two files. Together they are the day's one
statement: what a new file does not cover stays as it was said before, and its lines are taken over from the statement
that the new one replaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from payments.statement_models import Statement
from payments.statements.shape import Refused

BOTH = ("payment", "refund")
TAKE_OVER = """
INSERT INTO payments_statementline (statement_id, line_no, channel, day, kind, number, payment_number, reference,
  amount_minor, fee_milli, currency, status, happened_at, discount_minor)
SELECT %(to)s, line_no, channel, day, kind, number, payment_number, reference, amount_minor, fee_milli, currency,
       status, happened_at, discount_minor
  FROM payments_statementline
 WHERE channel = %(channel)s AND day = %(day)s AND kind = ANY(%(kinds)s) AND statement_id = %(from)s
"""


def covered(statement: Statement) -> set[str]:
    """Of what the statement would have a line."""
    return set(statement.totals.get("covers") or BOTH)


def refuse_what_is_known(older: Statement | None, *, covers: Sequence[str], replace: bool) -> None:
    """:raises Refused: the day is told already, at least in part, and nobody said that it is to be replaced"""
    if older is not None and not replace and covered(older) & set(covers):
        raise Refused(0, "known_day")


def join(statement: Statement, older: Statement | None) -> None:
    """Take over what `older` said and `statement` does not cover; nothing, if that is whole."""
    kinds = [] if older is None else sorted(covered(older) - covered(statement))
    if older is None or not kinds:
        return
    about: dict[str, Any] = {"to": statement.pk, "from": older.pk, "kinds": kinds}
    with connection.cursor() as cursor:
        cursor.execute(TAKE_OVER, {**about, "channel": statement.channel, "day": statement.day})
        statement.lines += cursor.rowcount
    statement.totals = _joined(statement.totals, older.totals, kinds) | {"joined": older.pk}


def _joined(new: dict[str, Any], old: dict[str, Any], kinds: list[str]) -> dict[str, Any]:
    told = {kind: new.get("told", {}) for kind in new["covers"]}
    for kind in kinds:
        said = old.get("told", {})
        told[kind] = said.get(kind, said)
    sums = {kind: old[kind] for kind in kinds if kind in old}
    return new | sums | {"told": told, "covers": sorted({*new["covers"], *kinds})}
