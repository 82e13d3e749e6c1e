"""Run every check in one transaction that reads one moment, so that a sale in progress cannot look wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from operations.audit import (
    books,
    cancellations,
    deliveries,
    givebacks,
    histories,
    ledger,
    schedules,
    seats,
    settlements,
    winners,
    withdrawals,
)
from operations.audit.checks import LISTED, Check, Result, Violation
from payments.models import LIVE_STATES
from ticketing.models import LIVE_ORDER_STATES, OPEN_ORDER_STATES
from wallet.models import BOUNDED_KINDS

GRACE = timedelta(seconds=120)
SETTLING = timedelta(hours=1)
"""Rounds of settlement come every few minutes; so long after its time a show must have been looked at."""

ALL: tuple[Check, ...] = tuple(
    sorted(
        (
            *seats.CHECKS,
            *histories.CHECKS,
            *deliveries.CHECKS,
            *winners.CHECKS,
            *givebacks.CHECKS,
            *cancellations.CHECKS,
            *ledger.CHECKS,
            *books.CHECKS,
            *settlements.CHECKS,
            *withdrawals.CHECKS,
            *schedules.CHECKS,
        ),
        key=lambda check: check.invariant,
    )
)

QUESTION = """
WITH wrong AS MATERIALIZED ({wrong})
SELECT ({checked}), (SELECT count(*) FROM wrong), first.what, first.why
  FROM (SELECT 1) always LEFT JOIN (SELECT what, why FROM wrong ORDER BY what, why LIMIT {listed}) first ON true
"""


def parameters(*, now: datetime, grace: timedelta) -> dict[str, Any]:
    """What the checks' statements may refer to."""
    return {
        "open_orders": [str(state) for state in OPEN_ORDER_STATES],
        "live_orders": [str(state) for state in LIVE_ORDER_STATES],
        "live_payments": [str(state) for state in LIVE_STATES],
        "bounded_kinds": [str(kind) for kind in sorted(BOUNDED_KINDS)],
        "overdue": now - grace,
        "an_hour_ago": now - SETTLING,
        "settle_before": now - settings.SETTLEMENT_AFTER - SETTLING,
    }


def audit(
    *,
    now: datetime,
    grace: timedelta = GRACE,
    checks: Sequence[Check] = ALL,
    told: Callable[[Result], None] | None = None,
) -> list[Result]:
    """
    Run `checks` on the database and answer their results in the same order; `told` hears each one at once.

    Inside a transaction of the caller it sees what that one sees; else it opens a read-only one of its own.
    """
    values = parameters(now=now, grace=grace)
    results = []
    with _one_moment():
        for check in checks:
            results.append(_ask(check, values))
            if told is not None:
                told(results[-1])
    return results


@contextmanager
def _one_moment() -> Iterator[None]:
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # The whole of a big database may take longer than a buyer would wait.
            cursor.execute(
                "SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"
            )
            # Every question reads whole tables. Right after a bulk load the planner does not know that yet, and
            # nested loops over what it takes for a handful of rows would run for minutes.
            cursor.execute("SET LOCAL enable_nestloop = off")
        yield


def _ask(check: Check, values: dict[str, Any]) -> Result:
    began = time.perf_counter()
    question = QUESTION.format(wrong=check.wrong, checked=check.checked, listed=LISTED)
    with connection.cursor() as cursor:
        cursor.execute(question, {**values, **check.parameters})
        rows = cursor.fetchall()
    violations = tuple(Violation(str(what), str(why)) for _, _, what, why in rows if what is not None)
    return Result(check, rows[0][0], rows[0][1], violations, time.perf_counter() - began)
