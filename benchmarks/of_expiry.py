"""32,000 holds that end in the same second: released, and submitted for again, while sales go on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from benchmarks import ground
from benchmarks.figures import Figure, benchmark

SEATS, BAR_S = 32_000, 15
OUTER_RING = ("GOLD", "SILVER", "BRONZE", "UPPER")


@benchmark("expiry")
def expiry() -> Figure:
    """Seconds from the end of the holds until the fast store offers every seat of them again."""
    from basis import fast
    from operations import seeding
    from ticketing.expiry import expire_due
    from ticketing.models import PriceTier, Seat
    from ticketing.rush import keys
    from ticketing.rush.drainer import Drainer

    ahead = [timedelta(0)]

    def clock() -> datetime:
        return datetime.now(UTC) + ahead[0]

    show = seeding.seed_show(code="expiry", now=clock(), opens_at=clock() - timedelta(minutes=1))
    drainer = Drainer(worker="expiry", clock=clock, show_codes=["expiry"])
    tiers = list(PriceTier.objects.filter(show=show, code__in=OUTER_RING).order_by("rank"))
    buyers = iter(seeding.seed_buyers(SEATS + 400, 0, now=clock(), prefix="x"))
    held = _hold(drainer, tiers, buyers)
    ahead[0] += timedelta(minutes=15, seconds=1)
    drainer.leave()
    drainer.once()
    begun = time.perf_counter()
    sold = 0
    while expire_due(now=clock()):
        drainer.once()
        sold += _sell_one(drainer, tiers[0], next(buyers))
    drainer._beat_at = float("-inf")
    drainer.once()
    offered = sum(int(fast.store().hget(keys.sale(tier.pk), "free") or 0) for tier in tiers)
    seconds = time.perf_counter() - begun
    drainer.leave()
    free = Seat.objects.filter(tier__in=tiers, state="F").count()
    assert offered == free, f"{offered} seats are offered, {free} are free"
    facts = {"holds": held, "sold_meanwhile": sold, "offered_again": offered}
    wrong = [one for one in ground.violations() if "open_orders_end" not in one]
    assert not wrong, wrong[:5]
    return Figure("expiry", seconds, "s", bar=BAR_S, facts=facts | {"audit": "clean"})


def _hold(drainer: object, tiers: list, buyers: object) -> int:
    """Orders of one seat until the tiers are full; how many are held."""
    from ticketing.models import Seat
    from ticketing.rush.submission import Refused

    for tier in tiers:
        drainer._beat_at = float("-inf")
        drainer.once()
        for _ in range(Seat.objects.filter(tier=tier, state="F").count()):
            drainer.once() if time.monotonic() - drainer._beat_at > 2 else None
            try:
                _submit(tier, next(buyers), 1)
            except Refused:
                break
        while drainer.once():
            pass
    return Seat.objects.filter(tier__in=tiers, state="H").count()


def _sell_one(drainer: object, tier: object, buyer: int) -> int:
    from ticketing.rush.submission import Refused

    try:
        _submit(tier, buyer, 1)
    except Refused:
        return 0
    return 1


def _submit(tier: object, buyer: int, quantity: int) -> str:
    from ticketing.rush.submission import submit

    return submit(
        tier_id=tier.pk, buyer_id=buyer, client_key=f"x{quantity}", quantity=quantity, now=datetime.now(UTC)
    )
