"""Orders that are paid, and a refund rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from payments import checkout
from payments.models import Payment, Refund
from ticketing import orders, refunding
from ticketing.models import Order, PriceTier, RefundPolicy, RefundRequest, RefundStep


@pytest.fixture
def paid(show: Any, clock: Any) -> Callable[..., Order]:
    """`paid(lin, quantity=2, tier="UPPER")`: an order paid from the wallet."""

    def make(buyer: Any, quantity: int = 2, tier: str = "UPPER", channel: str = "wallet") -> Order:
        order = orders.place_order(
            buyer=buyer,
            client_key=f"k{clock().timestamp()}",
            tier_id=PriceTier.objects.get(show=show, code=tier).pk,
            quantity=quantity,
            now=clock(),
        )
        offer = checkout.offer(kind="order", number=order.number, buyer_id=buyer.pk, now=clock())
        checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=buyer.pk,
            channel=channel,
            token=offer.token,
            return_url="",
            now=clock(),
        )
        order.refresh_from_db()
        return order

    return make


@pytest.fixture
def ladder(show: Any) -> Callable[..., RefundPolicy]:
    """`ladder((24, 100), (2, 50))`: the event's refund rule, instead of the sample's."""

    def make(*steps: tuple[int, int], **more: Any) -> RefundPolicy:
        RefundPolicy.objects.all().delete()
        policy = RefundPolicy.objects.create(event=show.event, **more)
        RefundStep.objects.bulk_create(
            RefundStep(policy=policy, hours_before=hours, percent_back=percent) for hours, percent in steps
        )
        return policy

    return make


@dataclass
class GiveBack:
    """What the buyer or staff ask for, in a few words."""

    clock: Any

    def tickets(self, order: Order) -> list[str]:
        return [ticket.number for ticket in refunding.tickets_of(order)]

    def by_buyer(self, order: Order, n: int = 1, key: str = "k", **more: Any) -> RefundRequest:
        order.refresh_from_db()
        now = self.clock()
        tickets = more.pop("tickets", self.tickets(order)[:n])
        expected = refunding.quote(order, now=now, numbers=tickets).back_minor
        wanted = {"expected_minor": expected, "actor": f"buyer:{order.buyer_id}", "now": now} | more
        return refunding.give_back(number=order.number, tickets=tickets, key=key, **wanted)

    def by_staff(
        self, order: Order, amount_minor: int, n: int = 0, key: str = "k", **more: Any
    ) -> RefundRequest:
        tickets = more.pop("tickets", self.tickets(order)[:n])
        wanted = {"reason": "goodwill", "actor": "mei", "now": self.clock()} | more
        return refunding.by_staff(
            number=order.number, tickets=tickets, amount_minor=amount_minor, key=key, **wanted
        )

    def refund_of(self, request: RefundRequest) -> Refund:
        return Refund.objects.get(number=request.refund_number)

    def payment_of(self, order: Order) -> Payment:
        return Payment.objects.get(number=order.winner)


@pytest.fixture
def back(clock: Any) -> GiveBack:
    return GiveBack(clock)
