"""What is on sale, and the order form: an event's page shows what is left and takes orders for the best seats."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from basis import replica
from risk.pages import gated
from ticketing import admission, availability, orders, phases
from ticketing.availability import TierSeats
from ticketing.models import OPEN_ORDER_STATES, Event, Order, SalePhase, Show
from ticketing.pages import refusals, turns
from ticketing.pages.answers import SeeOther, buyer_of, unkept
from ticketing.pages.refusals import Refusal
from ticketing.pages.turns import Wanted

SOLD_OUT = "sold_out"


@dataclass
class Choice:
    """What the buyer has filled in so far; it survives every refusal."""

    client_key: str
    tier: str = ""
    quantity: int = 1
    accept_equal_seats: bool = False
    seat_ids: list[int] = field(default_factory=list)


def new_key() -> str:
    """The natural idempotency key of one rendering of the form: pressing twice orders once, also without JavaScript."""
    return f"page:{uuid.uuid4()}"


@unkept
@require_safe
def events(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    return render(request, "pages/events.html", {"events": _listed(now), "now": now})


@replica.looks
def _listed(now: datetime) -> list[tuple[Event, Show | None]]:
    found = (
        Event.objects.filter(published=True).prefetch_related("shows__venue", "shows__phases").order_by("-pk")
    )
    return [(event, _upcoming(list(event.shows.all()), now)) for event in found[:100]]


@unkept
@require_http_methods(["GET", "HEAD", "POST"])
@gated("order")
def event(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Event, slug=slug, published=True)
    shows = list(Show.objects.filter(event=found).select_related("venue"))
    wanted = request.POST.get("show") or request.GET.get("show")
    show = next((show for show in shows if show.code == wanted), None) or _upcoming(shows, timezone.now())
    if request.method == "POST":
        if show is None:
            raise Http404
        return _order(request, found, show, shows)
    return _page(request, found, show, shows, choice=read_choice(request.GET))


def _upcoming(shows: list[Show], now: datetime) -> Show | None:
    """The next show that takes place, else the next one; if all are over, the last one."""
    ahead = [show for show in shows if show.starts_at > now]
    taking_place = [show for show in ahead if not show.cancelled_at]
    return next(iter(taking_place or ahead or shows[-1:]), None)


def _order(request: HttpRequest, found: Event, show: Show, shows: list[Show]) -> HttpResponse:
    choice = read_choice(request.POST)
    if not request.user.is_authenticated:
        kept = urlencode({"show": show.code, "tier": choice.tier, "quantity": str(choice.quantity)})
        return redirect(f"{reverse('sign-in')}?{urlencode({'next': f'{request.path}?{kept}'})}")
    tiers = {tier.code: tier.pk for tier in show.tiers.all()}
    wanted = Wanted(
        tier_id=tiers.get(choice.tier, 0),
        client_key=choice.client_key,
        quantity=choice.quantity,
        accept_equal_seats=choice.accept_equal_seats,
    )
    try:
        return SeeOther(turns.place(request, show, wanted))
    except admission.PassNeeded:
        return SeeOther(reverse("queue", args=[show.code]))
    except refusals.ORDER_REFUSALS as error:
        if isinstance(error, orders.KeyReused):
            choice.client_key = new_key()
        refusal = refusals.counted(error, show.code, tier=choice.tier)
        return _page(request, found, show, shows, choice=choice, refusal=refusal)


def read_choice(data: Any) -> Choice:
    """Read the form (or the address, on the way back from signing in). Nonsense becomes what nobody sells."""
    quantity = data.get("quantity", "1")
    return Choice(
        client_key=str(data.get("client_key", ""))[:100] or new_key(),
        tier=str(data.get("tier", ""))[:12],
        quantity=int(quantity) if quantity.isascii() and quantity.isdigit() and len(quantity) < 4 else 0,
        accept_equal_seats=data.get("accept_equal_seats") == "on",
        seat_ids=[
            int(key)
            for key in data.getlist("seat")[:100]
            if key.isascii() and key.isdigit() and len(key) < 18
        ],
    )


def _page(
    request: HttpRequest,
    found: Event,
    show: Show | None,
    shows: list[Show],
    *,
    choice: Choice,
    refusal: Refusal | None = None,
) -> HttpResponse:
    now = timezone.now()
    context: dict[str, Any] = {"event": found, "show": show, "shows": shows, "choice": choice, "now": now}
    if show is not None:
        context |= sale_context(request, show, now=now)
        context |= {"refusal": refusal, "others": _others(context["tiers"], choice, refusal)}
        if not choice.tier:
            choice.tier = next((tier.tier.code for tier in context["tiers"] if tier.free), "")
    return render(request, "pages/event.html", context, status=refusal.status if refusal else 200)


def sale_context(request: HttpRequest, show: Show, *, now: datetime) -> dict[str, Any]:
    """What both ways to choose seats show: the sale's phase, what is left, and what this buyer may still take."""
    phase, sale = availability.phase_to_show(show, now=now)
    tiers = availability.by_tier(show, now=now)
    if sale == availability.OPEN and not any(tier.free for tier in tiers):
        sale = SOLD_OUT
    limit = min(phase.per_buyer_limit if phase else 1, settings.ORDER_QUANTITY_MAX)
    open_order, left = _of_this_buyer(request, show, phase, limit)
    return {
        "phase": phase,
        "sale": sale,
        "tiers": tiers,
        "limit": limit,
        "left": left,
        "quantities": range(1, limit + 1),
        "open_order": open_order,
        "turn": turns.turn_of(request, show, now=now),
    }


def _of_this_buyer(
    request: HttpRequest, show: Show, phase: SalePhase | None, limit: int
) -> tuple[Order | None, int]:
    """The buyer's unpaid order for the show, and how many more seats the phase allows."""
    if not request.user.is_authenticated or phase is None:
        return None, limit
    buyer = buyer_of(request)
    unpaid = Order.objects.filter(buyer=buyer, show=show, state__in=OPEN_ORDER_STATES).order_by("-pk").first()
    return unpaid, max(0, phase.per_buyer_limit - phases.taken(phase.pk, buyer.pk))


def _others(tiers: list[TierSeats], choice: Choice, refusal: Refusal | None) -> list[TierSeats]:
    """After "sold out": the tiers that have as many seats as were wanted."""
    if refusal is None or refusal.code != SOLD_OUT:
        return []
    return [tier for tier in tiers if tier.free >= choice.quantity and tier.tier.code != choice.tier]
