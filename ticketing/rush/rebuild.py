"""
The rush's part of the fast store, made anew from Postgres: the drainer of a tier does it when it takes the tier, every
second, and whenever the tier's sale is gone. Streams are not made anew: a submission whose message was lost with the
store has no order, its status says `unknown`, and its buyer's client submits again with the same key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet

from basis import fast
from risk import switches
from ticketing.models import PriceTier, SalePhase
from ticketing.rush import hall, keys, results
from ticketing.rush.allocation import Lane

# A tier is drained from this long before its phase opens, so that the first click finds it warm.
BEFORE = timedelta(minutes=10)
AFTER = timedelta(minutes=2)
# For so long after a sale its streams are looked at for what nobody has answered; results live an hour.
LEFT_BEHIND = timedelta(days=2)


def due_tiers(*, show_codes: Sequence[str] = (), now: datetime) -> list[int]:
    """The tiers of published shows that are on sale now, or about to be."""
    phases = SalePhase.objects.filter(opens_at__lte=now + BEFORE, closes_at__gt=now - AFTER)
    shows = phases.filter(show__event__published=True).values("show_id")
    return list(_tiers(show_codes).filter(show_id__in=shows).values_list("pk", flat=True))


def left_behind(due: Sequence[int], *, show_codes: Sequence[str] = (), now: datetime) -> list[int]:
    """
    The tiers that are not `due` any more and whose streams still have messages: their drainers were away when the sale
    ended, or staff took the show down. What was accepted is answered all the same.

    :raises basis.fast.FastStoreAway: see there
    """
    shows = SalePhase.objects.filter(opens_at__lte=now + BEFORE, closes_at__gt=now - LEFT_BEHIND).values(
        "show_id"
    )
    lately = _tiers(show_codes).filter(show_id__in=shows).exclude(pk__in=due)
    tier_ids = list(lately.values_list("pk", flat=True))
    if not tier_ids:
        return []
    pipe = fast.store().pipeline(transaction=False)
    for tier_id in tier_ids:
        pipe.xlen(keys.orders(tier_id))
        pipe.xlen(keys.presses(tier_id))
    lengths = pipe.execute()
    return [tier_id for i, tier_id in enumerate(tier_ids) if any(lengths[2 * i : 2 * i + 2])]


def _tiers(show_codes: Sequence[str]) -> QuerySet[PriceTier]:
    wanted = Q(show__code__in=show_codes) if show_codes else Q()
    return PriceTier.objects.filter(wanted).order_by("pk")


def lane_of(tier_id: int, *, fence: int) -> Lane:
    """What Postgres says about a tier that this drainer has taken."""
    tier = _tier(tier_id)
    return Lane(tier=tier, fence=fence, phases=_phases(tier.show_id))


def _tier(tier_id: int) -> PriceTier:
    return PriceTier.objects.select_related("show__event").get(pk=tier_id)


def _phases(show_id: int) -> list[SalePhase]:
    return list(SalePhase.objects.filter(show_id=show_id).order_by("opens_at"))


def load(lane: Lane, *, now: datetime, anew: bool) -> None:
    """
    Write the tier's sale to the fast store; `anew` looks at the seats, phases and price in Postgres first. A show that
    is not published any more has no sale.

    :raises ticketing.rush.results.Stale: another drainer has the tier
    :raises basis.fast.FastStoreAway: see there
    """
    if anew or lane.hall is None:
        lane.hall, lane.phases = hall.load(lane.tier_id), _phases(lane.tier.show_id)
        lane.tier = _tier(lane.tier_id)
        lane.looked_at = time.monotonic()
    if not lane.tier.show.event.published:
        fast.store().delete(keys.sale(lane.tier_id))
        return
    phase = next((phase for phase in lane.phases if phase.closes_at > now), None)
    if phase is None:
        return
    # A stopped sale is closed at once, also at the edge; what was submitted before, allocation refuses.
    is_stopped = switches.stopped(switches.SALE, lane.tier.show.code)
    closes_ms = 0 if is_stopped else int(phase.closes_at.timestamp() * 1000)
    answered = results.script("load").run(
        keys=[keys.sale(lane.tier_id), keys.orders(lane.tier_id), keys.fence(lane.tier_id)],
        args=[
            lane.fence,
            lane.hall.free,
            phase.per_buyer_limit,
            settings.ORDER_QUANTITY_MAX,
            int(phase.opens_at.timestamp() * 1000),
            closes_ms,
            results.SALE_LEASE_MS,
        ],
    )
    if not answered:
        raise results.Stale(lane.tier_id)
    fast.store().hset(keys.tiers(lane.tier.show.code), lane.tier.code, str(lane.tier_id))
