"""What happened about a case, from every book, in one line of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from desk.facts import Facts
from desk.models import Case, CaseEvent, TrailEntry
from desk.pages import kinds
from payments.admin import readable, shown
from payments.models import Notification, PaymentEvent, RefundEvent
from ticketing import timeline
from ticketing.models import OrderEvent

DESK = "desk"
BODIES = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One fact. `actor` is buyer, channel, system, staff or desk; `under` says who it was, and what is quoted."""

    at: datetime
    text: str
    actor: str
    under: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A message of a channel, to look at: secrets and people masked."""

    what: str
    verdict: str
    state: str
    reason: str
    at: datetime
    repeats: int
    facts: str
    body: str
    headers: str


def of(case: Case, facts: Facts) -> list[Line]:
    """The newest fact first: what is the case now stands on top."""
    lines = [*_purchase(facts), *_told(facts), *_case(case), *_trail(case)]
    return sorted(lines, key=lambda line: line.at, reverse=True)


def _purchase(facts: Facts) -> Iterable[Line]:
    """As the buyer reads it; a fact that nobody wrote a sentence for must not hide the others on such a night."""
    if facts.order is None:
        return list(_plain(facts))
    try:
        lines = timeline.timeline(facts.order)
    except KeyError:
        return list(_plain(facts))
    return [Line(line.at, line.text, line.actor, line.reference) for line in lines]


def _plain(facts: Facts) -> Iterator[Line]:
    """The moves as they were written down."""
    for event in OrderEvent.objects.filter(order=facts.order) if facts.order else ():
        yield _moved(event, facts.order.number if facts.order else "")
    for paid in PaymentEvent.objects.filter(payment__in=facts.payments).select_related("payment"):
        yield _moved(paid, paid.payment.number)
    for back in RefundEvent.objects.filter(refund__in=facts.refunds).select_related("refund"):
        yield _moved(back, back.refund.number)


def _moved(event: Any, number: str) -> Line:
    text = f"{event.from_state or '∅'} → {event.to_state}"
    return Line(
        event.at,
        text,
        "staff" if event.actor.startswith("staff:") else "system",
        f"{number} · {event.reason}",
    )


def _told(facts: Facts) -> Iterator[Line]:
    for row in facts.told:
        text = _("The channel told: %(what)s (%(verdict)s)") % {
            "what": kinds.answer(row.facts.get("what", "")) or _("nothing that we could read"),
            "verdict": row.get_verdict_display(),
        }
        yield Line(row.received_at, text, "channel", kinds.parked(row.reason))


def _case(case: Case) -> Iterator[Line]:
    for event in CaseEvent.objects.filter(case=case).order_by("pk"):
        state = kinds.case_state(event.to_state)
        text = _("Case opened.") if not event.from_state else _("Case: %(state)s") % {"state": state}
        why = kinds.reason(case.kind, event.reason) if event.reason else ""
        yield Line(event.at, text, DESK, " · ".join(filter(None, (kinds.actor(event.actor), why))))


def _trail(case: Case) -> Iterator[Line]:
    for entry in TrailEntry.objects.filter(case=case).order_by("pk"):
        yield Line(
            entry.at,
            kinds.action(entry.action),
            "staff",
            " · ".join(filter(None, (kinds.actor(entry.actor), entry.reason))),
        )


def messages(rows: Iterable[Notification]) -> list[Told]:
    """What channels told, the newest first."""
    newest = sorted(rows, key=lambda row: row.pk, reverse=True)[:BODIES]
    return [
        Told(
            what=kinds.answer(row.facts.get("what", "")) or _("unreadable"),
            verdict=str(row.get_verdict_display()),
            state=row.verdict,
            reason=kinds.parked(row.reason),
            at=row.received_at,
            repeats=row.repeats,
            facts=shown(row.facts) if row.facts else "",
            body=readable(bytes(row.body)),
            headers=shown(row.headers) if row.headers else "",
        )
        for row in newest
    ]
