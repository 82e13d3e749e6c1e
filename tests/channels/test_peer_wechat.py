"""wechatpayv3 and we must agree on every byte that is signed or sealed, in both directions, and on what is refused."""

from __future__ import annotations

import json
import re
import time

import pytest

from payments.channels import port
from tests.channels.peer import Tap, started
from tests.channels.rig import a_refund, a_trade, eventually, now
from tests.channels.test_alipay import SUBJECTS

pytestmark = pytest.mark.peer
MODES = ["public_key", "certificate"]


@pytest.fixture(scope="module")
def peer(house):
    facts = house.facts()["wechat"]
    settings = {
        "gateway": f"{house.url}/wechat",
        "mchid": facts["mchid"],
        "appid": facts["appid"],
        "private_key": house.pem(facts["merchant_private_key"]),
        "cert_serial_no": facts["merchant_serial"],
        "apiv3_key": facts["apiv3_key"],
        "notify_url": "http://127.0.0.1:1/n",
    }
    public_id = next(serial for serial in facts["platform_keys"] if serial.startswith("PUB_KEY_ID_"))
    public = {"public_key": house.pem(facts["platform_keys"][public_id]), "public_key_id": public_id}
    with started("wechat") as peer:
        peer.ask("init", name="public_key", **settings, **public)
        peer.ask("init", name="certificate", **settings)
        yield peer


@pytest.mark.parametrize("subject", SUBJECTS)
def test_it_would_sign_every_request_as_we_do(sandbox, peer, subject):
    wechat = sandbox.wechat(notify_url="http://127.0.0.1:1/n")
    tap, trade = Tap(wechat._wire), a_trade(subject=subject)
    wechat.open(trade)
    sandbox.pay("wechat", trade.number)
    wechat.query(trade.number)
    wechat.close(trade.number)
    order = a_refund(trade, reason=subject)
    wechat.refund(order)
    wechat.query_refund(order)
    assert len(tap.sent) == 6  # close asks once more, to know why it was refused
    facts = sandbox.facts()["wechat"]
    for method, url, headers, body in tap.sent:
        ours = dict(re.findall(r'(\w+)="([^"]*)"', headers["Authorization"]))
        told = peer.ask(
            "authorization",
            private_key=sandbox.pem(facts["merchant_private_key"]),
            path=url.removeprefix(f"{sandbox.url}/wechat"),
            method=method,
            mchid=facts["mchid"],
            serial=facts["merchant_serial"],
            body=body.decode(),
            nonce=ours["nonce_str"],
            timestamp=int(ours["timestamp"]),
        )
        assert told == headers["Authorization"]


@pytest.mark.parametrize("mode", MODES)
def test_it_believes_the_sandboxs_answers_and_not_spoilt_ones(sandbox, peer, mode):
    keys = sandbox.wechat_config().platform_keys
    serial = next(serial for serial in keys if serial.startswith("PUB_") is (mode == "public_key"))
    wechat = sandbox.wechat(answer_serial=serial)
    tap, trade = Tap(wechat._wire), a_trade()
    wechat.open(trade)
    wechat.query(trade.number)
    wechat.close(trade.number)
    assert [answer.status for answer in tap.answers] == [200, 200, 204]
    for answer in tap.answers:
        headers = {name.title(): value for name, value in answer.headers.items()}
        body = answer.body.decode()
        assert peer.ask("verify_answer", name=mode, headers=headers, body=body)
        assert not peer.ask("verify_answer", name=mode, headers=headers, body=body + " ")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_it_reads_the_sandboxs_notifications(sandbox, peer, subject):
    wechat = sandbox.wechat()
    trade = sandbox.paid(wechat, subject=subject)
    seen = set()
    while seen != set(MODES):
        headers, body = sandbox.message("wechat", trade.number, "true")
        mode = "public_key" if headers["Wechatpay-Serial"].startswith("PUB_") else "certificate"
        told = peer.ask("callback", name=mode, headers=headers, body=body.decode())
        notice = wechat.read_notify(headers=headers, body=body, now=now())
        assert told["id"] == notice.event_id
        assert told["resource"]["transaction_id"] == notice.payment.channel_reference
        seen.add(mode)


@pytest.mark.parametrize("variant", ["forged", "tampered", "sha1", "probe", "bad_cipher"])
def test_it_refuses_what_we_refuse(sandbox, peer, variant):
    trade = sandbox.paid(sandbox.wechat())
    headers, body = sandbox.message("wechat", trade.number, variant)
    mode = "public_key" if headers["Wechatpay-Serial"].startswith("PUB_") else "certificate"
    told = peer.tell("callback", name=mode, headers=headers, body=body.decode())
    assert "error" in told or told["result"] is None


def test_it_reads_refund_notifications(sandbox, peer):
    wechat = sandbox.wechat()
    trade = sandbox.paid(wechat)
    order = a_refund(trade, amount_minor=100)
    wechat.refund(order)
    eventually(lambda: isinstance(wechat.query_refund(order), port.Refunded))
    headers, body = sandbox.message("wechat", trade.number, "true", refund_number=order.number)
    mode = "public_key" if headers["Wechatpay-Serial"].startswith("PUB_") else "certificate"
    resource = peer.ask("callback", name=mode, headers=headers, body=body.decode())["resource"]
    assert (resource["out_refund_no"], resource["amount"]["refund"]) == (order.number, 100)


@pytest.mark.parametrize("family", ["public", "certified"])
def test_we_believe_notifications_that_it_signs(sandbox, peer, family):
    facts = sandbox.facts()["wechat"]
    serial = next(serial for serial, name in facts["platform_keys"].items() if family in name.split("_")[2])
    resource = {
        "mchid": facts["mchid"],
        "appid": facts["appid"],
        "out_trade_no": "T1234567",
        "transaction_id": "42000001",
        "trade_state": "SUCCESS",
        "success_time": "2026-11-22T20:00:00+08:00",
        "amount": {"total": 38000, "currency": "CNY"},
    }
    event = {"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource_type": "encrypt-resource"}
    told = peer.ask(
        "notification",
        private_key=sandbox.pem(f"wechat_platform_{family}_private.pem"),
        serial=serial,
        apiv3_key=facts["apiv3_key"],
        event=event,
        resource=resource,
        timestamp=int(time.time()),
    )
    wechat, body = sandbox.wechat(), told["body"].encode()
    notice = wechat.read_notify(headers=told["headers"], body=body, now=now())
    assert (notice.event_id, notice.payment.amount_minor) == ("EV-1", 38000)
    with pytest.raises(port.NotifyRefused, match="bad_signature"):
        wechat.read_notify(headers=told["headers"], body=body.replace(b"EV-1", b"EV-2"), now=now())


@pytest.mark.parametrize("mode", MODES)
def test_it_buys_at_the_sandbox(sandbox, peer, mode):
    trade = a_trade()

    def drive(call, **arguments):
        told = peer.ask("drive", name=mode, call=call, **arguments)
        return told["status"], told["message"] and json.loads(told["message"])

    amount = {"total": 38000, "currency": "CNY"}
    status, told = drive("pay", description="票 {1} & 2", out_trade_no=trade.number, amount=amount)
    assert status == 200
    sandbox.scan(told["code_url"])
    sandbox.pay("wechat", trade.number)
    assert drive("query", out_trade_no=trade.number)[1]["trade_state"] == "SUCCESS"
    part = {"refund": 100, "total": 38000, "currency": "CNY"}
    refund = {"out_refund_no": f"P{trade.number}", "amount": part, "out_trade_no": trade.number}
    assert drive("refund", **refund)[0] == 200
    eventually(lambda: drive("query_refund", out_refund_no=refund["out_refund_no"])[1]["status"] == "SUCCESS")
    assert drive("close", out_trade_no=trade.number)[1]["code"] == "ORDERPAID"
    # Our adapter sees what the peer did.
    assert sandbox.wechat().query(trade.number).amount_minor == 38000


def test_its_close_of_an_open_trade_is_signed_over_nothing(sandbox, peer):
    trade = a_trade()
    sandbox.wechat().open(trade)
    assert peer.ask("drive", name="public_key", call="close", out_trade_no=trade.number)["status"] == 204
    assert isinstance(sandbox.wechat().query(trade.number), port.Closed)
