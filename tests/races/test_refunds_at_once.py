"""Refunds at once: never more than was paid, never a ticket that is both used and given back, never paid out twice."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import timedelta

import pytest
from django.db import transaction

from operations import audit
from payments import checkout, redirect, refunds
from payments.channels.port import Declined, Refunded
from payments.models import Destination, Payment, Refund, RefundState
from tests.operations.scene import Paper
from tests.races.crowd import at_once, count, errors
from ticketing import orders, refunding
from ticketing.models import Order, PriceTier, RefundRequest, Ticket, TicketState
from wallet import statement

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 8
PRICE = 38_000


@pytest.fixture
def lin(buyer):
    from accounts.models import User

    User.objects.create_user("lin")
    return buyer("lin", cash=200_000)


@pytest.fixture
def paid(show, lin, clock):
    def make(quantity=1, channel="wallet"):
        tier = PriceTier.objects.get(show=show, code="UPPER")
        now = clock()
        key = f"k{now.timestamp()}"
        order = orders.place_order(buyer=lin, client_key=key, tier_id=tier.pk, quantity=quantity, now=now)
        token = checkout.offer(kind="order", number=order.number, buyer_id=lin.pk, now=clock()).token
        checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=lin.pk,
            channel=channel,
            token=token,
            return_url="",
            now=clock(),
        )
        order.refresh_from_db()
        return order

    return make


def sound(clock):
    wrong = {
        r.check.name: r.violations for r in audit.audit(now=clock(), grace=timedelta(hours=1)) if not r.ok
    }
    assert wrong == {}


def staff(order, clock, key, amount=PRICE):
    now = clock()
    return lambda: refunding.by_staff(
        number=order.number, tickets=[], amount_minor=amount, reason="x", key=key, actor="mei", now=now
    )


def asked(order):
    return sum(Refund.objects.filter(payment__number=order.winner).values_list("amount_minor", flat=True))


def test_without_the_locks_more_goes_back_than_was_paid(paid, clock, monkeypatch):
    """If this fails, the test below proves nothing."""
    order = paid()

    def unlocked(number):
        found = Payment.objects.get(number=number)
        time.sleep(0.1)
        return found

    real = refunds.left_minor

    together = threading.Barrier(3)

    def slow(payment):
        left = real(payment)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(timeout=3)  # three have read the same before one of them goes on
        return left

    monkeypatch.setattr(refunding.orders, "lock_order", lambda number: Order.objects.get(number=number))
    monkeypatch.setattr(refunding.settle, "lock_payment", unlocked)
    monkeypatch.setattr(refunding.refunds, "left_minor", slow)
    outcomes = at_once([staff(order, clock, f"k{place}", PRICE // 2) for place in range(THREADS)])
    assert count(outcomes, RefundRequest) > 2
    assert asked(order) > order.amount_minor


def test_refunds_at_once_never_exceed_the_payment(paid, clock):
    order = paid()
    outcomes = at_once([staff(order, clock, f"k{place}", PRICE // 2) for place in range(THREADS)])
    assert errors(outcomes, refunding.NotRefundable) == []
    assert count(outcomes, RefundRequest) == 2
    assert asked(order) == order.amount_minor
    sound(clock)


def test_the_same_key_at_once_refunds_once(paid, clock):
    order = paid()
    outcomes = at_once([staff(order, clock, "k", 100)] * THREADS)
    assert len({one.pk for one in outcomes}) == 1
    assert asked(order) == 100


def test_buyer_and_staff_at_once(paid, clock):
    order = paid(2)
    tickets = [ticket.number for ticket in refunding.tickets_of(order)]
    now = clock()

    def by_buyer():
        return refunding.give_back(
            number=order.number, tickets=tickets, expected_minor=2 * PRICE, key="b", actor="buyer", now=now
        )

    def by_staff():
        return refunding.by_staff(
            number=order.number,
            tickets=tickets[:1],
            amount_minor=PRICE,
            reason="x",
            key="s",
            actor="mei",
            now=now,
        )

    outcomes = at_once([by_buyer, by_staff, by_buyer, by_staff])
    assert errors(outcomes, refunding.NotRefundable) == []
    assert RefundRequest.objects.count() == 1
    sound(clock)


@pytest.mark.parametrize("round_", range(4))
def test_a_ticket_is_used_or_given_back(paid, clock, round_):
    """The gate lets in by the same conditional update as a check-in does: valid → used."""
    order = paid()
    number = refunding.tickets_of(order)[0].number
    now = clock()

    def enter():
        return Ticket.objects.filter(number=number, state=TicketState.VALID).update(state=TicketState.USED)

    def give_back():
        return refunding.give_back(
            number=order.number, tickets=[number], expected_minor=PRICE, key="b", actor="buyer", now=now
        )

    entered, given = at_once([enter, give_back])
    assert errors([given], refunding.NotRefundable) == []
    assert (entered == 1) != isinstance(given, RefundRequest)
    state = Ticket.objects.get(number=number).state
    assert state == (TicketState.USED if entered else TicketState.VOID)
    assert Refund.objects.exists() == (not entered)
    sound(clock)


def test_the_wallet_or_the_channel_never_both(paid, clock, monkeypatch):
    paper = Paper("alipay")
    monkeypatch.setattr(refunds.registry, "_channels", lambda: {"alipay": paper})
    order = paid(channel="alipay")
    payment = Payment.objects.get(purchase_number=order.number)
    paper.paid[payment.number] = payment
    from payments import asking

    asking.ask(payment.number, source="query", now=clock())
    payment.refresh_from_db()
    with transaction.atomic():
        made = refunds.request(payment, amount_minor=PRICE, reason="asked", key="r", now=clock())
    refunds.apply_answer(made, Declined("no_money"), now=clock())
    Refund.objects.update(offered_at=clock())
    redirect.accept(number=made.number, buyer_id=payment.buyer_id, now=clock())
    now = clock() + timedelta(minutes=10)
    clock.now = now
    paper.refund_answers[payment.number] = "refused"
    redirected = Refund.objects.select_related("payment").get(pk=made.pk)
    assert redirected.state == RefundState.REDIRECTED
    told = Refunded("r1", PRICE, now)
    works = [
        lambda: refunds.drive({"refund": made.number}, attempt=0, now=now),
        lambda: refunds.apply_answer(redirected, told, now=now),
    ] * 4
    outcomes = at_once(works)
    assert errors(outcomes, refunds.RefundedTwice) == []
    done = Refund.objects.get(pk=made.pk)
    assert done.state == RefundState.SUCCEEDED
    in_wallet = statement.balances(payment.buyer_id, currency="CNY").available_minor - 200_000
    assert in_wallet == (PRICE if done.destination == Destination.WALLET else 0)
    assert bool(count(outcomes, refunds.RefundedTwice)) == (done.destination == Destination.WALLET)
    sound(clock)
