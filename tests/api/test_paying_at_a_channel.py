"""Payments at real channels over HTTP: cashier, check, switch, lost answers, surplus money."""

import pytest
import redis
from django.utils import timezone

from basis import fast
from payments.models import Payment
from tests.api.conftest import problem, token_for

pytestmark = pytest.mark.django_db


def press(who, number, channel, token=None, kind="order"):
    token = token or token_for(who, number, "orders" if kind == "order" else "wallet/topups")
    return who.post("/payments", {kind: number, "channel": channel, "token": token})


def paid_at(channels, payment):
    channels.scan(payment["cashier"]["url"])
    assert channels.pay(payment["channel"], payment["number"])["result"] == "paid"


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_pay_and_check(channel, lin, place, channels):
    number = place(lin)["number"]
    offer = lin.post(f"/orders/{number}/payment-token", key=None).json()
    assert offer["channels"] == ["wallet", "alipay", "wechat"]
    answer = press(lin, number, channel, offer["token"])
    assert answer.status_code == 201
    payment = answer.json()
    assert (payment["state"], payment["outcome"], payment["paid_at"]) == ("pending", "", None)
    assert payment["cashier"]["url"]
    assert lin.get(f"/orders/{number}").json()["state"] == "paying"
    resumed = lin.post(f"/orders/{number}/payment-token", key=None).json()
    assert resumed["payment"] == payment
    waiting = lin.post(f"/payments/{payment['number']}/check", key=None)
    assert (waiting.status_code, waiting.json()["state"]) == (200, "pending")
    again = lin.post(f"/payments/{payment['number']}/check", key=None)
    assert problem(again, 429, "too_many_requests")["retryable"] is True
    assert again["Retry-After"] == "2"
    paid_at(channels, payment)
    fast.store().flushdb()
    done = lin.post(f"/payments/{payment['number']}/check", key=None).json()
    assert (done["state"], done["outcome"], done["cashier"]) == ("succeeded", "won", None)
    assert done["paid_at"].endswith("Z")
    assert lin.get(f"/orders/{number}").json()["payment"] == payment["number"]
    # What is final needs no question, however often one checks.
    for _ in range(3):
        assert lin.post(f"/payments/{payment['number']}/check", key=None).status_code == 200


def test_check_without_the_fast_store_asks_nobody(lin, place, channels, monkeypatch):
    payment = press(lin, place(lin)["number"], "wechat").json()
    paid_at(channels, payment)
    away = redis.Redis(unix_socket_path="/nonexistent/valkey.sock", socket_connect_timeout=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(fast, "store", lambda: away)
        answer = lin.post(f"/payments/{payment['number']}/check", key=None)
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")


def test_check_of_a_channel_that_was_switched_off(lin, place, channels, settings):
    from payments.channels import registry

    payment = press(lin, place(lin)["number"], "alipay").json()
    settings.SANDBOX_URL = ""
    registry._channels.cache_clear()
    problem(lin.post(f"/payments/{payment['number']}/check", key=None), 409, "channel_not_offered")


def test_the_token_of_one_channel_at_another(lin, place, channels):
    number = place(lin)["number"]
    token = token_for(lin, number)
    payment = press(lin, number, "alipay", token).json()
    body = problem(press(lin, number, "wechat", token), 409, "token_used_elsewhere")
    assert body["payment"] == payment["number"]
    assert Payment.objects.count() == 1


def test_incident_5_switching_closes_the_first(lin, place, channels):
    number = place(lin)["number"]
    first = press(lin, number, "alipay").json()
    channels.scan(first["cashier"]["url"])
    second = press(lin, number, "wechat").json()
    assert second["number"] != first["number"]
    left = lin.get(f"/payments/{first['number']}").json()
    assert (left["state"], left["cashier"]) == ("closed", None)
    paid_at(channels, second)
    lin.post(f"/payments/{second['number']}/check", key=None)
    assert lin.get(f"/orders/{number}").json()["payment"] == second["number"]


def test_surplus_money_shows_its_refund(lin, place, channels, settle_outbox, clock):
    number = place(lin)["number"]
    payment = press(lin, number, "wechat").json()
    paid_at(channels, payment)
    cancelled = lin.post(f"/orders/{number}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    done = lin.post(f"/payments/{payment['number']}/check", key=None).json()
    assert (done["state"], done["outcome"]) == ("succeeded", "surplus")
    [refund] = done["refunds"]
    assert (refund["amount"]["amount"], refund["reason"]) == (38_000, "cancelled")
    clock.now = timezone.now()
    settle_outbox()
    [listed] = lin.get("/payments").json()["items"]
    assert listed["refunds"][0]["state"] in ("processing", "succeeded")
    texts = [line["code"] for line in lin.get(f"/orders/{number}/timeline").json()["items"]]
    assert any(code.startswith("refund.") for code in texts)


def test_a_channel_that_does_not_answer_is_unknown_not_an_error(lin, place, channels, settings):
    from payments.channels import registry

    settings.CHANNEL_TIMEOUT_S = 0.3
    registry._channels.cache_clear()
    channels.fault("no_answer", op="open", seconds=1)
    answer = press(lin, place(lin)["number"], "wechat")
    assert (answer.status_code, answer.json()["state"]) == (201, "unknown")


def test_a_topup_through_a_channel(lin, channels):
    topup = lin.post("/wallet/topups", {"amount": 50_000}).json()
    payment = press(lin, topup["number"], "wechat", kind="topup").json()
    assert payment["purchase"] == {"kind": "topup", "number": topup["number"]}
    paid_at(channels, payment)
    lin.post(f"/payments/{payment['number']}/check", key=None)
    credited = lin.get(f"/wallet/topups/{topup['number']}").json()
    assert (credited["state"], credited["payment"]) == ("credited", payment["number"])
    assert lin.get("/wallet").json()["cash"]["amount"] == 250_000


def test_the_channel_sends_the_buyer_back_to_the_order(lin, place, channels, settings, monkeypatch):
    from payments import checkout

    seen = []
    pay = checkout.pay
    monkeypatch.setattr(checkout, "pay", lambda **given: seen.append(given["return_url"]) or pay(**given))
    number = place(lin)["number"]
    press(lin, number, "wechat")
    assert seen == [f"{settings.PUBLIC_URL}/orders/{number}/"]
