"""Orders that are paid at the sandbox's channels: a real process, real signatures, our own hand on the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from payments import checkout, notify
from payments.channels import registry
from payments.models import Payment
from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.channels.rig import Sandbox
from tests.conftest import Clock
from ticketing import orders
from ticketing.models import Order, PriceTier


@pytest.fixture
def clock() -> Clock:
    """The channels' clock is the real one, so these tests start there."""
    return Clock(now=datetime.now(UTC))


@dataclass
class Till:
    """What a buyer does, in a few words."""

    house: Sandbox
    show: Any
    clock: Clock

    def order(self, buyer: Any, *, tier: str = "UPPER", quantity: int = 2, **more: Any) -> Order:
        tier_id = PriceTier.objects.get(show=self.show, code=tier).pk
        return orders.place_order(
            buyer=buyer,
            client_key=f"k{self.clock().timestamp()}",
            tier_id=tier_id,
            quantity=quantity,
            now=self.clock(),
            **more,
        )

    def press(self, order: Order, channel: str, token: str = "") -> Payment:
        token = token or self.token(order)
        return checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=order.buyer_id,
            channel=channel,
            token=token,
            return_url="http://127.0.0.1/",
            now=self.clock(),
        )

    def token(self, order: Order) -> str:
        return checkout.offer(
            kind="order", number=order.number, buyer_id=order.buyer_id, now=self.clock()
        ).token

    def pay_at_channel(self, payment: Payment) -> None:
        """The buyer goes to the cashier and pays; the notification is not delivered."""
        self.house.scan(payment.cashier_url)
        answer = self.house.pay(payment.channel, payment.number)
        assert answer["result"] == "paid", answer

    def notify(self, payment: Payment, variant: str = "true", **more: Any) -> Any:
        return self.deliver(payment.channel, payment.number, variant, **more)

    def deliver(self, channel: str, number: str, variant: str, **more: Any) -> Any:
        headers, body = self.house.message(channel, number, variant, **more)
        # Signatures are checked against the real time, which the test's clock must not lag behind.
        now = datetime.now(UTC)
        self.clock.now = max(self.clock.now, now)
        return notify.receive(channel=channel, headers=headers, body=body, now=now)


@pytest.fixture
def till(sandbox: Sandbox, show: Any, clock: Clock, settings: Any) -> Iterator[Till]:  # noqa: F811
    settings.SANDBOX_URL = sandbox.url
    settings.CHANNEL_KEYS_DIR = sandbox.keys
    settings.ALIPAY = settings.ALIPAY | {"product": "precreate"}
    settings.CHANNEL_TIMEOUT_S = 1.0
    registry._channels.cache_clear()
    yield Till(sandbox, show, clock)
    registry._channels.cache_clear()


@pytest.fixture
def pass_time(clock: Clock, settle_outbox: Callable[[], int]) -> Callable[..., None]:
    """Let time pass and the workers do what it brings, as beat and workers would."""
    from ticketing import expiry

    def go(**by: float) -> None:
        clock.advance(**by)
        expiry.expire_due(now=clock())
        settle_outbox()

    return go
