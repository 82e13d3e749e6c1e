"""A day of sales at one channel's sandbox, what its statement gets wrong about it, and the mornings after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from django.utils import timezone

from payments import refunds, tasks
from payments.models import Payment, Refund
from tests.channels.rig import Sandbox
from tests.desk.conftest import Desk
from tests.payments.conftest import Till

SHANGHAI = ZoneInfo("Asia/Shanghai")
PART = 4_000


def emptied(house: Sandbox) -> None:
    """Empty books, and no midnight on the way: a statement tells everything that its day's books have."""
    now = datetime.now(SHANGHAI)
    left = datetime.combine(now.date() + timedelta(days=1), clock_time(), SHANGHAI) - now
    if left < timedelta(seconds=40):
        time.sleep(left.total_seconds() + 1)
    house.control("POST", "reset", {})


@dataclass
class Night:
    """A day of sales at one channel, and the mornings after it."""

    channel: str
    till: Till
    desk: Desk
    buyer: Callable[..., Any]
    monkeypatch: pytest.MonkeyPatch
    today: date = field(default_factory=lambda: datetime.now(SHANGHAI).date())

    def sold(self, *, told: bool = True) -> Payment:
        """An order paid at the channel; unless `told`, we have not heard of it."""
        nth = Payment.objects.count()
        payment = self.till.press(self.till.order(self.buyer(f"b{nth}"), quantity=1), self.channel)
        self.till.pay_at_channel(payment)
        if told:
            self.till.notify(payment)
            self.desk.work()
        return payment

    def back(self, payment: Payment) -> Refund:
        """A part of it is to be refunded."""
        with transaction.atomic():
            return refunds.request(
                Payment.objects.get(pk=payment.pk),
                amount_minor=PART,
                reason="asked",
                key=f"test:{Refund.objects.count()}",
                now=self.till.clock(),
            )

    def until_refunded(self) -> None:
        for _ in range(100):
            self.desk.work()
            if not Refund.objects.exclude(state="succeeded").exists():
                return
            time.sleep(0.05)
            self.till.clock.advance(seconds=5)
        raise AssertionError(list(Refund.objects.values_list("number", "state")))

    def plant(self, what: str, number: str = "", *, where: str = "both", **args: Any) -> None:
        asked = {"channel": self.channel, "day": self.today.isoformat(), "what": what, "number": number}
        self.till.house.control("POST", "bills/differences", asked | {"where": where, "args": args})

    def morning(self, *, days: int) -> None:
        """Eleven o'clock so many days later, for the sandbox and for us."""
        now = datetime.combine(self.today + timedelta(days=days), clock_time(11), SHANGHAI)
        ahead = (now - datetime.now(SHANGHAI)).total_seconds()
        self.till.house.control("POST", "bills/clock", {"ahead_s": ahead, "link_s": 60})
        self.desk.clock.now = now
        self.monkeypatch.setattr(timezone, "now", self.desk.clock)

    def beat(self) -> None:
        """What beat starts every five minutes."""
        tasks.fetch_statements()
        tasks.reconcile_what_is_due()
