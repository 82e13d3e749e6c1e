"""
Sample data: the show, a cast of buyers with money, and a house that is partly sold. Used by `manage.py seed`, the
crowd, the benchmarks and the tests.

Everything is deterministic (`seed`), set-based, and repeatable: what exists is left alone. Sold orders are written with
all their facts, so that the audit stays clean; their channel trades stand in no channel's books.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction

from accounts.models import User
from basis import numbers
from operations.seeded_orders import SoldOrder, write
from payments import money
from ticketing import phases, sample
from ticketing.models import Order, SalePhase, SeatState, Show
from wallet import ledger
from wallet.ledger import Entry, Line
from wallet.models import AccountKind, JournalEntry

CNY = "CNY"
BATCH = 5000
SOLD_WITHIN = timedelta(seconds=69)
CHANNELS = ("wallet", "alipay", "wechat")
CLIENT_KEY = "seed:"
WRITTEN = (
    "ticketing_seat",
    "ticketing_order",
    "ticketing_orderseat",
    "ticketing_orderevent",
    "ticketing_ticket",
    "ticketing_allowance",
    "payments_payment",
    "payments_paymentevent",
    "payments_outboxmessage",
    "wallet_account",
    "wallet_journalentry",
    "wallet_posting",
)

Told = Callable[[str, int, int], None]
"""Hears how far a step is: its name, how much is done, of how much."""


def quiet(_step: str, _done: int, _of: int) -> None:
    return


def seed_show(
    *,
    code: str = "tonight",
    now: datetime,
    rows_per_section: int | None = None,
    opens_at: datetime | None = None,
    per_buyer_limit: int = 4,
) -> Show:
    """The sample show (ticketing.sample), on sale from `opens_at` (default: now); one that exists is left as it is."""
    return sample.make_show(
        code=code,
        now=now,
        rows_per_section=rows_per_section,
        opens_at=opens_at,
        per_buyer_limit=per_buyer_limit,
    )


def seed_buyers(
    count: int, cash_minor: int = 0, *, now: datetime, prefix: str = "b", told: Told = quiet
) -> list[int]:
    """
    The ids of buyers b000001…, in that order, with open wallets. Each gets `cash_minor` fen once: who was given money
    by an earlier call keeps what he has. Nobody can sign in as them by password.
    """
    handles = [f"{prefix}{n:06d}" for n in range(1, count + 1)]
    money.open_system_accounts(channels=list(CHANNELS), currency=CNY, now=now)
    ids: list[int] = []
    for part in _batches(handles):
        # One unusable password for all: nobody can tell them by it, and hashing none is what makes this quick.
        shut = make_password(None)
        there = set(User.objects.filter(handle__in=part).values_list("handle", flat=True))
        people = [
            User.objects.build(handle=handle, password=shut, joined_at=now)
            for handle in part
            if handle not in there
        ]
        User.objects.bulk_create(people, ignore_conflicts=True)
        known = dict(User.objects.filter(handle__in=part).values_list("handle", "pk"))
        mine = [known[handle] for handle in part]
        open_wallets(mine, cash_minor, now=now)
        ids += mine
        told("buyers", len(ids), count)
    _analyze("accounts_user", "wallet_account", "wallet_journalentry", "wallet_posting")
    return ids


def open_wallets(buyer_ids: list[int], cash_minor: int, *, now: datetime) -> None:
    """Open wallets and give each `cash_minor` fen, once for ever."""
    money.open_buyer_accounts(buyer_ids, currency=CNY, now=now)
    _give_cash({f"seed-cash:{key}": (key, cash_minor) for key in buyer_ids}, now=now)


def _give_cash(gifts: dict[str, tuple[int, int]], *, now: datetime) -> None:
    """Entries from the opening account, by key: (buyer, amount). A key that exists is left alone."""
    opening = ledger.account_code(AccountKind.OPENING)
    known = set(JournalEntry.objects.filter(key__in=list(gifts)).values_list("key", flat=True))
    entries = [
        Entry(
            key,
            "opening",
            "",
            (Line(opening, -amount), Line(money.buyer_cash(buyer, CNY), amount)),
            memo="sample data",
        )
        for key, (buyer, amount) in gifts.items()
        if amount and key not in known
    ]
    ledger.post_all(entries, at=now)


@dataclass(frozen=True, slots=True)
class Sold:
    """What `seed_sold` did, and what is there now by all its calls."""

    orders: int
    seats: int
    seats_in_all: int


def seed_sold(
    *, show: Show, seats: int, now: datetime, seed: int = 1, buyers: Sequence[int] = (), told: Told = quiet
) -> Sold:
    """
    Sell free seats of `show` until `seats` of them are sold by this function, spread over the tiers, one order of 1 to
    4 neighbours a buyer, paid from the wallet, at Alipay and at WeChat Pay. Buyers are s000001… unless given.

    :raises NotEnough: the show has too few free seats, or `buyers` are too few
    """
    done = Order.objects.filter(show=show, client_key__startswith=f"{CLIENT_KEY}{show.code}:")
    orders_before, seats_before = done.count(), sum(done.values_list("quantity", flat=True))
    wanted = max(0, seats - seats_before)
    chance = random.Random(f"{seed}:{show.code}:{seats_before}")  # noqa: S311 (sample data, no secret)
    phase = _phase(show, now)
    parties = list(_parties(_chosen_seats(show, wanted), min(4, phase.per_buyer_limit), chance))
    if not buyers:
        buyers = seed_buyers(orders_before + len(parties), now=now, prefix="s", told=told)[orders_before:]
    if len(buyers) < len(parties):
        raise NotEnough(f"{len(parties)} orders need as many buyers, there are {len(buyers)}")
    draft = partial(_draft, show.code, chance=chance, now=now, opens_at=phase.opens_at)
    orders = [draft(orders_before + i, party, buyers[i]) for i, party in enumerate(parties)]
    if orders:
        with transaction.atomic():
            _fund(orders, now=now)
            write(orders, show=show, phase=phase, now=now, told=told)
        _analyze(*WRITTEN)
    return Sold(len(orders), wanted, seats_before + wanted)


class NotEnough(Exception):
    """There are fewer free seats, or fewer buyers, than asked for; nothing was sold."""


def _phase(show: Show, now: datetime) -> SalePhase:
    try:
        return phases.open_phase(show.pk, now=now)
    except phases.NotOnSale:
        return SalePhase.objects.get(show=show, kind=SalePhase.Kind.GENERAL)


Free = tuple[int, int, int, int]  # seat, tier, price, row


def _chosen_seats(show: Show, wanted: int) -> list[Free]:
    """Free seats, best first in each tier, every tier with its share."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, tier_id, price_minor, row_id FROM ("
            " SELECT seat.id, seat.tier_id, tier.price_minor, seat.row_id, seat.row_rank, seat.position, tier.rank,"
            "        row_number() OVER best AS nth, count(*) OVER (PARTITION BY seat.tier_id) AS of_tier"
            "   FROM ticketing_seat seat JOIN ticketing_pricetier tier ON tier.id = seat.tier_id"
            "  WHERE seat.show_id = %s AND seat.state = %s"
            " WINDOW best AS (PARTITION BY seat.tier_id ORDER BY seat.row_rank, seat.row_id, seat.position)) free"
            # The first `wanted` by their place in their tier: that is each tier's share.
            " ORDER BY (nth - 0.5) / of_tier, rank, nth LIMIT %s",
            [show.pk, SeatState.FREE, wanted],
        )
        rows = cursor.fetchall()
    if len(rows) < wanted:
        raise NotEnough(f"{wanted} seats are to be sold, {len(rows)} are free")
    return sorted(rows, key=lambda row: (row[1], row[0]))


def _parties(seats: Sequence[Free], largest: int, chance: random.Random) -> Iterator[list[Free]]:
    """Neighbours that buy together: seats of one row, up to `largest`."""
    party: list[Free] = []
    size = chance.randint(1, largest)
    for seat in seats:
        if party and (len(party) == size or party[-1][3] != seat[3]):
            yield party
            party, size = [], chance.randint(1, largest)
        party.append(seat)
    if party:
        yield party


def _draft(
    show: str,
    place: int,
    party: list[Free],
    buyer_id: int,
    *,
    chance: random.Random,
    now: datetime,
    opens_at: datetime,
) -> SoldOrder:
    earliest = max(now - SOLD_WITHIN, min(opens_at, now))
    placed_at = earliest + (now - earliest) * chance.random()

    def number(kind: str) -> str:
        tail = "".join(chance.choices(numbers.ALPHABET, k=numbers.CHANCE_DIGITS))
        return numbers.new_number(kind, placed_at)[: -numbers.CHANCE_DIGITS] + tail

    return SoldOrder(
        number=number(numbers.ORDER),
        payment=number(numbers.PAYMENT),
        tickets=[number(numbers.TICKET) for _ in party],
        seat_ids=[seat[0] for seat in party],
        client_key=f"{CLIENT_KEY}{show}:{place}",
        buyer_id=buyer_id,
        tier_id=party[0][1],
        price_minor=party[0][2],
        channel=chance.choice(CHANNELS),
        placed_at=placed_at,
        paid_at=placed_at + (now - placed_at) * chance.random(),
    )


def _fund(orders: Sequence[SoldOrder], *, now: datetime) -> None:
    """Who pays from the wallet has the money there first."""
    for part in _batches(orders):
        _give_cash(
            {
                f"seed-cash:{order.number}": (order.buyer_id, order.amount_minor)
                for order in part
                if order.channel == "wallet"
            },
            now=now,
        )


def _batches(things: Sequence[Any]) -> Iterator[Any]:
    for first in range(0, len(things), BATCH):
        yield things[first : first + BATCH]


def _analyze(*tables: str) -> None:
    """The planner learns at once what autovacuum would tell it in a minute."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE " + ", ".join(tables))
