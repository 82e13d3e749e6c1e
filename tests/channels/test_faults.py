"""Every misbehaviour of a gateway gets the right one of three answers, and the truth is found by asking."""

from __future__ import annotations

import time

import pytest

from payments.channels import port
from tests.channels.rig import a_refund, a_trade, eventually

BOTH = ["alipay", "wechat"]
# Faults that happen after the operation was done: (fault, args).
AFTER = [
    ("http_500_after_success", {}),
    ("no_answer", {}),
    ("drop_connection", {"after": True}),
    ("bad_signature", {}),
    ("unsigned", {}),
]
# Faults that keep the operation from being done.
BEFORE = [
    ("http_500", {}),
    ("no_answer", {"after": False}),
    ("drop_connection", {}),
    ("system_error", {}),
]


@pytest.fixture(params=BOTH)
def channel(request, sandbox):
    return sandbox.channel(request.param, read_timeout_s=0.4)


@pytest.mark.parametrize(("fault", "args"), AFTER + BEFORE)
def test_open_is_unknown_and_repeating_it_is_right(sandbox, channel, fault, args):
    trade = a_trade()
    sandbox.fault(fault, op="open", number=trade.number, **args)
    assert isinstance(channel.open(trade), port.Unknown)
    made = sandbox.control("GET", f"trades?number={trade.number}")["trades"]
    assert len(made) == (0 if (fault, args) in BEFORE else 1)
    assert isinstance(channel.open(trade), port.Started)


@pytest.mark.parametrize(("fault", "args"), AFTER + BEFORE)
def test_query_is_unknown_and_never_a_guess(sandbox, channel, fault, args):
    trade = sandbox.paid(channel)
    sandbox.fault(fault, op="query", number=trade.number, **args)
    assert isinstance(channel.query(trade.number), port.Unknown)
    assert isinstance(channel.query(trade.number), port.Paid)


@pytest.mark.parametrize(("fault", "args"), AFTER + BEFORE)
def test_close_is_unknown_until_asked_again(sandbox, channel, fault, args):
    trade = a_trade()
    sandbox.scan(channel.open(trade).url)
    sandbox.fault(fault, op="close", number=trade.number, **args)
    assert isinstance(channel.close(trade.number), port.Unknown)
    assert isinstance(channel.close(trade.number), port.Closed)


@pytest.mark.parametrize(("fault", "args"), AFTER + BEFORE)
def test_refund_is_unknown_and_its_repetition_refunds_once(sandbox, channel, fault, args):
    trade = sandbox.paid(channel)
    order = a_refund(trade, amount_minor=100)
    sandbox.fault(fault, op="refund", number=trade.number, **args)
    assert isinstance(channel.refund(order), port.Unknown)
    assert isinstance(channel.refund(order), port.Refunded | port.RefundAccepted)
    assert isinstance(eventually(lambda: _done(channel.query_refund(order))), port.Refunded)
    assert sandbox.trade(trade.number)["refunded_minor"] == 100


@pytest.mark.parametrize(("fault", "args"), AFTER + BEFORE)
def test_a_refund_query_is_unknown(sandbox, channel, fault, args):
    trade = sandbox.paid(channel)
    order = a_refund(trade)
    channel.refund(order)
    sandbox.fault(fault, op="refund_query", number=trade.number, **args)
    assert isinstance(channel.query_refund(order), port.Unknown)
    assert isinstance(eventually(lambda: _done(channel.query_refund(order))), port.Refunded)


def _done(answer):
    return answer if isinstance(answer, port.Refunded) else None


def test_declined_is_final_where_the_channel_says_so(sandbox, channel):
    trade = a_trade()
    sandbox.fault("decline", op="open", number=trade.number)
    assert isinstance(channel.open(trade), port.Declined)
    paid = sandbox.paid(channel)
    sandbox.fault("decline", op="refund", number=paid.number)
    assert isinstance(channel.refund(a_refund(paid)), port.Declined)
    assert sandbox.trade(paid.number)["refunded_minor"] == 0


@pytest.mark.parametrize(
    ("code", "told"),
    [("alipay", "ACQ.SELLER_BALANCE_NOT_ENOUGH"), ("wechat", "NOT_ENOUGH"), ("alipay", "ACQ.NEW")],
)
def test_a_refund_refused_for_a_passing_or_unheard_reason_is_not_over(sandbox, code, told):
    channel = sandbox.channel(code)
    trade = sandbox.paid(channel)
    sandbox.fault("decline", op="refund", number=trade.number, code=told)
    assert isinstance(channel.refund(a_refund(trade)), port.Unknown)


def test_a_slow_answer_is_an_answer_within_the_timeout_and_unknown_after(sandbox, channel):
    trade = sandbox.paid(channel)
    sandbox.fault("slow", op="query", number=trade.number, seconds=0.1)
    assert isinstance(channel.query(trade.number), port.Paid)
    sandbox.fault("slow", op="query", number=trade.number, seconds=1.5)
    began = time.monotonic()
    assert channel.query(trade.number) == port.Unknown("timeout: ReadTimeout")
    assert time.monotonic() - began < 1.2


def test_alipay_20000_is_unknown(sandbox):
    alipay = sandbox.alipay()
    trade = sandbox.paid(alipay)
    sandbox.fault("alipay_20000", number=trade.number, times=2)
    assert alipay.query(trade.number) == port.Unknown("20000 isp.unknow-error")
    assert isinstance(alipay.refund(a_refund(trade)), port.Unknown)
    assert sandbox.trade(trade.number)["refunded_minor"] == 0


@pytest.mark.parametrize("done", [True, False])
def test_alipay_code_10000_without_fund_change_is_no_refund_yet(sandbox, done):
    alipay = sandbox.alipay()
    trade = sandbox.paid(alipay)
    order = a_refund(trade)
    sandbox.fault("fund_change_n", op="refund", number=trade.number, done=done)
    assert alipay.refund(order) == port.RefundAccepted()
    found = alipay.query_refund(order)
    assert isinstance(found, port.Refunded if done else port.RefundAbsent)
    assert isinstance(alipay.refund(order), port.RefundAccepted if done else port.Refunded)
    assert sandbox.trade(trade.number)["refunded_minor"] == trade.amount_minor


def test_a_fault_is_used_up_and_only_by_its_own(sandbox):
    wechat = sandbox.wechat()
    mine, other = sandbox.paid(wechat), sandbox.paid(wechat)
    sandbox.fault("http_500", op="query", number=mine.number, times=2)
    assert isinstance(wechat.query(other.number), port.Paid)
    answers = [type(wechat.query(mine.number)) for _ in range(3)]
    assert answers == [port.Unknown, port.Unknown, port.Paid]


def test_a_fault_without_a_count_stays_until_it_is_cleared(sandbox):
    wechat = sandbox.wechat()
    trade = sandbox.paid(wechat)
    sandbox.fault("http_500", op="query", number=trade.number, times=None)
    assert all(isinstance(wechat.query(trade.number), port.Unknown) for _ in range(5))
    sandbox.control("DELETE", "faults")
    assert isinstance(wechat.query(trade.number), port.Paid)


def test_unknown_orders_for_misbehaviour_are_refused(sandbox):
    for asked in ({"fault": "no_such"}, {"fault": "slow", "match": {"op": "dance"}}):
        assert sandbox.http.post(f"{sandbox.url}/_control/faults", json=asked).status_code == 400
    assert sandbox.http.post(f"{sandbox.url}/_control/weather", json={"rain": 1}).status_code == 400


def test_the_weather_is_the_same_for_the_same_seed(sandbox):
    wechat = sandbox.wechat()
    numbers = [f"W{index:07d}" for index in range(60)]

    def struck(seed):
        sandbox.control("POST", "weather", {"seed": seed, "http_500": 0.3})
        first = [isinstance(wechat.query(number), port.Unknown) for number in numbers]
        # Nobody is struck twice: asking again gets through.
        assert not any(isinstance(wechat.query(number), port.Unknown) for number in numbers)
        return first

    seven = struck(7)
    assert 6 <= sum(seven) <= 32
    assert struck(7) == seven
    assert struck(8) != seven


def test_the_weather_declines_payers_not_merchants(sandbox):
    wechat = sandbox.wechat()
    trade = a_trade()
    sandbox.control("POST", "weather", {"seed": 1, "decline": 1.0})
    assert isinstance(wechat.open(trade), port.Started)
    first, second = (sandbox.pay("wechat", trade.number) for _ in range(2))
    assert (first["status"], first["result"]) == (402, "declined")
    assert second["result"] == "paid"
