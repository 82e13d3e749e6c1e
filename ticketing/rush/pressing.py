"""Taking presses on Pay in: one script of the fast store, the same that nginx runs (`ticketing/lua/pay.lua`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from basis import fast
from ticketing.models import Order
from ticketing.rush import keys
from ticketing.rush.receipts import Receipt
from ticketing.rush.results import script

# Who has waited long asks again later, so that polls stay few whatever the pipeline does; deploy/nginx/lua/rush.lua.
POLL_MIN_MS, POLL_MAX_MS, OF_WAITED = 200, 4000, 0.6


def poll_after_ms(told: Mapping[str, Any], *, now: datetime) -> int:
    """When to ask again about what is still `queued`, in milliseconds."""
    at_ms = now.timestamp() * 1000
    waited = (at_ms - told.get("at", at_ms)) * OF_WAITED
    return int(min(POLL_MAX_MS, max(POLL_MIN_MS, waited)))


def press(receipt: Receipt, token: str, *, now: datetime) -> tuple[str, str]:
    """
    Take one press in: `queued`; or `done` and the result, JSON; or `cold` while nobody drains the tier.

    :raises basis.fast.FastStoreAway: whether it was taken is not known: repeat it
    """
    tier, order = receipt.tier_id, receipt.order
    verdict, told, _ = script("pay").run(
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
