"""
Orders that were not paid in time. A payment in flight has prolonged its order's hold already (ticketing.fulfil), within
the order's limit, so what is due here is due.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from ticketing import orders
from ticketing.models import OPEN_ORDER_STATES, Order, OrderState


def expire_due(*, now: datetime, limit: int = 500) -> int:
    """End up to `limit` orders whose hold is over; answer how many. Several callers share the work (SKIP LOCKED)."""
    with transaction.atomic():
        due = list(
            Order.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
            .filter(state__in=OPEN_ORDER_STATES, hold_until__lte=now)
            .order_by("hold_until", "pk")[:limit]
        )
        if due:
            orders.close(due, to=OrderState.EXPIRED, reason="hold_over", now=now)
    return len(due)
