"""32,000 holds that end in the same second: released by beat's job and sold again, while sales go on."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import ground
from benchmarks.figures import Figure, benchmark

SEATS, BAR_S, GIVE_UP_S = 32_000, 15, 90
OUTER_RING = ("GOLD", "SILVER", "BRONZE", "UPPER")
SELLERS, SALES = 2, 2000
LEAD = timedelta(seconds=3)


@benchmark("expiry")
def expiry() -> Figure:
    """Seconds from the end of the holds until every seat of them is offered again, or sold to somebody else."""
    from operations import seeding
    from operations.stack import Stack
    from ticketing.models import Order, PriceTier

    now = datetime.now(UTC)
    show = seeding.seed_show(code="expiry", now=now, opens_at=now - timedelta(minutes=1))
    tiers = list(PriceTier.objects.filter(show=show).order_by("rank"))
    outer = [tier for tier in tiers if tier.code in OUTER_RING]
    buyers = iter(seeding.seed_buyers(SEATS + SALES, 0, now=now, prefix="x"))
    held = _hold(outer, buyers)
    with (
        tempfile.TemporaryDirectory(prefix="kaipiao-expiry-") as state,
        Stack(
            database=ground.DATABASE,
            redis_db=ground.REDIS_DB,
            state_dir=Path(state),
            env={"KAIPIAO_LOG_LEVEL": "WARNING"},
            extras=("drain",),
        ),
        _Sales(tiers, list(buyers)) as sales,
    ):
        ends_at = datetime.now(UTC) + LEAD
        due = Order.objects.filter(show=show, state="held", hold_until__gt=now + timedelta(minutes=1))
        due = due.filter(tier__in=outer)
        due.update(hold_until=ends_at)
        seconds, ended = _await(show, outer, ends_at)
    wrong = ground.violations()
    assert not wrong, wrong[:5]
    facts = {"holds": held, "last_hold_ended_after_s": round(ended, 1)} | sales.told(ends_at, seconds)
    return Figure("expiry", seconds, "s", bar=BAR_S, facts=facts | {"audit": "clean"})


def _await(show: Any, outer: list[Any], ends_at: datetime) -> tuple[float, float]:
    """Seconds until everything is offered again, and until the last hold was ended."""
    from ticketing.models import Order

    ended = 0.0
    while True:
        since = (datetime.now(UTC) - ends_at).total_seconds()
        assert since < GIVE_UP_S, f"{_offered(outer)} seats are offered, {_free(outer)} are free"
        late = Order.objects.filter(show=show, state="held", hold_until__lte=ends_at)
        if since > 0 and not late.exists():
            ended = ended or since
            if not _unseen(outer) and abs(_offered(outer) - _free(outer)) <= SELLERS:
                return since, ended
        time.sleep(0.1)


def _offered(tiers: list[Any]) -> int:
    """Seats that the fast store offers; those that a submission waits for are no longer among them."""
    from basis import fast
    from ticketing.rush import keys

    return sum(int(fast.store().hget(keys.sale(tier.pk), "free") or 0) for tier in tiers)


def _unseen(tiers: list[Any]) -> bool:
    """Whether seats came back that a drainer has not looked at: it could not give them yet."""
    from basis import fast
    from ticketing.rush import keys

    return any(fast.store().hexists(keys.sale(tier.pk), "dirty") for tier in tiers)


def _free(tiers: list[Any]) -> int:
    from ticketing.models import Seat

    return Seat.objects.filter(tier__in=tiers, state="F").count()


def _hold(tiers: list[Any], buyers: Iterator[int]) -> int:
    """Orders of one seat until the tiers are full; how many are held."""
    from ticketing.models import Seat
    from ticketing.rush.drainer import Drainer

    drainer = Drainer(worker="expiry", clock=lambda: datetime.now(UTC), show_codes=["expiry"])
    for tier in tiers:
        drainer._beat_at = float("-inf")
        drainer.once()
        for _ in range(_free([tier])):
            _submit(tier, next(buyers))
            if time.monotonic() - drainer._beat_at > 1:
                drainer.once()
        while drainer.once():
            pass
    drainer.leave()
    return Seat.objects.filter(tier__in=tiers, state="H").count()


def _submit(tier: Any, buyer: int) -> str:
    from ticketing.rush.submission import submit

    return submit(tier_id=tier.pk, buyer_id=buyer, client_key="x", quantity=1, now=datetime.now(UTC))


class _Sales:
    """
    Buyers who go on buying all the while: each thread submits for one seat of any tier, waits for its answer, and goes
    on with the next buyer; a refusal (sold out, while the seats are still held) counts as an answer.
    """

    def __init__(self, tiers: list[Any], buyers: list[int]) -> None:
        self._tiers, self._buyers = tiers, iter(buyers)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._sell, args=(i,), daemon=True) for i in range(SELLERS)]
        self._took: list[tuple[datetime, float, str, str]] = []

    def __enter__(self) -> _Sales:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(20)

    def told(self, ends_at: datetime, seconds: float) -> dict[str, Any]:
        """What became of those who came between the end of the holds and their release."""
        until = ends_at + timedelta(seconds=seconds)
        mine = [one for one in self._took if ends_at <= one[0] <= until]
        took = sorted(ms for _, ms, what, _ in mine if what == "held") or [0.0]
        return {
            "sold_meanwhile": sum(what == "held" for _, _, what, _ in mine),
            "of_them_released_seats": sum(what == "held" and tier in OUTER_RING for _, _, what, tier in mine),
            "sold_out_meanwhile": sum(what == "sold_out" for _, _, what, _ in mine),
            "otherwise": sorted({what for _, _, what, _ in mine} - {"held", "sold_out"}),
            "sale_p50_ms": round(took[len(took) // 2]),
            "sale_p99_ms": round(took[int(len(took) * 0.99)]),
        }

    def _sell(self, nth: int) -> None:
        from django.db import connection

        from ticketing.rush import submission

        for turn, buyer in enumerate(self._buyers):
            if self._stopping.wait(0.01):
                break
            tier = self._tiers[(turn + nth) % len(self._tiers)]
            at, begun = datetime.now(UTC), time.perf_counter()
            try:
                number = _submit(tier, buyer)
                what = str(submission.awaited(tier.pk, number, buyer_id=buyer, timeout_s=20)["state"])
            except submission.Refused as refusal:
                what = refusal.reason
            self._took.append((at, (time.perf_counter() - begun) * 1000, what, tier.code))
        connection.close()
