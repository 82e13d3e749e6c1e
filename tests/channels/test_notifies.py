"""Notifications over real HTTP to a merchant's address: how often they come, in which order, and when they stop."""

from __future__ import annotations

import time

import pytest

from payments.channels import port
from tests.channels.rig import a_refund, a_trade, eventually

BOTH = ["alipay", "wechat"]


@pytest.fixture(params=BOTH)
def channel(request, sandbox, merchant):
    merchant.channel = sandbox.channel(request.param, notify_url=merchant.url)
    return merchant.channel


def is_settled(sandbox, number):
    return lambda: all(row["state"] != "pending" for row in sandbox.notifies(number))


def test_a_payment_is_told_once_and_acknowledged(sandbox, merchant, channel):
    trade = sandbox.paid(channel)
    [notice] = eventually(lambda: merchant.notices)
    assert notice.payment == channel.query(trade.number)
    eventually(is_settled(sandbox, trade.number))
    [row] = sandbox.notifies(trade.number)
    assert (row["state"], row["attempts"], row["event_id"]) == ("done", 1, notice.event_id)
    assert not merchant.refusals


def test_a_refund_is_told_as_well(sandbox, merchant, channel):
    trade = sandbox.paid(channel)
    order = a_refund(trade, amount_minor=100)
    channel.refund(order)
    notice = eventually(lambda: [found for found in merchant.notices if found.refund_number])[0]
    assert (notice.refund_number, notice.payment_number) == (order.number, trade.number)


def test_an_unpaid_and_a_closed_trade_are_silent(sandbox, merchant, channel):
    trade = a_trade()
    sandbox.scan(channel.open(trade).url)
    channel.close(trade.number)
    assert sandbox.notifies(trade.number) == []


def test_what_is_not_acknowledged_comes_again_with_the_same_id(sandbox, merchant, channel):
    accepted, replies = channel.accepted(), []
    channel.accepted = lambda: replies.append(1) or (accepted if len(replies) == 3 else port.Reply(500, b""))
    trade = sandbox.paid(channel)
    eventually(is_settled(sandbox, trade.number), within_s=20)
    assert [row["attempts"] for row in sandbox.notifies(trade.number)] == [3]
    assert len({notice.event_id for notice in merchant.notices}) == 1
    assert not merchant.refusals  # a repetition is fresh: never "replayed"


def test_lost_for_ever_leaves_only_the_query(sandbox, merchant, channel):
    sandbox.fault("notify_lost")
    trade = sandbox.paid(channel)
    eventually(lambda: sandbox.notifies(trade.number)[0]["answers"])
    assert merchant.received == []
    assert isinstance(channel.query(trade.number), port.Paid)


def test_lost_once_comes_later(sandbox, merchant, channel):
    sandbox.fault("notify_lost", attempts=1)
    trade = sandbox.paid(channel)
    eventually(lambda: merchant.notices)
    eventually(is_settled(sandbox, trade.number))
    assert sandbox.notifies(trade.number)[0]["attempts"] == 2


def test_doubled_and_concurrent_share_one_event_id(sandbox, merchant, channel):
    for fault, times in (("notify_doubled", 2), ("notify_concurrent", 6)):
        merchant.received.clear()
        sandbox.fault(fault, k=times)
        sandbox.paid(channel)
        eventually(lambda times=times: len(merchant.notices) == times)
        assert len({notice.event_id for notice in merchant.notices}) == 1


def test_late_is_late(sandbox, merchant, channel):
    sandbox.fault("notify_late", seconds=0.7)
    sandbox.paid(channel)
    began = time.monotonic()
    eventually(lambda: merchant.notices)
    assert 0.5 < time.monotonic() - began < 5


def test_out_of_order_tells_the_refund_first(sandbox, merchant, channel):
    trade = a_trade()
    sandbox.fault("notify_out_of_order", number=trade.number)
    sandbox.scan(channel.open(trade).url)
    sandbox.pay(channel.code, trade.number)
    channel.refund(a_refund(trade, amount_minor=100))
    eventually(lambda: len(merchant.notices) == 2)
    assert [bool(notice.refund_number) for notice in merchant.notices] == [True, False]


def test_a_forgery_before_the_true_one_is_refused(sandbox, merchant, channel):
    sandbox.fault("notify_forged")
    sandbox.paid(channel)
    eventually(lambda: merchant.notices)
    assert merchant.refusals == ["bad_signature"]


def test_a_probe_is_refused_and_the_true_one_follows(sandbox, merchant):
    merchant.channel = sandbox.wechat(notify_url=merchant.url)
    sandbox.fault("probe")
    trade = sandbox.paid(merchant.channel)
    eventually(is_settled(sandbox, trade.number))
    assert merchant.refusals == ["signature_probe"]
    assert sandbox.notifies(trade.number)[0]["answers"][0].startswith("probe 401")


def test_a_wrong_amount_reaches_the_merchant_as_it_is(sandbox, merchant, channel):
    sandbox.fault("wrong_amount", minor=500)
    trade = sandbox.paid(channel)
    eventually(lambda: merchant.notices)
    assert merchant.notices[0].payment.amount_minor == trade.amount_minor + 500


def test_a_notification_can_overtake_the_answer(sandbox, merchant, channel):
    trade = a_trade()
    sandbox.scan(channel.open(trade).url)
    sandbox.fault("notify_before_response", op="pay", number=trade.number)
    sandbox.pay(channel.code, trade.number)
    assert len(merchant.notices) == 1
    merchant.received.clear()
    sandbox.fault("notify_before_response", op="refund", number=trade.number)
    channel.refund(a_refund(trade, amount_minor=100))
    assert len(merchant.notices) == 1


def test_one_can_be_sent_by_hand(sandbox, merchant, channel):
    trade = sandbox.paid(channel)
    eventually(lambda: merchant.notices)
    asked = {"channel": channel.code, "number": trade.number}
    told = sandbox.control("POST", "notify", {**asked, "variant": "forged"})
    assert told["status"] in (400, 401)
    assert sandbox.control("POST", "notify", {**asked, "variant": "true"})["status"] in (200, 204)
    replayed = sandbox.control("POST", "notify", {**asked, "variant": "replayed"})
    # Alipay signs no time and no nonce: its copy is told apart by the event id alone.
    assert replayed["status"] == (200 if channel.code == "alipay" else 400)
    told = sandbox.control("POST", "notify", {**asked, "variant": "unknown_order"})
    assert told["status"] in (200, 204)
    assert merchant.notices[-1].payment_number.startswith("NOSUCH")


def test_nobody_outside_this_machine_is_called(sandbox):
    channel = sandbox.wechat(notify_url="http://192.0.2.1/notify")
    trade = sandbox.paid(channel)
    eventually(lambda: sandbox.notifies(trade.number)[0]["answers"])
    assert sandbox.notifies(trade.number)[0]["answers"][0] == "true 0 not on this machine"
