"""
Finding cases: every type's detector is asked, what is new opens a case, what is gone closes one.

Set-based: one statement a type says what is new and what is gone. A type is looked at by one process at a time (an
advisory lock of the transaction); a constraint keeps one active case per type and subject besides.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import Q

from basis import numbers
from desk import types
from desk.models import (
    ACTIVE_STATES,
    CASE_LIFECYCLE,
    Case,
    CaseEvent,
    CaseState,
    RequestState,
    ResolutionRequest,
)
from desk.models import REQUEST_LIFECYCLE as REQUESTS
from desk.types import CaseType

BATCH = 500
"""So many cases are opened or closed in one transaction."""
LOCK_CLASS = 0x6465736B  # "desk"
STEPS_PER_E = 10
"""The weight grows by this much whenever money × age grows e-fold; a case is re-weighed when it changes by one."""

NEW = """
WITH found AS ({detector})
SELECT {columns} FROM found
 WHERE NOT EXISTS (SELECT 1 FROM desk_case c WHERE c.kind = %(kind)s AND c.subject = found.subject
                      AND (c.closed_at IS NULL OR (c.state = 'explained' AND c.cause = {digest})))
 ORDER BY subject LIMIT {batch}
"""
GONE = """
WITH found AS MATERIALIZED ({detector})
SELECT c.id FROM desk_case c LEFT JOIN found ON found.subject = c.subject
 WHERE c.kind = %(kind)s AND c.closed_at IS NULL AND found.subject IS NULL
 ORDER BY c.id LIMIT {batch}
"""
# As `digest_of` does it, so that an explanation holds for the cause that was explained.
DIGEST = "encode(sha256(convert_to(found.cause, 'UTF8')), 'hex')"
REWEIGH = """
WITH heavy AS (
  SELECT id, floor(ln(greatest(amount_minor, 100) / 100.0
                      * greatest(extract(epoch FROM %(now)s - since) / 60.0, 1)) * %(steps)s)::int AS weight
    FROM desk_case WHERE state IN ('open', 'approval'))
UPDATE desk_case c SET weight = heavy.weight FROM heavy WHERE c.id = heavy.id AND c.weight <> heavy.weight
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What one look did: cases by number."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]


def run(*, now: datetime, only: Iterable[str] = (), in_turn: bool = False) -> Found:
    """
    Look for every type of case (or `only` these); open what is new and close what is gone. Repeatable. `in_turn`: a
    type that is costly to look for is left out until its turn (`CaseType.looked_every`).
    """
    opened: list[str] = []
    closed: list[str] = []
    wanted = set(only)
    for one in types.TYPES.values():
        if (not wanted or one.code in wanted) and (not in_turn or _has_its_turn(one)):
            closed += _repeat(_close_gone, one, now)
            opened += _repeat(_open_new, one, now)
            _has_had_its_turn(one)
    come_back(now=now)
    reweigh(now=now)
    return Found(tuple(opened), tuple(closed))


def _has_its_turn(one: CaseType) -> bool:
    """Without the cache every round is its turn: dear, and right."""
    seconds = one.looked_every.total_seconds()
    return not seconds or cache.get(f"desk:looked:{one.code}") is None


def _has_had_its_turn(one: CaseType) -> None:
    if one.looked_every:
        cache.set(f"desk:looked:{one.code}", 1, one.looked_every.total_seconds())


def _repeat(step: Any, one: CaseType, now: datetime) -> list[str]:
    done: list[str] = []
    while True:
        with transaction.atomic():
            if not _mine(one):
                return done
            batch = step(one, now)
        done += batch
        if len(batch) < BATCH:
            return done


def _mine(one: CaseType) -> bool:
    """Whether nobody else looks for this type just now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, one.code])
        return bool(cursor.fetchone()[0])


def _parameters(one: CaseType, now: datetime) -> dict[str, Any]:
    return {**one.parameters, "now": now, "before": now - one.rests, "kind": one.code}


def _ask(one: CaseType, question: str, now: datetime) -> list[dict[str, Any]]:
    statement = question.format(
        detector=one.detector, columns=", ".join(types.COLUMNS), digest=DIGEST, batch=BATCH
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, _parameters(one, now))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _open_new(one: CaseType, now: datetime) -> list[str]:
    cases = [_case(one, row, now) for row in _ask(one, NEW, now)]
    Case.objects.bulk_create(cases)
    CaseEvent.objects.bulk_create(
        CaseEvent(case=case, to_state=case.state, at=now, reason="found", actor="coordinator")
        for case in cases
    )
    return [case.number for case in cases]


def _case(one: CaseType, row: Mapping[str, Any], now: datetime) -> Case:
    facts = row["facts"]
    since = row["since"] or now
    return Case(
        number=numbers.new_number(numbers.CASE, now),
        kind=one.code,
        subject_kind=one.subject_kind,
        subject=row["subject"],
        queue=one.queue,
        channel=row["channel"] or "",
        purchase_kind=row["purchase_kind"] or "",
        purchase_number=row["purchase_number"] or "",
        payment_number=row["payment_number"] or "",
        amount_minor=row["amount_minor"] or 0,
        currency=row["currency"],
        since=since,
        opened_at=now,
        due_at=since + one.due,
        weight=weight_of(row["amount_minor"] or 0, since, now),
        suggested=one.suggested,
        cause=digest_of(row["cause"] or ""),
        facts=facts if isinstance(facts, dict) else _read(facts),
    )


def _read(facts: Any) -> dict[str, Any]:
    return dict(json.loads(facts)) if facts else {}


def digest_of(cause: str) -> str:
    """What a case keeps of its cause."""
    return hashlib.sha256(cause.encode()).hexdigest()


def weight_of(amount_minor: int, since: datetime, now: datetime) -> int:
    """
    Money × age on a logarithmic scale, as `REWEIGH` has it: steps of a tenth keep the rows of an inbox of a hundred
    thousand cases at rest, because a case moves only when it has grown by a tenth.
    """
    minutes = max((now - since).total_seconds() / 60, 1)
    return math.floor(math.log(max(amount_minor, 100) / 100 * minutes) * STEPS_PER_E)


def reweigh(*, now: datetime) -> int:
    """Bring the weights up to date; answer how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(REWEIGH, {"now": now, "steps": STEPS_PER_E})
        return int(cursor.rowcount)


def _close_gone(one: CaseType, now: datetime) -> list[str]:
    keys = [row["id"] for row in _ask(one, GONE, now)]
    cases = list(
        Case.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk__in=keys, state__in=ACTIVE_STATES)
        .order_by("pk")
    )
    _withdraw_requests([case for case in cases if case.state == CaseState.APPROVAL], now)
    acted = [case for case in cases if case.state == CaseState.ACTED]
    alone = [case for case in cases if case.state != CaseState.ACTED]
    CASE_LIFECYCLE.move_all(
        acted,
        to=CaseState.RESOLVED,
        at=now,
        reason="cause_gone",
        actor="coordinator",
        closed_at=now,
        watch_until=None,
    )
    CASE_LIFECYCLE.move_all(
        alone, to=CaseState.GONE, at=now, reason="cause_gone", actor="coordinator", closed_at=now
    )
    return [case.number for case in cases]


def _withdraw_requests(cases: list[Case], now: datetime) -> None:
    waiting = ResolutionRequest.objects.select_for_update(of=("self",), no_key=True).filter(
        case__in=cases, state=RequestState.WAITING
    )
    REQUESTS.move_all(
        list(waiting.order_by("pk")), to=RequestState.STALE, at=now, reason="cause_gone", actor="coordinator"
    )


def come_back(*, now: datetime) -> int:
    """Cases that were acted on and whose cause is still there after the watch are open again; answer how many."""
    with transaction.atomic():
        due = Case.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
        cases = list(due.filter(Q(watch_until__lte=now), state=CaseState.ACTED).order_by("pk")[:BATCH])
        CASE_LIFECYCLE.move_all(
            cases, to=CaseState.OPEN, at=now, reason="cause_stays", actor="coordinator", watch_until=None
        )
    return len(cases)
