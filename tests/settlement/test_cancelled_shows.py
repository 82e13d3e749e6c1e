"""A cancelled show's money goes back to its buyers; what a refund rule had kept before goes the way of any show's."""

from __future__ import annotations

from datetime import timedelta

import pytest

from operations import audit
from operations.audit.settlements import SHOWS_ARE_SETTLED
from ticketing import cancelling
from ticketing.models import RefundRequest, ShowCancellation
from ticketing.settlement_models import ShowSettlement, Standing

pytestmark = pytest.mark.django_db


@pytest.fixture
def cancelled(settle, sold, back, ladder, settle_outbox, clock):
    """Lin gave both seats back for half of 76,000 fen; mei's 38,000 go back because the show is cancelled."""
    ladder((2, 50))
    back.by_buyer(sold("lin"), n=2)
    settle_outbox()
    sold("mei", 1)

    def cancel() -> ShowCancellation:
        cancelling.cancel(
            code=settle.show.code,
            reason="typhoon",
            said_zh="",
            said_en="",
            actor="mei",
            approved_by="bo",
            now=clock(),
        )
        for _ in range(12):
            clock.advance(seconds=20)
            settle_outbox()
        return ShowCancellation.objects.get()

    return cancel


def test_what_a_rule_kept_is_settled_once_all_money_is_back(settle, cancelled):
    assert cancelled().state == "done"
    assert settle.guarantee == 38_000
    settle.is_over()
    settle.round()
    assert (settle.merchant, settle.fees, settle.guarantee) == (36_100, 1_900, 0)
    assert (settle.record().standing, settle.record().waits_for) == (Standing.SETTLED, [])
    assert RefundRequest.objects.count() == 2
    assert settle.broken() == {}


def test_not_before(settle, cancelled, clock):
    settle.is_over()
    started = cancelled()
    ShowCancellation.objects.update(state="returning", done_at=None)
    settle.round()
    assert (settle.record().waits_for, settle.merchant) == (["cancelled"], 0)
    ShowCancellation.objects.update(state="done", done_at=started.done_at)
    settle.round()
    assert (settle.record().standing, settle.guarantee) == (Standing.SETTLED, 0)


class TestTheAudit:
    """Guarantee money of a show long over: somebody looks at it, and what it waits for is named and alive."""

    def found(self, clock) -> list[str]:
        (result,) = audit.audit(now=clock(), checks=[SHOWS_ARE_SETTLED])
        return [violation.why for violation in result.violations]

    def test_a_record_that_nobody_looks_at(self, settle, sold, clock):
        sold("lin")
        settle.is_over()
        ShowSettlement.objects.create(
            number="S1", show=settle.show, merchant=settle.organiser.code, currency="CNY", fee_bps=500, orders=1,
            paid_minor=76_000, waits_for=["held"], opened_at=clock(), looked_at=clock(),
        )  # fmt: skip
        clock.advance(minutes=50)
        assert self.found(clock) == []
        clock.advance(minutes=20)
        assert "nobody has looked at it" in self.found(clock)[0]
        settle.round()
        assert self.found(clock) == []

    def test_one_that_waits_for_a_cancellation_that_is_done(self, settle, cancelled, clock):
        cancelled()
        settle.is_over()
        settle.round()
        ShowSettlement.objects.update(standing="due", waits_for=["cancelled"])
        clock.advance(hours=2)
        ShowSettlement.objects.update(looked_at=clock())
        assert "a cancellation that is done" in self.found(clock)[0]


class TestAnEnd:
    """A festival lasts three days: its money is due after its end, not after its first song."""

    @pytest.fixture
    def long(self, settle, sold):
        sold("lin")
        settle.show.ends_at = settle.show.starts_at + timedelta(days=3)
        settle.show.save()
        return settle

    def test_the_money_is_due_after_the_end(self, long, clock):
        long.is_over()
        assert long.round().paid_out == 0
        clock.advance(days=3)
        assert long.round().paid_out == 1
        assert long.broken() == {}

    def test_the_audit_waits_for_the_end_too(self, long, clock):
        clock.now = long.show.starts_at + timedelta(days=4)
        assert TestTheAudit().found(clock) == []
        clock.advance(days=3)
        assert "it was over at" in TestTheAudit().found(clock)[0]
