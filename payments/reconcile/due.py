"""Which statements wait to be compared: those of which no run is done, the earliest day first."""

from __future__ import annotations

from datetime import date

from django.db.models import Exists, OuterRef

from payments.reconcile_models import UNSETTLED, Discrepancy, ReconcileRun, RunState
from payments.statement_models import Statement, StatementKind


def due(*, limit: int) -> list[tuple[str, date]]:
    """
    Channel and day of up to `limit` statements. A funds statement that no run has booked is booked by comparing its
    day again; clocks are not asked, for a large file is loaded long after its load began.
    """
    done = ReconcileRun.objects.filter(statement=OuterRef("pk"), state=RunState.DONE)
    counting = Statement.objects.filter(replaced_by=None)
    new = counting.filter(~Exists(done), kind=StatementKind.TRADE)
    booked = ReconcileRun.objects.filter(funds=OuterRef("pk"), state=RunState.DONE)
    trade = counting.filter(channel=OuterRef("channel"), day=OuterRef("day"), kind=StatementKind.TRADE)
    later = counting.filter(~Exists(booked), Exists(trade), kind=StatementKind.FUNDS)
    found = set(new.order_by("day").values_list("channel", "day")[:limit])
    found |= set(later.order_by("day").values_list("channel", "day")[:limit])
    return sorted(found, key=lambda each: (each[1], each[0]))[:limit]


def unsettled_channels() -> list[str]:
    """Channels at which something is open or carried."""
    rows = Discrepancy.objects.filter(state__in=UNSETTLED).order_by("channel").distinct()
    return list(rows.values_list("channel", flat=True))
