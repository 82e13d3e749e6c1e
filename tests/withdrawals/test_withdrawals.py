"""Money leaves once, to the fen, or comes back; what is not known is asked, never guessed."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from payments import money, outbox, paying_out, withdrawals
from payments.channels.payouts import TransferFailed, TransferReturned, TransferWorking
from payments.channels.port import Declined, Unknown
from payments.models import OutboxMessage
from payments.withdrawal_models import Owner, Withdrawal, WithdrawalEvent, WithdrawalState
from payments.withdrawals import NotWithdrawable, Payee
from risk import policy
from risk.policy import Policy, Stop
from risk.trading import marking
from tests.withdrawals.conftest import CARD
from wallet import ledger, statement

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("paymaster")]


@pytest.fixture
def lin(buyer):
    return buyer("lin", cash=10_000, bonus=5_000)


@pytest.fixture
def organiser(show, clock):
    """An organiser with 50,000 yuan of settled money."""
    code = show.event.organiser.code
    settled = money.ShowSettled("show:S1:1", "S1", code, "CNY", 5_000_000, 0)
    money.open_system_accounts(channels=["alipay"], currency="CNY", now=clock())
    money.book_show_settlements([settled], at=clock())
    return code


def cash(user) -> tuple[int, int]:
    """What the buyer can spend of the cash, and what is set aside."""
    found = statement.balances(user.pk)
    return found.cash_minor, found.held_minor


def bank() -> int:
    return ledger.balance("bank::CNY")


def state(one: Withdrawal) -> str:
    one.refresh_from_db()
    return one.state


def drive(clock, one: Withdrawal, **later: float) -> str:
    clock.advance(**later or {"hours": 2})
    outbox.drain(clock=clock, lane=outbox.COMPENSATE)
    return state(one)


def stop(monkeypatch, stopped: bool = True) -> None:
    stops = {("withdrawals", ""): Stop("withdrawals", "")} if stopped else {}
    policy._held.policy = Policy(0, stops=stops)


class TestABuyers:
    def test_money_is_reserved_first_and_paid_out_once(self, lin, out, clock, paymaster):
        one = out.buyer(lin)
        assert (one.state, cash(lin), paymaster.sends) == ("ready", (5_000, 5_000), [])
        assert drive(clock, one) == "paid"
        assert (cash(lin), bank(), paymaster.sends) == ((5_000, 0), 5_000, [one.number])
        assert drive(clock, one) == "paid"
        assert paymaster.sends == [one.number]
        history = WithdrawalEvent.objects.order_by("pk").values_list("to_state", flat=True)
        assert list(history) == ["waiting", "ready", "sent", "paid"]

    def test_the_same_key_is_the_same_withdrawal(self, lin, out):
        assert out.buyer(lin).pk == out.buyer(lin).pk
        assert cash(lin) == (5_000, 5_000)
        with pytest.raises(withdrawals.KeyReused):
            out.buyer(lin, amount=5_001)

    def test_bonus_never_leaves(self, lin, out):
        with pytest.raises(NotWithdrawable, match="insufficient"):
            out.buyer(lin, amount=10_001)
        assert out.buyer(lin, amount=10_000).state == "ready"

    def test_what_is_set_aside_cannot_be_withdrawn_again(self, lin, out):
        out.buyer(lin, amount=6_000)
        with pytest.raises(NotWithdrawable, match="insufficient"):
            out.buyer(lin, amount=6_000, key="again")

    def test_a_day_has_its_limit(self, buyer, out, clock, monkeypatch):
        monkeypatch.setattr(settings, "WITHDRAWAL_DAILY_MAX_MINOR", 8_000)
        mei = buyer("mei", cash=100_000)
        out.buyer(mei, amount=5_000)
        with pytest.raises(NotWithdrawable) as refused:
            out.buyer(mei, amount=3_001, key="more")
        assert (refused.value.reason, refused.value.detail) == ("over_daily_limit", "3000")
        assert out.buyer(mei, amount=3_000, key="rest")
        clock.advance(hours=24)
        assert out.buyer(mei, amount=8_000, key="tomorrow")

    @pytest.mark.parametrize(
        "payee",
        [
            Payee("alipay", "12345", "林薇"),
            Payee("bank", "13812345678x", "林薇"),
            Payee("bank", "6222020000001234", " "),
            Payee("cash", "13812345678", "林薇"),
        ],
    )
    def test_what_is_no_account_is_refused(self, lin, out, payee):
        with pytest.raises(NotWithdrawable, match="bad_account"):
            out.buyer(lin, payee=payee)
        assert cash(lin) == (10_000, 0)

    def test_the_account_is_sealed_and_shown_masked(self, lin, out):
        one = out.buyer(lin, payee=CARD)
        assert one.payee_shown == "**** 1234"
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT payee_account, payee_name FROM payments_withdrawal")
            stored = cursor.fetchone()
        assert not any(secret in text for text in stored for secret in ("6222", "林薇"))


class TestAnAnswerThatIsNone:
    """Each would pay twice, or lose the money, if it were guessed."""

    def test_silence_after_it_was_paid_out_does_not_pay_again(self, lin, out, clock, paymaster):
        paymaster.send_answers = ["silent after"]
        paymaster.ask_answers = [Unknown("timeout")]
        one = out.buyer(lin)
        assert drive(clock, one) == "sent"
        assert drive(clock, one) == "sent"
        assert cash(lin) == (5_000, 5_000)
        assert drive(clock, one) == "paid"
        assert (paymaster.sends, bank()) == ([one.number], 5_000)

    def test_silence_before_it_arrived_sends_the_same_number_again(self, lin, out, clock, paymaster):
        paymaster.send_answers = [Unknown("timeout")]
        one = out.buyer(lin)
        assert drive(clock, one) == "sent"
        assert drive(clock, one) == "paid"
        assert paymaster.sends == [one.number, one.number]
        assert bank() == 5_000

    def test_a_refusal_that_hides_a_success_is_a_success(self, lin, out, clock, paymaster):
        paymaster.send_answers = ["silent after"]
        paymaster.ask_answers = [Unknown("timeout")]
        one = out.buyer(lin)
        drive(clock, one)
        drive(clock, one)
        assert state(one) == "sent"
        paymaster.send_answers = [Declined("PAYEE_NOT_EXIST")]
        assert drive(clock, one) == "paid"

    def test_time_alone_never_ends_it(self, lin, out, clock, paymaster):
        paymaster.send_answers = [TransferWorking()]
        paymaster.ask_answers = [TransferWorking()] * 20
        one = out.buyer(lin)
        for _ in range(10):
            assert drive(clock, one, days=2) == "sent"
        assert cash(lin) == (5_000, 5_000)

    def test_another_amount_is_for_staff(self, lin, out, clock, paymaster, monkeypatch):
        monkeypatch.setattr(
            type(paymaster),
            "_done",
            lambda self, t: type(done := _done(self, t))(done.channel_reference, 1, done.at),
        )
        one = out.buyer(lin)
        assert drive(clock, one) == "sent"
        assert "AmountDiffers" in OutboxMessage.objects.get(key=one.hold).last_error


def _done(paymaster, transfer):
    from payments.channels.payouts import TransferDone

    return TransferDone(f"a{transfer.number}", transfer.amount_minor, paymaster.clock())


class TestRefused:
    def test_the_money_is_back_with_the_reason(self, lin, out, clock, paymaster):
        paymaster.send_answers = [Declined("PAYEE_NOT_EXIST", "收款账号不存在")]
        one = out.buyer(lin)
        assert drive(clock, one) == "refused"
        assert (one.refusal, one.refusal_text) == ("PAYEE_NOT_EXIST", "收款账号不存在")
        assert (cash(lin), bank()) == ((10_000, 0), 0)

    def test_a_bank_that_fails_later_gives_it_back(self, lin, out, clock, paymaster):
        paymaster.send_answers, paymaster.ask_answers = (
            [TransferWorking()],
            [TransferFailed("CARD", "bad card")],
        )
        one = out.buyer(lin, payee=CARD)
        assert drive(clock, one) == "sent"
        assert drive(clock, one) == "refused"
        assert cash(lin) == (10_000, 0)

    def test_what_comes_back_after_it_was_paid_is_the_owners_again(self, lin, out, clock, paymaster):
        one = out.buyer(lin, payee=CARD)
        assert drive(clock, one) == "paid"
        paymaster.ask_answers = [TransferReturned("CARD", "account closed")]
        paying_out.told(one.number, now=clock())
        assert drive(clock, one) == "returned"
        assert (cash(lin), bank()) == ((10_000, 0), 0)


class TestStopped:
    def test_nothing_is_asked_for(self, lin, out, monkeypatch):
        stop(monkeypatch)
        with pytest.raises(NotWithdrawable, match="stopped"):
            out.buyer(lin)

    def test_and_nothing_that_was_asked_for_is_sent(self, lin, out, clock, paymaster, monkeypatch):
        one = out.buyer(lin)
        stop(monkeypatch)
        assert drive(clock, one) == "ready"
        assert paymaster.sends == []
        stop(monkeypatch, stopped=False)
        assert drive(clock, one) == "paid"

    def test_what_is_sent_is_asked_about(self, lin, out, clock, paymaster, monkeypatch):
        paymaster.send_answers = ["silent after"]
        one = out.buyer(lin)
        drive(clock, one)
        stop(monkeypatch)
        assert drive(clock, one) == "paid"


class TestAnOrganisers:
    def test_a_small_one_needs_nobody_else(self, organiser, out, clock):
        one = out.merchant(organiser, 900_000)
        assert drive(clock, one) == "paid"
        assert ledger.balance(money.merchant(organiser, "CNY")) == 4_100_000

    def test_a_large_one_needs_two_people(self, organiser, out, clock, paymaster):
        one = out.merchant(organiser, 2_000_000)
        assert drive(clock, one) == "waiting"
        with pytest.raises(withdrawals.NotYours):
            withdrawals.approve(number=one.number, actor="mei", now=clock())
        assert paymaster.sends == []
        withdrawals.approve(number=one.number, actor="bo", now=clock())
        assert drive(clock, one) == "paid"

    def test_the_database_refuses_the_same_person_and_nobody(self, organiser, out):
        one = out.merchant(organiser, 2_000_000)
        for values in ({"approved_by": "mei"}, {"state": WithdrawalState.READY}):
            with pytest.raises(IntegrityError, match="two_people"), transaction.atomic():
                Withdrawal.objects.filter(pk=one.pk).update(**values)

    def test_a_rejected_one_gives_the_money_back(self, organiser, out, clock):
        one = out.merchant(organiser, 2_000_000)
        withdrawals.reject(number=one.number, actor="bo", reason="wrong card", now=clock())
        assert state(one) == "refused"
        assert ledger.lock_available([money.merchant(organiser, "CNY")]).popitem()[1] == 5_000_000
        with pytest.raises(withdrawals.NotYours):
            withdrawals.approve(number=one.number, actor="bo", now=clock())

    def test_while_held_it_is_neither_asked_for_nor_sent(self, organiser, out, clock, paymaster):
        one = out.merchant(organiser, 10_000)
        marking.hold(merchant=organiser, actor="risk", reason="odd", now=clock())
        with pytest.raises(NotWithdrawable, match="held"):
            out.merchant(organiser, 10_000, key="again")
        assert drive(clock, one) == "ready"
        assert paymaster.sends == []
        marking.lift(merchant=organiser, actor="risk", reason="fine", now=clock())
        assert drive(clock, one) == "paid"


def test_histories_are_never_edited(lin, out):
    out.buyer(lin)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        WithdrawalEvent.objects.update(reason="x")


def test_owners_are_apart(lin, buyer, out):
    mei = buyer("mei", cash=10_000)
    assert out.buyer(lin).pk != out.buyer(mei).pk
    assert [one.owner for one in withdrawals.of_owner(Owner.BUYER, str(mei.pk))] == [str(mei.pk)]
