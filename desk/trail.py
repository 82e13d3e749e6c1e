"""
The trail: who did what about what, when, from where, why. Written in the transaction of what was done, and never
changed (a database trigger refuses it). Exported as CSV or JSON lines, in the order in which things happened.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from basis import events
from desk.models import Case, TrailEntry

COORDINATOR = "coordinator"
EXPORT_MAX = 200_000
"""An export has at most so many lines; more are asked for by narrower dates."""
FIELDS = ("at", "actor", "action", "case", "subject", "reason", "facts", "request_id", "address")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take for a formula."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, and from where. `user` is None for the coordinator."""

    user: User | None
    address: str | None = None

    @property
    def name(self) -> str:
        """As histories name it, e.g. `staff:mei`."""
        return f"staff:{self.user.handle}" if self.user else COORDINATOR


def write(
    action: str,
    *,
    by: Person,
    now: datetime,
    case: Case | None = None,
    subject: str = "",
    reason: str = "",
    facts: Mapping[str, Any] | None = None,
) -> TrailEntry:
    """Note one thing that was done; in the transaction that did it."""
    entry = _entry(action, by=by, now=now, case=case, subject=subject, reason=reason, facts=facts)
    entry.save(force_insert=True)
    return entry


def write_many(
    action: str, cases: Mapping[Case, Mapping[str, Any]], *, by: Person, now: datetime, reason: str = ""
) -> None:
    """Note one thing that was done to each of these cases, with its facts; as few statements as may be."""
    entries = [
        _entry(action, by=by, now=now, case=case, subject="", reason=reason, facts=facts)
        for case, facts in cases.items()
    ]
    TrailEntry.objects.bulk_create(entries, batch_size=2000)


def _entry(
    action: str,
    *,
    by: Person,
    now: datetime,
    case: Case | None,
    subject: str,
    reason: str,
    facts: Mapping[str, Any] | None,
) -> TrailEntry:
    return TrailEntry(
        at=now,
        actor=by.name,
        action=action,
        case=case,
        subject=(subject or (case.subject if case else ""))[:96],
        reason=reason[:500],
        facts=dict(facts or {}),
        request_id=events.request_id()[:64],
        address=by.address or None,
    )


def account(user: User) -> str:
    """An account as the subject of an entry; its key, because a handle is a name."""
    return f"account {user.pk}"


def touched(user: User, *, by: User, since: datetime) -> bool:
    """Whether `by` made this account, or changed anything of it (its password, its rights), since then."""
    deeds = ("account_made", "account_changed")
    found = TrailEntry.objects.filter(subject=account(user), actor=Person(by).name, action__in=deeds)
    return found.filter(at__gte=since).exists()


def entries(
    *,
    actor: str = "",
    action: str = "",
    subject: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[TrailEntry]:
    """The trail, newest first; `subject` is a case's number, or the number of anything."""
    found = TrailEntry.objects.select_related("case").order_by("-pk")
    if actor:
        found = found.filter(actor=actor)
    if action:
        found = found.filter(action=action)
    if subject:
        found = found.filter(case__number=subject) | found.filter(subject=subject)
    if since:
        found = found.filter(at__gte=since)
    return found.filter(at__lt=until) if until else found


def export_csv(found: QuerySet[TrailEntry]) -> Iterator[str]:
    """Lines of CSV, the head first. Nothing in it is a formula to a spreadsheet."""
    yield _csv_line(FIELDS)
    for entry in _oldest_first(found):
        row = _row(entry)
        yield _csv_line([_harmless(str(row[name] if row[name] is not None else "")) for name in FIELDS])


def export_json(found: QuerySet[TrailEntry]) -> Iterator[str]:
    """One JSON object a line."""
    for entry in _oldest_first(found):
        yield json.dumps(_row(entry), ensure_ascii=False, default=str) + "\n"


def _oldest_first(found: QuerySet[TrailEntry]) -> Iterator[TrailEntry]:
    return found.order_by("pk")[:EXPORT_MAX].iterator(chunk_size=2000)


def _row(entry: TrailEntry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "action": entry.action,
        "case": entry.case.number if entry.case else "",
        "subject": entry.subject,
        "reason": entry.reason,
        "facts": entry.facts if entry.facts else {},
        "request_id": entry.request_id,
        "address": entry.address or "",
    }


def _csv_line(cells: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
