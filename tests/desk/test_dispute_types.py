"""An open dispute is a case until somebody answered it; what a channel took back is booked once, by two people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from desk import approve, resolve
from desk.acts import CannotBeDone
from desk.models import CaseState
from payments import disputes, money
from payments.dispute_models import Dispute
from payments.models import Refund
from tests.desk.test_case_types import refund
from ticketing import settling
from ticketing.models import Order, Ticket
from ticketing.settlement_models import ShowSettlement
from wallet import ledger

pytestmark = pytest.mark.django_db


def filed(payment: Any, clock: Any, **other: Any) -> Dispute:
    told: dict[str, Any] = {
        "payment_number": payment.number, "kind": "chargeback", "source": "alipay", "reference": "C1",
        "actor": "mei", "opened_at": clock(), "now": clock(),
    }  # fmt: skip
    return disputes.file(**told | other)


class TestDisputeOpen:
    @pytest.fixture
    def disputed(self, paid, desk, clock):
        order, payment = paid()
        dispute = filed(payment, clock)
        return order, payment, dispute, desk.one("dispute_open")

    def test_it_has_an_owner_and_a_date(self, disputed, clock):
        order, payment, dispute, case = disputed
        assert (case.queue, case.purchase_number, case.amount_minor) == (
            *("risk", order.number, payment.amount_minor),
        )
        assert case.due_at == dispute.opened_at + timedelta(days=3)

    def test_won_moves_nothing(self, disputed, desk):
        _order, _payment, dispute, case = disputed
        shown = desk.preview(case, "dispute_won")
        assert (shown.lines, [(move.kind, move.after) for move in shown.moves]) == (
            (),
            [("dispute", "dismissed")],
        )
        desk.resolve(case, "dispute_won")
        dispute.refresh_from_db()
        assert (dispute.state, dispute.decided_by) == ("dismissed", "staff:mei")
        assert Order.objects.get().state == "paid"
        desk.ends_clean(case)

    def test_lost_takes_two_people_and_books_what_the_channel_took(self, disputed, desk, till):
        _order, payment, _dispute, case = disputed
        shown = desk.preview(case, "dispute_lost", reference="CB7")
        assert shown.needs_two
        assert shown.holds
        with pytest.raises(resolve.NeedsTwoPeople):
            resolve.execute(**desk.given(case, shown, "root"))
        assert not Refund.objects.exists()
        desk.resolve(case, "dispute_lost", reference="CB7")
        refund = Refund.objects.get()
        assert (refund.state, refund.reason, refund.channel_reference) == ("succeeded", "chargeback", "CB7")
        assert Order.objects.get().state == "refunded"
        assert {ticket.state for ticket in Ticket.objects.all()} == {"void"}
        assert ledger.balance(money.clearing("alipay", "CNY")) == 0
        there = till.house.control("GET", f"trades?number={payment.number}")["trades"]
        assert [trade["refunds"] for trade in there] == [[]]  # nothing was sent there
        desk.ends_clean(case)

    def test_of_two_who_decide_at_once_one_does(self, disputed, desk, clock):
        _order, _payment, dispute, case = disputed
        shown = desk.preview(case, "dispute_lost", reference="CB7")
        asked = desk.ask(case, shown)
        disputes.decide(dispute_id=dispute.pk, upheld=False, actor="bo", reason="was there", now=clock())

        with pytest.raises((resolve.StalePreview, CannotBeDone)):
            approve.approve(request_id=asked.pk, by=desk.person("bo"), reason="seen", now=clock())
        assert not Refund.objects.exists()
        desk.look()
        assert desk.state(case) == CaseState.GONE
        desk.audit_is_clean()

    def test_what_was_given_back_already_is_not_taken_again(self, disputed, desk, clock):
        _order, payment, _dispute, case = disputed

        refund(payment, clock, part=1_000)
        with pytest.raises(CannotBeDone, match="not_refundable"):
            desk.preview(case, "dispute_lost", reference="CB7")
        desk.resolve(case, "dispute_upheld")
        desk.ends_clean(case)

    def test_part_of_it_leaves_the_tickets_alone(self, paid, desk, clock):
        _order, payment = paid()
        filed(payment, clock, amount_minor=1_000)
        case = desk.one("dispute_open")
        desk.resolve(case, "dispute_lost", reference="CB7")
        assert Order.objects.get().state == "paid"
        assert {ticket.state for ticket in Ticket.objects.all()} == {"valid"}
        desk.ends_clean(case)

    def test_after_the_settlement_it_comes_back_from_the_organiser(
        self, disputed, desk, till, clock, settings
    ):
        _order, _payment, _dispute, case = disputed
        code = till.show.event.organiser.code
        clock.now = till.show.starts_at + settings.SETTLEMENT_AFTER
        settling.settle_due(now=clock.advance(minutes=1))  # an open dispute keeps nobody's money waiting
        assert ledger.balance(money.merchant(code, "CNY")) > 0
        desk.resolve(case, "dispute_lost", reference="CB7")
        settling.settle_due(now=clock.advance(minutes=10))
        assert ledger.balance(money.merchant(code, "CNY")) == 0
        assert ShowSettlement.objects.get().standing == "settled"
        desk.ends_clean(case)

    def test_no_channel_takes_back_what_the_wallet_paid(self, till, buyer, desk, clock):
        order = till.order(buyer("lin", cash=1_000_000))
        payment = till.press(order, "wallet")
        filed(payment, clock, source="staff")
        case = desk.one("dispute_open")
        with pytest.raises(CannotBeDone, match="no_channel"):
            desk.preview(case, "dispute_lost", reference="CB7")
