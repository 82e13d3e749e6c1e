"""
A day of a channel, compared: one transaction under one lock per channel, repeatable. The same statement gives the same
result whenever it runs; a later day's run settles what the earlier one carried.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from payments.reconcile import absent, compare, funds, keep, late, ledger, repeats, settle
from payments.reconcile.scope import Scope, clear_away, lay_out
from payments.reconcile_models import ReconcileRun, RunState
from payments.statement_models import Statement, StatementKind
from payments.statements import load

MANY_LINES = 5_000


class NoStatement(Exception):
    """No statement of this channel and day is loaded; nothing was compared."""


class Busy(Exception):
    """This channel is being reconciled right now; nothing was changed."""


def reconcile(*, channel: str, day: date, now: datetime, dry_run: bool = False) -> dict[str, Any]:
    """
    Compare the statement of `day` that counts with our books and the ledger, and book the day's funds statement if
    there is one. Answers what the run's `counts` say; `dry_run` keeps nothing of it.

    :raises NoStatement: see there
    :raises Busy: see there
    """
    statement = load.current(channel=channel, kind=StatementKind.TRADE, day=day)
    if statement is None:
        raise NoStatement(f"{channel} {day}")
    moved = load.current(channel=channel, kind=StatementKind.FUNDS, day=day)
    _know_the_lines(statement)
    scope = Scope(channel=channel, day=day, now=now, statement=statement, funds=moved)
    try:
        with transaction.atomic():
            counts = _compare(scope)
            counts["settled"] = settle.book(moved, now=now) if moved else {}
            transaction.set_rollback(dry_run)
    except Busy:
        raise
    except Exception as error:
        _remember_failure(scope, error)  # staff see it among the runs; it waits to be tried again
        raise
    return counts


def look_again(*, channel: str, day: date, now: datetime) -> dict[str, Any]:
    """
    Judge what is unsettled at this channel anew, and nothing else: a few rows, so that it may run every few minutes.
    `day` is today; the discrepancies found keep their own days.

    :raises Busy: see there
    """
    with transaction.atomic():
        return _compare(Scope(channel=channel, day=day, now=now))


def _compare(scope: Scope) -> dict[str, Any]:
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [f"reconcile:{scope.channel}"])
        if not cursor.fetchone()[0]:
            raise Busy(scope.channel)
        # A day of a million lines takes longer than a buyer would wait, and sorts what does not fit in a page.
        cursor.execute(
            "SET LOCAL statement_timeout = %s", [int(settings.RECONCILE_TIMEOUT.total_seconds() * 1000)]
        )
        cursor.execute("SET LOCAL work_mem = %s", [f"{settings.RECONCILE_WORK_MEM_MB}MB"])
    run = _begin(scope)
    values = scope.values()
    lay_out(values)
    recorded_late = late.add(values)
    for step in (repeats, compare, absent, ledger, funds):
        step.find(values)
    counts = keep.keep(run, values) | {"late": recorded_late}
    clear_away()
    if run:
        took = timedelta(seconds=time.perf_counter() - began)
        ReconcileRun.objects.filter(pk=run.pk).update(
            state=RunState.DONE, funds=scope.funds, finished_at=scope.now + took, counts=counts, error=""
        )
    return counts


def _begin(scope: Scope) -> ReconcileRun | None:
    """The run of this statement; running it again counts its rounds."""
    if scope.statement is None:
        return None
    run, new = ReconcileRun.objects.get_or_create(
        key=f"{scope.channel}:{scope.day}:{scope.statement.pk}",
        defaults={
            "channel": scope.channel,
            "day": scope.day,
            "statement": scope.statement,
            "started_at": scope.now,
        },
    )
    if not new:
        run.rounds += 1
        run.started_at, run.state = scope.now, RunState.RUNNING
        run.save(update_fields=["rounds", "started_at", "state"])
    return run


def _remember_failure(scope: Scope, error: Exception) -> None:
    with transaction.atomic():
        run = _begin(scope)
        if run is not None:
            told = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            ReconcileRun.objects.filter(pk=run.pk).update(state=RunState.FAILED, finished_at=None, error=told)


def _know_the_lines(statement: Statement) -> None:
    """Right after a large load Postgres believes the table small, and would look every line up one by one."""
    if statement.lines >= MANY_LINES:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE payments_statementline")
