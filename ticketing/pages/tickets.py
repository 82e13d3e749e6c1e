"""The buyer's tickets: the list, and the page that is shown at the door or printed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from ticketing import tickets as domain
from ticketing.models import Ticket, TicketState
from ticketing.pages import cashier
from ticketing.pages.answers import buyer_of, personal

LISTED_MAX = 200


@personal
@require_safe
def tickets(request: HttpRequest) -> HttpResponse:
    mine = _with_places().filter(buyer=buyer_of(request)).order_by("show__starts_at", "pk")
    found = list(mine[:LISTED_MAX])
    now = timezone.now()
    context = {
        "coming": [
            ticket for ticket in found if ticket.state == TicketState.VALID and ticket.show.over_at > now
        ],
        "past": [
            ticket for ticket in found if ticket.state != TicketState.VALID or ticket.show.over_at <= now
        ],
    }
    return render(request, "pages/tickets.html", context)


@personal
@require_safe
def ticket(request: HttpRequest, number: str) -> HttpResponse:
    found = get_object_or_404(_with_places(), number=number, buyer=buyer_of(request))
    # A void ticket has no code: what cannot be scanned cannot be tried at the door or sold on.
    admits = found.state != TicketState.VOID and not found.show.cancelled_at
    code = cashier.qr(domain.payload(found)) if admits else None
    return render(request, "pages/ticket.html", {"ticket": found, "code": code})


def _with_places():  # type: ignore[no-untyped-def]
    return Ticket.objects.select_related(
        "show__event", "show__venue", "seat__row__section", "seat__tier", "order"
    )
