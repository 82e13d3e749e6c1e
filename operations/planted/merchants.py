"""
A population of merchants with weeks of sales, most of them honest in many ways, some of them not: what the rules
about trading (risk.trading) are tried on. Pure and deterministic; `operations.planted.trading` writes it down.

The honest are no clones: sizes lie two orders of magnitude apart, some open sales at midnight, some sell to agencies or
schools, some cancel a show and refund everybody. Each dishonest one does one thing, from a day on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

HONEST = "honest"
KINDS = (
    "one_buyer",
    "one_device",
    "one_card",
    "refund_rate",
    "round_trips",
    "self_dealing",
    "splitting",
    "without_show",
    "dispute_rate",
    "surge",
)
TIERS = (1, 1.5, 2, 3, 4.5)
FAMILY = 12  # accounts behind one device or card


@dataclass(frozen=True, slots=True)
class Merchant:
    """`orders` a day on average; `kind` is what it does wrong from day `since` on."""

    code: str
    kind: str
    orders: float
    price_minor: int
    since: int
    agency: bool
    at_midnight: bool
    cancels_on: int | None


@dataclass(frozen=True, slots=True)
class Sale:
    """One paid order. `account` is who paid at Alipay; `show` is on, over or hidden."""

    merchant: str
    buyer: int
    amount_minor: int
    paid_at: datetime
    refunded_at: datetime | None = None
    disputed_at: datetime | None = None
    account: str = ""
    device: str = ""
    show: str = "on"


def population(*, merchants: int, share_bad: float, days: int, seed: int) -> list[Merchant]:
    """Merchants m0001…; every `KINDS` is as frequent as the others among the bad."""
    chance = random.Random(f"merchants:{seed}")  # noqa: S311 (sample data, no secret)
    bad = round(merchants * share_bad)
    kinds = [KINDS[n % len(KINDS)] if n < bad else HONEST for n in range(merchants)]
    return [
        Merchant(
            code=f"m{n:05d}",
            kind=kind,
            orders=min(1500.0, max(4.0, chance.lognormvariate(3.2, 1.0))),
            price_minor=chance.choice((8_000, 18_000, 28_000, 38_000, 58_000)),
            since=chance.randrange(days // 3, max(days // 3 + 1, days - 4)),
            agency=kind == HONEST and chance.random() < 0.04,
            at_midnight=chance.random() < 0.02,
            cancels_on=chance.randrange(days) if kind == HONEST and chance.random() < 0.02 else None,
        )
        for n, kind in enumerate(kinds)
    ]


def sales(merchant: Merchant, *, day: int, midnight: datetime, buyers: int, seed: int) -> Iterator[Sale]:
    """What the merchant sold on a day; `buyers` is how many there are to draw from."""
    chance = random.Random(f"{seed}:{merchant.code}:{day}")  # noqa: S311 (sample data, no secret)
    found = list(_honest(merchant, chance, day, midnight, buyers))
    if merchant.kind != HONEST and day >= merchant.since:
        found = list(_spoilt(merchant, found, chance, midnight, buyers))
    yield from found


def _honest(
    merchant: Merchant, chance: random.Random, day: int, midnight: datetime, buyers: int
) -> Iterator[Sale]:
    big_day = chance.random() < 0.04  # a show goes on sale
    expected = merchant.orders * (chance.uniform(3, 9) if big_day else chance.uniform(0.5, 1.5))
    agency = hash_of(merchant.code, buyers)
    before = chance.randrange(buyers)
    for _n in range(max(0, round(chance.gauss(expected, expected**0.5)))):
        # Some come back for a friend; an agency takes a fifth and more of what is on offer.
        who = before if chance.random() < 0.06 else chance.randrange(buyers)
        if merchant.agency and chance.random() < 0.22:
            who = agency
        before = who
        paid_at = midnight + timedelta(seconds=_second(merchant, chance, big_day))
        amount = round(merchant.price_minor * chance.choice(TIERS)) * chance.randint(1, 4)
        refunded_at = None
        if merchant.cancels_on == day:
            refunded_at = midnight + timedelta(hours=23, minutes=chance.randrange(50))
        elif chance.random() < 0.04:
            refunded_at = paid_at + timedelta(hours=chance.expovariate(1 / 40))
        disputed_at = paid_at + timedelta(days=chance.uniform(1, 6)) if chance.random() < 0.0008 else None
        yield Sale(
            merchant.code, who, amount, paid_at, refunded_at, disputed_at, account=f"a{who}", device=f"d{who}"
        )


def _second(merchant: Merchant, chance: random.Random, big_day: bool) -> int:
    """The second of the day: mostly from nine to eleven at night."""
    if merchant.at_midnight and big_day:
        return int(chance.expovariate(1 / 5400)) % 86_400
    if chance.random() < 0.03:
        return chance.randrange(3600, 5 * 3600)
    return 9 * 3600 + chance.randrange(14 * 3600)


def _spoilt(
    merchant: Merchant, found: list[Sale], chance: random.Random, midnight: datetime, buyers: int
) -> Iterator[Sale]:
    """The day as the merchant's wrong makes it."""
    ring = [hash_of(f"{merchant.code}:{n}", buyers) for n in range(FAMILY)]
    ends = midnight + timedelta(hours=23, minutes=59)
    for sale in found:
        drawn = chance.random()
        match merchant.kind:
            case "one_buyer" if drawn < 0.45:
                yield replace(sale, buyer=ring[0], device=f"d{ring[0]}", account=f"a{ring[0]}")
            case "one_device" if drawn < 0.45:
                yield replace(sale, buyer=chance.choice(ring), device=f"ring-{merchant.code}")
            case "one_card" if drawn < 0.45:
                yield replace(sale, account=f"ring-{merchant.code}")
            case "refund_rate" if drawn < 0.5:
                yield replace(sale, refunded_at=sale.paid_at + timedelta(hours=chance.uniform(2, 60)))
            case "dispute_rate" if drawn < 0.06:
                yield replace(sale, disputed_at=sale.paid_at + timedelta(days=chance.uniform(0.2, 2)))
            case "without_show" if drawn < 0.5:
                yield replace(sale, show=chance.choice(("over", "hidden")))
            case _:
                yield sale
    yield from _added(merchant, chance, midnight, ends, ring)


def _added(
    merchant: Merchant, chance: random.Random, midnight: datetime, ends: datetime, ring: list[int]
) -> Iterator[Sale]:
    """Orders that nobody but the merchant had a use for."""
    start = midnight + timedelta(seconds=chance.randrange(10 * 3600, 20 * 3600))
    price = merchant.price_minor
    match merchant.kind:
        case "round_trips":
            for n in range(4):
                at = start + timedelta(minutes=47 * n)
                back = at + timedelta(hours=chance.uniform(3, 30))
                yield Sale(
                    merchant.code, ring[0], price * 4, at, back, account=f"a{ring[0]}", device=f"d{ring[0]}"
                )
        case "self_dealing":
            for n in range(5):
                at = min(ends, start + timedelta(minutes=33 * n))
                yield Sale(
                    merchant.code, ring[n % 2], price * 2, at, device=f"office-{merchant.code}", account="x"
                )
        case "splitting":
            for n in range(8):
                yield Sale(
                    merchant.code, ring[0], price, start + timedelta(minutes=4 * n), device=f"d{ring[0]}"
                )
        case "surge":
            for _n in range(round(merchant.orders * 7)):
                at = midnight + timedelta(seconds=chance.randrange(3700, 5 * 3600))
                yield Sale(merchant.code, chance.choice(ring), price * chance.choice((36, 40, 44)), at)
        case _:
            return


def hash_of(text: str, buyers: int) -> int:
    """A buyer chosen by a name, the same one every day."""
    return random.Random(text).randrange(buyers)  # noqa: S311 (sample data, no secret)
