"""
What Alipay's gateway does with trades and refunds once it believes a request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from payments.sandbox import crypto, trades
from payments.sandbox.books import Row
from payments.sandbox.faults import Fault
from payments.sandbox.messages import CLOCK
from payments.sandbox.play import Result, Stage
from payments.sandbox.trades import BEIJING, Refusal

AMOUNT = re.compile(r"([0-9]{1,9})\.([0-9]{2})")
AMOUNT_MAX = 10_000_000_000
FORBIDDEN_IN_SUBJECT = frozenset("/=&")
UNTIL_S = 2 * 3600  # how long a code or page lives when the merchant does not say
ABSENT = Refusal("ACQ.TRADE_NOT_EXIST", "交易不存在")


@dataclass(frozen=True, slots=True)
class Ask:
    """One believed request. `origin` is the address at which the merchant reached us."""

    stage: Stage
    content: dict[str, Any]
    notify_url: str
    return_url: str
    origin: str


def open_trade(ask: Ask, *, product: str) -> Result:
    stage, content = ask.stage, ask.content
    amount, subject = fen(content.get("total_amount")), content.get("subject")
    if amount is None or not 1 <= amount <= AMOUNT_MAX:
        return Refusal("ACQ.INVALID_PARAMETER", "参数无效: total_amount")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 256 or FORBIDDEN_IN_SUBJECT & set(subject):
        return Refusal("ACQ.INVALID_PARAMETER", "参数无效: subject")
    expires_at = _expiry(content)
    if expires_at is None or expires_at <= time.time():
        return Refusal("ACQ.INVALID_PARAMETER", "参数无效: time_expire")
    known = trades.find(stage.books, "alipay", str(content["out_trade_no"]))
    if known:
        return _open_again(known, amount, stage, product)
    trade: Row = {
        "channel": "alipay",
        "number": content["out_trade_no"],
        "reference": trades.reference("22"),
        "subject": subject,
        "amount_minor": amount,
        "refunded_minor": 0,
        "state": "waiting" if product == "page" else "offered",
        "product": product,
        "buyer": "2088" + trades.reference("")[-12:],
        "notify_url": ask.notify_url,
        "return_url": ask.return_url,
        "created_at": time.time(),
        "expires_at": expires_at,
    }
    stage.books.insert("trades", **trade)
    return {"out_trade_no": trade["number"]}


def _open_again(trade: Row, amount: int, stage: Stage, product: str) -> Result:
    if trade["amount_minor"] != amount:
        return Refusal("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
    if product == "page":
        # The buyer came back: the cashier shows whatever has become of the trade.
        trades.set_waiting(stage.books, trade)
        return {"out_trade_no": trade["number"]}
    if trade["state"] == "paid":
        return Refusal("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
    if trade["state"] == "closed":
        return Refusal("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
    return {"out_trade_no": trade["number"]}


def _precreate(ask: Ask, _: Fault) -> Result:
    result = open_trade(ask, product="precreate")
    if isinstance(result, Refusal):
        return result
    return result | {"qr_code": f"{ask.origin}/cashier/alipay/{result['out_trade_no']}"}


def _visible(ask: Ask) -> Row | None:
    trade = trades.find(ask.stage.books, "alipay", str(ask.content["out_trade_no"]))
    return trade if trade and trade["state"] != "offered" else None


def _query(ask: Ask, _: Fault) -> Result:
    trade = _visible(ask)
    if trade is None:
        return ABSENT
    told = {
        "trade_no": trade["reference"],
        "out_trade_no": trade["number"],
        "buyer_logon_id": "138****0000",
        "trade_status": _status(trade),
        "total_amount": yuan(trade["amount_minor"]),
        "subject": trade["subject"],
    }
    if trade["paid_at"]:
        told |= {
            "send_pay_date": trades.beijing(trade["paid_at"]).strftime(CLOCK),
            "receipt_amount": told["total_amount"],
            "buyer_pay_amount": told["total_amount"],
            "buyer_user_id": trade["buyer"],
        }
    return told


def _status(trade: Row) -> str:
    if trade["state"] == "paid":
        return "TRADE_CLOSED" if trade["refunded_minor"] == trade["amount_minor"] else "TRADE_SUCCESS"
    return "WAIT_BUYER_PAY" if trade["state"] == "waiting" else "TRADE_CLOSED"


def _close(ask: Ask, _: Fault) -> Result:
    trade = _visible(ask)
    if trade is None:
        return ABSENT
    if trade["state"] != "waiting":
        return Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
    trades.set_closed(ask.stage.books, trade, at=time.time())
    return {"out_trade_no": trade["number"], "trade_no": trade["reference"]}


def _refund(ask: Ask, fault: Fault) -> Result:
    stage, content = ask.stage, ask.content
    trade, amount = _visible(ask), fen(content.get("refund_amount"))
    number = str(content.get("out_request_no") or content["out_trade_no"])
    if trade is None:
        return ABSENT
    if amount is None or amount < 1:
        return Refusal("ACQ.INVALID_PARAMETER", "参数无效: refund_amount")
    if trade["state"] != "paid":
        return Refusal("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常")
    known = trades.refund_of(stage.books, "alipay", number, trade["number"])
    if known and known["amount_minor"] != amount:
        return Refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致")
    if not known and amount > trade["amount_minor"] - trade["refunded_minor"]:
        return Refusal("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
    hidden = fault.name == "fund_change_n"
    if not known and not (hidden and fault.args.get("done") is False):
        _book_refund(stage, trade, number, amount, str(content.get("refund_reason", "")))
    return {
        "trade_no": trade["reference"],
        "out_trade_no": trade["number"],
        "buyer_logon_id": "138****0000",
        "fund_change": "N" if known or hidden else "Y",
        "refund_fee": yuan(trade["refunded_minor"]),
        "send_back_fee": yuan(0 if known or hidden else amount),
    }


def _book_refund(stage: Stage, trade: Row, number: str, amount: int, reason: str) -> None:
    with stage.books.change():
        refund = trades.add_refund(
            stage.books,
            trade,
            number=number,
            amount_minor=amount,
            reason=reason,
            notify_url=trade["notify_url"],
            takes_s=0,
        )
        stage.notifier.owe(trade, refund)


def _refund_query(ask: Ask, _: Fault) -> Result:
    trade = _visible(ask)
    if trade is None:
        return ABSENT
    refund = trades.refund_of(
        ask.stage.books, "alipay", str(ask.content.get("out_request_no")), trade["number"]
    )
    if refund is None:
        return {}
    return {
        "trade_no": trade["reference"],
        "out_trade_no": trade["number"],
        "out_request_no": refund["refund_number"],
        "total_amount": yuan(trade["amount_minor"]),
        "refund_amount": yuan(refund["amount_minor"]),
        "refund_status": "REFUND_SUCCESS",
        "gmt_refund_pay": trades.beijing(refund["done_at"]).strftime(CLOCK),
    }


ACTS: dict[str, Callable[[Ask, Fault], Result]] = {
    "alipay.trade.precreate": _precreate,
    "alipay.trade.query": _query,
    "alipay.trade.close": _close,
    "alipay.trade.refund": _refund,
    "alipay.trade.fastpay.refund.query": _refund_query,
}


def return_address(stage: Stage, trade: Row) -> str:
    """
    Where the buyer's browser goes after paying: signed like a notification, and never a proof of payment.
    """
    if not trade["return_url"]:
        return ""
    fields = {
        "app_id": stage.keys.app_id,
        "charset": "utf-8",
        "method": "alipay.trade.page.pay.return",
        "out_trade_no": trade["number"],
        "seller_id": stage.keys.seller_id,
        "timestamp": datetime.now(BEIJING).strftime(CLOCK),
        "total_amount": yuan(trade["amount_minor"]),
        "trade_no": trade["reference"],
        "version": "1.0",
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
    signed = fields | {
        "sign_type": "RSA2",
        "sign": crypto.signature_of(stage.keys.alipay_key, text.encode()),
    }
    mark = "&" if "?" in trade["return_url"] else "?"
    return f"{trade['return_url']}{mark}{urlencode(signed)}"


def _expiry(content: Mapping[str, Any]) -> float | None:
    text = content.get("time_expire")
    if text is None:
        return time.time() + UNTIL_S
    try:
        return datetime.strptime(str(text), CLOCK).replace(tzinfo=BEIJING).timestamp()
    except ValueError:
        return None


def fen(text: Any) -> int | None:
    match = AMOUNT.fullmatch(text) if isinstance(text, str) else None
    return int(match[1] + match[2]) if match else None


def yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"
