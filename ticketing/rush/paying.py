"""
Presses on Pay of one tier, paid from the wallets in batches (payments.batch). The lane's fence is checked with them:
what a lost drainer would still pay is rolled back, though the tokens and the orders' rows would see to it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from payments import batch
from ticketing import orders
from ticketing.rush import known_orders, lanes
from ticketing.rush.messages import PressMessage


def pay(
    tier_id: int, presses: Sequence[PressMessage], *, fence: int, now: datetime
) -> list[tuple[PressMessage, batch.Pressed]]:
    """
    Pay a batch; each press with its answer. When it returns, Postgres has committed them. A receipt needs no session,
    so here is where an account that was shut since then does not pay.

    :raises ticketing.rush.lanes.LaneLost: see there; nobody has paid
    """
    with transaction.atomic(durable=True):
        lanes.keep(tier_id, fence=fence, now=now)
        shut = known_orders.shut(presses)
        going = [one for one in presses if one.buyer_id not in shut]
        wanted = [batch.Press(one.order, one.buyer_id, one.token) for one in going]
        answers = batch.pay_all(orders.PURCHASE, wanted, now=now) if wanted else []
    refused = [
        (one, batch.Pressed("refused", reason="not_payable")) for one in presses if one.buyer_id in shut
    ]
    return refused + list(zip(going, answers, strict=True))
