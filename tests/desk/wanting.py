"""What staff want and may not do alone: a refund above the limit, a show that does not take place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Permission

from desk import wishes
from desk.models import ResolutionRequest
from tests.desk.conftest import Desk
from ticketing import refunding
from ticketing.models import Order

ALONE_MAX_MINOR = 10_000
"""What one person may refund of an order; every order of the sample show costs more."""


def takes_two(settings: Any, desk: Desk, right: str, people: Iterable[str] = ("mei", "bo")) -> None:
    """Lower the limit, and give these people the right to ask and to decide."""
    settings.REFUND_ALONE_MAX_MINOR = ALONE_MAX_MINOR
    given = Permission.objects.get(codename=right)
    for name in people:
        desk.people[name].user_permissions.add(given)


def tickets_of(order: Order) -> list[str]:
    return [ticket.number for ticket in refunding.tickets_of(order)]


def whole_refund(order: Order, *, now: datetime, **changes: Any) -> wishes.Wish:
    """All of it, and the seats free again, unless `changes` say otherwise."""
    order.refresh_from_db()
    wanted = {"tickets": tickets_of(order), "amount_minor": order.amount_minor, "seats_after": "free"}
    return wishes.refund_of(order=order, now=now, **(wanted | changes))


def ask(
    desk: Desk, wish: wishes.Wish, *, by: str = "mei", key: str = "k", reason: str = "ill"
) -> ResolutionRequest:
    return wishes.ask(wish, reason=reason, by=desk.person(by), key=key, now=desk.clock())
