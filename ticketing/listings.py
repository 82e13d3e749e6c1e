"""What buyers look at: events, shows, seat plans, their own orders and tickets. Reads only; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from django.db.models import Prefetch, QuerySet, prefetch_related_objects
from django.utils.translation import gettext as _

from accounts.models import User
from ticketing.models import (
    LIVE_ORDER_STATES,
    Event,
    Order,
    OrderSeat,
    PriceTier,
    Seat,
    Section,
    Show,
    Ticket,
)


def published_events() -> QuerySet[Event]:
    """Events that are shown to everybody, with their shows."""
    shows = Show.objects.select_related("venue").order_by("starts_at", "pk")
    return (
        Event.objects.filter(published=True)
        .select_related("organiser")
        .prefetch_related(Prefetch("shows", queryset=shows))
    )


def published_show(code: str) -> Show | None:
    """The show with its event, venue, phases and tiers; None if there is none or it is not published."""
    found = Show.objects.filter(code=code, event__published=True).select_related("event__organiser", "venue")
    return found.prefetch_related("phases", "tiers").first()


def stoppable_shows() -> list[tuple[str, str]]:
    """What a sale's kill switch can stop: every show, or one, the newest first."""
    shows = Show.objects.select_related("event").order_by("-starts_at", "code")
    return [("", str(_("every show"))), *((show.code, f"{show.event.name} · {show.code}") for show in shows)]


def sections_of(show: Show) -> QuerySet[Section]:
    return Section.objects.filter(venue=show.venue_id).order_by("position", "code")


def published_tier(show_code: str, tier_code: str) -> PriceTier | None:
    """A show's tier, with the show; None if there is none or the event is not published."""
    found = PriceTier.objects.filter(show__code=show_code, code=tier_code, show__event__published=True)
    return found.select_related("show").first()


# -- seat plan ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PlanSeat:
    id: int
    label: str
    tier: str
    free: bool


@dataclass(frozen=True, slots=True)
class PlanRow:
    label: str
    seats: list[PlanSeat]


def seat_plan(show_code: str, section_code: str) -> list[PlanRow]:
    """A section's seats in a show, front row first, in one query; empty if there is no such section."""
    found = Seat.objects.filter(
        show__code=show_code, show__event__published=True, row__section__code=section_code
    ).order_by("row_rank", "row_id", "position")
    rows = found.values_list("row_id", "row__label", "id", "label", "tier__code", "state")
    return [
        PlanRow(
            label, [PlanSeat(seat_id, seat, tier, state == "F") for _, _, seat_id, seat, tier, state in seats]
        )
        for (_, label), seats in groupby(rows, key=lambda row: row[:2])
    ]


# -- a buyer's own -----------------------------------------------------------------------------------------------------
GIVEN = Prefetch(
    "order_seats",
    queryset=OrderSeat.objects.select_related("seat__row__section").order_by(
        "seat__row_rank", "seat__row_id", "seat__position"
    ),
)


def orders_of(buyer: User) -> QuerySet[Order]:
    """A buyer's orders with what their description needs; two queries."""
    return Order.objects.filter(buyer=buyer).select_related("tier__show").prefetch_related(GIVEN)


def order_of(buyer: User, number: str) -> Order | None:
    """The buyer's own order, without its seats; None also if it is somebody else's."""
    return Order.objects.filter(buyer=buyer, number=number).select_related("tier__show").first()


def with_seats(order: Order) -> Order:
    """The order with its seats fetched, for a description without further queries."""
    prefetch_related_objects([order], GIVEN)
    return order


def seats_of(order: Order) -> list[Seat]:
    """
    The seats an order has, or, if it is over, those it had. Late money may have given it other seats than it asked
    for: then the order remembers both, and its tickets tell which it got.
    """
    given = [line.seat for line in order.order_seats.all()]
    if order.state in LIVE_ORDER_STATES:
        return [seat for seat in given if seat.order_id == order.pk]
    if len(given) > order.quantity:
        ticketed = set(Ticket.objects.filter(order=order).values_list("seat_id", flat=True))
        given = [seat for seat in given if seat.pk in ticketed] or given
    return given


def tickets_of(buyer: User) -> QuerySet[Ticket]:
    """A buyer's tickets with what their description and their QR code need."""
    return Ticket.objects.filter(buyer=buyer).select_related("order", "show__event", "seat__row__section")
