"""How far giving a cancelled show back is: each sum with the filter that finds the rows behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from ticketing import cancelling
from ticketing.cancel_models import ShowCancellation
from ticketing.models import OPEN_ORDER_STATES, Order
from ticketing.refund_all import BY_SHOW

TO_ASK, ON_THE_WAY, SILENT, REFUSED = "to_ask", "on_the_way", "silent", "refused"
TO_WALLET, IN_WALLET, BACK = "to_wallet", "in_wallet", "back"

# Of a list of refunds: what a sum is made of, in the words of the refunds' own page.
FILTERS: Mapping[str, Mapping[str, str]] = {
    ON_THE_WAY: {"state__in": "requested,processing", "offered_at__isnull": "True"},
    SILENT: {"state__in": "requested,processing", "offered_at__isnull": "False"},
    REFUSED: {"state__exact": "refused"},
    TO_WALLET: {"state__exact": "redirected"},
    IN_WALLET: {"state__exact": "succeeded", "destination__exact": "wallet"},
    BACK: {"state__exact": "succeeded", "destination__exact": "origin"},
}

BY_CLASS = """
SELECT CASE WHEN refund.state = 'succeeded' AND refund.destination = 'wallet' THEN 'in_wallet'
            WHEN refund.state = 'succeeded' THEN 'back'
            WHEN refund.state = 'redirected' THEN 'to_wallet'
            WHEN refund.state = 'refused' THEN 'refused'
            WHEN refund.offered_at IS NOT NULL THEN 'silent'
            ELSE 'on_the_way' END AS class,
       refund.currency, count(*), sum(refund.amount_minor)::bigint
  FROM ticketing_refundrequest request JOIN ticketing_order o ON o.id = request.order_id
  JOIN payments_refund refund ON refund.number = request.refund_number
 WHERE o.show_id = %s AND request.asked_by = 'show'
 GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Sum:
    """One class of refunds; `code` is a key of FILTERS, or `to_ask` for orders that were not come to yet."""

    code: str
    currency: str
    count: int
    amount_minor: int

    @property
    def query(self) -> dict[str, str]:
        """The filter of the refunds' page, but for the show."""
        return {"reason__exact": BY_SHOW, **FILTERS.get(self.code, {})}


@dataclass(frozen=True, slots=True)
class Progress:
    """`open_orders` are still to be ended. `sums` are in the order in which money goes back."""

    cancelled: ShowCancellation
    open_orders: int
    sums: tuple[Sum, ...]

    @property
    def total(self) -> int:
        return sum(one.count for one in self.sums)

    @property
    def back(self) -> int:
        return sum(one.count for one in self.sums if one.code in (BACK, IN_WALLET))

    @property
    def percent(self) -> int:
        """Of the refunds that are done; all of none is all."""
        return 100 * self.back // self.total if self.total else 100

    def as_json(self) -> dict[str, Any]:
        return {
            "show": self.cancelled.show.code,
            "state": self.cancelled.state,
            "open_orders": self.open_orders,
            "refunds": self.total,
            "back": self.back,
            "sums": [
                {
                    "what": one.code,
                    "count": one.count,
                    "amount_minor": one.amount_minor,
                    "currency": one.currency,
                }
                for one in self.sums
            ],
        }


def of(cancelled: ShowCancellation) -> Progress:
    """Now; three queries."""
    found = {(one.code, one.currency): one for one in (*_still_to_ask(cancelled), *_asked(cancelled))}
    order = (TO_ASK, ON_THE_WAY, SILENT, REFUSED, TO_WALLET, IN_WALLET, BACK)
    return Progress(
        cancelled,
        Order.objects.filter(show=cancelled.show_id, state__in=OPEN_ORDER_STATES).count(),
        tuple(sorted(found.values(), key=lambda one: (order.index(one.code), one.currency))),
    )


def _asked(cancelled: ShowCancellation) -> list[Sum]:
    with connection.cursor() as cursor:
        cursor.execute(BY_CLASS, [cancelled.show_id])
        return [Sum(*row) for row in cursor.fetchall()]


def _still_to_ask(cancelled: ShowCancellation) -> list[Sum]:
    by: dict[str, Sum] = {}
    for one in cancelling.owed(cancelled.show_id):
        known = by.get(one.currency, Sum(TO_ASK, one.currency, 0, 0))
        by[one.currency] = Sum(
            TO_ASK, one.currency, known.count + one.orders, known.amount_minor + one.amount_minor
        )
    return list(by.values())
