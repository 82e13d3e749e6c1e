"""What an organiser owes and does not have is a case until somebody bears it."""

from __future__ import annotations

import pytest

from desk.models import CaseState
from payments import money
from ticketing import settling
from ticketing.settlement_models import ShowSettlement

pytestmark = pytest.mark.django_db


class TestOrganiserOwes:
    @pytest.fixture
    def owing(self, paid, desk, till, clock, settings):
        """Settled; what he had is gone; and then the buyer got his money back."""
        from tests.desk.test_case_types import refund

        _order, payment = paid()
        code = till.show.event.organiser.code
        clock.now = till.show.starts_at + settings.SETTLEMENT_AFTER
        settling.settle_due(now=clock.advance(minutes=1))
        net = money.balance_of(money.merchant(code, "CNY"))
        move(code, net, clock, "gone", out=True)
        refund(payment, clock)
        desk.work()
        settling.settle_due(now=clock.advance(minutes=10))
        assert ShowSettlement.objects.get().standing == "owing"
        assert desk.look() == []  # he may earn it at once
        clock.advance(days=1)
        return code, net, desk.one("organiser_owes")

    def test_the_platform_bears_it_by_two_people(self, owing, desk, clock):
        code, net, case = owing
        assert (case.amount_minor, case.queue, case.facts["merchant"]) == (net, "finance", code)
        account = money.merchant(code, "CNY")
        desk.resolve(case, "book_entry", debit="opening::CNY", credit=account, amount=str(net))
        settling.settle_due(now=clock.advance(minutes=10))
        assert (ShowSettlement.objects.get().standing, money.balance_of(account)) == ("settled", 0)
        assert money.balance_of(money.guarantee("CNY")) == 0
        desk.ends_clean(case)

    def test_what_he_earns_next_ends_it(self, owing, desk, clock):
        code, net, case = owing
        move(code, net, clock, "earned")
        settling.settle_due(now=clock.advance(minutes=10))
        desk.ends_clean(case, CaseState.GONE)


def move(code, amount, clock, key, *, out=False):
    ends = (money.merchant(code, "CNY"), "opening::CNY")
    debit, credit = ends if out else ends[::-1]
    money.book_by_hand(
        key=key, debit=debit, credit=credit, amount_minor=amount, reference="", memo="", now=clock()
    )
