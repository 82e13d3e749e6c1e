"""
What is left: seats by price tier, by section, and seat by seat. Answers for people who look, not for those who buy.

The counts are at most a second old: one count of a stadium serves everybody who looks in that second, and by tier it is
the same one everywhere (ticketing.seats_left). Taking seats looks for itself (ticketing.seats).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache
from django.db.models import Count, Q

from basis import replica
from risk import switches
from ticketing import seats_left
from ticketing.models import PriceTier, SalePhase, Seat, SeatState, Section, Show

FRESH_S = 1
FREE = Count("pk", filter=Q(state=SeatState.FREE))

Counts = dict[int, tuple[int, int]]
NONE, COMING, OPEN, OVER, STOPPED = "none", "coming", "open", "over", "stopped"
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TierSeats:
    """A price tier, its seats for sale, and how many of them are free."""

    tier: PriceTier
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class SectionSeats:
    section: Section
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class RowSeats:
    """A row of a section, with its seats from left to right."""

    label: str
    seats: list[Seat]

    @property
    def free(self) -> int:
        return sum(seat.state == SeatState.FREE for seat in self.seats)


def by_tier(show: Show, *, now: datetime) -> list[TierSeats]:
    """Every tier of the published show, best first, with the counts that everybody is shown."""
    counts = {tier.id: (tier.total, tier.free) for tier in seats_left.of(show.code, now=now).tiers}
    return [TierSeats(tier, *counts.get(tier.pk, (0, 0))) for tier in PriceTier.objects.filter(show=show)]


def by_section(show: Show) -> list[SectionSeats]:
    """Every section of the show's venue that has seats of the show, with its counts."""
    counts = _fresh(show.pk)
    sections = Section.objects.filter(venue_id=show.venue_id)
    return [SectionSeats(section, *counts[section.pk]) for section in sections if section.pk in counts]


def in_section(show: Show, section: Section) -> list[RowSeats]:
    """The section's rows, best first, seat by seat. Never from the cache: people choose by it."""
    rows: dict[int, RowSeats] = {}
    seats = Seat.objects.filter(show=show, row__section=section).select_related("row", "tier")
    for seat in seats.order_by("row_rank", "row_id", "position"):
        rows.setdefault(seat.row_id, RowSeats(seat.row.label, [])).seats.append(seat)
    return list(rows.values())


def phase_to_show(show: Show, *, now: datetime) -> tuple[SalePhase | None, str]:
    """The phase that is open, else the next one, else the last one; and which it is, or that staff stopped the sale."""
    phases = list(SalePhase.objects.filter(show=show).order_by("opens_at"))
    if show.cancelled_at:
        return (phases[-1] if phases else None), CANCELLED
    for phase in phases:
        if phase.closes_at > now:
            if switches.stopped(switches.SALE, show.code):
                return phase, STOPPED
            return phase, OPEN if phase.opens_at <= now else COMING
    return (phases[-1], OVER) if phases else (None, NONE)


def _fresh(show_id: int) -> Counts:
    key = f"seats-by-section:{show_id}"
    found: Counts | None = cache.get(key)
    if found is None:
        found = _counted(show_id)
        cache.set(key, found, FRESH_S)
    return found


@replica.looks
def _counted(show_id: int) -> Counts:
    """By section: all seats for sale, and how many of them are free."""
    seats = Seat.objects.filter(show_id=show_id).exclude(state=SeatState.BLOCKED).order_by()
    counted = seats.values("row__section_id").annotate(total=Count("pk"), free=FREE)
    return {row["row__section_id"]: (row["total"], row["free"]) for row in counted}
