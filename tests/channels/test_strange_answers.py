"""No answer and no notification, however strange and however well signed, makes an adapter raise or invent money."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.channels import port
from payments.channels.wire import Answer
from payments.sandbox import crypto
from payments.sandbox.messages import signed_headers
from tests.channels.rig import a_refund, a_trade, now

TRADE = a_trade()
ORDER = a_refund(TRADE)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
WORDS = {
    "code": ["10000", "40004", "20000", "40002", "ORDERPAID", "ORDER_NOT_EXIST"],
    "sub_code": ["ACQ.TRADE_NOT_EXIST", "ACQ.SYSTEM_ERROR", "ACQ.TRADE_STATUS_ERROR"],
    "out_trade_no": [TRADE.number],
    "out_request_no": [ORDER.number],
    "out_refund_no": [ORDER.number],
    "trade_status": ["TRADE_SUCCESS", "TRADE_CLOSED", "WAIT_BUYER_PAY", "TRADE_FINISHED", "NEW"],
    "trade_state": ["SUCCESS", "REFUND", "CLOSED", "NOTPAY", "PAYERROR", "NEW"],
    "status": ["SUCCESS", "PROCESSING", "CLOSED", "ABNORMAL", "NEW"],
    "total_amount": ["380.00", "380", "-1", "1e3"],
    "refund_amount": ["380.00", "", "x"],
    "refund_status": ["REFUND_SUCCESS", "REFUND_PROCESSING"],
    "fund_change": ["Y", "N"],
    "send_pay_date": ["2026-11-22 20:00:00", "2026-11-22"],
    "gmt_refund_pay": ["2026-11-22 20:00:00", "yesterday"],
    "success_time": ["2026-11-22T20:00:00+08:00", "2026-11-22T20:00:00"],
    "trade_no": ["2200001"],
    "transaction_id": ["4200001", ""],
    "refund_id": ["5000001"],
    "qr_code": ["https://qr.example/1"],
    "code_url": ["weixin://pay/1"],
    "mchid": [],
    "appid": [],
    "amount": [{"total": 38000, "refund": 38000, "currency": "CNY"}, {"total": 1.5}, {"total": True}, {}],
}
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(words) | ANYTHING if words else ANYTHING for name, words in WORDS.items()
    },
)


def asked_everything(channel: port.Channel) -> list[object]:
    return [
        channel.open(TRADE),
        channel.query(TRADE.number),
        channel.close(TRADE.number),
        channel.refund(ORDER),
        channel.query_refund(ORDER),
    ]


def check(results: list[object]) -> None:
    allowed = (port.OpenResult, port.QueryResult, port.CloseResult, port.RefundResult, port.RefundQueryResult)
    for result, kinds in zip(results, allowed, strict=True):
        assert isinstance(result, kinds)
        if isinstance(result, port.Paid | port.Refunded):
            assert type(result.amount_minor) is int
            assert result.amount_minor >= 0


@FEW
@given(answer=ANSWERS)
def test_alipays(house, answer):
    key = crypto.read_private(house.keys / "alipay_gateway_private.pem")
    alipay = house.alipay()

    def send(method, url, *, headers, body=b""):
        name = url.split("method=")[1].split("&")[0].replace(".", "_") + "_response"
        text = json.dumps(answer)
        told = f'{{"{name}":{text},"sign":"{crypto.signature_of(key, text.encode())}"}}'
        return Answer(200, {}, told.encode())

    alipay._wire.send = send
    check(asked_everything(alipay))


@FEW
@given(answer=ANSWERS, status=st.sampled_from([200, 204, 400, 404, 500]), ours=st.booleans())
def test_wechats(house, answer, status, ours):
    facts = house.facts()["wechat"]
    key = crypto.read_private(house.keys / "wechat_platform_public_private.pem")
    serial = next(serial for serial in facts["platform_keys"] if serial.startswith("PUB_"))
    wechat = house.wechat()
    if ours:
        answer = answer | {"mchid": facts["mchid"], "appid": facts["appid"], "out_trade_no": TRADE.number}

    def send(method, url, *, headers, body=b""):
        told = json.dumps(answer).encode()
        signed = signed_headers(serial, key, told, at=time.time())
        return Answer(status, {name.lower(): value for name, value in signed.items()}, told)

    wechat._wire.send = send
    check(asked_everything(wechat))


@pytest.mark.parametrize("code", ["alipay", "wechat"])
@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 40_000, b"null", b"[]", b"\xff", b'{"sign":1}'])
def test_bytes_that_are_hard_to_parse(house, code, body):
    channel = house.channel(code)
    for status in (200, 400, 404, 500):
        channel._wire.send = lambda *_, status=status, **__: Answer(status, {}, body)
        assert {type(result) for result in asked_everything(channel)} == {port.Unknown}


HEADERS = st.dictionaries(
    st.sampled_from([f"Wechatpay-{name}" for name in ("Serial", "Timestamp", "Nonce", "Signature")]),
    st.text(max_size=20) | st.just(str(int(time.time()))),
)


@pytest.mark.parametrize("code", ["alipay", "wechat"])
@FEW
@given(headers=HEADERS, body=st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode()))
def test_any_notification_is_read_or_refused(house, code, headers, body):
    with pytest.raises(port.NotifyRefused):
        house.channel(code).read_notify(headers=headers, body=body, now=now())
