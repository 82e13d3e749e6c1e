"""Incident 4 and its guards: the chase that is committed with the payment, and "unknown" as an answer of its own."""

from __future__ import annotations

import pytest

from payments import asking
from payments.channels.port import Closed, Unknown
from payments.models import Outcome, PaymentState
from ticketing.models import OrderState

CHANNELS = ["alipay", "wechat"]
SILENCES = ["http_500", "drop_connection", "bad_signature", "unsigned"]

pytestmark = pytest.mark.django_db


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def paid_and_nobody_told_us(till, lin, channel):
    order = till.order(lin)
    payment = till.press(order, channel)
    till.pay_at_channel(payment)
    assert till.house.trade(payment.number)["state"] == "paid"
    return order, payment


@pytest.mark.parametrize("channel", CHANNELS)
def test_without_the_chase_the_money_is_taken_and_nobody_ever_knows(
    till, buyer, pass_time, monkeypatch, channel
):
    """If this fails, the test below proves nothing."""
    monkeypatch.setattr(asking, "schedule", lambda *_, **__: None)
    order, payment = paid_and_nobody_told_us(till, buyer("lin"), channel)
    pass_time(hours=24)
    assert fresh(payment).state == PaymentState.PENDING
    assert fresh(order).state == OrderState.EXPIRED


@pytest.mark.parametrize("channel", CHANNELS)
def test_with_it_the_order_is_paid_and_nobody_touched_it(till, buyer, pass_time, channel):
    order, payment = paid_and_nobody_told_us(till, buyer("lin"), channel)
    pass_time(seconds=30)
    assert (fresh(payment).state, fresh(payment).outcome) == (PaymentState.SUCCEEDED, Outcome.WON)
    assert fresh(order).state == OrderState.PAID


def silent_for_hours(till, payment, silence, pass_time):
    till.house.fault(silence, op="query", number=payment.number, times=None)
    for _ in range(8):
        pass_time(minutes=30)


@pytest.mark.parametrize("silence", SILENCES[:2])
def test_if_silence_were_a_no_paid_orders_would_be_closed(till, buyer, pass_time, monkeypatch, silence):
    """If this fails, the test below proves nothing."""
    right = asking.apply_answer

    def guess(payment, answer, **more):
        return right(payment, Closed("guessed") if isinstance(answer, Unknown) else answer, **more)

    monkeypatch.setattr(asking, "apply_answer", guess)
    order, payment = paid_and_nobody_told_us(till, buyer("lin"), "wechat")
    silent_for_hours(till, payment, silence, pass_time)
    assert fresh(payment).state == PaymentState.CLOSED
    assert fresh(order).state != OrderState.PAID
    assert till.house.trade(payment.number)["state"] == "paid"


@pytest.mark.parametrize("silence", SILENCES)
def test_unknown_stays_unknown_until_the_channel_speaks(till, buyer, pass_time, silence):
    _, payment = paid_and_nobody_told_us(till, buyer("lin"), "wechat")
    silent_for_hours(till, payment, silence, pass_time)
    assert fresh(payment).live
    till.house.control("DELETE", f"faults?number={payment.number}")
    pass_time(hours=1)
    assert fresh(payment).state == PaymentState.SUCCEEDED
