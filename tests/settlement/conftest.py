"""Shows that are over, and what their organisers have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from operations import audit
from payments import money

# The orders, payments and refunds of the refund tests.
from tests.ticketing.conftest import back, ladder, paid  # noqa: F401
from ticketing import settling
from ticketing.models import Organiser, Show
from ticketing.settlement_models import ShowSettlement
from ticketing.settling import Round
from wallet import ledger


@dataclass
class Settling:
    """The beat's round, and what one reads in the books."""

    show: Show
    clock: Any

    @property
    def organiser(self) -> Organiser:
        return self.show.event.organiser

    def is_over(self) -> None:
        """Time goes on until the show's money is due."""
        self.clock.now = max(self.clock.now, self.show.starts_at + settings.SETTLEMENT_AFTER)

    def round(self) -> Round:
        return settling.settle_due(now=self.clock.advance(minutes=10))

    def record(self) -> ShowSettlement:
        return ShowSettlement.objects.get(show=self.show)

    def fee(self, bps: int) -> None:
        Organiser.objects.filter(pk=self.organiser.pk).update(fee_bps=bps)

    @property
    def merchant(self) -> int:
        return ledger.balance(money.merchant(self.organiser.code, "CNY"))

    @property
    def fees(self) -> int:
        return ledger.balance("fee::CNY")

    @property
    def guarantee(self) -> int:
        return ledger.balance(money.guarantee("CNY"))

    def moves(self) -> list[tuple[int, int, int]]:
        found = self.record().moves.order_by("nth")
        return list(found.values_list("gross_minor", "fee_minor", "net_minor"))

    def spend(self, amount_minor: int) -> None:
        """The organiser's money goes elsewhere."""
        lines = (
            ledger.Line(money.merchant(self.organiser.code, "CNY"), -amount_minor),
            ledger.Line(ledger.account_code(ledger.AccountKind.OPENING), amount_minor),
        )
        ledger.post(ledger.Entry(f"spent:{self.clock()}", "by_hand", "", lines), at=self.clock())

    def broken(self) -> dict[str, Any]:
        grace = timedelta(days=365)  # tests leave orders held and messages lying; money is what matters here
        found = audit.audit(now=self.clock.now, grace=grace)
        return {one.check.name: one.violations for one in found if not one.ok}


@pytest.fixture
def settle(show: Any, clock: Any) -> Settling:
    return Settling(show, clock)


@pytest.fixture
def sold(settle: Settling, buyer: Any, paid: Callable[..., Any]) -> Callable[..., Any]:  # noqa: F811
    """`sold("lin", 2)`: an order of so many seats at 380 yuan, paid from the wallet."""

    def make(handle: str, quantity: int = 2) -> Any:
        return paid(buyer(handle, cash=1_000_000), quantity)

    return make
