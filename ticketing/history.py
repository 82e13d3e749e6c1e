"""What a buyer did with earlier orders, for the rules of the gate."""

from __future__ import annotations

from django.db.models import Count

from risk.features import History
from ticketing.models import Order, OrderState


def of(buyer_id: int) -> History:
    """One query, over an index."""
    rows = Order.objects.filter(buyer_id=buyer_id).order_by().values("state").annotate(number=Count("pk"))
    found = {row["state"]: row["number"] for row in rows}
    return History(
        placed=sum(found.values()),
        paid=found.get(OrderState.PAID, 0) + found.get(OrderState.REFUNDED, 0),
        unpaid_ended=found.get(OrderState.EXPIRED, 0) + found.get(OrderState.CANCELLED, 0),
        refunded=found.get(OrderState.REFUNDED, 0),
    )
