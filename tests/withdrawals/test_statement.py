"""What was paid out over a channel stands among its movements, and is no discrepancy."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from operations import audit
from operations.audit.books import CLEARING_IS_OWED, SETTLEMENTS_ARE_BOOKED, SETTLEMENTS_ARE_STATED
from operations.audit.withdrawals import CHECKS
from payments import outbox
from payments.channels.port import Declined
from payments.models import Discrepancy, StatementLine
from payments.reconcile import run
from tests.reconcile.conftest import DAY, MORNING_AFTER
from tests.reconcile.hand import Hand
from wallet import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("paymaster")]
NOON = datetime(2026, 11, 19, 4, tzinfo=UTC)


def movement(number: str, amount_minor: int) -> StatementLine:
    """As Alipay lists a transfer: its own kind of movement, our number beside it."""
    return StatementLine(
        channel="alipay",
        kind="other",
        payment_number=number,
        reference=f"f{number}",
        amount_minor=amount_minor,
        fee_milli=0,
        currency="CNY",
        status="booked",
        happened_at=NOON,
    )


@pytest.mark.parametrize("moved", [-5_000, -4_000])
def test_a_movement_that_names_a_withdrawal_is_known_if_its_amount_is(buyer, out, clock, moved):
    clock.now = NOON
    one = out.buyer(buyer("lin", cash=10_000))
    outbox.drain(clock=clock, lane=outbox.COMPENSATE)
    hand = Hand()
    paid = hand.pay(NOON)
    hand.load(DAY, [hand.of(paid, NOON)])
    hand.load(DAY, [hand.moved(paid, NOON), movement(one.number, moved)], "funds")
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    right = moved == -5_000
    assert Discrepancy.objects.filter(klass="funds_differ").count() == (0 if right else 1)
    # Paid from what the channel sent us: it owes us that much less, and nothing is left between.
    assert ledger.balance("bank::CNY") == (0 if right else 5_000)
    assert ledger.balance("clearing:alipay:CNY") == (-5_000 if right else -10_000)
    wanted = (*CHECKS, CLEARING_IS_OWED, SETTLEMENTS_ARE_BOOKED, SETTLEMENTS_ARE_STATED)
    found = audit.audit(now=clock.now, checks=wanted)
    assert {each.check.name: each.violations for each in found if not each.ok} == {}


def test_a_movement_of_one_that_was_given_back_is_a_difference(buyer, out, clock, paymaster):
    clock.now = NOON
    paymaster.send_answers = [Declined("PAYEE_NOT_EXIST")]
    one = out.buyer(buyer("lin", cash=10_000))
    outbox.drain(clock=clock, lane=outbox.COMPENSATE)
    one.refresh_from_db()
    assert one.state == "refused"
    hand = Hand()
    paid = hand.pay(NOON)
    hand.load(DAY, [hand.of(paid, NOON)])
    hand.load(DAY, [hand.moved(paid, NOON), movement(one.number, -5_000)], "funds")
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    assert Discrepancy.objects.get(klass="funds_differ").theirs_minor == -5_000
