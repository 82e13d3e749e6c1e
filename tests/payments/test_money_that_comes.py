"""Money comes: in time, late, twice, too much, from nowhere; what order, seats and ledger are afterwards."""

from __future__ import annotations

import pytest

from payments import checkout, money
from payments.models import Notification, Outcome, Payment, PaymentState, Refund, RefundState, Verdict
from ticketing import orders
from ticketing.models import Order, OrderState, Seat, SeatState, Ticket, TicketState
from wallet import ledger

CHANNELS = ("alipay", "wechat")
GUARANTEE, SUSPENSE = money.guarantee("CNY"), money.suspense("CNY")


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def owed(channel: str) -> int:
    """What the channel owes us, in fen."""
    return -ledger.balance(money.clearing(channel, "CNY"))


def assert_paid(order: Order, payment: Payment) -> None:
    order, payment = fresh(order), fresh(payment)
    assert (order.state, order.winner) == (OrderState.PAID, payment.number)
    assert (payment.state, payment.outcome) == (PaymentState.SUCCEEDED, Outcome.WON)
    sold = set(Seat.objects.filter(order=order, state=SeatState.SOLD).values_list("pk", flat=True))
    ticketed = set(
        Ticket.objects.filter(order=order, state=TicketState.VALID).values_list("seat_id", flat=True)
    )
    assert sold == ticketed
    assert len(sold) == order.quantity


def assert_refunded(payment: Payment, reason: str) -> None:
    refund = Refund.objects.get(payment=payment)
    assert (refund.state, refund.reason, refund.amount_minor) == (
        RefundState.SUCCEEDED,
        reason,
        payment.amount_minor,
    )
    assert fresh(payment).outcome == Outcome.SURPLUS
    assert ledger.balance(SUSPENSE) == 0


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_notification_pays_the_order(till, buyer, settle_outbox, channel):
    order = till.order(buyer("lin"))
    payment = till.press(order, channel)
    assert payment.state == PaymentState.PENDING
    assert fresh(order).state == OrderState.PAYING
    till.pay_at_channel(payment)
    assert till.notify(payment).status in (200, 204)
    settle_outbox()
    assert_paid(order, payment)
    assert owed(channel) == ledger.balance(GUARANTEE) == order.amount_minor


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_lost_notification_is_made_good_by_asking(till, buyer, pass_time, channel):
    order = till.order(buyer("lin"))
    payment = till.press(order, channel)
    till.pay_at_channel(payment)
    pass_time(seconds=6)
    assert_paid(order, payment)


@pytest.mark.parametrize("channel", CHANNELS)
def test_ten_notifications_pay_once(till, buyer, settle_outbox, channel):
    order = till.order(buyer("lin"))
    payment = till.press(order, channel)
    till.pay_at_channel(payment)
    for _ in range(10):
        till.notify(payment)
        settle_outbox()
    assert_paid(order, payment)
    assert ledger.balance(GUARANTEE) == order.amount_minor
    assert Ticket.objects.count() == order.quantity


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    "variant", ["forged", "tampered", "unsigned", "sha1", "wrong_app", "wrong_merchant", "malformed"]
)
def test_a_spoilt_notification_is_refused_visibly_and_changes_nothing(
    till, buyer, settle_outbox, channel, variant
):
    order = till.order(buyer("lin"))
    payment = till.press(order, channel)
    till.house.scan(payment.cashier_url)
    before = list(Order.objects.values()), list(Payment.objects.values())
    reply = till.notify(payment, variant)
    settle_outbox()
    assert reply.status >= 400 or reply.body != b"success"
    assert (list(Order.objects.values()), list(Payment.objects.values())) == before
    assert Notification.objects.get().verdict == Verdict.REFUSED


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_notification_of_another_amount_is_parked(till, buyer, settle_outbox, channel):
    order = till.order(buyer("lin"))
    payment = till.press(order, channel)
    till.house.scan(payment.cashier_url)
    till.notify(payment, "wrong_amount")
    settle_outbox()
    parked = Notification.objects.get()
    assert (parked.verdict, parked.reason) == (Verdict.PARKED, "amount_differs")
    assert fresh(payment).state == PaymentState.PENDING
    assert ledger.balance(GUARANTEE) == 0


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_notification_of_an_unknown_order_is_parked(till, buyer, settle_outbox, channel):
    payment = till.press(till.order(buyer("lin")), channel)
    till.house.scan(payment.cashier_url)
    till.deliver(channel, "PUNKNOWN0000000000001", "unknown_order")
    settle_outbox()
    parked = Notification.objects.get()
    assert (parked.verdict, parked.reason) == (Verdict.PARKED, "unknown_number")
    assert ledger.balance(GUARANTEE) == 0


class TestLateMoney:
    """Incident 3: the order closed, then the money came."""

    def late(self, till, order, channel, pass_time, *, between=lambda: None):
        payment = till.press(order, channel)
        till.pay_at_channel(payment)
        # Nobody asks until the hold limit is over: the channel does not answer queries.
        till.house.fault("http_500", op="query", number=payment.number, times=None)
        pass_time(seconds=1600)
        assert fresh(order).state == OrderState.EXPIRED
        between()
        till.house.control("DELETE", "faults")
        pass_time(seconds=700)
        return payment

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_the_same_seats_if_they_are_free(self, till, buyer, pass_time, channel):
        order = till.order(buyer("lin"))
        seats = set(order.order_seats.values_list("seat_id", flat=True))
        payment = self.late(till, order, channel, pass_time)
        assert_paid(order, payment)
        assert set(Ticket.objects.filter(order=order).values_list("seat_id", flat=True)) == seats
        assert fresh(order).events.last().reason == "paid_late_same_seats"

    def test_equal_seats_if_the_buyer_allowed_it(self, till, buyer, pass_time):
        order = till.order(buyer("lin"), accept_equal_seats=True)
        seats = set(order.order_seats.values_list("seat_id", flat=True))
        payment = self.late(till, order, "wechat", pass_time, between=lambda: till.order(buyer("mei")))
        assert_paid(order, payment)
        given = set(Ticket.objects.filter(order=order).values_list("seat_id", flat=True))
        assert not given & seats
        assert fresh(order).events.last().reason == "paid_late_equal_seats"

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_a_refund_if_he_did_not(self, till, buyer, pass_time, channel):
        order = till.order(buyer("lin"))
        payment = self.late(till, order, channel, pass_time, between=lambda: till.order(buyer("mei")))
        for _ in range(3):
            pass_time(seconds=60)
        assert fresh(order).state == OrderState.EXPIRED
        assert_refunded(payment, "too_late")
        assert owed(channel) == 0

    def test_a_refund_if_the_limit_is_used_up_meanwhile(self, till, buyer, pass_time):
        lin = buyer("lin")
        order = till.order(lin, quantity=3)
        payment = self.late(
            till, order, "wechat", pass_time, between=lambda: till.order(lin, quantity=4, tier="GOLD")
        )
        for _ in range(3):
            pass_time(seconds=60)
        assert_refunded(payment, "too_late")


def test_a_payment_in_flight_prolongs_the_hold_up_to_the_limit(till, buyer, pass_time, clock):
    order = till.order(buyer("lin"))
    clock.advance(seconds=890)
    payment = till.press(order, "wechat")
    pass_time(seconds=200)
    assert fresh(order).state == OrderState.PAYING
    assert fresh(order).hold_until == payment.expires_at <= order.hold_limit
    pass_time(seconds=500)
    assert fresh(order).state == OrderState.EXPIRED


def test_unknown_never_becomes_failed_by_time(till, buyer, pass_time):
    order = till.order(buyer("lin"))
    till.house.fault("no_answer", op="open", times=1, channel="wechat")
    till.house.fault("http_500", op="query", times=None)
    till.house.fault("http_500", op="close", times=None)
    payment = till.press(order, "wechat")
    assert payment.state == PaymentState.UNKNOWN
    for _ in range(6):
        pass_time(seconds=3600)
    assert fresh(payment).state == PaymentState.UNKNOWN
    till.house.control("DELETE", "faults")
    pass_time(seconds=3600)
    assert fresh(payment).state == PaymentState.CLOSED


class TestTwoChannels:
    """Incident 5: Alipay, then WeChat Pay, then Alipay after all."""

    def test_choosing_another_channel_closes_the_first_trade(self, till, buyer):
        order = till.order(buyer("lin"))
        first = till.press(order, "alipay")
        till.house.scan(first.cashier_url)
        second = till.press(order, "wechat")
        assert fresh(first).state == PaymentState.CLOSED
        assert till.house.trade(first.number)["state"] == "closed"
        assert second.state == PaymentState.PENDING
        assert fresh(order).state == OrderState.PAYING

    def test_already_paid_at_the_first_channel_is_the_answer(self, till, buyer):
        order = till.order(buyer("lin"))
        first = till.press(order, "alipay")
        till.pay_at_channel(first)
        answer = till.press(order, "wechat")
        assert answer.number == first.number
        assert_paid(order, first)
        assert Payment.objects.count() == 1

    def test_both_succeed_one_wins_the_other_goes_back(self, till, buyer, pass_time):
        order = till.order(buyer("lin"))
        first = till.press(order, "alipay")  # the code is not scanned yet: its trade cannot be closed
        second = till.press(order, "wechat")
        till.pay_at_channel(second)
        till.notify(second)
        pass_time(seconds=0)
        assert_paid(order, second)
        till.house.fault("http_500", op="query", number=first.number, times=1)
        till.pay_at_channel(first)
        till.notify(first)
        for _ in range(3):
            pass_time(seconds=60)
        assert_paid(order, second)
        assert_refunded(first, "paid_twice")
        assert owed("alipay") == 0


def test_money_for_an_order_that_the_buyer_cancelled_goes_back(till, buyer, pass_time, clock):
    order = till.order(buyer("lin"))
    payment = till.press(order, "wechat")
    till.pay_at_channel(payment)
    orders.cancel(number=order.number, actor="lin", now=clock())
    for _ in range(3):
        pass_time(seconds=60)
    assert fresh(order).state == OrderState.CANCELLED
    assert_refunded(payment, "cancelled")


def test_a_wallet_with_too_little_pays_nothing_and_the_order_stays_payable(till, buyer):
    lin = buyer("lin", cash=100)
    order = till.order(lin)
    payment = till.press(order, "wallet")
    assert (payment.state, payment.refusal) == (PaymentState.FAILED, "insufficient_funds")
    assert fresh(order).state == OrderState.HELD
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == 100
    assert till.press(order, "alipay").state == PaymentState.PENDING


def test_a_channel_that_declines_leaves_the_order_payable(till, buyer):
    order = till.order(buyer("lin", cash=100_000))
    till.house.fault("decline", op="open", times=1)
    payment = till.press(order, "wechat")
    assert payment.state == PaymentState.FAILED
    assert fresh(order).state == OrderState.HELD
    assert_paid(order, till.press(order, "wallet"))


def test_a_refund_that_the_channel_leaves_open_is_asked_until_it_is_done(till, buyer, pass_time, clock):
    order = till.order(buyer("lin"))
    payment = till.press(order, "alipay")
    till.pay_at_channel(payment)
    till.house.fault("http_500", op="refund", times=2)
    till.house.fault("http_500", op="refund_query", times=1)
    orders.cancel(number=order.number, actor="lin", now=clock())
    for _ in range(6):
        pass_time(seconds=60)
    assert_refunded(payment, "cancelled")
    assert till.house.trade(payment.number)["refunded_minor"] == payment.amount_minor


def test_topping_up_pays_the_wallet(till, buyer, settle_outbox, clock):
    from wallet import topups

    lin = buyer("lin")
    topup = topups.request_topup(buyer_id=lin.pk, client_key="t1", amount_minor=5_000, now=clock())
    offer = checkout.offer(kind="topup", number=topup.number, buyer_id=lin.pk, now=clock())
    assert offer.channels == ["alipay", "wechat"]
    payment = checkout.pay(
        kind="topup",
        number=topup.number,
        buyer_id=lin.pk,
        channel="wechat",
        token=offer.token,
        return_url="",
        now=clock(),
    )
    till.pay_at_channel(payment)
    till.notify(payment)
    settle_outbox()
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == 5_000
    assert owed("wechat") == 5_000
