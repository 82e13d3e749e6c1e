"""Taking presses on Pay in: one script of the fast store, the same that nginx runs (`ticketing/lua/pay.lua`)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from basis import fast
from ticketing.models import Order
from ticketing.rush import keys
from ticketing.rush.receipts import Receipt
from ticketing.rush.results import script


def press(receipt: Receipt, token: str, *, now: datetime) -> tuple[str, str]:
    """
    Take one press in: `queued`; or `done` and the result, JSON; or `cold` while nobody drains the tier.

    :raises basis.fast.FastStoreAway: whether it was taken is not known: repeat it
    """
    tier, order = receipt.tier_id, receipt.order
    verdict, told = script("pay").run(
        keys=[keys.presses(tier), keys.payment(tier, order), keys.sale(tier)],
        args=[order, receipt.buyer_id, token, int(now.timestamp() * 1000)],
    )
    return verdict, told


def status(receipt: Receipt) -> dict[str, Any]:
    """`queued`, `paid`, `failed`, `refused`, or `unknown`: nobody has pressed, or the press was lost: press again."""
    try:
        told = fast.store().get(keys.payment(receipt.tier_id, receipt.order))
    except fast.FastStoreAway:
        told = None
    if told:
        result: dict[str, Any] = json.loads(told)
        return result if result["buyer"] == receipt.buyer_id else {"state": "unknown"}
    order = Order.objects.filter(number=receipt.order, buyer_id=receipt.buyer_id).first()
    return {"state": "paid", "payment": order.winner} if order and order.winner else {"state": "unknown"}
