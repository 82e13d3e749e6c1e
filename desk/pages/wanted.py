"""What a wish of staff says, for the page where another person decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from desk import wishes
from desk.models import Case
from desk.pages import words
from ticketing.refund_admin import source_name
from ticketing.refund_models import SeatsAfter


def told(case: Case) -> list[tuple[str, str]]:
    """(what, how much or which), empty for a case that no person wished for."""
    if case.kind == wishes.REFUND_WANTED.code:
        return list(_refund(case, case.facts))
    return []


def _refund(case: Case, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield _("order"), case.purchase_number
    for code, minor in wanted["sources"]:
        yield _("goes back to: %(where)s") % {"where": source_name(code)}, words.amount(minor, case.currency)
    tickets = wanted["tickets"]
    yield _("tickets that become void"), ", ".join(tickets) or _("none: money alone")
    if tickets:
        yield _("what becomes of the seats"), str(SeatsAfter(wanted["seats_after"]).label)
