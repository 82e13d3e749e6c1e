"""Time passes and the beat's jobs run, with nobody touching anything."""

from __future__ import annotations

from datetime import timedelta

from payments import outbox
from payments.models import OutboxMessage
from tests.conftest import Clock
from ticketing import expiry
from ticketing.models import OPEN_ORDER_STATES, Order
from wallet import topups
from wallet.models import TopUp

ROUNDS_MAX = 400


def pass_time(clock: Clock) -> None:
    """
    Go from due moment to due moment until nothing is due any more.

    :raises AssertionError: work never ends
    """
    for _ in range(ROUNDS_MAX):
        expiry.expire_due(now=clock())
        topups.close_overdue(now=clock())
        done = sum(outbox.drain(clock=clock, lane=lane) for lane in (outbox.NOTIFY, outbox.COMPENSATE))
        if done:
            continue
        moments = [
            *OutboxMessage.objects.filter(done_at=None).values_list("due_at", flat=True),
            *OutboxMessage.objects.filter(done_at=None)
            .exclude(leased_until=None)
            .values_list("leased_until", flat=True),
            *Order.objects.filter(state__in=OPEN_ORDER_STATES).values_list("hold_until", flat=True),
            *TopUp.objects.filter(state="open").values_list("payable_until", flat=True),
        ]
        if not moments:
            return
        later = [moment for moment in moments if moment > clock.now]
        clock.now = min(later, default=clock.now) + timedelta(milliseconds=1)
    raise AssertionError("it does not come to rest")
