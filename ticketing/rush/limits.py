"""
What staff have set as limits on orders, for the edge: it counts by show, buyer and address in the counters that Django
uses (risk.gate), by the same script. A device is known to Django alone.
"""

from __future__ import annotations

from basis import fast
from risk import policy
from risk.models import LimitScope, Route
from ticketing.rush import keys
from ticketing.rush.results import SALE_LEASE_MS

AT_EDGE = (LimitScope.SHOW, LimitScope.BUYER, LimitScope.ADDRESS)


def publish(show: str) -> None:
    """
    Write them where the edge looks once a second; without a living drainer they go, as the sale does.

    :raises basis.fast.FastStoreAway: see there
    """
    lines = [
        f"{one.scope} {one.limit} {one.window_ms} {int(one.if_away == 'open')}"
        for one in policy.current().limits
        if one.route == Route.ORDER and one.scope in AT_EDGE and one.show in ("", show)
    ]
    if lines:
        fast.store().set(keys.limits(show), "\n".join(lines), px=SALE_LEASE_MS)
    else:
        fast.store().delete(keys.limits(show))
