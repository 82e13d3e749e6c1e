"""
What WeChat Pay's gateway does with trades and refunds once it believes a request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payments.sandbox import trades
from payments.sandbox.books import Row
from payments.sandbox.faults import Fault
from payments.sandbox.messages import transaction
from payments.sandbox.play import Result, Stage
from payments.sandbox.trades import Refusal

NUMBER = re.compile(r"[A-Za-z0-9_\-|*]{6,32}")
REFUND_NUMBER = re.compile(r"[A-Za-z0-9_\-|*@]{1,64}")
DESCRIPTION_MAX = 127
EARLIEST_S = 60  # a deadline nearer than a minute is refused
UNTIL_S = 7 * 86400  # how long a trade can be paid when the merchant does not say
REFUND_TAKES_S = 3.0  # divided by the time factor; the real one takes up to minutes
REFUNDS_MAX = 50
ABSENT = Refusal("ORDER_NOT_EXIST", "订单不存在", 404)


@dataclass(frozen=True, slots=True)
class Ask:
    """One believed request. `origin` is the address at which the merchant reached us."""

    stage: Stage
    content: dict[str, Any]
    origin: str


def open_trade(ask: Ask, _: Fault) -> Result:
    content = ask.content
    refusal = _check_trade(content)
    if refusal:
        return refusal
    amount, number = content["amount"]["total"], content["out_trade_no"]
    known = trades.find(ask.stage.books, "wechat", number)
    if known:
        return _open_again(ask, known, amount)
    trade: Row = {
        "channel": "wechat",
        "number": number,
        "reference": trades.reference("4200"),
        "subject": content["description"],
        "amount_minor": amount,
        "refunded_minor": 0,
        "state": "waiting",
        "product": "native",
        "buyer": "o" + trades.reference("")[-20:],
        "notify_url": content["notify_url"],
        "return_url": "",
        "created_at": time.time(),
        "expires_at": _expiry(content) or time.time() + UNTIL_S,
    }
    ask.stage.books.insert("trades", **trade)
    return _code_url(ask, number)


def _check_trade(content: Mapping[str, Any]) -> Refusal | None:
    if not NUMBER.fullmatch(str(content.get("out_trade_no", ""))):
        return Refusal("PARAM_ERROR", "out_trade_no")
    description = content.get("description")
    if not isinstance(description, str) or not 1 <= len(description) <= DESCRIPTION_MAX:
        return Refusal("PARAM_ERROR", "description")
    if "?" in str(content.get("notify_url", "?")):
        return Refusal("PARAM_ERROR", "notify_url")
    amount = content.get("amount")
    if not isinstance(amount, dict) or not _is_fen(amount.get("total")):
        return Refusal("PARAM_ERROR", "amount.total")
    if "time_expire" in content and (_expiry(content) or 0) < time.time() + EARLIEST_S:
        return Refusal("PARAM_ERROR", "time_expire")
    return None


def _open_again(ask: Ask, trade: Row, amount: int) -> Result:
    if trade["state"] == "paid":
        return Refusal("ORDERPAID", "该订单已支付")
    if trade["state"] == "closed":
        return Refusal("ORDER_CLOSED", "订单已关闭")
    if trade["amount_minor"] != amount:
        return Refusal("OUT_TRADE_NO_USED", "商户订单号重复", 403)
    return _code_url(ask, trade["number"])


def _code_url(ask: Ask, number: str) -> Result:
    return {"code_url": f"{ask.origin}/cashier/wechat/{number}"}


def query(ask: Ask, _: Fault) -> Result:
    trade = trades.find(ask.stage.books, "wechat", ask.content["out_trade_no"])
    if trade is None:
        return ABSENT
    return transaction(ask.stage.keys, trade, refunded_minor=trade["refunded_minor"])


def close(ask: Ask, _: Fault) -> Result:
    trade = trades.find(ask.stage.books, "wechat", ask.content["out_trade_no"])
    if trade is None:
        return ABSENT
    if trade["state"] == "paid":
        return Refusal("ORDERPAID", "该订单已支付")
    if trade["state"] == "closed":
        return Refusal("ORDER_CLOSED", "订单已关闭")
    trades.set_closed(ask.stage.books, trade, at=time.time())
    return {}


def refund(ask: Ask, _: Fault) -> Result:
    content, books = ask.content, ask.stage.books
    number, amount = str(content.get("out_refund_no", "")), content.get("amount")
    trade = _trade_to_refund(ask)
    if trade is None:
        return Refusal("RESOURCE_NOT_EXISTS", "订单不存在", 404)
    if (
        not REFUND_NUMBER.fullmatch(number)
        or not isinstance(amount, dict)
        or not _is_fen(amount.get("refund"))
    ):
        return Refusal("PARAM_ERROR", "out_refund_no, amount.refund")
    known = trades.refund_of(books, "wechat", number)
    refusal = _check_refund(trade, known, amount) or (None if known else _check_room(ask, trade, amount))
    if refusal:
        return refusal
    return _told(trade, known or _book_refund(ask, trade, number, amount["refund"]))


def _trade_to_refund(ask: Ask) -> Row | None:
    number = ask.content.get("out_trade_no")
    if number:
        return trades.find(ask.stage.books, "wechat", str(number))
    statement = "SELECT * FROM trades WHERE channel = 'wechat' AND reference = ?"
    return ask.stage.books.one(statement, ask.content.get("transaction_id"))


def _check_refund(trade: Row, known: Row | None, amount: Mapping[str, Any]) -> Refusal | None:
    if amount.get("total") != trade["amount_minor"] or amount.get("currency") != "CNY":
        return Refusal("PARAM_ERROR", "amount.total, amount.currency")
    if trade["state"] != "paid":
        return Refusal("INVALID_REQUEST", "订单未支付")
    if known and (known["number"], known["amount_minor"]) != (trade["number"], amount["refund"]):
        return Refusal("INVALID_REQUEST", "请求参数与原请求不一致")
    return None


def _check_room(ask: Ask, trade: Row, amount: Mapping[str, Any]) -> Refusal | None:
    if amount["refund"] > trade["amount_minor"] - trade["refunded_minor"]:
        return Refusal("INVALID_REQUEST", "退款金额超过可退金额")
    count = "SELECT count(*) AS made FROM refunds WHERE channel = 'wechat' AND number = ?"
    made = ask.stage.books.one(count, trade["number"])
    if made and made["made"] >= REFUNDS_MAX:
        return Refusal("INVALID_REQUEST", "退款次数超限")
    return None


def _book_refund(ask: Ask, trade: Row, number: str, amount: int) -> Row:
    stage = ask.stage
    with stage.books.change():
        row = trades.add_refund(
            stage.books,
            trade,
            number=number,
            amount_minor=amount,
            reason=str(ask.content.get("reason", "")),
            notify_url=str(ask.content.get("notify_url", "")),
            takes_s=REFUND_TAKES_S / stage.time_factor,
        )
        stage.notifier.owe(trade, row, due_at=row["done_at"])
    return row


def refund_query(ask: Ask, _: Fault) -> Result:
    row = trades.refund_of(ask.stage.books, "wechat", ask.content["out_refund_no"])
    trade = row and trades.find(ask.stage.books, "wechat", row["number"])
    if row is None or trade is None:
        return Refusal("RESOURCE_NOT_EXISTS", "退款单不存在", 404)
    return _told(trade, row)


def _told(trade: Row, row: Row) -> Result:
    told = {
        "refund_id": row["reference"],
        "out_refund_no": row["refund_number"],
        "transaction_id": trade["reference"],
        "out_trade_no": trade["number"],
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": trades.beijing(row["created_at"]).isoformat(timespec="seconds"),
        "status": "SUCCESS" if row["state"] == "success" else "PROCESSING",
        "amount": {
            "total": trade["amount_minor"],
            "refund": row["amount_minor"],
            "payer_total": trade["amount_minor"],
            "payer_refund": row["amount_minor"],
            "currency": "CNY",
        },
    }
    if row["state"] == "success":
        told["success_time"] = trades.beijing(row["done_at"]).isoformat(timespec="seconds")
    return told


def _expiry(content: Mapping[str, Any]) -> float | None:
    try:
        at = datetime.fromisoformat(str(content.get("time_expire")))
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo else None


def _is_fen(value: Any) -> bool:
    return type(value) is int and value >= 1
