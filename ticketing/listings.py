"""What buyers look at: events, shows, seat plans, their own orders and tickets. Reads only; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from basis import prepared
from basis.built import Built
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


TIER, SHOW = Built(PriceTier, alias="tier"), Built(Show, alias="show")
TIER_ON_SHOW = f"""
SELECT {TIER.columns}, {SHOW.columns}
  FROM ticketing_pricetier tier JOIN ticketing_show show ON show.id = tier.show_id
  JOIN ticketing_event event ON event.id = show.event_id
 WHERE show.code = %s AND tier.code = %s AND event.published
"""  # noqa: S608 (names of our own models)


def published_tier(show_code: str, tier_code: str) -> PriceTier | None:
    """A show's tier, with the show; None if there is none or the event is not published."""
    row = prepared.row(TIER_ON_SHOW, [show_code, tier_code])
    if row is None:
        return None
    tier = TIER.of(row[: len(TIER)])
    tier.show = SHOW.of(row[len(TIER) :])
    return tier


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


ORDER = Built(Order, alias="o")
ORDER_WITH_TIER = f"""
SELECT {ORDER.columns}, {TIER.columns}, {SHOW.columns}
  FROM ticketing_order o JOIN ticketing_pricetier tier ON tier.id = o.tier_id
  JOIN ticketing_show show ON show.id = tier.show_id
 WHERE o.buyer_id = %s AND o.number = %s
"""  # noqa: S608 (names of our own models)


def order_of(buyer: User, number: str) -> Order | None:
    """The buyer's own order with its tier and show, without its seats; None also if it is somebody else's."""
    row = prepared.row(ORDER_WITH_TIER, [buyer.pk, number])
    if row is None:
        return None
    order, tier = ORDER.of(row[: len(ORDER)]), TIER.of(row[len(ORDER) : len(ORDER) + len(TIER)])
    tier.show = SHOW.of(row[len(ORDER) + len(TIER) :])
    order.tier = tier
    return order


@dataclass(frozen=True, slots=True)
class Place:
    """Where one sits. `order_id` is the order that has the seat now."""

    seat_id: int
    order_id: int | None
    section: str
    row: str
    seat: str


PLACES = """
SELECT seat.id, seat.order_id, section.code, row.label, seat.label
  FROM ticketing_orderseat given JOIN ticketing_seat seat ON seat.id = given.seat_id
  JOIN ticketing_row row ON row.id = seat.row_id JOIN ticketing_section section ON section.id = row.section_id
 WHERE given.order_id = %s ORDER BY seat.row_rank, seat.row_id, seat.position
"""


def places_of(order: Order) -> list[Place]:
    """
    The seats an order has, or, if it is over, those it had. Late money may have given it other seats than it asked
    for: then the order remembers both, and its tickets tell which it got.
    """
    given = _given(order)
    if order.state in LIVE_ORDER_STATES:
        return [place for place in given if place.order_id == order.pk]
    if len(given) > order.quantity:
        ticketed = set(Ticket.objects.filter(order=order).values_list("seat_id", flat=True))
        given = [place for place in given if place.seat_id in ticketed] or given
    return given


def _given(order: Order) -> list[Place]:
    """Every seat that it was given, out of what `orders_of` fetched for a page of orders, or asked for here."""
    if "order_seats" not in getattr(order, "_prefetched_objects_cache", ()):
        return [Place(*row) for row in prepared.rows(PLACES, [order.pk])]
    seats = [line.seat for line in order.order_seats.all()]
    return [
        Place(seat.pk, seat.order_id, seat.row.section.code, seat.row.label, seat.label) for seat in seats
    ]


def tickets_of(buyer: User) -> QuerySet[Ticket]:
    """A buyer's tickets with what their description and their QR code need."""
    return Ticket.objects.filter(buyer=buyer).select_related("order", "show__event", "seat__row__section")
