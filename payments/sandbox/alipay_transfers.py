"""
Alipay's transfers: to an Alipay account at once, to a bank card after a while.

What becomes of one stands in the payee's account: cards that end in 0001 fail, those that end in 0002 are paid and come
back; `nobody@…` does not exist. The app is told of each change at its own address, on the schedule
and with the troubles of every notification.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from payments.sandbox import trades, transfers
from payments.sandbox.alipay_trades import Ask, fen, yuan
from payments.sandbox.books import Row
from payments.sandbox.faults import Fault
from payments.sandbox.messages import CLOCK
from payments.sandbox.play import Result
from payments.sandbox.trades import Refusal
from payments.sandbox.transfers import COMES_BACK_S, TO_ACCOUNT, TO_CARD

SEND, ASK = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
LEAST = 10  # a tenth of a yuan
BANK_TAKES_S = 1.0
ABSENT = Refusal("ORDER_NOT_EXIST", "转账订单不存在")
INVALID = Refusal("INVALID_PARAMETER", "参数有误")


def _send(ask: Ask, _: Fault) -> Result:
    content, payee = ask.content, ask.content.get("payee_info")
    amount = fen(content.get("trans_amount"))
    if not isinstance(payee, dict) or amount is None or not payee.get("identity") or not payee.get("name"):
        return INVALID
    if (
        content.get("product_code") not in (TO_ACCOUNT, TO_CARD)
        or content.get("biz_scene") != "DIRECT_TRANSFER"
    ):
        return INVALID
    if amount < LEAST:
        return Refusal("EXCEED_LIMIT_SM_MIN_AMOUNT", "转账金额低于最低限额")
    known = _find(ask)
    if known is None and str(payee["identity"]).startswith("nobody@"):
        return Refusal("PAYEE_NOT_EXIST", "收款账号不存在")
    if known is not None and (known["amount_minor"], known["account"]) != (amount, payee["identity"]):
        return Refusal("REQUEST_PROCESSING", "请求参数与上次不一致")
    return _told(known or _book(ask, amount, payee), sent=True)


def _book(ask: Ask, amount: int, payee: dict[str, Any]) -> Row:
    now, content = time.time(), ask.content
    takes_s = BANK_TAKES_S / ask.stage.time_factor if content["product_code"] == TO_CARD else 0.0
    transfer: Row = {
        "number": content["out_biz_no"],
        "reference": trades.reference("31"),
        "amount_minor": amount,
        "product": content["product_code"],
        "account": payee["identity"],
        "name": payee["name"],
        "created_at": now,
        "done_at": now + takes_s,
    }
    ask.stage.books.insert("transfers", **transfer)
    _tell(ask, transfer)
    return transfer


def _tell(ask: Ask, transfer: Row) -> None:
    """The app is told when it is through, and again when it comes back."""
    ask.stage.notifier.owe_transfer(transfer["number"], due_at=transfer["done_at"])
    if transfers.comes_back(transfer):
        back_at = transfer["done_at"] + COMES_BACK_S / ask.stage.time_factor
        ask.stage.notifier.owe_transfer(transfer["number"], due_at=back_at)


def _ask(ask: Ask, _: Fault) -> Result:
    found = _find(ask)
    if found is None or found["product"] != ask.content.get("product_code"):
        return ABSENT
    state = found["state"]
    told = _told(found) | {"trans_amount": yuan(found["amount_minor"]), "status": state}
    if state in ("FAIL", "REFUND"):
        told |= {"error_code": "PAYEE_CARD_INFO_ERROR", "fail_reason": "收款方银行卡信息有误"}
    return told


def _find(ask: Ask) -> Row | None:
    return transfers.find(ask.stage.books, str(ask.content["out_biz_no"]), ask.stage.time_factor)


def _told(transfer: Row, *, sent: bool = False) -> dict[str, Any]:
    at = trades.beijing(transfer["done_at"]).strftime(CLOCK)
    told = {
        "out_biz_no": transfer["number"],
        "order_id": transfer["reference"],
        "pay_fund_order_id": transfer["reference"],
    }
    if not sent:
        return told | {"pay_date": at}
    return told | {"trans_date": at, "status": "DEALING" if transfer["product"] == TO_CARD else "SUCCESS"}


ACTS: dict[str, Callable[[Ask, Fault], Result]] = {SEND: _send, ASK: _ask}
