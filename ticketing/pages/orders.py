"""The buyer's orders: the list, and the page that follows one order from the hold to the tickets."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from ticketing import orders as domain
from ticketing import refund_terms
from ticketing.models import Order, OrderSeat, OrderState, Seat, Ticket
from ticketing.pages import cashier, refunds
from ticketing.pages.answers import SeeOther, buyer_of, personal
from ticketing.pages.presses import purchase
from ticketing.timeline import timeline

PAGE = 20


@personal
@require_safe
def orders(request: HttpRequest) -> HttpResponse:
    mine = Order.objects.filter(buyer=buyer_of(request)).select_related("show__event", "show__venue", "tier")
    page = Paginator(mine.order_by("-pk"), PAGE).get_page(request.GET.get("page"))
    return render(request, "pages/orders.html", {"page": page})


@personal
@require_safe
def order(request: HttpRequest, number: str) -> HttpResponse:
    found = _mine(request, number)
    now = timezone.now()
    came_back = "back" in request.GET
    desk = cashier.look(
        purchase(domain.PURCHASE, number), buyer_id=found.buyer_id, came_back=came_back, now=now
    )
    if (wait := cashier.held_back(request, desk)) is not None:
        return wait
    context = {
        "order": found,
        "cashier": desk,
        "heading": cashier.words(desk.stage),
        "places": _places(found),
        "tickets": list(Ticket.objects.filter(order=found).order_by("pk")) if found.winner else [],
        "timeline": timeline(found)[::-1],
        "now": now,
    }
    if found.state == OrderState.PAID and not found.show.cancelled_at:
        terms = refund_terms.terms_to_show(found.show)
        context["refund_rule"] = refunds.rule_of(terms)
        context["can_give_back"] = terms is not None and terms.step_at(now) is not None
    return render(request, "pages/order.html", context)


def _mine(request: HttpRequest, number: str) -> Order:
    found = Order.objects.select_related("show__event", "show__venue", "tier")
    return get_object_or_404(found, number=number, buyer=buyer_of(request))


def _places(order: Order) -> list[tuple[str, str, list[Seat]]]:
    """(section, row, seats) of the order's seats; of the ones it was given first, when it has none any more."""
    with_rows = Seat.objects.select_related("row__section")
    seats = list(with_rows.filter(order=order))
    if not seats:
        given = OrderSeat.objects.filter(order=order).values("seat_id")
        seats = list(with_rows.filter(pk__in=given))
    rows: dict[tuple[int, int], tuple[str, str, list[Seat]]] = {}
    for seat in sorted(seats, key=lambda seat: (seat.row_rank, seat.row_id, seat.position)):
        name = seat.row.section.name
        rows.setdefault((seat.row_rank, seat.row_id), (name, seat.row.label, []))[2].append(seat)
    return list(rows.values())


@personal
@require_POST
def cancel(request: HttpRequest, number: str) -> HttpResponse:
    found = _mine(request, number)
    try:
        domain.cancel(number=number, actor=buyer_of(request).handle, now=timezone.now())
    except domain.NotCancellable:
        messages.warning(request, _("This order is closed or paid already; it cannot be cancelled."))
    return SeeOther(reverse("order", args=[found.number]))
