"""
Random histories of money out: buyers and an organiser ask, second people decide, the channel pays, fails, is silent or
sends back, risk holds. After any step every fen is explained; in the end what left is what the channel paid.
"""

from __future__ import annotations

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from operations import audit
from operations.audit import ledger as ledger_checks
from operations.audit import withdrawals as withdrawal_checks
from operations.audit.schedules import HOLDS_BELONG_TO_SOMETHING
from payments import money, outbox, paying_out, withdrawals
from payments.channels.payouts import TransferFailed, TransferReturned, TransferWorking
from payments.channels.port import Declined, Unknown
from payments.withdrawal_models import Withdrawal
from risk.trading import marking
from wallet import ledger

pytestmark = pytest.mark.django_db
PICK = st.integers(0, 7)
ROUNDS_MAX = 10
MONEY = (
    *withdrawal_checks.CHECKS,
    HOLDS_BELONG_TO_SOMETHING,
    ledger_checks.BALANCES_ARE_POSTINGS,
    ledger_checks.HELD_IS_RESERVED,
    ledger_checks.FLOORS_HOLD,
    ledger_checks.BONUS_STAYS_APART,
)


class Histories(RuleBasedStateMachine):
    out = paymaster = people = organiser = None
    seen: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.clock, self.channel = type(self).out.clock, type(self).paymaster
        self.channel.paid.clear(), self.channel.send_answers.clear(), self.channel.ask_answers.clear()
        self.nth = 0
        self.returned = 0
        self.a_buyer_asks(0, 3_000)

    @rule(who=PICK, amount=st.sampled_from([1, 100, 3_000, 10_000, 200_000]))
    def a_buyer_asks(self, who: int, amount: int) -> None:
        people = type(self).people
        self._ask(lambda key: type(self).out.buyer(people[who % len(people)], amount, key))

    @rule(amount=st.sampled_from([50_000, 1_000_000, 4_000_000]))
    def staff_ask_for_the_organiser(self, amount: int) -> None:
        self._ask(lambda key: type(self).out.merchant(type(self).organiser, amount, key))

    def _ask(self, ask: object) -> None:
        self.nth += 1
        try:
            first, second = ask(f"k{self.nth}"), ask(f"k{self.nth}")  # type: ignore[operator]
            assert first.pk == second.pk
        except withdrawals.NotWithdrawable:
            return

    @rule(which=PICK, yes=st.booleans(), who=st.sampled_from(["mei", "bo"]))
    def somebody_decides(self, which: int, yes: bool, who: str) -> None:
        waiting = list(Withdrawal.objects.filter(needs_two=True, state="waiting").order_by("pk"))
        if not waiting:
            return
        number = waiting[which % len(waiting)].number
        try:
            if yes:
                withdrawals.approve(number=number, actor=who, now=self.clock())
            else:
                withdrawals.reject(number=number, actor=who, reason="no", now=self.clock())
        except withdrawals.NotYours:
            assert (yes, who) == (True, "mei")

    @rule(
        answer=st.sampled_from(["silent after", Unknown("x"), Declined("PAYEE_NOT_EXIST"), TransferWorking()])
    )
    def the_channel_has_trouble(self, answer: object) -> None:
        self.channel.send_answers.append(answer)

    @rule()
    def the_channel_is_not_sure(self) -> None:
        self.channel.ask_answers.append(Unknown("x"))

    @rule()
    def a_worker_drains(self) -> None:
        self.clock.advance(hours=2)
        outbox.drain(clock=self.clock, lane=outbox.COMPENSATE, limit=100)

    @rule(which=PICK)
    def a_bank_sends_one_back(self, which: int) -> None:
        paid = list(Withdrawal.objects.filter(state="paid").order_by("pk"))
        if not paid:
            return
        one = paid[which % len(paid)]
        paying_out.apply_answer(one.number, TransferReturned("CARD"), now=self.clock())
        self.returned += one.amount_minor

    @rule(held=st.booleans())
    def risk_holds_or_lifts(self, held: bool) -> None:
        try:
            act = marking.hold if held else marking.lift
            act(merchant=type(self).organiser, actor="risk", reason="odd", now=self.clock())
        except (marking.HeldBefore, marking.NotHeld):
            return

    @invariant()
    def every_fen_is_explained(self) -> None:
        if hasattr(self, "nth"):
            found = audit.audit(now=self.clock.now, checks=MONEY)
            assert {one.check.name: one.violations for one in found if not one.ok} == {}

    def teardown(self) -> None:
        if not hasattr(self, "nth"):
            return
        try:
            self.risk_holds_or_lifts(False)
            self.channel.send_answers.clear(), self.channel.ask_answers.clear()
            for _ in range(4):
                self.a_worker_drains()
            self.every_fen_is_explained()
            left = Withdrawal.objects.filter(state__in=("ready", "sent"))
            assert not left.exists()
            paid = sum(transfer.amount_minor for transfer in self.channel.paid.values())
            assert ledger.balance("bank::CNY") == paid - self.returned
            type(self).seen.update(Withdrawal.objects.values_list("state", flat=True))
        finally:
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)


def test_random_histories_pay_out_what_left_and_nothing_else(out, paymaster, buyer, show, clock):
    code = show.event.organiser.code
    money.open_system_accounts(channels=["alipay"], currency="CNY", now=clock())
    money.book_show_settlements([money.ShowSettled("show:S1:1", "S1", code, "CNY", 5_000_000, 0)], at=clock())
    Histories.out, Histories.paymaster, Histories.organiser = out, paymaster, code
    Histories.people = [buyer("lin", cash=20_000, bonus=9_000), buyer("bo", cash=500_000)]
    for _ in range(ROUNDS_MAX):
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=12,
                stateful_step_count=15,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        if "paid" in Histories.seen:  # histories in which nothing is paid would prove nothing
            return
    raise AssertionError(Histories.seen)


def test_a_failure_told_after_working_is_the_owners_money_again(out, paymaster, buyer, clock):
    """The shortest history that an eager program gets wrong: refused twice must give back once."""
    lin = buyer("lin", cash=10_000)
    one = out.buyer(lin)
    paymaster.send_answers = [TransferWorking()]
    outbox.drain(clock=clock, lane=outbox.COMPENSATE)
    for _ in range(2):
        paying_out.apply_answer(one.number, TransferFailed("CARD"), now=clock())
    assert ledger.lock_available([one.account])[one.account] == 10_000
