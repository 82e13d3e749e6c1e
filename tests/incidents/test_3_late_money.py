"""Incident 3 and its guards: the hold that a payment prolongs, and the settlement of money for closed orders."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from payments import money
from payments.models import Outcome, Payment, PaymentState, Refund, RefundState
from payments.purchases import Won
from ticketing.fulfil import OrderHandler
from ticketing.models import OrderState, Seat, SeatState, Ticket, TicketState

pytestmark = pytest.mark.django_db


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def paid_in_time_and_known_too_late(till, lin, pass_time, *, channel="alipay", rival=None, **more):
    """He pays, nobody hears of it until the hold and its bound are over; then the channel is asked."""
    order = till.order(lin, quantity=2, **more)
    seats = list(Seat.objects.filter(order=order).values_list("pk", flat=True))
    payment = till.press(order, channel)
    till.pay_at_channel(payment)
    till.house.fault("http_500", op="query", number=payment.number, times=None)
    pass_time(seconds=settings.ORDER_HOLD_LIMIT.total_seconds() + 1)
    assert fresh(order).state == OrderState.EXPIRED
    if rival is not None:
        assert till.press(till.order(rival, quantity=2, seat_ids=seats), "wallet").outcome == Outcome.WON
    till.house.control("DELETE", f"faults?number={payment.number}")
    pass_time(hours=1)
    return order, payment, seats


def test_without_late_settlement_an_order_rests_expired_and_paid(till, buyer, pass_time, monkeypatch):
    """If this fails, the tests below prove nothing. This is the pile of orders that the product exists for."""
    right = OrderHandler.settle

    def settle(self, order, *, payment_number, now):
        if order.open:
            return right(self, order, payment_number=payment_number, now=now)
        return Won(money.guarantee(order.currency))

    monkeypatch.setattr(OrderHandler, "settle", settle)
    order, payment, _ = paid_in_time_and_known_too_late(till, buyer("lin"), pass_time)
    assert fresh(order).state == OrderState.EXPIRED
    assert fresh(payment).state == PaymentState.SUCCEEDED
    assert not Refund.objects.exists()
    assert not Ticket.objects.exists()


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_with_it_the_same_seats_if_they_are_free(till, buyer, pass_time, channel):
    order, payment, seats = paid_in_time_and_known_too_late(till, buyer("lin"), pass_time, channel=channel)
    assert (fresh(order).state, fresh(order).winner) == (OrderState.PAID, payment.number)
    assert sorted(Ticket.objects.filter(order=order).values_list("seat_id", flat=True)) == sorted(seats)


def test_equal_seats_if_he_allowed_it(till, buyer, pass_time):
    order, payment, seats = paid_in_time_and_known_too_late(
        till, buyer("lin"), pass_time, rival=buyer("mei", cash=200_000), accept_equal_seats=True
    )
    assert fresh(order).winner == payment.number
    given = Ticket.objects.filter(order=order, state=TicketState.VALID)
    assert given.count() == 2
    assert not set(given.values_list("seat_id", flat=True)) & set(seats)


def test_else_the_money_goes_back_by_itself(till, buyer, pass_time):
    order, payment, _ = paid_in_time_and_known_too_late(
        till, buyer("lin"), pass_time, rival=buyer("mei", cash=200_000)
    )
    assert fresh(order).state == OrderState.EXPIRED
    assert fresh(payment).outcome == Outcome.SURPLUS
    refund = Refund.objects.get(payment=payment)
    assert (refund.state, refund.reason) == (RefundState.SUCCEEDED, "too_late")
    assert till.house.trade(payment.number)["refunded_minor"] == order.amount_minor


def test_without_prolonging_the_seats_go_while_he_pays(till, buyer, pass_time, monkeypatch):
    """If this fails, the test below proves nothing."""
    monkeypatch.setattr(OrderHandler, "payment_started", lambda *_, **__: None)
    order = till.order(buyer("lin"))
    pass_time(seconds=settings.ORDER_HOLD.total_seconds() - 5)
    till.press(order, "wechat")
    pass_time(seconds=10)
    assert fresh(order).state == OrderState.EXPIRED


def test_with_it_a_payment_in_flight_keeps_them_up_to_the_bound(till, buyer, pass_time):
    order = till.order(buyer("lin"))
    pass_time(seconds=settings.ORDER_HOLD.total_seconds() - 5)
    till.press(order, "wechat")
    pass_time(seconds=10)
    assert fresh(order).state == OrderState.PAYING
    assert Seat.objects.filter(order=order, state=SeatState.HELD).count() == order.quantity
    # However often he changes the channel, the bound of the order stays.
    for channel in ("alipay", "wechat") * 10:
        if fresh(order).state != OrderState.PAYING:
            break
        till.press(order, channel)
        assert fresh(order).hold_until <= order.placed_at + settings.ORDER_HOLD_LIMIT
        pass_time(seconds=60)
    assert fresh(order).state == OrderState.EXPIRED
    assert till.clock.now - order.placed_at <= settings.ORDER_HOLD_LIMIT + timedelta(seconds=90)
    assert Payment.objects.filter(purchase_number=order.number, outcome=Outcome.WON).count() == 0
