"""How the desk's pages say amounts, ages and states."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from desk.models import CaseState, RequestState
from wallet.money import Money

GOOD, WAIT, LOOK, BAD, PLAIN = "good", "wait", "look", "bad", "plain"

COLOURS: Mapping[str, str] = {
    CaseState.OPEN: WAIT,
    CaseState.APPROVAL: LOOK,
    CaseState.ACTED: WAIT,
    CaseState.RESOLVED: GOOD,
    CaseState.GONE: GOOD,
    CaseState.EXPLAINED: PLAIN,
    RequestState.WAITING: LOOK,
    RequestState.APPROVED: GOOD,
    RequestState.REJECTED: BAD,
    RequestState.STALE: BAD,
    # what the books say
    "paid": GOOD,
    "succeeded": GOOD,
    "won": GOOD,
    "applied": GOOD,
    "credited": GOOD,
    "refunded": GOOD,
    "cancelled": PLAIN,
    "expired": PLAIN,
    "closed": PLAIN,
    "held": WAIT,
    "paying": WAIT,
    "created": WAIT,
    "pending": WAIT,
    "requested": WAIT,
    "processing": WAIT,
    "accepted": WAIT,
    "unknown": LOOK,
    "surplus": LOOK,
    "parked": LOOK,
    "refused": BAD,
    "failed": BAD,
}


def amount(minor: int, currency: str) -> str:
    """Money as the reader writes it."""
    english = (get_language() or "").startswith("en")
    return Money(minor, currency).text("en_US" if english else "zh_Hans_CN")


def span(length: timedelta) -> str:
    """A length of time in its two largest units: `3 d 4 h`, `12 min`."""
    minutes = max(0, int(length.total_seconds())) // 60
    days, hours = divmod(minutes // 60, 24)
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours}
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes % 60}
    return _("%(minutes)d min") % {"minutes": minutes}


def round_span(length: timedelta) -> str:
    """An age limit, which is a round number of something."""
    minutes = int(length.total_seconds()) // 60
    if minutes and minutes % 1440 == 0:
        return _("%(days)d d") % {"days": minutes // 1440}
    if minutes and minutes % 60 == 0:
        return _("%(hours)d h") % {"hours": minutes // 60}
    return span(length)
