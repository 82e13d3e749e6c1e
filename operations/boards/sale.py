"""The live sale: queue, admissions, orders, paid, tickets; by tier and channel; where buyers are lost, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from operations.boards import sale_charts, sale_figures, sale_tables
from operations.boards.sale_facts import gather
from operations.boards.shape import BAD, GOOD, LOOK, Board, Choice
from operations.boards.sharing import shared
from ticketing.availability import COMING, OPEN, STOPPED, phase_to_show
from ticketing.models import Show

SPANS: dict[str, tuple[timedelta | None, Any]] = {
    "10m": (timedelta(minutes=10), gettext_lazy("last 10 minutes")),
    "1h": (timedelta(hours=1), gettext_lazy("last hour")),
    "6h": (timedelta(hours=6), gettext_lazy("last 6 hours")),
    "1d": (timedelta(days=1), gettext_lazy("last 24 hours")),
    "all": (None, gettext_lazy("the whole sale")),
}
EVERY_S = 3


def board(*, show: Show, shows: Sequence[Show], span: str, now: datetime) -> Board:
    """The live sale of one show."""
    facts = shared(f"sale:{show.code}:{span}", lambda: gather(show=show, span=SPANS[span][0], now=now))
    state, tone = _state(show, now)
    return Board(
        title=show.event.name,
        as_of=facts.as_of,
        every_s=EVERY_S,
        figures=sale_figures.figures(facts),
        panels=[
            sale_charts.flow(facts),
            sale_charts.steps(facts),
            sale_charts.tiers(facts),
            *sale_charts.queue(facts),
            sale_tables.tiers(facts),
            sale_tables.channels(facts),
            sale_tables.refusals(facts),
        ],
        choices=[
            Choice(
                "show", _("show"), [(one.code, f"{one.event.name} · {one.code}") for one in shows], show.code
            ),
            Choice("span", _("time"), [(key, text) for key, (_span, text) in SPANS.items()], span),
        ],
        state=state,
        state_tone=tone,
    )


def _state(show: Show, now: datetime) -> tuple[str, str]:
    phase, state = phase_to_show(show, now=now)
    if phase is None:
        return _("no sale phase"), LOOK
    words = {"kind": phase.get_kind_display(), "when": f"{timezone.localtime(phase.opens_at):%m-%d %H:%M}"}
    if state == OPEN:
        return _("%(kind)s, open") % words, GOOD
    if state == STOPPED:
        return _("stopped by staff"), BAD
    if state == COMING:
        return _("%(kind)s opens %(when)s") % words, ""
    return _("the sale is over"), ""
