"""Two ends of one order at the same moment: paying and expiring, cancelling and paying, switching and paying."""

from __future__ import annotations

import pytest

from payments import checkout, notify
from payments.models import Notification, Outcome, Payment, PaymentState, Refund, RefundState
from tests.races.crowd import at_once, count, crowd, errors
from ticketing import expiry, orders
from ticketing.models import Order, OrderState, PriceTier

pytestmark = pytest.mark.django_db(transaction=True)

PAIRS = 8


@pytest.fixture
def placed(show, buyer, clock, outside):
    """Eight buyers, each with an order in the hall."""
    tier = PriceTier.objects.get(show=show, code="UPPER")
    return [
        orders.place_order(buyer=person, client_key="k", tier_id=tier.pk, quantity=1, now=clock())
        for person in crowd(buyer, PAIRS, cash=100_000)
    ]


def press(order, channel, clock):
    offer = checkout.offer(kind="order", number=order.number, buyer_id=order.buyer_id, now=clock.now)
    return checkout.pay(
        kind="order",
        number=order.number,
        buyer_id=order.buyer_id,
        channel=channel,
        token=offer.token,
        return_url="",
        now=clock.now,
    )


def paid_outside(order, channel, clock, outside):
    """The buyer has paid at the channel, and we do not know it yet."""
    payment = press(order, channel, clock)
    assert outside[channel].buyer_pays(payment.number)
    return payment


def told(channel, body, clock):
    now = clock()
    return lambda: notify.receive(channel=channel, headers={}, body=body, now=now)


def states(placed):
    return [Order.objects.get(pk=order.pk).state for order in placed]


def test_paying_and_expiring_at_once(placed, clock, nothing_broken, comes_to_rest):
    """The last moment of the hold: each order is either paid or expired, never half of both."""
    now = placed[-1].hold_until
    clock.now = placed[0].hold_until  # not over for a press that was made just before

    def pay(order):
        offer = checkout.offer(
            kind="order", number=order.number, buyer_id=order.buyer_id, now=order.placed_at
        )
        return lambda: checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=order.buyer_id,
            channel="wallet",
            token=offer.token,
            return_url="",
            now=order.placed_at,
        )

    works = [pay(order) for order in placed] + [lambda: expiry.expire_due(now=now)] * PAIRS
    outcomes = at_once(works)
    assert errors(outcomes, checkout.NotPayable) == []
    assert set(states(placed)) <= {OrderState.PAID, OrderState.EXPIRED}
    assert states(placed).count(OrderState.PAID) == Payment.objects.filter(outcome=Outcome.WON).count()
    nothing_broken()
    comes_to_rest()


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_cancelling_and_being_notified_at_once(
    placed, clock, outside, channel, nothing_broken, comes_to_rest
):
    payments = [paid_outside(order, channel, clock, outside) for order in placed]
    bodies = [outside[channel].message(payment.number) for payment in payments]
    for body in bodies:
        notify.receive(channel=channel, headers={}, body=body, now=clock())
    rows = list(Notification.objects.values_list("pk", flat=True))

    def cancel(order):
        return lambda: orders.cancel(number=order.number, actor="buyer", now=clock())

    def apply(row):
        return lambda: notify.apply({"notification": row}, attempt=1, now=clock())

    outcomes = at_once([cancel(order) for order in placed] + [apply(row) for row in rows])
    assert errors(outcomes, orders.NotCancellable) == []
    nothing_broken()
    comes_to_rest()
    refunded = Refund.objects.filter(state=RefundState.SUCCEEDED).count()
    assert states(placed).count(OrderState.CANCELLED) == refunded
    assert states(placed).count(OrderState.PAID) == PAIRS - refunded == count(outcomes, orders.NotCancellable)


def test_switching_and_being_notified_at_once(placed, clock, outside, nothing_broken, comes_to_rest):
    payments = [paid_outside(order, "alipay", clock, outside) for order in placed]
    bodies = [outside["alipay"].message(payment.number) for payment in payments]
    works = [lambda order=order: press(order, "wechat", clock) for order in placed]
    outcomes = at_once(works + [told("alipay", body, clock) for body in bodies])
    assert errors(outcomes, checkout.NotPayable) == []
    nothing_broken()
    for payment in Payment.objects.filter(channel="wechat", state=PaymentState.PENDING):
        outside["wechat"].buyer_pays(payment.number)
    comes_to_rest()
    assert states(placed) == [OrderState.PAID] * PAIRS
    assert Payment.objects.filter(outcome=Outcome.WON).count() == PAIRS


def test_paying_at_both_channels_at_once(placed, clock, outside, nothing_broken, comes_to_rest):
    first = [paid_outside(order, "wechat", clock, outside) for order in placed]
    outside["wechat"].trouble = {
        "query": ["silent_before"] * PAIRS
    }  # so that the switch does not learn of it
    second = [press(order, "alipay", clock) for order in placed]
    for payment in second:
        outside["alipay"].buyer_pays(payment.number)
    works = [told(p.channel, outside[p.channel].message(p.number), clock) for p in first + second]
    assert errors(at_once(works)) == []
    rows = list(Notification.objects.values_list("pk", flat=True))
    applied = at_once(
        [lambda row=row: notify.apply({"notification": row}, attempt=1, now=clock()) for row in rows]
    )
    assert errors(applied) == []
    nothing_broken()
    assert states(placed) == [OrderState.PAID] * PAIRS
    assert Refund.objects.count() == PAIRS
    comes_to_rest()


def test_one_notification_sixteen_times_at_once_is_applied_once(
    placed, clock, outside, nothing_broken, comes_to_rest
):
    payment = paid_outside(placed[0], "alipay", clock, outside)
    body = outside["alipay"].message(payment.number, event_id="one")
    outcomes = at_once([told("alipay", body, clock) for _ in range(16)])
    assert errors(outcomes) == []
    assert {reply.status for reply in outcomes} == {200}
    row = Notification.objects.get()
    assert row.repeats == 15
    applied = at_once([lambda: notify.apply({"notification": row.pk}, attempt=1, now=clock())] * 16)
    assert errors(applied) == []
    assert Payment.objects.get(pk=payment.pk).events.filter(to_state=PaymentState.SUCCEEDED).count() == 1
    nothing_broken()
    comes_to_rest()
