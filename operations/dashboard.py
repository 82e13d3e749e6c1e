"""What the staff see first: today's orders and payments, and what waits for somebody. Each number leads to its list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from basis import replica
from payments.models import Notification, OutboxMessage, Payment, PaymentState, Refund, RefundState, Verdict
from ticketing.models import OPEN_ORDER_STATES, Order, OrderState


@dataclass(frozen=True, slots=True)
class Card:
    """One number; `alarming` if somebody should look."""

    text: Any
    count: int
    url: str
    alarming: bool = False


def today(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback: the cards that this member of the staff may follow."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    context["cards"] = _counted([right for right in _CARDS if request.user.has_perm(right)], midnight)
    return context


@replica.looks
def _counted(rights: Iterable[str], midnight: datetime) -> list[Card]:
    return [card for right in rights for card in _CARDS[right](midnight)]


def _orders(midnight: datetime) -> Iterator[Card]:
    n = Order.objects.filter(placed_at__gte=midnight).aggregate(
        placed=Count("pk"),
        paid=Count("pk", filter=Q(state=OrderState.PAID)),
        open=Count("pk", filter=Q(state__in=OPEN_ORDER_STATES)),
    )
    since = {"placed_at__gte": midnight.isoformat()}
    yield Card(_("orders today"), n["placed"], _list("ticketing_order", **since))
    yield Card(_("of them paid"), n["paid"], _list("ticketing_order", state__exact=OrderState.PAID, **since))
    yield Card(_("of them open"), n["open"], _list("ticketing_order", **since, state__in="held,paying"))


def _payments(midnight: datetime) -> Iterator[Card]:
    n = Payment.objects.filter(created_at__gte=midnight).aggregate(
        paid=Count("pk", filter=Q(state=PaymentState.SUCCEEDED)),
        unknown=Count("pk", filter=Q(state=PaymentState.UNKNOWN)),
    )
    since = {"created_at__gte": midnight.isoformat()}
    paid = _list("payments_payment", state__exact=PaymentState.SUCCEEDED, **since)
    unknown = _list("payments_payment", state__exact=PaymentState.UNKNOWN, **since)
    yield Card(_("payments today"), n["paid"], paid)
    yield Card(_("being checked with the channel"), n["unknown"], unknown)


def _notifications(_midnight: datetime) -> Iterator[Card]:
    parked = Notification.objects.filter(verdict=Verdict.PARKED).count()
    url = _list("payments_notification", verdict__exact=Verdict.PARKED)
    yield Card(_("parked notifications"), parked, url, alarming=parked > 0)


def _refunds(_midnight: datetime) -> Iterator[Card]:
    refused = Refund.objects.filter(state=RefundState.REFUSED).count()
    url = _list("payments_refund", state__exact=RefundState.REFUSED)
    yield Card(_("refused refunds"), refused, url, alarming=refused > 0)


def _outbox(_midnight: datetime) -> Iterator[Card]:
    waiting = OutboxMessage.objects.filter(done_at=None)
    failing = waiting.exclude(last_error="").count()
    url = _list("payments_outboxmessage", done_at__isempty=1)
    yield Card(_("messages that fail"), failing, url, alarming=failing > 0)


_CARDS = {
    "ticketing.view_order": _orders,
    "payments.view_payment": _payments,
    "payments.view_notification": _notifications,
    "payments.view_refund": _refunds,
    "payments.view_outboxmessage": _outbox,
}


def _list(name: str, **query: Any) -> str:
    return reverse(f"admin:{name}_changelist", query={key: str(value) for key, value in query.items()})
