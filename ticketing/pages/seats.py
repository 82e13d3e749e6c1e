"""Choosing seats oneself: section, then row, then seat, as plain lists that need neither a mouse nor JavaScript."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from risk.pages import gated
from ticketing import admission, availability, seats
from ticketing.availability import RowSeats
from ticketing.models import Seat, Section, Show
from ticketing.pages import events, refusals, turns
from ticketing.pages.answers import SeeOther, unkept
from ticketing.pages.events import Choice
from ticketing.pages.refusals import Refusal
from ticketing.pages.turns import Wanted


def _show(code: str) -> Show:
    shows = Show.objects.select_related("event", "venue")
    return get_object_or_404(shows, code=code, event__published=True)


@unkept
@require_safe
def sections(request: HttpRequest, code: str) -> HttpResponse:
    show = _show(code)
    zones: dict[str, list[availability.SectionSeats]] = {}
    for found in availability.by_section(show):
        zones.setdefault(found.section.zone, []).append(found)
    listed = [(Section.Zone(zone).label, found) for zone, found in zones.items()]
    return render(request, "pages/sections.html", {"show": show, "zones": listed})


@unkept
@require_http_methods(["GET", "HEAD", "POST"])
@gated("order")
def section(request: HttpRequest, code: str, section: str) -> HttpResponse:
    show = _show(code)
    found = get_object_or_404(Section, venue_id=show.venue_id, code=section)
    if request.method != "POST":
        choice = events.read_choice(request.GET)
        return _page(request, show, found, choice)
    if not request.user.is_authenticated:
        kept = urlencode({"seat": request.POST.getlist("seat")[:100]}, doseq=True)
        return redirect(f"{reverse('sign-in')}?{urlencode({'next': f'{request.path}?{kept}'})}")
    return _order(request, show, found)


def _order(request: HttpRequest, show: Show, found: Section) -> HttpResponse:
    choice = events.read_choice(request.POST)
    chosen = list(Seat.objects.filter(pk__in=choice.seat_ids, show=show, row__section=found))
    tiers = {seat.tier_id for seat in chosen}
    if not chosen:
        return _page(
            request, show, found, choice, Refusal("bad_quantity", _("Choose at least one seat."), 400)
        )
    if len(tiers) > 1:
        text = _("Choose seats of one price at a time.")
        return _page(request, show, found, choice, Refusal("several_tiers", text, 400))
    ids = sorted(seat.pk for seat in chosen)
    wanted = Wanted(
        tier_id=tiers.pop(),
        # The seats are part of the key: going back and choosing others is another order.
        client_key=f"{choice.client_key}:{'-'.join(map(str, ids))}"[:255],
        quantity=len(ids),
        seat_ids=ids,
        accept_equal_seats=choice.accept_equal_seats,
    )
    try:
        return SeeOther(turns.place(request, show, wanted))
    except admission.PassNeeded:
        return SeeOther(reverse("queue", args=[show.code]))
    except refusals.ORDER_REFUSALS as error:
        if isinstance(error, seats.SeatsTaken):
            choice.seat_ids = [key for key in ids if key not in error.seat_ids]
        # Asked here alone: an order that is placed needs no code.
        refusal = refusals.counted(error, show.code, tier=chosen[0].tier.code)
        return _page(request, show, found, choice, refusal)


def _page(
    request: HttpRequest, show: Show, found: Section, choice: Choice, refusal: Refusal | None = None
) -> HttpResponse:
    rows = availability.in_section(show, found)
    context: dict[str, Any] = {
        "show": show,
        "section": found,
        "rows": rows,
        "open_rows": _open_rows(rows, choice),
        "tiers_here": list({seat.tier_id: seat.tier for row in rows for seat in row.seats}.values()),
        "choice": choice,
        "chosen": set(choice.seat_ids),
        "refusal": refusal,
        "now": timezone.now(),
    }
    context |= events.sale_context(request, show, now=context["now"])
    return render(request, "pages/section.html", context, status=refusal.status if refusal else 200)


def _open_rows(rows: list[RowSeats], choice: Choice) -> set[str]:
    """Which rows are unfolded: those with a choice in them, else the first that has a free seat."""
    chosen = {row.label for row in rows if any(seat.pk in choice.seat_ids for seat in row.seats)}
    return chosen or {next((row.label for row in rows if row.free), "")}
