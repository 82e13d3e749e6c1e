"""The live sale's figures: one number each, with what puts it into proportion."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from operations.boards import links
from operations.boards.sale_facts import SaleFacts
from operations.boards.shape import LOOK, Figure, money, number, percent
from ticketing.models import OPEN_ORDER_STATES, OrderState

ORDERS, PAYMENTS = "ticketing_order", "payments_payment"


def figures(facts: SaleFacts) -> list[Figure]:
    every, paid = facts.orders_in(*OrderState.values), facts.orders_in(OrderState.PAID)
    held, lost = (
        facts.orders_in(*OPEN_ORDER_STATES),
        facts.orders_in(OrderState.EXPIRED, OrderState.CANCELLED),
    )
    refunded = facts.orders_in(OrderState.REFUNDED)
    of_show = {"show__id__exact": facts.show.pk}
    seats = facts.seats("seats")
    left = facts.seats("free")
    currency = facts.tiers[0].currency if facts.tiers else "CNY"
    unknown = sum(tally.count for (_c, state, _o), tally in facts.payments.items() if state == "unknown")
    paid_in = {"of_show": facts.show.code}
    return [
        *_room_figures(facts),
        Figure(
            "placed",
            _("orders"),
            number(every.count),
            links.rows(ORDERS, **of_show),
            _per_minute(facts, "placed"),
        ),
        Figure(
            "open",
            _("waiting for payment"),
            number(held.count),
            links.rows(ORDERS, **of_show, state__in="held,paying"),
            _("%(seats)s seats held") % {"seats": number(held.seats)},
        ),
        Figure(
            "paid",
            _("paid orders"),
            number(paid.count),
            links.rows(ORDERS, **of_show, state__exact="paid"),
            _per_minute(facts, "paid"),
        ),
        Figure(
            "tickets",
            _("tickets"),
            number(facts.tickets),
            links.rows("ticketing_ticket", **of_show, state__in="valid,used"),
            _per_minute(facts, "tickets"),
            LOOK if facts.tickets < paid.seats else "",
        ),
        Figure(
            "left",
            _("seats left"),
            number(left),
            links.rows("ticketing_seat", **of_show, state__exact="F"),
            _("%(share)s of %(seats)s") % {"share": percent(left, seats), "seats": number(seats)},
        ),
        Figure(
            "took",
            _("money in"),
            money(paid.minor, currency),
            links.rows(ORDERS, **of_show, state__exact="paid"),
            _("%(orders)s orders refunded") % {"orders": number(refunded.count)},
        ),
        Figure(
            "lost",
            _("ended unpaid"),
            number(lost.count),
            links.rows(ORDERS, **of_show, state__in="expired,cancelled"),
            _("%(share)s of the orders") % {"share": percent(lost.count, every.count)},
        ),
        Figure(
            "unknown",
            _("asked at the channel"),
            number(unknown),
            links.rows(PAYMENTS, **paid_in, state__exact="unknown"),
            _("payments without a clear answer"),
            LOOK if unknown else "",
        ),
    ]


def _room_figures(facts: SaleFacts) -> list[Figure]:
    if facts.room is None:
        return []
    seen, url = facts.counters, links.one("risk_room", facts.room.pk)
    tone = "" if seen else LOOK
    waiting = number(seen["waiting"]) if seen else "?"
    admitted = number(seen["serving"]) if seen else "?"
    pace = _("%(pace)s a minute") % {"pace": number(seen.get("pace_per_minute", 0))}
    return [
        Figure("waiting", _("in the queue"), waiting, url, facts.room.get_state_display(), tone),
        Figure("admitted", _("let in"), admitted, url, pace, tone),
    ]


def _per_minute(facts: SaleFacts, what: str) -> str:
    """How many in the last minute; of the whole time that is shown if its steps are longer than a minute."""
    flow = facts.flow[what]
    if facts.bin_s > 60:
        return _("%(count)s in this time") % {"count": number(sum(flow.values()))}
    recent = sum(
        count for at, count in flow.items() if at > facts.as_of - timedelta(seconds=60 + facts.bin_s)
    )
    minutes = (60 + facts.bin_s) / 60
    return _("%(count)s a minute now") % {"count": number(recent / minutes)}
