"""
A show of thousands of orders that does not take place: seconds from the decision until all money is back.

One process does what one worker would: it drains the outbox, by which the show is gone through and every refund driven.
The channels answer at once and in this process, so that the figure is the product's own part; each millisecond of a
real channel's answer adds as many seconds as there are thousands of channel orders, divided by the workers.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks import ground
from benchmarks.figures import Figure, benchmark

SEATS = 12_500  # in parties of up to four: some 5,000 orders
GIVE_UP_S = 600


class AtOnce:
    """A channel that refunds at once."""

    def refund(self, order: Any) -> Any:
        from payments.channels.port import Refunded

        return Refunded(f"r{order.number}", order.amount_minor, datetime.now(UTC))

    query_refund = refund


@benchmark("cancelling", when_named=True)
def cancelling() -> Figure:
    from operations import seeding
    from payments.channels import registry
    from ticketing import cancel_sums, cancelling
    from ticketing.cancel_models import ShowCancellation
    from ticketing.models import Order

    registry._channels.cache_clear()
    registry.channel = lambda _code: AtOnce()  # type: ignore[assignment, return-value]
    now = datetime.now(UTC)
    show = seeding.seed_show(code="gone", now=now - timedelta(minutes=5))
    seeding.seed_sold(show=show, seats=SEATS, now=now)
    begun = time.perf_counter()
    seen = cancelling.preview("gone")
    previewed = time.perf_counter() - begun
    begun = time.perf_counter()
    cancelling.cancel(code="gone", reason="storm", actor="mei", approved_by="bo", now=datetime.now(UTC))
    decided = time.perf_counter() - begun
    asked = _drain_until_back(show)
    seconds = time.perf_counter() - begun
    progress = cancel_sums.of(ShowCancellation.objects.select_related("show").get())
    assert progress.back == progress.total == seen.orders, progress
    assert not Order.objects.filter(show=show, state="paid").exists()
    wrong = ground.violations()
    assert not wrong, wrong[:5]
    facts = {
        "orders": seen.orders,
        "tickets": seen.tickets,
        "by_channel": {one.channel: one.orders for one in seen.paid},
        "preview_ms": round(previewed * 1000, 1),
        "decision_ms": round(decided * 1000, 1),
        "all_asked_for_after_s": round(asked, 1),
        "orders_a_second": round(seen.orders / seconds, 1),
        "audit": "clean",
    }
    return Figure("cancelling", seconds, "s", facts=facts)


def _drain_until_back(show: Any) -> float:
    """Work as one worker until no refund is under way; the seconds until every refund was asked for."""
    from payments import outbox
    from payments.models import Refund
    from ticketing import cancelling

    begun, asked = time.perf_counter(), 0.0
    while time.perf_counter() - begun < GIVE_UP_S:
        done = outbox.drain(clock=lambda: datetime.now(UTC), lane=outbox.COMPENSATE)
        if not asked and not cancelling.owed(show.pk):
            asked = time.perf_counter() - begun
        if asked and not Refund.objects.exclude(state="succeeded").exists():
            return asked
        if not done:
            time.sleep(0.05)
    raise AssertionError("it takes too long")
