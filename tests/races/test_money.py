"""Sixteen at once at one order, one wallet, one outbox: one winner, one deduction, one handling."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction

from basis import lifecycle
from payments import checkout, money, outbox, settle
from payments.channels.port import Paid
from payments.models import OutboxMessage, Outcome, Payment, PaymentState, Refund
from risk import payment_tokens
from tests.races.crowd import at_once, count, crowd, errors
from ticketing import fulfil, orders, tickets
from ticketing.models import Order, OrderState, PriceTier, Ticket
from wallet import ledger
from wallet.ledger import Entry, Line

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 16


@pytest.fixture
def lin(buyer):
    from accounts.models import User

    User.objects.create_user("lin")
    return buyer("lin", cash=100_000)


@pytest.fixture
def order(show, lin, clock):
    tier = PriceTier.objects.get(show=show, code="UPPER")
    return orders.place_order(buyer=lin, client_key="k", tier_id=tier.pk, quantity=1, now=clock())


def pressing(order, channel, clock, token=""):
    now = clock()
    if not token:
        token = checkout.offer(kind="order", number=order.number, buyer_id=order.buyer_id, now=now).token
    return lambda: checkout.pay(
        kind="order",
        number=order.number,
        buyer_id=order.buyer_id,
        channel=channel,
        token=token,
        return_url="",
        now=now,
    )


def a_rival(order, clock, place):
    """One more payment of the order whose channel has taken the money, as after many switches of channel."""
    now = clock()
    payment = Payment.objects.create(
        number=f"PRIVAL{place:06d}",
        purchase_kind="order",
        purchase_number=order.number,
        buyer_id=order.buyer_id,
        channel="alipay",
        amount_minor=order.amount_minor,
        currency="CNY",
        subject="s",
        created_at=now,
        expires_at=now + timedelta(minutes=5),
        superseded_at=now,
    )
    settle.PAYMENT_LIFECYCLE.begin(payment, at=now, reason="pressed_pay")
    outbox.put(
        "payment.chase",
        key=f"chase:{payment.number}",
        payload={"payment": payment.number},
        due_at=now,
        now=now,
    )
    return payment


def succeeding(payment, clock):
    now = clock()
    paid = Paid(f"ref-{payment.number}", payment.amount_minor, "CNY", now)
    return lambda: settle.apply_success(payment_number=payment.number, paid=paid, source="notify", now=now)


# -- one winner ------------------------------------------------------------------------------------------------


def test_of_sixteen_payments_that_succeed_at_once_one_wins(order, clock, nothing_broken):
    rivals = [a_rival(order, clock, place) for place in range(THREADS)]
    assert errors(at_once([succeeding(rival, clock) for rival in rivals])) == []
    assert Payment.objects.filter(outcome=Outcome.WON).count() == 1
    assert Payment.objects.filter(outcome=Outcome.SURPLUS).count() == THREADS - 1
    assert Refund.objects.count() == THREADS - 1
    assert Ticket.objects.count() == 1
    nothing_broken()


def test_without_lock_and_compare_and_set_several_would_win(order, clock, monkeypatch):
    """Each of them reads an order without a winner; what is left are the database's own constraints."""
    winners = []

    def read_then_write(self, purchase, *, payment_number, now):
        if Order.objects.get(pk=purchase.pk).winner:
            return fulfil.Surplus("paid_twice")
        time.sleep(0.2)
        winners.append(payment_number)
        Order.objects.filter(pk=purchase.pk).update(state=OrderState.PAID, winner=payment_number)
        return fulfil.Won(money.guarantee("CNY"))

    monkeypatch.setattr(fulfil.OrderHandler, "lock", lambda self, number: Order.objects.get(number=number))
    monkeypatch.setattr(fulfil.OrderHandler, "settle", read_then_write)
    rivals = [a_rival(order, clock, place) for place in range(THREADS)]
    outcomes = at_once([succeeding(rival, clock) for rival in rivals])
    assert len(winners) > 1
    # The unique index on (purchase, won) is the last guard: it refuses, which here means errors instead of refunds.
    assert len(errors(outcomes)) > 0
    assert Payment.objects.filter(outcome=Outcome.WON).count() == 1


def test_without_the_lock_compare_and_set_still_lets_only_one_move(order, clock, monkeypatch):
    monkeypatch.setattr(fulfil.OrderHandler, "lock", lambda self, number: Order.objects.get(number=number))
    rivals = [a_rival(order, clock, place) for place in range(THREADS)]
    outcomes = at_once([succeeding(rival, clock) for rival in rivals])
    assert errors(outcomes, lifecycle.StaleState) == []
    assert Payment.objects.filter(outcome=Outcome.WON).count() == 1
    assert Ticket.objects.count() == 1


# -- the wallet ------------------------------------------------------------------------------------------------


def test_sixteen_presses_of_one_token_deduct_once(order, lin, clock, nothing_broken):
    outcomes = at_once([pressing(order, "wallet", clock) for _ in range(THREADS)])
    assert errors(outcomes) == []
    assert len({payment.number for payment in outcomes}) == 1
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == 100_000 - order.amount_minor
    nothing_broken()


def test_presses_that_ignore_the_token_are_still_one_payment(order, lin, clock, monkeypatch, nothing_broken):
    """Twin of the token: without it the order's row and its winner decide, later and dearer."""
    monkeypatch.setattr(payment_tokens, "burn", lambda **_: None)
    monkeypatch.setattr(payment_tokens, "burned_for", lambda _nonce: "")
    outcomes = at_once([pressing(order, "wallet", clock) for _ in range(THREADS)])
    assert errors(outcomes, checkout.NotPayable) == []
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == 100_000 - order.amount_minor
    nothing_broken()


def test_unguarded_presses_deduct_again_and_again(order, lin, clock, monkeypatch):
    """Neither token nor lock nor winner: the harm of incident 2, up to what the wallet holds."""

    def deduct():
        cash = money.buyer_cash(lin.pk, "CNY")
        if ledger.balance(cash) < order.amount_minor or Order.objects.get(pk=order.pk).winner:
            return None
        time.sleep(0.1)
        key = f"press:{time.perf_counter_ns()}"
        with transaction.atomic():
            lines = (Line(cash, -order.amount_minor), Line(money.guarantee("CNY"), order.amount_minor))
            ledger.post(Entry(key, "payment", order.number, lines), at=clock.now)
        return True

    outcomes = at_once([deduct] * THREADS)
    assert outcomes.count(True) == 2  # 100,000 fen pay for two of these tickets, wanted was one
    assert count(outcomes, ledger.InsufficientFunds) == THREADS - 2


def test_sixteen_spenders_cannot_overdraw_an_account(lin, clock, nothing_broken):
    cash = money.buyer_cash(lin.pk, "CNY")

    def spend(place):
        def work():
            with transaction.atomic():
                lines = (Line(cash, -30_000), Line(money.guarantee("CNY"), 30_000))
                return ledger.post(Entry(f"spend:{place}", "payment", "x", lines), at=clock.now)

        return work

    outcomes = at_once([spend(place) for place in range(THREADS)])
    assert (outcomes.count(True), count(outcomes, ledger.InsufficientFunds)) == (3, 13)
    assert ledger.balance(cash) == 10_000
    nothing_broken()


def test_one_key_posted_sixteen_times_is_one_entry(lin, clock):
    cash = money.buyer_cash(lin.pk, "CNY")
    entry = Entry("once", "payment", "x", (Line(cash, -10_000), Line(money.guarantee("CNY"), 10_000)))

    def post():
        with transaction.atomic():
            return ledger.post(entry, at=clock.now)

    outcomes = at_once([post] * THREADS)
    assert errors(outcomes) == []
    assert outcomes.count(True) == 1
    assert ledger.balance(cash) == 90_000


def test_sixteen_reservations_of_one_balance(lin, clock):
    cash = money.buyer_cash(lin.pk, "CNY")

    def reserve(place):
        def work():
            with transaction.atomic():
                return ledger.reserve(
                    key=f"hold:{place}", account=cash, amount_minor=40_000, reference="x", now=clock.now
                )

        return work

    outcomes = at_once([reserve(place) for place in range(THREADS)])
    assert errors(outcomes, ledger.InsufficientFunds) == []
    assert THREADS - count(outcomes, ledger.InsufficientFunds) == 2


# -- the outbox ------------------------------------------------------------------------------------------------


def handled_by_drainers(clock, monkeypatch, drainers):
    seen = []

    def handle(payload, *, attempt, now):
        time.sleep(0.001)
        seen.append(payload["n"])

    monkeypatch.setitem(outbox._handlers, "test.note", handle)
    messages = [("test.note", f"note:{number}", {"n": number}) for number in range(120)]
    outbox.put_all(messages, due_at=clock.now, now=clock.now)

    def drain():
        total = 0
        while done := outbox.drain(clock=lambda: clock.now, lane=outbox.COMPENSATE, limit=7):
            total += done
        return total

    outcomes = at_once([drain] * drainers)
    assert errors(outcomes) == []
    return seen


def test_four_drainers_handle_each_message_once(lin, clock, monkeypatch):
    seen = handled_by_drainers(clock, monkeypatch, 4)
    assert sorted(seen) == list(range(120))
    assert OutboxMessage.objects.filter(done_at=None).count() == 0


def test_drainers_that_do_not_claim_handle_messages_twice(lin, clock, monkeypatch):
    def look_without_claiming(*, now, lane, limit):
        rows = list(OutboxMessage.objects.filter(done_at=None, due_at__lte=now).order_by("id")[:limit])
        time.sleep(0.1)  # long enough for the others to look, however busy the machine is
        for row in rows:  # one by one: several at once would deadlock, which is another harm
            row.leased_until = now + settings.OUTBOX_LEASE
            OutboxMessage.objects.filter(pk=row.pk).update(leased_until=row.leased_until)
        return rows

    monkeypatch.setattr(outbox, "_claim", look_without_claiming)
    assert len(handled_by_drainers(clock, monkeypatch, 4)) > 120


def test_a_drainer_that_comes_back_after_its_lease_does_not_end_anothers_message(lin, clock, monkeypatch):
    monkeypatch.setitem(outbox._handlers, "test.note", lambda payload, *, attempt, now: None)
    outbox.put("test.note", key="n", payload={}, due_at=clock.now, now=clock.now)
    [mine] = outbox._claim(now=clock.now, lane=outbox.COMPENSATE, limit=1)
    clock.advance(seconds=settings.OUTBOX_LEASE.total_seconds() + 1)
    [theirs] = outbox._claim(now=clock.now, lane=outbox.COMPENSATE, limit=1)
    outbox._handle(mine, lambda: clock.now)
    assert OutboxMessage.objects.get(key="n").done_at is None
    outbox._handle(theirs, lambda: clock.now)
    assert OutboxMessage.objects.get(key="n").done_at is not None


# -- tickets ---------------------------------------------------------------------------------------------------


def test_a_seat_has_one_valid_ticket_whoever_issues(order, clock):
    seats = list(order.order_seats.values_list("seat_id", flat=True))
    outcomes = at_once([lambda: tickets.issue(order, seats, now=clock.now)] * THREADS)
    assert outcomes.count(None) == 1
    assert Ticket.objects.count() == 1


def test_one_crowd_pays_one_show_from_sixteen_wallets(show, buyer, clock, nothing_broken):
    tier = PriceTier.objects.get(show=show, code="UPPER")
    people = crowd(buyer, THREADS, cash=200_000)

    def whole_way(person):
        now = clock()

        def work():
            order = orders.place_order(buyer=person, client_key="w", tier_id=tier.pk, quantity=2, now=now)
            return pressing(order, "wallet", clock)()

        return work

    outcomes = at_once([whole_way(person) for person in people])
    assert errors(outcomes) == []
    assert {payment.state for payment in outcomes} == {PaymentState.SUCCEEDED}
    assert Ticket.objects.count() == 2 * THREADS
    nothing_broken()
