"""Incident 5 and its guards: the first trade is closed at its channel, and one winner is elected by compare-and-set."""

from __future__ import annotations

from functools import partial

import pytest

from payments import asking, checkout, settle
from payments.models import Outcome, Payment, PaymentState, Refund, RefundState
from tests.races.crowd import at_once, errors
from ticketing.models import OrderState, Ticket

pytestmark = pytest.mark.django_db(transaction=True)


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def two_paid_trades(till, lin, *, first="alipay", second="wechat"):
    """The first channel is deaf while he changes, so its trade stays open; he pays both."""
    order = till.order(lin)
    earlier = till.press(order, first)
    till.house.scan(earlier.cashier_url)
    till.house.fault("http_500", op="query", number=earlier.number)
    later = till.press(order, second)
    for payment in (earlier, later):
        till.pay_at_channel(payment)
    return order, earlier, later


def hear_of_both_at_once(till, *payments):
    now = till.clock()
    outcomes = at_once([partial(asking.ask, payment.number, source="query", now=now) for payment in payments])
    assert not errors(outcomes)


def test_without_the_election_both_payments_win(till, buyer, unguarded, settle_outbox):
    """If this fails, the test below proves nothing: the buyer paid twice and nobody gives it back."""
    unguarded("election", "index")
    _, earlier, later = two_paid_trades(till, buyer("lin"))
    hear_of_both_at_once(till, earlier, later)
    settle_outbox()
    assert Payment.objects.filter(outcome=Outcome.WON).count() == 2
    assert not Refund.objects.exists()


@pytest.mark.parametrize(("first", "second"), [("alipay", "wechat"), ("wechat", "alipay")])
def test_with_it_one_wins_and_the_other_goes_back_by_itself(till, buyer, pass_time, first, second):
    order, earlier, later = two_paid_trades(till, buyer("lin"), first=first, second=second)
    hear_of_both_at_once(till, earlier, later)
    for _ in range(3):
        pass_time(minutes=2)
    order = fresh(order)
    assert order.state == OrderState.PAID
    lost = next(payment for payment in (fresh(earlier), fresh(later)) if payment.number != order.winner)
    assert (lost.state, lost.outcome) == (PaymentState.SUCCEEDED, Outcome.SURPLUS)
    refund = Refund.objects.get()
    assert (refund.payment_id, refund.reason, refund.state) == (lost.pk, "paid_twice", RefundState.SUCCEEDED)
    assert till.house.trade(lost.number)["refunded_minor"] == order.amount_minor
    assert till.house.trade(order.winner)["refunded_minor"] == 0
    assert Ticket.objects.filter(order=order).count() == order.quantity


def changed_his_mind(till, lin, first, second):
    order = till.order(lin)
    earlier = till.press(order, first)
    till.house.scan(earlier.cashier_url)
    till.press(order, second)
    return earlier


@pytest.mark.parametrize(("first", "second"), [("alipay", "wechat"), ("wechat", "alipay")])
def test_without_closing_the_first_trade_can_still_be_paid(till, buyer, monkeypatch, first, second):
    """If this fails, the test below proves nothing."""
    monkeypatch.setattr(checkout, "_leave", lambda *_, **__: None)
    monkeypatch.setattr(settle, "supersede", lambda *_, **__: None)
    # The database insists on one wanted payment; without the change being known, the earlier one must be forgotten.
    order = till.order(buyer("lin"))
    earlier = till.press(order, first)
    till.house.scan(earlier.cashier_url)
    Payment.objects.filter(pk=earlier.pk).update(superseded_at=till.clock())
    till.press(order, second)
    assert till.house.pay(first, earlier.number)["result"] == "paid"


@pytest.mark.parametrize(("first", "second"), [("alipay", "wechat"), ("wechat", "alipay")])
def test_with_it_the_cashier_takes_no_money_any_more(till, buyer, first, second):
    earlier = changed_his_mind(till, buyer("lin"), first, second)
    assert till.house.pay(first, earlier.number)["result"] == "closed"
    assert fresh(earlier).state == PaymentState.CLOSED
