"""What scenes at the desk are made of (desk_scenes.py, desk_scenes_of_money.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from desk.models import Case, CaseState
from payments import refunds
from payments.models import Payment, Refund
from tests.conftest import Clock
from tests.desk.conftest import Desk
from tests.payments.conftest import Till
from tests.reconcile.night import Night

WHY = "the channel's own papers say so"


@dataclass
class World:
    """What a scene can be made of. `night("alipay")`: a day of sales at that channel, and the mornings after it."""

    till: Till
    buyer: Callable[..., Any]
    paid: Callable[..., Any]
    pass_time: Callable[..., None]
    desk: Desk
    night: Callable[[str], Night]
    url: str
    settings: Any

    def work_off(self) -> None:
        """The workers give everything of a cancelled show back."""
        for _ in range(12):
            self.pass_time(seconds=20)

    def fine_weather(self) -> None:
        self.till.house.control("DELETE", "faults")

    def told(self, channel: str, number: str, variant: str) -> None:
        """The sandbox posts a notification to our door."""
        where = f"{self.url}/notify/{channel}/"
        asked = {"channel": channel, "number": number, "variant": variant, "url": where}
        answer = self.till.house.control("POST", "notify", asked)
        assert answer["status"] in (200, 204), answer
        self.catch_up()
        self.desk.work()

    def catch_up(self) -> None:
        """Pages go by the machine's clock: what they asked for is due by it."""
        self.desk.clock.now = max(self.desk.clock.now, datetime.now(UTC))


@dataclass
class Scene:
    """What happened, and what a person does about it. `state` is what becomes of the case."""

    case: Case
    way: str
    inputs: dict[str, str] = field(default_factory=dict)
    state: str = CaseState.RESOLVED
    then: Callable[[], None] = lambda: None
    truth: Callable[[], bool] = lambda: True

    @property
    def is_wished(self) -> bool:
        """Somebody asked for it elsewhere already: the case waits for a second person from its first moment."""
        return not self.way


def refund_of(payment: Payment, clock: Clock) -> Refund:
    with transaction.atomic():
        return refunds.request(
            Payment.objects.get(pk=payment.pk),
            amount_minor=payment.amount_minor,
            reason="asked",
            key=f"test:{payment.number}",
            now=clock(),
        )
