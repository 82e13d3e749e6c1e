"""What the adapters refuse to believe, and what they do believe and leave to the inbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from payments.channels import port
from payments.channels.replay import SeenKeys
from tests.channels.rig import a_refund, eventually, now

BOTH = ["alipay", "wechat"]


@pytest.fixture(params=BOTH)
def channel(request, sandbox):
    return sandbox.channel(request.param)


def read(channel, message, at=None):
    headers, body = message
    return channel.read_notify(headers=headers, body=body, now=at or now())


def refusal(channel, message, at=None):
    with pytest.raises(port.NotifyRefused) as caught:
        read(channel, message, at)
    reply = channel.refused(caught.value)
    assert 400 <= reply.status < 500
    assert reply.body != b"success"
    return caught.value.reason


def test_a_genuine_payment_notice_tells_the_facts(sandbox, channel):
    trade = sandbox.paid(channel, amount_minor=12345, subject='{"a&b" + 票}')
    notice = read(channel, sandbox.message(channel.code, trade.number, "true"))
    assert notice.payment_number == trade.number
    assert notice.payment == channel.query(trade.number)
    assert notice.refund is None
    assert not notice.refund_number


def test_headers_are_read_in_any_case(sandbox, channel):
    trade = sandbox.paid(channel)
    headers, body = sandbox.message(channel.code, trade.number, "true")
    shouted = {name.upper(): value for name, value in headers.items()}
    assert read(channel, (shouted, body)).payment_number == trade.number


def test_a_repetition_keeps_its_event_id(sandbox, channel):
    trade = sandbox.paid(channel)
    messages = [sandbox.message(channel.code, trade.number, "true", event_id="e" * 32) for _ in range(2)]
    assert messages[0] != messages[1] or channel.code == "alipay"
    assert {read(channel, message).event_id for message in messages} == {"e" * 32}


def test_a_refund_notice_names_our_refund(sandbox, channel):
    trade = sandbox.paid(channel)
    orders = [a_refund(trade, amount_minor=amount) for amount in (100, 200)]
    for order in orders:
        channel.refund(order)
    eventually(lambda: isinstance(channel.query_refund(orders[1]), port.Refunded))
    message = sandbox.message(channel.code, trade.number, "true", refund_number=orders[1].number)
    notice = read(channel, message)
    assert (notice.payment_number, notice.refund_number) == (trade.number, orders[1].number)
    assert notice.payment is None
    # Alipay tells the sum of both refunds, which is not this refund's amount: a query must tell.
    expected = None if channel.code == "alipay" else channel.query_refund(orders[1])
    assert notice.refund == expected


def test_a_full_alipay_refund_is_not_read_as_a_closed_payment(sandbox):
    alipay = sandbox.alipay()
    trade = sandbox.paid(alipay)
    order = a_refund(trade)
    alipay.refund(order)
    notice = read(alipay, sandbox.message("alipay", trade.number, "true", refund_number=order.number))
    assert (notice.payment, notice.refund_number) == (None, order.number)


REFUSED = {
    "alipay": {
        "forged": "bad_signature",
        "tampered": "bad_signature",
        "unsigned": "bad_signature",
        "sha1": "bad_signature",
        "wrong_app": "wrong_app",
        "wrong_merchant": "wrong_seller",
        "malformed": "malformed",
    },
    "wechat": {
        "forged": "bad_signature",
        "tampered": "bad_signature",
        "unsigned": "unsigned",
        "sha1": "bad_signature",
        "wrong_app": "wrong_app",
        "wrong_merchant": "wrong_merchant",
        "stale": "stale",
        "future": "stale",
        "probe": "signature_probe",
        "unknown_serial": "unknown_serial",
        "bad_cipher": "undecryptable",
        "malformed": "malformed",
    },
}
CASES = [(code, variant, reason) for code, found in REFUSED.items() for variant, reason in found.items()]


@pytest.mark.parametrize(("code", "variant", "reason"), CASES)
def test_spoilt_messages_are_refused(sandbox, code, variant, reason):
    channel = sandbox.channel(code)
    trade = sandbox.paid(channel)
    assert refusal(channel, sandbox.message(code, trade.number, variant)) == reason


def test_a_wrong_amount_is_told_as_it_is(sandbox, channel):
    # Genuine, so it is read; comparing it with the order is the product's part.
    trade = sandbox.paid(channel)
    notice = read(channel, sandbox.message(channel.code, trade.number, "wrong_amount", args={"minor": -1}))
    assert notice.payment.amount_minor == trade.amount_minor - 1


def test_every_single_changed_byte_is_refused(sandbox, channel):
    trade = sandbox.paid(channel)
    headers, body = sandbox.message(channel.code, trade.number, "true")
    for at in range(0, len(body), 7):
        other = b"1" if body[at : at + 1] == b"0" else b"0"
        refusal(channel, (headers, body[:at] + other + body[at + 1 :]))


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"a", b"a=1&a=2", b"{}", b"x" * 70_000, b"sign_type=RSA2"]
)
def test_rubbish_is_refused(channel, body):
    refusal(channel, ({}, body))


def test_alipay_believes_rsa2_only(sandbox):
    alipay = sandbox.alipay()
    trade = sandbox.paid(alipay)
    headers, body = sandbox.message("alipay", trade.number, "true")
    assert refusal(alipay, (headers, body.replace(b"sign_type=RSA2", b"sign_type=RSA"))) == "sign_type"
    assert refusal(alipay, (headers, body.replace(b"sign_type=RSA2", b"sign_type="))) == "sign_type"
    assert refusal(alipay, (headers, body + b"&sign_type=RSA")) == "malformed"


def test_alipay_fields_may_not_be_added(sandbox):
    alipay = sandbox.alipay()
    trade = sandbox.paid(alipay)
    headers, body = sandbox.message("alipay", trade.number, "true")
    assert refusal(alipay, (headers, body + b"&extra=")) == "bad_signature"


def test_a_copied_wechat_message_is_refused_the_second_time(sandbox):
    wechat = sandbox.wechat()
    trade = sandbox.paid(wechat)
    message = sandbox.message("wechat", trade.number, "true")
    read(wechat, message)
    assert refusal(wechat, message) == "replayed"


def test_a_forger_cannot_use_up_a_genuine_messages_nonce(sandbox):
    wechat = sandbox.wechat()
    trade = sandbox.paid(wechat)
    headers, body = sandbox.message("wechat", trade.number, "true")
    assert refusal(wechat, (headers, body + b" ")) == "bad_signature"
    assert read(wechat, (headers, body)).payment_number == trade.number


def test_the_replay_guard_can_be_shared(sandbox):
    from payments.channels.wechat import Wechat

    guard = SeenKeys()
    here, there = (Wechat(sandbox.wechat_config(), replay_guard=guard) for _ in range(2))
    trade = sandbox.paid(here)
    message = sandbox.message("wechat", trade.number, "true")
    read(here, message)
    assert refusal(there, message) == "replayed"


@pytest.mark.parametrize(("shift_s", "fresh"), [(-299, True), (299, True), (-300, False), (300, False)])
def test_wechats_window_is_five_minutes_both_ways(sandbox, shift_s, fresh):
    wechat = sandbox.wechat()
    trade = sandbox.paid(wechat)
    message = sandbox.message("wechat", trade.number, "true")
    at = datetime.fromtimestamp(int(message[0]["Wechatpay-Timestamp"]) + shift_s, UTC)
    if fresh:
        assert read(wechat, message, at)
    else:
        assert refusal(wechat, message, at) == "stale"


def test_an_unknown_serial_calls_nobody(sandbox):
    silent = sandbox.wechat(gateway_url="http://127.0.0.1:1")
    silent._wire.send = None  # any attempt to call would raise
    trade = sandbox.paid(sandbox.wechat())
    assert refusal(silent, sandbox.message("wechat", trade.number, "unknown_serial")) == "unknown_serial"


def test_another_merchants_apiv3_key_opens_nothing(sandbox):
    trade = sandbox.paid(sandbox.wechat())
    stranger = sandbox.wechat(apiv3_key="0" * 32)
    assert refusal(stranger, sandbox.message("wechat", trade.number, "true")) == "undecryptable"


def test_replies_are_what_each_channel_wants(sandbox):
    assert sandbox.alipay().accepted() == port.Reply(200, b"success")
    assert sandbox.wechat().accepted() == port.Reply(204, b"")
    reply = sandbox.wechat().refused(port.NotifyRefused("bad_signature"))
    assert (reply.status, json.loads(reply.body)["code"]) == (401, "FAIL")


def test_the_guard_forgets_in_time_and_number():
    guard = SeenKeys(keep=timedelta(minutes=1), at_most=3)
    at = now()
    assert guard("a", at)
    assert not guard("a", at)
    assert guard("a", at + timedelta(minutes=1))
    assert [guard(key, at + timedelta(minutes=2)) for key in "bcdef"] == [True] * 5
    assert len(guard._seen) <= 3
