"""What the channel tells of a transfer: signed over its wire, stored raw, believed for its signature, asked about."""

# ruff: noqa: F811  (fixtures)

from __future__ import annotations

from typing import Any

import pytest

from payments.models import Notification
from payments.withdrawal_models import Withdrawal
from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.payments.conftest import clock, pass_time, till  # noqa: F401  (fixtures)
from tests.withdrawals.conftest import Desk
from wallet import ledger

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(till: Any, buyer: Any, clock: Any, settle_outbox: Any) -> Withdrawal:
    """Paid out; the answer was lost, and the next question is an age away."""
    till.house.fault("http_500_after_success", op="transfer", times=1)
    one = Desk(clock).buyer(buyer("lin", cash=10_000))
    settle_outbox()
    one.refresh_from_db()
    assert one.state == "sent"
    return one


def state(one: Withdrawal) -> str:
    return Withdrawal.objects.get(pk=one.pk).state


def test_it_is_stored_raw_and_makes_us_ask_at_once(sent, till, settle_outbox):
    reply = till.deliver("alipay", sent.number, "true")
    assert (reply.status, reply.body) == (200, b"success")
    settle_outbox()
    row = Notification.objects.get()
    assert (row.verdict, row.facts["transfer_number"]) == ("applied", sent.number)
    assert b"alipay.fund.trans.order.changed" in bytes(row.body)
    assert (state(sent), ledger.balance("bank::CNY")) == ("paid", 5_000)


def test_told_twice_it_is_one_message_and_one_booking(sent, till, settle_outbox):
    for _ in range(2):
        till.deliver("alipay", sent.number, "true", event_id="e1")
        settle_outbox()
    row = Notification.objects.get()
    assert (row.repeats, state(sent), ledger.balance("bank::CNY")) == (1, "paid", 5_000)


@pytest.mark.parametrize("variant", ["forged", "tampered", "unsigned", "wrong_app", "malformed"])
def test_a_spoilt_one_is_kept_and_nothing_is_asked(sent, till, settle_outbox, variant):
    reply = till.deliver("alipay", sent.number, variant)
    assert reply.body != b"success"
    settle_outbox()
    assert Notification.objects.get().verdict == "refused"
    assert state(sent) == "sent"


def test_lost_it_is_made_good_by_asking(sent, till, pass_time):
    pass_time(minutes=2)
    assert state(sent) == "paid"
    assert not Notification.objects.exists()
