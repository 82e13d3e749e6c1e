"""
Paying out over Alipay: `alipay.fund.trans.uni.transfer` to an Alipay account or a bank card, its query, its message.

A refusal at sending may hide an earlier success under the same number: whoever is refused asks before believing it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from payments.channels import port
from payments.channels.alipay_answers import CURRENCY, OK, beijing_time, code_of, declined, read
from payments.channels.payouts import (
    BANK,
    AskResult,
    SendResult,
    Transfer,
    TransferAbsent,
    TransferDone,
    TransferFailed,
    TransferReturned,
    TransferWorking,
)
from payments.channels.yuan import to_fen, to_yuan

SEND = "alipay.fund.trans.uni.transfer"
ASK = "alipay.fund.trans.common.query"
CHANGED = "alipay.fund.trans.order.changed"
SCENE = "DIRECT_TRANSFER"
TO_ACCOUNT, TO_CARD = "TRANS_ACCOUNT_NO_PWD", "TRANS_BANKCARD_NO_PWD"
PERSONAL, COMPANY = "2", "1"
TITLE_MAX = 128
ABSENT = "ORDER_NOT_EXIST"

# What is wrong with the payee. Anything else (their fault, our balance, a limit) is asked and sent again.
PAYEE_REFUSALS = frozenset(
    {
        "PAYEE_NOT_EXIST",
        "PAYEE_USER_INFO_ERROR",
        "PAYEE_USERINFO_STATUS_ERROR",
        "PAYEE_ACC_OCUPIED",
        "CARD_BIN_ERROR",
        "INVALID_CARDNO",
    }
)

# Calls a method of the gateway; answers the verified object, whatever its code.
Call = Callable[[str, Mapping[str, Any]], "dict[str, Any] | port.Unknown"]


class AlipayPayouts:
    """The `Payouts` of one merchant app; `call` is its gateway."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def send(self, transfer: Transfer) -> SendResult:
        if transfer.currency != CURRENCY:
            return port.Declined("currency_not_supported", transfer.currency)
        answer = self._call(SEND, content_of(transfer))
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("code") != OK:
            final = str(answer.get("sub_code")) in PAYEE_REFUSALS
            return declined(answer) if final else port.Unknown(code_of(answer))
        return read(_sent, answer, transfer)

    def ask(self, transfer: Transfer) -> AskResult:
        wanted = {"out_biz_no": transfer.number, "product_code": _product(transfer), "biz_scene": SCENE}
        answer = self._call(ASK, wanted)
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("sub_code") == ABSENT:
            return TransferAbsent()
        if answer.get("code") != OK:
            return port.Unknown(code_of(answer))
        return read(_found, answer, transfer)


def content_of(transfer: Transfer) -> dict[str, Any]:
    """The business content of a transfer, every time the same."""
    payee: dict[str, Any] = {
        "identity": transfer.account,
        "identity_type": "BANKCARD_ACCOUNT" if transfer.kind == BANK else "ALIPAY_LOGON_ID",
        "name": transfer.name,
    }
    if transfer.kind == BANK:
        payee["bankcard_ext_info"] = {"account_type": COMPANY if transfer.is_company else PERSONAL}
    return {
        "out_biz_no": transfer.number,
        "trans_amount": to_yuan(transfer.amount_minor),
        "product_code": _product(transfer),
        "biz_scene": SCENE,
        "order_title": transfer.title[:TITLE_MAX],
        "payee_info": payee,
    }


def _product(transfer: Transfer) -> str:
    return TO_CARD if transfer.kind == BANK else TO_ACCOUNT


def _sent(answer: Mapping[str, Any], transfer: Transfer) -> SendResult:
    if answer["out_biz_no"] != transfer.number:
        return port.Unknown("answer_for_another_transfer")
    if answer["status"] == "SUCCESS":
        return TransferDone(
            str(answer["order_id"]), transfer.amount_minor, beijing_time(answer["trans_date"])
        )
    return TransferWorking() if answer["status"] == "DEALING" else port.Unknown(f"status {answer['status']}")


def _found(answer: Mapping[str, Any], transfer: Transfer) -> AskResult:
    if answer.get("out_biz_no", transfer.number) != transfer.number:
        return port.Unknown("answer_for_another_transfer")
    why = str(answer.get("error_code") or answer["status"]), str(answer.get("fail_reason") or "")
    match answer["status"]:
        case "SUCCESS":
            done_at = beijing_time(answer["pay_date"])
            return TransferDone(str(answer["order_id"]), to_fen(answer["trans_amount"]), done_at)
        case "DEALING" | "WAIT_PAY":
            return TransferWorking()
        case "FAIL" | "CLOSED":
            return TransferFailed(*why)
        case "REFUND":
            return TransferReturned(*why)
        case status:
            return port.Unknown(f"status {status}")


def to_notice(fields: Mapping[str, str], key_id: str) -> port.Notice:
    """
    A message that a transfer changed: it names the transfer and leaves the fact to the query.

    :raises port.NotifyRefused: malformed
    """
    try:
        number = json.loads(fields["biz_content"])["out_biz_no"]
        if not isinstance(number, str) or not number or not fields["notify_id"]:
            raise ValueError("no number")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise port.NotifyRefused("malformed", str(error)) from error
    return port.Notice(event_id=fields["notify_id"], key_id=key_id, payment_number="", transfer_number=number)
