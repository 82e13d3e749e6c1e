"""
Random histories of one organiser's money: sales, refunds, rounds of settlement, holds, other fees, money that is spent.
After any step every balance is explained; when all that can end has ended, nothing is left in the guarantee account but
what the organiser owes.
"""

from __future__ import annotations

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from operations import audit
from operations.audit import ledger as ledger_checks
from operations.audit import settlements as settlement_checks
from payments import outbox, refunds
from payments.models import Payment
from risk.trading import marking
from tests.conftest import Clock
from ticketing import phases, seats, settling
from ticketing.models import SettlementMove, ShowSettlement
from ticketing.settlement_models import Standing

pytestmark = pytest.mark.django_db

MONEY = (
    settlement_checks.MOVES_ARE_BOOKED,
    settlement_checks.GUARANTEE_IS_EXPLAINED,
    settlement_checks.SETTLEMENTS_ADD_UP,
    ledger_checks.BALANCES_ARE_POSTINGS,
    ledger_checks.ENTRIES_BALANCE,
    ledger_checks.FLOORS_HOLD,
)
PICK = st.integers(0, 7)


class Histories(RuleBasedStateMachine):
    settle = paid = people = None

    @initialize(settled=st.sampled_from([True, True, False]))
    def begin(self, settled: bool) -> None:
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.clock = type(self).settle.clock
        self.sells(0, 2)
        type(self).settle.is_over()
        if settled:
            self.a_round_is_made()

    @rule(who=PICK, quantity=st.integers(1, 3))
    def sells(self, who: int, quantity: int) -> None:
        """Also after the show's money was settled: late money is the organiser's too."""
        now, self.clock.now = self.clock.now, type(self).on_sale.now
        try:
            type(self).paid(type(self).people[who % 3], quantity)
        except (seats.SoldOut, phases.LimitReached):
            pass
        finally:
            type(self).on_sale.now, self.clock.now = self.clock.now, now

    @rule(which=PICK, share=st.integers(1, 4))
    def refunds_a_part(self, which: int, share: int) -> None:
        won = list(Payment.objects.filter(outcome="won").order_by("pk"))
        payment = won[which % len(won)]
        try:
            with transaction.atomic():
                refunds.request(
                    payment,
                    amount_minor=payment.amount_minor // share,
                    reason="goodwill",
                    key=f"r{self.clock()}",
                    now=self.clock(),
                )
        except refunds.NotRefundable:
            return

    @rule()
    def the_refunds_are_driven(self) -> None:
        outbox.drain(clock=self.clock, lane=outbox.COMPENSATE, limit=100)

    @rule()
    def a_round_is_made(self) -> None:
        type(self).settle.round()

    @rule(share=st.integers(1, 3))
    def the_organiser_spends(self, share: int) -> None:
        has = type(self).settle.merchant
        if has // share:
            type(self).settle.spend(has // share)

    @rule(bps=st.sampled_from([0, 1, 333, 500, 9_999, 10_000]))
    def the_fee_changes(self, bps: int) -> None:
        type(self).settle.fee(bps)

    @rule(held=st.booleans())
    def risk_holds_or_lifts(self, held: bool) -> None:
        act = marking.hold if held else marking.lift
        try:
            act(merchant=type(self).settle.organiser.code, actor="mei", reason="odd", now=self.clock())
        except (marking.HeldBefore, marking.NotHeld):
            return

    @invariant()
    def every_fen_is_explained(self) -> None:
        if hasattr(self, "clock"):
            found = audit.audit(now=self.clock.now, checks=MONEY)
            assert {one.check.name: one.violations for one in found if not one.ok} == {}

    def teardown(self) -> None:
        if not hasattr(self, "clock"):
            return
        try:
            self.risk_holds_or_lifts(False)
            self.the_refunds_are_driven()
            type(self).settle.round()
            self.every_fen_is_explained()
            record = ShowSettlement.objects.get()
            assert record.waits_for == []
            owed = settling.owing_minor(record.merchant, "CNY")
            assert type(self).settle.guarantee == -owed
            assert record.standing == (Standing.OWING if owed else Standing.SETTLED)
            type(self).seen.update(
                "out" if move.gross_minor > 0 else "back" for move in SettlementMove.objects.all()
            )
            type(self).seen.add(record.standing)
        finally:
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)


ROUNDS_MAX = 10


def test_random_histories_keep_every_balance(settle, paid, buyer):
    Histories.settle, Histories.paid, Histories.seen = settle, paid, set()
    Histories.people = [buyer(name, cash=10_000_000) for name in ("lin", "mei", "bo")]
    Histories.on_sale = Clock(settle.clock.now)
    # Histories in which nothing happens would prove nothing: further rounds, until what must happen has happened.
    for _ in range(ROUNDS_MAX):
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=12,
                stateful_step_count=12,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        if {"out", Standing.SETTLED} <= Histories.seen and Histories.seen & {"back", Standing.OWING}:
            return
    raise AssertionError(Histories.seen)
