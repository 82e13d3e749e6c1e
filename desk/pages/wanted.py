"""What a wish of staff says, for the page where another person decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from desk import wishes
from desk.models import Case
from desk.pages import words
from ticketing import cancelling
from ticketing.refund_admin import source_name
from ticketing.refund_models import SeatsAfter


def told(case: Case) -> list[tuple[str, str]]:
    """(what, how much or which), empty for a case that no person wished for."""
    if case.kind == wishes.REFUND_WANTED.code:
        return list(_refund(case, case.facts))
    if case.kind == wishes.SHOW_TO_CANCEL.code:
        return list(_cancellation(case, case.facts))
    return []


def _refund(case: Case, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield _("order"), case.purchase_number
    for code, minor in wanted["sources"]:
        yield _("goes back to: %(where)s") % {"where": source_name(code)}, words.amount(minor, case.currency)
    tickets = wanted["tickets"]
    yield _("tickets that become void"), ", ".join(tickets) or _("none: money alone")
    if tickets:
        yield _("what becomes of the seats"), str(SeatsAfter(wanted["seats_after"]).label)


def _cancellation(case: Case, wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """As it is now: the sale went on since it was asked for."""
    seen = cancelling.preview(case.subject)
    yield _("show"), f"{seen.show.event.name} · {seen.show.code}"
    yield _("paid orders"), f"{seen.orders}"
    yield _("tickets that become void"), f"{seen.tickets}"
    for one in seen.paid:
        where = _("goes back to: %(where)s") % {"where": source_name(one.channel)}
        yield where, words.amount(one.amount_minor, one.currency)
    yield _("unpaid orders that end"), f"{seen.open_orders}"
    yield _("people in the waiting room"), f"{seen.waiting}"
    for said in filter(None, (wanted.get("said_zh"), wanted.get("said_en"))):
        yield _("told to buyers"), said
