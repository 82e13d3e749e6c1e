"""
The sample show: a stadium of 39,000 seats, 7,000 in the inner field and 32,000 in the outer ring, in six price tiers.

Set-based and deterministic: the same seats on every machine, made in seconds. Used by `manage.py seed`, the demo, the
incidents, the benchmarks and the tests; `scale` shrinks every row count for tests that need no stadium.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from payments import money
from payments.models import ChannelCode
from ticketing.models import (
    Event,
    Organiser,
    PriceTier,
    RefundPolicy,
    RefundStep,
    Row,
    SalePhase,
    Section,
    Show,
    Venue,
)


@dataclass(frozen=True, slots=True)
class Block:
    """`sections` sections of `rows` rows of `seats` seats, all of one tier."""

    tier: str
    zone: str
    prefix: str
    sections: int
    rows: int
    seats: int


# 7,000 inner field: 2,000 + 5,000. 32,000 outer ring: 6,400 + 8,000 + 9,600 + 8,000.
BLOCKS = (
    Block("VIP", "inner", "A", 4, 20, 25),
    Block("FIELD", "inner", "B", 5, 40, 25),
    Block("GOLD", "outer", "C", 8, 20, 40),
    Block("SILVER", "outer", "D", 10, 20, 40),
    Block("BRONZE", "outer", "E", 12, 20, 40),
    Block("UPPER", "outer", "F", 10, 20, 40),
)
TIERS = {
    "VIP": ("贵宾区", "VIP", 168_000, "#7c3aed"),
    "FIELD": ("内场", "Inner field", 128_000, "#db2777"),
    "GOLD": ("金色看台", "Gold stand", 98_000, "#d97706"),
    "SILVER": ("银色看台", "Silver stand", 78_000, "#64748b"),
    "BRONZE": ("铜色看台", "Bronze stand", 58_000, "#b45309"),
    "UPPER": ("上层看台", "Upper stand", 38_000, "#0d9488"),
}


# Days before the show, percent of the price.
REFUND_LADDER = ((14, 100), (7, 80), (2, 50))


def make_show(
    *,
    code: str = "tonight",
    now: datetime,
    rows_per_section: int | None = None,
    opens_at: datetime | None = None,
    per_buyer_limit: int = 4,
) -> Show:
    """
    The sample event with one show `code`; a show that exists is returned as it is. `rows_per_section` makes it smaller.
    """
    known = Show.objects.filter(code=code).first()
    if known is not None:
        return known
    with transaction.atomic():
        money.open_system_accounts(channels=list(ChannelCode.values), currency="CNY", now=now)
        venue = _venue(rows_per_section)
        show = _show(code, venue, now)
        tiers = _tiers(show)
        _phases(show, opens_at or now, per_buyer_limit)
        _seats(show, tiers)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ticketing_seat")
    return show


def _venue(rows_per_section: int | None) -> Venue:
    code = "river-stadium" if rows_per_section is None else f"river-stadium-{rows_per_section}"
    venue, created = Venue.objects.get_or_create(
        code=code,
        defaults={
            "name_zh": "江湾体育场",
            "name_en": "River Bend Stadium",
            "city_zh": "上海",
            "city_en": "Shanghai",
            "address": "1 River Bend Road",
        },
    )
    if created:
        _sections(venue, rows_per_section)
    return venue


def _sections(venue: Venue, rows_per_section: int | None) -> None:
    sections: list[Section] = []
    rows: list[Row] = []
    rank = 0
    for block in BLOCKS:
        made = [
            Section(
                venue=venue,
                code=f"{block.prefix}{i + 1}",
                zone=block.zone,
                position=len(sections) + i,
                name_zh=f"{TIERS[block.tier][0]} {block.prefix}{i + 1} 区",
                name_en=f"{TIERS[block.tier][1]} {block.prefix}{i + 1}",
            )
            for i in range(block.sections)
        ]
        sections += made
        for row in range(rows_per_section or block.rows):
            for section in made:
                rows.append(Row(section=section, label=str(row + 1), rank=rank, seats=block.seats))
                rank += 1
    Section.objects.bulk_create(sections)
    Row.objects.bulk_create(rows)


def _show(code: str, venue: Venue, now: datetime) -> Show:
    organiser, _ = Organiser.objects.get_or_create(
        code="moonlight", defaults={"name_zh": "月光文化", "name_en": "Moonlight Live"}
    )
    event, _ = Event.objects.get_or_create(
        slug="river-of-stars",
        defaults={
            "organiser": organiser,
            "name_zh": "星河巡回演唱会",
            "name_en": "River of Stars Tour",
            "about_zh": "三万九千人的夜晚。一人一票，好座优先，未付的座位自动释放。",
            "about_en": "One night for thirty-nine thousand. Best seats first; unpaid seats are released.",
            "published": True,
        },
    )
    policy, is_new = RefundPolicy.objects.get_or_create(event=event)
    if is_new:
        RefundStep.objects.bulk_create(
            RefundStep(policy=policy, hours_before=days * 24, percent_back=percent)
            for days, percent in REFUND_LADDER
        )
    starts_at = (now + timedelta(days=30)).replace(minute=0, second=0, microsecond=0)
    return Show.objects.create(
        event=event, venue=venue, code=code, starts_at=starts_at, doors_at=starts_at - timedelta(hours=2)
    )


def _tiers(show: Show) -> dict[str, PriceTier]:
    made = [
        PriceTier(
            show=show,
            code=code,
            rank=rank,
            price_minor=price,
            colour=colour,
            name_zh=name_zh,
            name_en=name_en,
        )
        for rank, (code, (name_zh, name_en, price, colour)) in enumerate(TIERS.items(), start=1)
    ]
    return {tier.code: tier for tier in PriceTier.objects.bulk_create(made)}


def _phases(show: Show, opens_at: datetime, per_buyer_limit: int) -> None:
    day = timedelta(days=1)
    SalePhase.objects.bulk_create(
        [
            SalePhase(
                show=show,
                kind=SalePhase.Kind.REHEARSAL,
                eligibility=SalePhase.Eligibility.INVITED,
                opens_at=opens_at - 7 * day,
                closes_at=opens_at - 6 * day,
                per_buyer_limit=per_buyer_limit,
            ),
            SalePhase(
                show=show,
                kind=SalePhase.Kind.PRESALE,
                eligibility=SalePhase.Eligibility.INVITED,
                opens_at=opens_at - 2 * day,
                closes_at=opens_at - day,
                per_buyer_limit=2,
            ),
            SalePhase(
                show=show,
                kind=SalePhase.Kind.GENERAL,
                opens_at=opens_at,
                closes_at=show.starts_at,
                per_buyer_limit=per_buyer_limit,
            ),
        ]
    )


SEATS = """
INSERT INTO ticketing_seat (show_id, tier_id, row_id, row_rank, position, label, state)
SELECT %s, tier.id, row.id, row.rank, place, (place + 1)::text, 'F'
  FROM ticketing_section section
  JOIN unnest(%s::text[], %s::bigint[]) AS tier(prefix, id) ON left(section.code, 1) = tier.prefix
  JOIN ticketing_row row ON row.section_id = section.id
 CROSS JOIN LATERAL generate_series(0, row.seats - 1) AS place
 WHERE section.venue_id = %s
 ORDER BY row.rank, place
"""


def _seats(show: Show, tiers: dict[str, PriceTier]) -> None:
    prefixes = [block.prefix for block in BLOCKS]
    keys = [tiers[block.tier].pk for block in BLOCKS]
    with connection.cursor() as cursor:
        cursor.execute(SEATS, [show.pk, prefixes, keys, show.venue_id])
