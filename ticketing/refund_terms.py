"""
What a buyer gets back for a ticket and until when: the refund rule of a show, published on its pages and its API.

A rule is a ladder: the further the show is away, the more goes back. Of a show that has no rule of its own its event's
counts; without either, buyers give nothing back by themselves. What does not divide evenly is the buyer's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db.models import Q
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from ticketing.models import RefundPolicy, SalePhase, Show
from ticketing.refund_models import SeatsAfter

FRESH_S = 30


@dataclass(frozen=True, slots=True)
class Step:
    """Until `until`, `percent_back` of a ticket's price goes back."""

    until: datetime
    percent_back: int


@dataclass(frozen=True, slots=True)
class Terms:
    """A show's refund rule. `steps` are in the order of time."""

    steps: tuple[Step, ...]
    seats_after: str = SeatsAfter.FREE
    note_zh: str = ""
    note_en: str = ""

    def step_at(self, now: datetime) -> Step | None:
        """The step in force; None when it is too late."""
        return next((step for step in self.steps if now <= step.until), None)


def back_minor(price_minor: int, percent_back: int) -> int:
    """What goes back of a price; the part that is kept is rounded down."""
    return price_minor - price_minor * (100 - percent_back) // 100


def terms_of(show: Show) -> Terms | None:
    """The rule in force for the show, as Postgres has it."""
    policies = RefundPolicy.objects.filter(Q(show=show) | Q(event_id=show.event_id)).prefetch_related("steps")
    policy = min(policies, key=lambda one: one.show_id is None, default=None)
    if policy is None:
        return None
    steps = [
        Step(show.starts_at - timedelta(hours=step.hours_before), step.percent_back)
        for step in policy.steps.all()
    ]
    steps.sort(key=lambda step: step.until)
    return Terms(tuple(steps), policy.seats_after, policy.note_zh, policy.note_en)


def terms_to_show(show: Show) -> Terms | None:
    """The same for pages that many look at, at most `FRESH_S` old. Nothing is decided by it."""
    key = f"refund-terms:{show.pk}"
    held: tuple[Terms | None] | None = cache.get(key)
    if held is None:
        held = (terms_of(show),)
        cache.set(key, held, FRESH_S)
    return held[0]


def sentences(terms: Terms | None, note: str = "") -> list[str]:
    """The rule as buyers read it."""
    if terms is None or not terms.steps:
        return [_("Tickets of this show cannot be given back, unless the law or the organiser says so.")]
    lines = [
        _("Given back until %(when)s: %(percent)d%% of the price goes back.")
        % {"when": _moment(step.until), "percent": step.percent_back}
        for step in terms.steps
    ]
    lines.append(_("After that no money goes back. It goes back the way it came, ticket by ticket."))
    return [*lines, note] if note else lines


def _moment(at: datetime) -> str:
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")


def is_frozen(policy: RefundPolicy, *, now: datetime) -> bool:
    """A rule that buyers may have bought under is not changed any more: a phase of its sale has opened."""
    mine = Q(show=policy.show_id) if policy.show_id else Q(show__event=policy.event_id)
    return SalePhase.objects.filter(mine, opens_at__lte=now).exists()


def faults(steps: Sequence[tuple[int, int]]) -> str:
    """What is wrong with a ladder of (hours before, percent back); empty if nothing is."""
    ladder = sorted(steps, reverse=True)
    if not ladder:
        return _("A refund rule needs at least one step.")
    if len({hours for hours, _percent in ladder}) != len(ladder):
        return _("Two steps end at the same time.")
    if any(later > sooner for (_h, sooner), (_k, later) in itertools.pairwise(ladder)):
        return _("Closer to the show no more can go back than before.")
    return ""
