"""A channel that refuses or stays silent: the buyer is offered the wallet, takes it once, and never gets both."""

from __future__ import annotations

from datetime import timedelta

import pytest

from operations import audit
from payments import asking, notify, redirect, refunds
from payments.channels import port, registry
from payments.models import (
    Destination,
    Notification,
    OutboxMessage,
    Payment,
    Refund,
    RefundEvent,
    RefundState,
    Verdict,
)
from tests.operations.scene import Paper
from ticketing.timeline import timeline
from wallet import statement

pytestmark = pytest.mark.django_db
PRICE = 38_000


class Channel(Paper):
    """Paper that can also be silent, and counts what it is told."""

    def __init__(self):
        super().__init__("alipay")
        self.sent, self.answer = 0, "refused"

    def refund(self, order):
        self.sent += 1
        return self.query_refund(order)

    def query_refund(self, order):
        match self.answer:
            case "silent":
                return port.Unknown("timeout")
            case "absent":
                return port.RefundAbsent()
        self.refund_answers[order.payment_number] = self.answer
        return Paper.refund(self, order)


@pytest.fixture
def channel(monkeypatch):
    channel = Channel()
    monkeypatch.setattr(registry, "_channels", lambda: {"alipay": channel})
    return channel


@pytest.fixture
def stuck(channel, buyer, paid, back, clock, settle_outbox):
    """`stuck("refused")`: lin's refund, which the channel answers so."""

    def make(answer="refused", after=timedelta(0)):
        lin = buyer("lin")
        order = paid(lin, quantity=1, channel="alipay")
        payment = Payment.objects.get(purchase_number=order.number)
        channel.paid[payment.number] = payment
        asking.ask(payment.number, source="query", now=clock())
        channel.answer = answer
        request = back.by_buyer(order)
        settle_outbox()
        if after:
            clock.now += after
            OutboxMessage.objects.filter(kind="refund.drive").update(due_at=clock())
            settle_outbox()
        order.refresh_from_db()
        return order, Refund.objects.get(number=request.refund_number)

    yield make
    wrong = {
        r.check.name: r.violations for r in audit.audit(now=clock(), grace=timedelta(hours=3)) if not r.ok
    }
    assert wrong == {}


def wallet(order):
    return statement.balances(order.buyer_id, currency="CNY").available_minor


def test_a_refusal_is_offered_at_once_and_goes_to_the_wallet_once(stuck, channel, clock, settle_outbox):
    order, refund = stuck()
    assert (refund.state, redirect.is_offered(refund)) == (RefundState.REFUSED, True)
    assert "refund.offered" in [line.code for line in timeline(order)]
    for _ in range(3):
        redirect.accept(number=refund.number, buyer_id=order.buyer_id, now=clock())
    sent = channel.sent
    settle_outbox()
    refund.refresh_from_db()
    assert (refund.state, wallet(order)) == (RefundState.REDIRECTED, 0), "a call may still be on its way"
    clock.advance(minutes=3)
    settle_outbox()
    refund.refresh_from_db()
    assert (refund.state, refund.destination) == (RefundState.SUCCEEDED, Destination.WALLET)
    assert wallet(order) == PRICE
    assert channel.sent == sent, "nothing is sent to the channel after the acceptance"
    assert RefundEvent.objects.filter(refund=refund, to_state=RefundState.REDIRECTED).count() == 1
    order.refresh_from_db()
    assert order.state == "refunded"
    assert [line.code for line in timeline(order)].count("refund.succeeded.to_wallet") == 1


def test_silence_is_offered_after_a_while(stuck, channel, clock, settings):
    _, refund = stuck("silent")
    assert not redirect.is_offered(refund)
    settings.REFUND_SILENT_AFTER = timedelta(seconds=0)
    clock.advance(hours=1)
    refunds.drive({"refund": refund.number}, attempt=3, now=clock())
    refund.refresh_from_db()
    assert redirect.is_offered(refund)


def test_a_channel_that_works_on_it_is_not_silent(stuck, clock):
    order, refund = stuck("accepted", after=timedelta(hours=2))
    assert (refund.state, redirect.is_offered(refund)) == (RefundState.PROCESSING, False)
    with pytest.raises(redirect.NotOffered):
        redirect.accept(number=refund.number, buyer_id=order.buyer_id, now=clock())
    refund.refresh_from_db()
    assert refund.destination == Destination.ORIGIN


def test_silence_alone_never_pays_out(stuck, channel, clock, settle_outbox):
    """Unknown is not a no: the channel may have refunded."""
    order, refund = stuck()
    redirect.accept(number=refund.number, buyer_id=order.buyer_id, now=clock())
    channel.answer = "silent"
    for _ in range(5):
        clock.advance(hours=2)
        settle_outbox()
    refund.refresh_from_db()
    assert (refund.state, wallet(order)) == (RefundState.REDIRECTED, 0)
    channel.answer = "absent"
    clock.advance(hours=2)
    settle_outbox()
    assert wallet(order) == PRICE


def test_the_channel_refunded_after_all(stuck, channel, clock, settle_outbox):
    order, refund = stuck()
    redirect.accept(number=refund.number, buyer_id=order.buyer_id, now=clock())
    channel.answer = "done"
    clock.advance(minutes=3)
    settle_outbox()
    refund.refresh_from_db()
    assert (refund.state, refund.destination) == (RefundState.SUCCEEDED, Destination.ORIGIN)
    assert wallet(order) == 0


def test_a_channels_word_after_the_wallet_is_parked_for_staff(stuck, channel, clock, settle_outbox):
    order, refund = stuck()
    redirect.accept(number=refund.number, buyer_id=order.buyer_id, now=clock())
    clock.advance(minutes=3)
    settle_outbox()
    told = Notification.objects.create(
        channel="alipay",
        event_id="e",
        received_at=clock(),
        body=b"",
        verdict=Verdict.ACCEPTED,
        payment_number=refund.payment.number,
        facts={
            "what": "Refunded",
            "refund_number": refund.number,
            "channel_reference": "r",
            "amount_minor": PRICE,
            "refunded_at": clock().isoformat(),
        },
    )
    notify.apply({"notification": told.pk}, attempt=0, now=clock())
    told.refresh_from_db()
    assert (told.verdict, told.reason) == (Verdict.PARKED, "refunded_twice")
    assert wallet(order) == PRICE


def test_another_buyers_refund_is_not_there(stuck, buyer, clock):
    _, refund = stuck()
    with pytest.raises(redirect.NoSuchRefund):
        redirect.accept(number=refund.number, buyer_id=buyer("mei").pk, now=clock())
    refund.refresh_from_db()
    assert refund.state == RefundState.REFUSED


def test_staff_may_redirect_what_is_not_offered(stuck, clock, settle_outbox):
    _, refund = stuck("accepted")
    redirect.by_staff(number=refund.number, actor="mei", now=clock())
    refund.refresh_from_db()
    assert refund.state == RefundState.REDIRECTED
    with pytest.raises(redirect.NoSuchRefund):
        redirect.by_staff(number="RNOBODYS", actor="mei", now=clock())
