"""
Seats that come back: the tier's count in the fast store hears of them when the transaction that freed them commits.
Losing the message costs seconds, until the tier's drainer looks at the rows by itself.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from django.db import connection, transaction

from basis import fast
from ticketing.rush import keys
from ticketing.rush.results import script

log = logging.getLogger(__name__)

HAD = """
SELECT o.tier_id, o.buyer_id, sum(o.quantity - (
         SELECT count(*) FROM ticketing_refundrequest request
           JOIN ticketing_refundedseat seat ON seat.request_id = request.id WHERE request.order_id = o.id
       ))
  FROM ticketing_order o WHERE o.id = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2
"""


def on_commit(order_ids: Sequence[int]) -> None:
    """Tell the fast store, after the caller's commit, that the seats of these orders are free."""
    with connection.cursor() as cursor:
        cursor.execute(HAD, [list(order_ids)])
        rows = cursor.fetchall()
    by_tier: dict[int, dict[int, int]] = defaultdict(dict)
    for tier_id, buyer_id, seats in rows:
        by_tier[tier_id][buyer_id] = int(seats)
    if by_tier:
        transaction.on_commit(partial(_tell, by_tier), robust=True)


def some_on_commit(tier_id: int, buyer_id: int, seats: int) -> None:
    """Tell the fast store, after the caller's commit, that so many seats of an order are free."""
    transaction.on_commit(partial(_tell, {tier_id: {buyer_id: seats}}), robust=True)


def _tell(by_tier: dict[int, dict[int, int]]) -> None:
    try:
        for tier_id, buyers in by_tier.items():
            counts = [keys.count(tier_id, buyer_id) for buyer_id in buyers]
            script("release").run(
                keys=[keys.sale(tier_id), *counts], args=[sum(buyers.values()), *buyers.values()]
            )
    except fast.FastStoreAway:
        log.warning("rush.release_untold", extra={"tiers": sorted(by_tier)})
