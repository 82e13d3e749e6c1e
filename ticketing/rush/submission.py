"""
Taking submissions in: one script of the fast store, the same that nginx runs at the edge (`ticketing/lua/submit.lua`).

Accepted means: the message stands in the tier's stream, in its place, under this order number. It does not mean that
there are seats: `status` tells, moments later. What the fast store forgot, Postgres is asked; what neither knows was
lost with the fast store, and the buyer's client submits again with the same key, which is safe.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from basis import fast, numbers
from ticketing.models import Order
from ticketing.rush import keys
from ticketing.rush.results import script

UNKNOWN = {"state": "unknown"}


class Refused(Exception):
    """
    The submission was not taken in. `reason`: `sold_out`, `limit_reached`, `not_open`, `closed`, `stopped` (by staff),
    `bad_quantity`, `pass_used`, `key_reused`, or `cold` (no drainer has the tier: come back in a second).
    `detail` is a number or empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Pass:
    """An admission pass that was verified: each nonce is burned once a tier, until it ends anyway."""

    nonce: str
    until_ms: int


def submit(
    *,
    tier_id: int,
    buyer_id: int,
    client_key: str,
    quantity: int = 0,
    seat_ids: Sequence[int] = (),
    accept_equal_seats: bool = False,
    admission: Pass | None = None,
    now: datetime,
) -> str:
    """
    Take one submission in; the order number it will have. The same key of the same buyer answers the same number.

    :raises Refused: see there
    :raises basis.fast.FastStoreAway: nothing can be accepted now, and whether this was is not known: repeat it
    """
    wanted = sorted(set(seat_ids))
    number = numbers.new_number(numbers.ORDER, now)
    verdict, value, *_ = script("submit").run(
        keys=[
            keys.sale(tier_id),
            keys.orders(tier_id),
            keys.client_key(tier_id, buyer_id, client_key),
            keys.count(tier_id, buyer_id),
            keys.admission(tier_id, admission.nonce if admission else ""),
            keys.result(tier_id, number),
        ],
        args=[
            number,
            buyer_id,
            client_key,
            len(wanted) or quantity,
            ",".join(map(str, wanted)),
            int(accept_equal_seats),
            int(now.timestamp() * 1000),
            admission.until_ms if admission else 0,
        ],
    )
    if verdict in ("accepted", "again"):
        return str(value)
    raise Refused(verdict, value)


def status(tier_id: int, number: str, *, buyer_id: int) -> dict[str, Any]:
    """
    What became of a submission: `queued`, `held` with everything that paying needs, a refusal, or `unknown`, which
    another buyer's is too.
    """
    try:
        told = fast.store().get(keys.result(tier_id, number))
    except fast.FastStoreAway:
        told = None
    if told:
        result: dict[str, Any] = json.loads(told)
        return result if result["buyer"] == buyer_id else dict(UNKNOWN)
    order = Order.objects.filter(number=number, buyer_id=buyer_id).first()
    return {"state": order.state, "order": order.number} if order else dict(UNKNOWN)


def awaited(tier_id: int, number: str, *, buyer_id: int, timeout_s: float = 5.0) -> dict[str, Any]:
    """The status as soon as it is decided; for commands and tests, never for a request."""
    until = time.monotonic() + timeout_s
    while True:
        told = status(tier_id, number, buyer_id=buyer_id)
        if told["state"] != "queued" or time.monotonic() >= until:
            return told
        time.sleep(0.01)
