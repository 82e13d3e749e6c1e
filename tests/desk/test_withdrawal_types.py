"""Cases about money on its way out, over the sandbox's wire: silent, failing, told otherwise, not approved."""

from __future__ import annotations

from typing import Any

import pytest

from desk import resolve
from desk.acts import CannotBeDone
from desk.models import CaseState
from payments import money, paying_out, withdrawals
from payments.channels import registry
from payments.channels.payouts import TransferDone
from payments.models import OutboxMessage
from payments.withdrawal_models import Owner, Withdrawal
from payments.withdrawals import Payee
from risk.trading import marking
from tests.withdrawals.conftest import ALIPAY, CARD
from wallet import ledger

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(buyer: Any, till: Any, clock: Any) -> Any:
    """A buyer asks for 50 yuan; `till` is there for the sandbox behind it."""

    def make(payee: Payee = ALIPAY) -> Withdrawal:
        return withdrawals.request(
            owner_kind=Owner.BUYER,
            owner=str(buyer("lin", cash=10_000).pk),
            payee=payee,
            amount_minor=5_000,
            client_key="k",
            actor="buyer:lin",
            now=clock(),
        )

    return make


def silent(till: Any, *ops: str) -> None:
    for op in ops:
        till.house.fault("http_500", op=op, times=None)


def state(one: Withdrawal) -> str:
    return Withdrawal.objects.get(pk=one.pk).state


class TestWithdrawalStuck:
    @pytest.fixture
    def stuck(self, asked, till, pass_time, desk):
        silent(till, "transfer_query")
        till.house.fault("http_500_after_success", op="transfer", times=1)
        one = asked()
        pass_time(seconds=1)
        assert (state(one), desk.look()) == ("sent", [])  # the product itself still asks
        pass_time(hours=2, minutes=1)
        return one, desk.one("withdrawal_stuck")

    def test_the_channel_is_asked_and_had_paid_it(self, stuck, till, desk):
        one, case = stuck
        assert (case.subject, case.queue, case.amount_minor) == (one.number, "finance", 5_000)
        till.house.control("DELETE", "faults")
        shown = desk.preview(case, "ask_payout")
        assert (shown.answer, shown.moved_minor, shown.holds) == ("TransferDone", 5_000, True)
        assert ("withdrawal", one.number, "sent", "paid") in [
            (move.kind, move.number, move.before, move.after) for move in shown.moves
        ]
        assert state(one) == "sent"
        desk.resolve(case, "ask_payout")
        assert (state(one), ledger.balance("bank::CNY")) == ("paid", 5_000)
        desk.ends_clean(case)

    def test_the_coordinator_asks_by_itself(self, stuck, till, desk):
        one, case = stuck
        assert desk.round().resolved == 0
        till.house.control("DELETE", "faults")
        desk.clock.advance(minutes=11)
        desk.round()
        assert state(one) == "paid"
        desk.ends_clean(case)

    def test_two_people_give_it_back(self, stuck, till, desk):
        one, case = stuck
        shown = desk.preview(case, "mark_returned")
        assert shown.needs_two
        with pytest.raises(resolve.NeedsTwoPeople):
            resolve.execute(**desk.given(case, shown, "mei"))
        desk.resolve(case, "mark_returned")
        assert (state(one), ledger.lock_available([one.account])[one.account]) == ("refused", 10_000)
        desk.ends_clean(case)

    def test_two_people_take_it_as_paid_out(self, stuck, desk):
        one, case = stuck
        assert desk.preview(case, "mark_paid_out", reference="31").needs_two
        desk.resolve(case, "mark_paid_out", reference="31")
        one.refresh_from_db()
        assert (one.state, one.channel_reference) == ("paid", "31")
        desk.ends_clean(case)

    def test_what_is_stopped_or_over_is_no_case(self, stuck, till, desk, pass_time):
        _one, case = stuck
        till.house.control("DELETE", "faults")
        pass_time(hours=1)
        assert desk.look() == []
        assert desk.state(case) == CaseState.GONE


def test_what_fails_is_a_case_of_its_own_and_not_two(asked, desk, pass_time, monkeypatch):
    one = asked()
    monkeypatch.setattr(registry, "payouts", dict)  # its credentials are gone
    for _ in range(6):
        pass_time(minutes=10)
    assert [case.kind for case in desk.look()] == ["withdrawal_stuck"]
    assert state(one) == "sent"


def test_an_organiser_who_is_held_waits_without_a_case(till, desk, pass_time, show, clock):
    code = show.event.organiser.code
    money.book_show_settlements([money.ShowSettled("show:S1:1", "S1", code, "CNY", 50_000, 0)], at=clock())
    one = merchants(code, 10_000, clock)
    marking.hold(merchant=code, actor="risk", reason="odd", now=clock())
    pass_time(hours=3)
    assert (state(one), desk.look()) == ("ready", [])
    marking.lift(merchant=code, actor="risk", reason="fine", now=clock())
    pass_time(hours=3)
    assert state(one) == "sent" or state(one) == "paid"


def merchants(code: str, amount: int, clock: Any) -> Withdrawal:
    return withdrawals.request(
        owner_kind=Owner.MERCHANT,
        owner=code,
        payee=CARD,
        amount_minor=amount,
        client_key="k",
        actor="mei",
        now=clock(),
    )


class TestPaidAfterItWasGivenBack:
    """Two people gave it back, or a worker that was long asleep sent it after another one's refusal."""

    @pytest.fixture
    def given_back(self, asked, till, pass_time, desk):
        silent(till, "transfer_query")
        till.house.fault("http_500_after_success", op="transfer", times=1)
        one = asked()
        pass_time(hours=2, minutes=1)
        pass_time(hours=2, minutes=1)
        case = desk.one("withdrawal_stuck")
        desk.resolve(case, "mark_returned")
        pass_time(hours=2)
        desk.look()
        till.house.control("DELETE", "faults")
        return one

    def test_it_is_taken_from_its_owner_after_all(self, given_back, desk, clock, pass_time):
        paying_out.told(given_back.number, now=clock())
        pass_time(seconds=1)
        given_back.refresh_from_db()
        assert (given_back.state, given_back.refusal) == ("paid", "")
        assert (ledger.balance(given_back.account), ledger.balance("bank::CNY")) == (5_000, 5_000)
        assert desk.look() == []
        desk.audit_is_clean()

    def test_if_he_has_spent_it_staff_see_it_until_he_has_it_again(self, given_back, desk, clock, pass_time):
        spend(given_back.account, 10_000, clock)
        paying_out.told(given_back.number, now=clock())
        pass_time(seconds=1)
        case = desk.one("withdrawal_stuck")
        assert "InsufficientFunds" in case.facts["error"]
        with pytest.raises(CannotBeDone, match="insufficient_funds"):
            desk.preview(case, "ask_payout")
        # Two people let the platform bear it: the owner's account gets what is missing, and the next look takes it.
        desk.resolve(case, "book_entry", debit="opening::CNY", credit=given_back.account, amount="5000")
        pass_time(hours=1)
        assert state(given_back) == "paid"
        desk.ends_clean(case)

    def test_a_sleeper_who_lost_its_message_does_not_lose_the_fact(self, given_back, desk, clock, pass_time):
        spend(given_back.account, 10_000, clock)
        assert OutboxMessage.objects.get(key=given_back.hold).done_at is not None
        with pytest.raises(money.InsufficientFunds):
            paying_out.apply_answer(given_back.number, TransferDone("31", 5_000, clock()), now=clock())
        assert OutboxMessage.objects.get(key=given_back.hold).done_at is None
        pass_time(seconds=1)
        assert desk.one("withdrawal_stuck").subject == given_back.number


def spend(account: str, amount: int, clock: Any) -> None:
    money.book_by_hand(
        key="spent",
        debit=account,
        credit="opening::CNY",
        amount_minor=amount,
        reference="",
        memo="",
        now=clock(),
    )


class TestWithdrawalUnapproved:
    @pytest.fixture
    def case(self, desk, till, show, clock):
        code = show.event.organiser.code
        money.open_system_accounts(channels=["alipay"], currency="CNY", now=clock())
        money.book_show_settlements(
            [money.ShowSettled("show:S1:1", "S1", code, "CNY", 5_000_000, 0)], at=clock()
        )
        one = merchants(code, 2_000_000, clock)
        assert desk.look() == []
        clock.advance(hours=1, minutes=1)
        return one, desk.one("withdrawal_unapproved")

    def test_another_person_approves_it_there(self, case, desk):
        one, found = case
        shown = desk.preview(found, "approve_withdrawal")
        assert [message.kind for message in shown.messages] == ["withdrawal.drive"]
        with pytest.raises(resolve.NotAllowed):  # the right of the desk alone is not enough
            desk.resolve(found, "approve_withdrawal", "bo")
        resolve.execute(**desk.given(found, shown, "root"))
        assert state(one) == "ready"

    def test_who_asked_cannot_even_as_a_superuser(self, case, desk):
        one, found = case
        Withdrawal.objects.filter(pk=one.pk).update(requested_by="root")
        shown = desk.preview(found, "approve_withdrawal")
        with pytest.raises(CannotBeDone, match="not_yours"):
            resolve.execute(**desk.given(found, shown, "root"))
        assert state(one) == "waiting"

    def test_rejected_it_is_the_organisers_again(self, case, desk):
        one, found = case
        shown = desk.preview(found, "reject_withdrawal")
        resolve.execute(**desk.given(found, shown, "root"))
        assert ledger.lock_available([one.account])[one.account] == 5_000_000
        desk.look()
        assert desk.state(found) == CaseState.RESOLVED


def test_the_coordinator_drives_a_withdrawal_that_nobody_drives(asked, desk, pass_time):
    one = asked()
    OutboxMessage.objects.filter(key=one.hold).delete()
    assert desk.round().driven == 1
    pass_time(seconds=1)
    assert state(one) == "paid"


def test_a_banks_return_is_found_though_its_message_is_lost(asked, desk, pass_time, till):
    one = asked(Payee("bank", "6222020000000002", "林薇"))
    pass_time(seconds=1)
    for _ in range(40):
        pass_time(seconds=10)
        if state(one) != "sent":
            break
    pass_time(hours=1)
    assert state(one) in ("refused", "returned")
    assert ledger.balance(one.account) == 10_000
    desk.audit_is_clean()
