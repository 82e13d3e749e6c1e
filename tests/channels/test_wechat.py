"""WeChat Pay's adapter against the sandbox over real HTTP."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from payments.channels import port
from tests.channels.rig import a_refund, a_trade, eventually, now
from tests.channels.test_alipay import SUBJECTS


@pytest.fixture
def wechat(sandbox):
    return sandbox.wechat()


def test_a_native_trade_exists_at_once(sandbox, wechat):
    trade = a_trade()
    assert wechat.query(trade.number) == port.Absent()
    assert wechat.open(trade) == port.Started("qr", f"{sandbox.url}/cashier/wechat/{trade.number}")
    assert wechat.query(trade.number) == port.Waiting()


def test_paid_tells_reference_amount_and_time(sandbox, wechat):
    trade = sandbox.paid(wechat, amount_minor=12345)
    answer = wechat.query(trade.number)
    assert isinstance(answer, port.Paid)
    assert (answer.amount_minor, answer.currency) == (12345, "CNY")
    assert answer.channel_reference == sandbox.trade(trade.number)["reference"]
    assert abs(now() - answer.paid_at) < timedelta(seconds=5)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_any_subject_survives(sandbox, wechat, subject):
    trade = a_trade(subject=subject)
    assert isinstance(wechat.open(trade), port.Started)
    assert sandbox.trade(trade.number)["subject"] == subject


def test_a_description_is_cut_between_characters(sandbox, wechat):
    trade = a_trade(subject="票" * 100)
    assert isinstance(wechat.open(trade), port.Started)
    assert sandbox.trade(trade.number)["subject"] == "票" * 42


def test_close_ends_a_waiting_trade_for_good(sandbox, wechat):
    trade = a_trade()
    assert wechat.close(trade.number) == port.Absent()
    wechat.open(trade)
    assert wechat.close(trade.number) == port.Closed()
    assert sandbox.pay("wechat", trade.number)["result"] == "closed"
    assert isinstance(wechat.close(trade.number), port.Closed)
    assert wechat.open(trade) == port.Declined("ORDER_CLOSED", "订单已关闭")


def test_close_that_comes_too_late_says_already_paid(sandbox, wechat):
    assert wechat.close(sandbox.paid(wechat).number) == port.AlreadyPaid()


def test_a_deadline_nearer_than_wechat_allows_is_moved_out(sandbox, wechat):
    trade = a_trade(expires_at=now() + timedelta(seconds=10))
    assert isinstance(wechat.open(trade), port.Started)
    left_s = sandbox.trade(trade.number)["expires_at"] - now().timestamp()
    assert 60 < left_s < 70


def test_the_deadline_is_sent(sandbox, wechat):
    trade = a_trade(expires_at=now() + timedelta(minutes=9))
    wechat.open(trade)
    assert abs(sandbox.trade(trade.number)["expires_at"] - trade.expires_at.timestamp()) < 1


def test_an_expired_or_foreign_trade_is_not_even_sent(wechat):
    assert wechat.open(a_trade(expires_at=now())) == port.Declined("expired")
    assert wechat.open(a_trade(currency="USD")).code == "currency_not_supported"


def test_the_same_number_opens_the_same_trade(sandbox, wechat):
    trade = a_trade()
    assert wechat.open(trade) == wechat.open(trade)
    assert wechat.open(replace(trade, amount_minor=1)) == port.Unknown("OUT_TRADE_NO_USED")
    sandbox.pay("wechat", trade.number)
    assert wechat.open(trade) == port.Unknown("ORDERPAID")


def test_a_refund_is_accepted_first_and_done_later(sandbox, wechat):
    trade = sandbox.paid(wechat)
    first, second = (a_refund(trade, amount_minor=amount) for amount in (10000, 28000))
    sandbox_slow = wechat.query_refund(first)
    assert sandbox_slow == port.RefundAbsent()
    assert isinstance(wechat.refund(first), port.RefundAccepted | port.Refunded)
    done = eventually(lambda: _done(wechat.query_refund(first)))
    assert done.amount_minor == 10000
    assert wechat.refund(first) == done
    assert isinstance(wechat.query(trade.number), port.Paid)
    wechat.refund(second)
    assert eventually(lambda: _done(wechat.query_refund(second))).amount_minor == 28000
    assert sandbox.trade(trade.number)["refunded_minor"] == 38000


def _done(answer):
    return answer if isinstance(answer, port.Refunded) else None


def test_too_much_or_changed_refunds_are_declined(sandbox, wechat):
    trade = sandbox.paid(wechat)
    assert wechat.refund(a_refund(trade, amount_minor=38001)).code == "INVALID_REQUEST"
    order = a_refund(trade, amount_minor=100)
    wechat.refund(order)
    assert wechat.refund(replace(order, amount_minor=200)).code == "INVALID_REQUEST"
    assert wechat.refund(a_refund(a_trade())).code == "RESOURCE_NOT_EXISTS"
    assert sandbox.trade(trade.number)["refunded_minor"] == 100


@pytest.mark.parametrize("family", ["PUB_KEY_ID_", "5"])
def test_answers_are_signed_with_the_key_we_ask_for(sandbox, family):
    keys = sandbox.wechat_config().platform_keys
    serial = next(serial for serial in keys if serial.startswith(family))
    only = sandbox.wechat(platform_keys={serial: keys[serial]})
    assert only.query("T1234567") == port.Absent()


def test_an_answer_by_a_key_we_do_not_pin_is_unknown(sandbox):
    keys = sandbox.wechat_config().platform_keys
    stranger = {"PUB_KEY_ID_1": sandbox.pem("wechat_merchant_public.pem")}
    assert sandbox.wechat(platform_keys=stranger).open(a_trade()) == port.Unknown("answer unknown_serial")
    swapped = dict(zip(keys, reversed(keys.values()), strict=True))
    assert sandbox.wechat(platform_keys=swapped).open(a_trade()) == port.Unknown("answer bad_signature")


def test_a_wrong_signing_key_opens_and_changes_nothing(sandbox):
    stranger = sandbox.wechat(merchant_private_key_pem=sandbox.pem("alipay_app_private.pem"))
    assert stranger.open(a_trade()) == port.Unknown("SIGN_ERROR")
    assert stranger.query("T1234567") == port.Unknown("SIGN_ERROR")


def test_a_clock_that_is_far_off_is_unknown(sandbox):
    from payments.channels.wechat import Wechat

    for minutes in (-6, 6):
        astray = Wechat(sandbox.wechat_config(), clock=lambda shift=minutes: now() + timedelta(minutes=shift))
        assert isinstance(astray.query("T1234567"), port.Unknown)


def test_nobody_there_is_unknown(sandbox):
    assert sandbox.wechat(gateway_url="http://127.0.0.1:1").close("T1234567") == port.Unknown(
        "network: ConnectError"
    )


def test_secrets_are_not_shown(sandbox):
    shown = repr(sandbox.wechat_config())
    assert "BEGIN" not in shown
    assert sandbox.facts()["wechat"]["apiv3_key"] not in shown
    with pytest.raises(ValueError, match="32 bytes"):
        sandbox.wechat(apiv3_key="short")


def test_the_key_of_a_notification_is_named(sandbox, wechat):
    trade = sandbox.paid(wechat)
    serials = set(sandbox.wechat_config().platform_keys)
    seen = set()
    while seen != serials:
        headers, body = sandbox.message("wechat", trade.number, "true")
        notice = wechat.read_notify(headers=headers, body=body, now=now())
        assert notice.key_id == headers["Wechatpay-Serial"]
        seen.add(notice.key_id)
    assert base64.b64decode(headers["Wechatpay-Signature"])
