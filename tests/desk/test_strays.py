"""Money that a channel took under a number that is not in our books: taken in and sent back by two people."""

from __future__ import annotations

import itertools

import pytest

from desk import approve, resolve
from desk.acts import CannotBeDone
from desk.models import CaseState, Resolution
from payments import money, redirect
from payments.channels import registry
from payments.channels.port import Trade
from payments.models import Notification, Payment, Refund, Verdict
from wallet import ledger

AMOUNT = 12_300
TRADES = itertools.count(1)


@pytest.fixture
def stray(till, desk, settle_outbox):
    """A trade that is open and paid at the channel, and its true message; our books know nothing of it."""

    def make(channel: str = "alipay"):
        number = f"PANOTHERTIME{next(TRADES):08}"
        trade = Trade(
            number, AMOUNT, "CNY", "Something", desk.clock().replace(year=2030), "http://127.0.0.1/"
        )
        opened = registry.channel(channel).open(trade)
        till.house.scan(opened.url)
        assert till.house.pay(channel, number)["result"] == "paid"
        till.deliver(channel, number, "true")
        settle_outbox()
        return desk.one("notification_unknown")

    return make


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_two_people_send_it_back_the_way_it_came(stray, desk, settle_outbox, channel):
    case = stray(channel)
    assert (case.amount_minor, case.facts["says"]) == (AMOUNT, "Paid")
    shown = desk.preview(case, "send_back")
    assert (shown.answer, shown.moved_minor, shown.needs_two) == ("Paid", AMOUNT, True)
    assert {(line.account, line.amount_minor) for line in shown.lines} == {
        (money.clearing(channel, "CNY"), -AMOUNT),
        (money.suspense("CNY"), AMOUNT),
    }
    assert ("payment", "", "succeeded surplus") in {(m.kind, m.before, m.after) for m in shown.moves}
    with pytest.raises(resolve.NeedsTwoPeople):
        resolve.execute(**desk.given(case, shown, "root"))
    asked = desk.ask(case, shown, "root")
    with pytest.raises(approve.SamePerson):
        approve.approve(request_id=asked.pk, by=desk.person("root"), now=desk.clock())
    assert not Payment.objects.exists()
    for _ in range(2):
        approve.approve(request_id=asked.pk, by=desk.person("bo"), reason="seen", now=desk.clock())
    for _ in range(6):
        settle_outbox()
        desk.clock.advance(seconds=60)
    refund = Refund.objects.get()
    assert (refund.state, refund.amount_minor, refund.reason) == ("succeeded", AMOUNT, "unknown_number")
    assert Notification.objects.get().verdict == Verdict.APPLIED
    assert (ledger.balance(money.suspense("CNY")), ledger.balance(money.clearing(channel, "CNY"))) == (0, 0)
    assert Resolution.objects.count() == 1
    desk.ends_clean(case)


def test_a_refund_that_the_channel_refuses_is_nobodys_to_have(stray, till, desk, settle_outbox):
    case = stray()
    till.house.fault("decline", op="refund", times=None)
    desk.resolve(case, "send_back")
    settle_outbox()
    refund = Refund.objects.get()
    assert (refund.state, refund.offered_at) == ("refused", None)
    with pytest.raises(redirect.NotOffered):
        redirect.by_staff(number=refund.number, actor="mei", now=desk.clock())
    assert desk.one("refund_refused").subject == refund.number


def test_what_the_channels_api_cannot_send_back_says_so(till, desk, settle_outbox):
    till.deliver("wechat", "PUNKNOWN0000000000001", "unknown_order")
    settle_outbox()
    case = desk.one("notification_unknown")
    with pytest.raises(CannotBeDone) as refused:
        desk.preview(case, "send_back")
    assert refused.value.reason == "not_under_our_account"
    assert desk.state(case) == CaseState.OPEN


def test_an_old_number_of_another_system_is_too_long_for_ours(till, desk, stray):
    case = stray()
    Notification.objects.update(payment_number="X" * 40)
    with pytest.raises(CannotBeDone, match="number_too_long"):
        desk.preview(case, "send_back")


def test_a_message_that_tells_of_no_money_is_not_sent_back(till, desk, stray):
    case = stray()
    Notification.objects.update(facts={"what": "Closed", "refund_number": ""})
    with pytest.raises(CannotBeDone, match="no_money_told"):
        desk.preview(case, "send_back")
