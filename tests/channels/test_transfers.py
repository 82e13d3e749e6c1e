"""Paying out over Alipay's wire, against the sandbox: every answer that is easy to misread."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from payments.channels import alipay_payouts, payouts, port
from payments.channels.alipay_payouts import AlipayPayouts
from payments.channels.signing import sign
from tests.channels.rig import eventually, number
from tests.channels.rig import now as now_

THEIR_KEY = "alipay_gateway_private.pem"


@pytest.fixture
def paymaster(sandbox: Any) -> AlipayPayouts:
    return AlipayPayouts(sandbox.alipay().call)


def a_transfer(**changes: Any) -> payouts.Transfer:
    facts = {
        "number": number("D"),
        "amount_minor": 12_345,
        "currency": "CNY",
        "kind": payouts.ALIPAY,
        "account": "lin@example.com",
        "name": "林薇",
        "title": "Kaipiao",
    }
    return payouts.Transfer(**(facts | changes))


def card(last: str, **changes: Any) -> payouts.Transfer:
    return a_transfer(kind=payouts.BANK, account=f"622202000000{last}", **changes)


def test_an_alipay_account_has_it_at_once_and_only_once(paymaster):
    transfer = a_transfer()
    assert paymaster.ask(transfer) == payouts.TransferAbsent()
    done = paymaster.send(transfer)
    assert isinstance(done, payouts.TransferDone)
    assert done.amount_minor == 12_345
    again, asked = paymaster.send(transfer), paymaster.ask(transfer)
    assert again == done
    assert asked == done


def test_a_card_takes_a_while(paymaster):
    transfer = card("1234")
    assert paymaster.send(transfer) == payouts.TransferWorking()
    done = eventually(lambda: isinstance(found := paymaster.ask(transfer), payouts.TransferDone) and found)
    assert done.amount_minor == 12_345


def test_a_card_that_fails_and_one_that_sends_back(paymaster):
    for last, end in (("0001", payouts.TransferFailed), ("0002", payouts.TransferReturned)):
        transfer = card(last)
        paymaster.send(transfer)
        found = eventually(lambda t=transfer, e=end: isinstance(a := paymaster.ask(t), e) and a)
        assert found.code == "PAYEE_CARD_INFO_ERROR"


def test_a_payee_who_does_not_exist_is_refused_and_nothing_is_there(paymaster):
    transfer = a_transfer(account="nobody@example.com")
    assert paymaster.send(transfer) == port.Declined("PAYEE_NOT_EXIST", "收款账号不存在")
    assert paymaster.ask(transfer) == payouts.TransferAbsent()


@pytest.mark.parametrize("code", ["PAYER_BALANCE_NOT_ENOUGH", "SYSTEM_ERROR", "EXCEED_LIMIT_DM_AMOUNT"])
def test_what_is_not_the_payees_fault_is_unknown(sandbox, paymaster, code):
    transfer = a_transfer()
    sandbox.fault("decline", op="transfer", number=transfer.number, code=code)
    assert isinstance(paymaster.send(transfer), port.Unknown)


@pytest.mark.parametrize("fault", ["http_500_after_success", "bad_signature", "unsigned", "alipay_20000"])
def test_an_answer_that_cannot_be_believed_is_unknown_and_asking_tells(sandbox, paymaster, fault):
    transfer = a_transfer()
    sandbox.fault(fault, op="transfer", number=transfer.number)
    assert isinstance(paymaster.send(transfer), port.Unknown)
    there = isinstance(paymaster.ask(transfer), payouts.TransferDone)
    assert there == (fault != "alipay_20000")
    assert isinstance(paymaster.send(transfer), payouts.TransferDone)


def told(sandbox: Any, **changes: str) -> bytes:
    """The message of a changed transfer, signed as Alipay signs it."""
    facts = sandbox.facts()["alipay"]
    fields = {
        "app_id": facts["app_id"],
        "biz_content": '{"out_biz_no":"D1","status":"SUCCESS","trans_amount":"1.00"}',
        "charset": "UTF-8",
        "msg_method": alipay_payouts.CHANGED,
        "notify_id": "n1",
        "utc_timestamp": "1514210452731",
        "version": "1.1",
    } | changes
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    [theirs] = [*sandbox.keys.rglob(THEIR_KEY), *sandbox.state.rglob(THEIR_KEY)]
    key = load_pem_private_key(theirs.read_bytes(), None)
    return urlencode(fields | {"sign": sign(key, text.encode()), "sign_type": "RSA2"}).encode()


def test_its_message_names_the_transfer_and_is_believed_for_its_signature_alone(sandbox):
    alipay = sandbox.alipay()
    notice = alipay.read_notify(headers={}, body=told(sandbox), now=now_())
    assert (notice.transfer_number, notice.event_id, notice.payment_number) == ("D1", "n1", "")
    spoilt = urlencode(dict(parse_qsl(told(sandbox).decode())) | {"version": "1.0"}).encode()
    for body, why in ((spoilt, "bad_signature"), (told(sandbox, app_id="2021"), "wrong_app")):
        with pytest.raises(port.NotifyRefused, match=why):
            alipay.read_notify(headers={}, body=body, now=now_())


class TestTheMessage:
    """Over real HTTP to the address of the app, with the troubles of every notification."""

    @pytest.fixture
    def told(self, sandbox, merchant):
        merchant.channel = sandbox.alipay()
        sandbox.control("POST", "app", {"url": merchant.url})
        yield merchant
        sandbox.control("POST", "app", {"url": ""})

    def test_each_change_is_told_once_and_names_the_transfer_alone(self, told, paymaster, sandbox):
        transfer = card("0002")
        paymaster.send(transfer)
        first, second = eventually(lambda: len(told.notices) == 2 and told.notices)
        assert {one.transfer_number for one in (first, second)} == {transfer.number}
        assert (first.payment, first.payment_number) == (None, "")
        assert first.event_id != second.event_id
        eventually(lambda: all(row["state"] == "done" for row in sandbox.notifies(transfer.number)))
        assert not told.refusals

    def test_it_may_come_before_the_answer(self, told, paymaster, sandbox):
        transfer = a_transfer()
        sandbox.fault("notify_before_response", op="transfer", number=transfer.number)
        assert isinstance(paymaster.send(transfer), payouts.TransferDone)
        assert [one.transfer_number for one in told.notices] == [transfer.number]

    def test_doubled_late_and_forged(self, told, paymaster, sandbox):
        transfer = a_transfer()
        sandbox.fault("notify_doubled", op="notify", number=transfer.number)
        paymaster.send(transfer)
        one, other = eventually(lambda: len(told.notices) == 2 and told.notices)
        assert one.event_id == other.event_id
        forged = a_transfer()
        sandbox.fault("notify_forged", op="notify", number=forged.number)
        paymaster.send(forged)
        assert eventually(lambda: told.refusals) == ["bad_signature"]
        eventually(lambda: told.notices[-1].transfer_number == forged.number)

    def test_lost_it_leaves_only_the_question(self, told, paymaster, sandbox):
        transfer = a_transfer()
        sandbox.fault("notify_lost", op="notify", number=transfer.number)
        paymaster.send(transfer)
        eventually(lambda: sandbox.notifies(transfer.number)[0]["attempts"] >= 1)
        assert told.notices == []
        assert isinstance(paymaster.ask(transfer), payouts.TransferDone)

    @pytest.mark.parametrize(
        ("variant", "why"),
        [
            *(("forged", "bad_signature"), ("tampered", "bad_signature"), ("unsigned", "bad_signature")),
            *(("wrong_app", "wrong_app"), ("malformed", "malformed"), ("sha1", "bad_signature")),
        ],
    )
    def test_every_spoilt_one_is_refused(self, sandbox, paymaster, variant, why):
        transfer = a_transfer()
        paymaster.send(transfer)
        headers, body = sandbox.message("alipay", transfer.number, variant)
        with pytest.raises(port.NotifyRefused, match=why):
            sandbox.alipay().read_notify(headers=headers, body=body, now=now_())
