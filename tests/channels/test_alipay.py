"""Alipay's adapter against the sandbox over real HTTP: every operation and the answers that are easy to misread."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from payments.channels import port
from payments.channels.signing import BadKey
from tests.channels.rig import a_refund, a_trade, now

SUBJECTS = [
    "演唱会 内场 ¥1280",
    "a&b=c/d",
    '{"half": [',
    "}]\\\"'",
    "<b>&amp;&lt; + %2B 100%</b>",
    "🎫 \u2028 zero\u200bwidth",
]


@pytest.fixture
def alipay(sandbox):
    return sandbox.alipay()


def test_a_code_trade_appears_when_it_is_scanned(sandbox, alipay):
    trade = a_trade()
    assert alipay.query(trade.number) == port.Absent()
    started = alipay.open(trade)
    assert started == port.Started("qr", f"{sandbox.url}/cashier/alipay/{trade.number}")
    assert alipay.query(trade.number) == port.Absent()
    assert sandbox.scan(started.url).status_code == 200
    assert alipay.query(trade.number) == port.Waiting()


def test_paid_tells_reference_amount_and_time(sandbox, alipay):
    trade = sandbox.paid(alipay, amount_minor=12345)
    answer = alipay.query(trade.number)
    assert isinstance(answer, port.Paid)
    assert (answer.amount_minor, answer.currency) == (12345, "CNY")
    assert answer.channel_reference == sandbox.trade(trade.number)["reference"]
    assert abs(now() - answer.paid_at) < timedelta(seconds=5)


def test_page_pay_makes_an_address_and_calls_nobody(sandbox):
    page = sandbox.alipay(
        product="page", gateway_url=f"{sandbox.url}/alipay/gateway.do", return_url="http://127.0.0.1:1/back"
    )
    trade = a_trade()
    started = page.open(trade)
    assert started.kind == "redirect"
    assert sandbox.control("GET", f"trades?number={trade.number}")["trades"] == []
    assert page.query(trade.number) == port.Absent()
    assert "380.00" in sandbox.scan(started.url).text
    assert page.query(trade.number) == port.Waiting()
    told = sandbox.pay("alipay", trade.number)
    assert told["return_url"].startswith("http://127.0.0.1:1/back?")
    assert isinstance(page.query(trade.number), port.Paid)


def test_page_pay_with_a_dead_gateway_still_gives_an_address(sandbox):
    page = sandbox.alipay(product="page", gateway_url="http://127.0.0.1:1/gateway.do")
    assert isinstance(page.open(a_trade()), port.Started)


def test_the_trades_own_return_address_comes_first(sandbox):
    page = sandbox.alipay(product="page", return_url="http://127.0.0.1:1/general")
    url = page.open(a_trade(return_url="http://127.0.0.1:1/orders/7?x=1&y=2")).url
    assert parse_qs(urlsplit(url).query)["return_url"] == ["http://127.0.0.1:1/orders/7?x=1&y=2"]


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("product", ["precreate", "page"])
def test_any_subject_survives_signing_and_the_answers_that_repeat_it(sandbox, subject, product):
    alipay = sandbox.alipay(product=product)
    trade = a_trade(subject=subject)
    sandbox.scan(alipay.open(trade).url)
    assert alipay.query(trade.number) == port.Waiting()
    twins = {"/": "／", "=": "＝", "&": "＆"}
    assert sandbox.trade(trade.number)["subject"] == "".join(twins.get(mark, mark) for mark in subject)


def test_a_subject_that_is_too_long_is_cut(sandbox, alipay):
    trade = a_trade(subject="票" * 400)
    assert isinstance(alipay.open(trade), port.Started)
    assert sandbox.trade(trade.number)["subject"] == "票" * 256


def test_close_before_the_scan_finds_nothing_and_the_buyer_can_still_pay(sandbox, alipay):
    trade = a_trade()
    alipay.open(trade)
    assert alipay.close(trade.number) == port.Absent()
    assert sandbox.pay("alipay", trade.number)["result"] == "paid"


def test_close_ends_a_waiting_trade_for_good(sandbox, alipay):
    trade = a_trade()
    sandbox.scan(alipay.open(trade).url)
    assert alipay.close(trade.number) == port.Closed()
    assert sandbox.pay("alipay", trade.number)["result"] == "closed"
    assert isinstance(alipay.query(trade.number), port.Closed)
    assert isinstance(alipay.close(trade.number), port.Closed)


def test_close_that_comes_too_late_says_already_paid(sandbox, alipay):
    assert alipay.close(sandbox.paid(alipay).number) == port.AlreadyPaid()


def test_a_trade_closes_by_itself_at_its_deadline(sandbox, alipay):
    trade = a_trade(expires_at=now() + timedelta(seconds=2))
    sandbox.scan(alipay.open(trade).url)
    assert alipay.query(trade.number) == port.Waiting()
    from tests.channels.rig import eventually

    eventually(lambda: isinstance(alipay.query(trade.number), port.Closed))
    assert sandbox.pay("alipay", trade.number)["result"] == "closed"


def test_an_expired_or_foreign_trade_is_not_even_sent(alipay):
    assert alipay.open(a_trade(expires_at=now())) == port.Declined("expired")
    assert alipay.open(a_trade(currency="USD")).code == "currency_not_supported"


def test_the_same_number_opens_the_same_trade(sandbox, alipay):
    trade = a_trade()
    assert alipay.open(trade) == alipay.open(trade)
    # An altered amount under a known number: the earlier trade stands, so nothing is decided.
    assert isinstance(alipay.open(a_trade(number=trade.number, amount_minor=1)), port.Unknown)
    sandbox.pay("alipay", trade.number)
    assert isinstance(alipay.open(trade), port.Unknown)


def test_refunds_in_parts_each_once(sandbox, alipay):
    trade = sandbox.paid(alipay)
    first, second = (a_refund(trade, amount_minor=amount) for amount in (10000, 28000))
    assert alipay.query_refund(first) == port.RefundAbsent()
    done = alipay.refund(first)
    assert isinstance(done, port.Refunded)
    assert done.amount_minor == 10000
    # A repetition moves nothing, says so, and is settled by the query.
    assert alipay.refund(first) == port.RefundAccepted()
    assert alipay.query_refund(first).amount_minor == 10000
    assert isinstance(alipay.query(trade.number), port.Paid)
    assert alipay.refund(second).amount_minor == 28000
    assert sandbox.trade(trade.number)["refunded_minor"] == 38000


def test_a_trade_refunded_in_full_was_still_paid(sandbox, alipay):
    # Alipay calls it TRADE_CLOSED, as it calls a trade that nobody paid.
    trade = sandbox.paid(alipay)
    alipay.refund(a_refund(trade))
    assert isinstance(alipay.query(trade.number), port.Paid)


def test_too_much_or_changed_refunds_are_declined(sandbox, alipay):
    trade = sandbox.paid(alipay)
    assert alipay.refund(a_refund(trade, amount_minor=38001)).code == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    order = a_refund(trade, amount_minor=100)
    alipay.refund(order)
    changed = a_refund(trade, number=order.number, amount_minor=200)
    assert alipay.refund(changed).code == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert sandbox.trade(trade.number)["refunded_minor"] == 100


def test_an_unpaid_or_absent_trade_is_not_refunded(sandbox, alipay):
    trade = a_trade()
    assert alipay.refund(a_refund(trade)).code == "ACQ.TRADE_NOT_EXIST"
    sandbox.scan(alipay.open(trade).url)
    assert isinstance(alipay.refund(a_refund(trade)), port.Declined)


def test_a_wrong_signing_key_opens_and_changes_nothing(sandbox):
    stranger = sandbox.alipay(app_private_key_pem=sandbox.pem("wechat_merchant_private.pem"))
    assert stranger.open(a_trade()) == port.Unknown("40002 isv.invalid-signature")


def test_answers_are_believed_by_alipays_key_only(sandbox):
    misled = sandbox.alipay(alipay_public_key_pem=sandbox.pem("alipay_app_public.pem"))
    assert misled.query("T1234567") == port.Unknown("bad_signature")


def test_nobody_there_is_unknown(sandbox):
    alone = sandbox.alipay(gateway_url="http://127.0.0.1:1/gateway.do")
    assert alone.query("T1234567") == port.Unknown("network: ConnectError")


def test_a_broken_key_is_found_at_the_start_and_not_shown(sandbox):
    with pytest.raises(BadKey) as caught:
        sandbox.alipay(app_private_key_pem="-----BEGIN SECRET-----")
    assert "SECRET" not in str(caught.value)
    shown = repr(sandbox.alipay_config())
    assert "PRIVATE" not in shown
    assert "BEGIN" not in shown
