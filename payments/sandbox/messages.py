"""
What the gateways post to a merchant, genuine or spoilt in one named way.

`VARIANTS` lists the ways. Every variant but "true", "replayed" and "wrong_amount" must be refused by a
merchant; a wrong amount is genuine, only not what was asked for, and must change nothing either.
"""

from __future__ import annotations

import functools
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from payments.sandbox import crypto
from payments.sandbox.books import Row
from payments.sandbox.keys import Material
from payments.sandbox.trades import beijing

CLOCK = "%Y-%m-%d %H:%M:%S"
VARIANTS = frozenset(
    {
        "true",
        "forged",
        "tampered",
        "unsigned",
        "sha1",
        "wrong_amount",
        "wrong_app",
        "wrong_merchant",
        "stale",
        "future",
        "probe",
        "unknown_serial",
        "bad_cipher",
        "malformed",
    }
)
PROBE = "WECHATPAY/SIGNTEST/"
STALE_S = 301


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP request to the merchant, ready to send."""

    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What a notification is about. `refund` is None for a payment. A transfer's (Alipay alone) has nothing else: its row
    with its present `state`.
    """

    event_id: str
    trade: Row
    refund: Row | None
    refunded_minor: int
    transfer: Row | None = None


def compose(
    keys: Material, channel: str, facts: Facts, *, variant: str = "true", args: dict[str, Any] | None = None
) -> Message:
    if facts.transfer is not None:
        return _alipay_signed(keys, _transfer_fields(keys, facts.event_id, facts.transfer), variant)
    if variant == "wrong_amount":
        facts = _with_other_amount(facts, int((args or {}).get("minor", 1)))
    build = _alipay if channel == "alipay" else _wechat
    return build(keys, facts, variant)


def _with_other_amount(facts: Facts, difference: int) -> Facts:
    trade = {**facts.trade, "amount_minor": facts.trade["amount_minor"] + difference}
    refund = facts.refund and {**facts.refund, "amount_minor": facts.refund["amount_minor"] + difference}
    return replace(facts, trade=trade, refund=refund)


@functools.cache
def _strangers_key() -> RSAPrivateKey:
    return crypto.new_key()


# -- Alipay --------------------------------------------------------------------------------------------------


def _alipay(keys: Material, facts: Facts, variant: str) -> Message:
    return _alipay_signed(keys, _alipay_fields(keys, facts), variant)


def _alipay_signed(keys: Material, fields: dict[str, str], variant: str) -> Message:
    if variant == "wrong_app" or (variant == "wrong_merchant" and "seller_id" not in fields):
        fields["app_id"] = "2021000000000000"
    elif variant == "wrong_merchant":
        fields["seller_id"] = "2088000000000000"
    if variant == "malformed":
        fields.pop("out_trade_no", None)
        fields.pop("biz_content", None)
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items())).encode()
    key = _strangers_key() if variant == "forged" else keys.alipay_key
    signature = crypto.signature_of(key, text, "sha1" if variant == "sha1" else "sha256")
    if variant == "tampered":
        changed = "total_amount" if "total_amount" in fields else "utc_timestamp"
        fields[changed] = "0.01" if fields[changed] != "0.01" else "0.02"
    fields |= {"sign_type": "RSA2"} | ({} if variant == "unsigned" else {"sign": signature})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return Message(headers, urlencode(fields).encode())


def _alipay_fields(keys: Material, facts: Facts) -> dict[str, str]:
    trade, refund = facts.trade, facts.refund
    amount = _yuan(trade["amount_minor"])
    closed = facts.refunded_minor == trade["amount_minor"]
    fields = {
        "notify_time": beijing(time.time()).strftime(CLOCK),
        "notify_type": "trade_status_sync",
        "notify_id": facts.event_id,
        "app_id": keys.app_id,
        "charset": "utf-8",
        "version": "1.0",
        "trade_no": trade["reference"],
        "out_trade_no": trade["number"],
        "buyer_id": trade["buyer"],
        "seller_id": keys.seller_id,
        "trade_status": "TRADE_CLOSED" if refund and closed else "TRADE_SUCCESS",
        "total_amount": amount,
        "receipt_amount": amount,
        "buyer_pay_amount": amount,
        "subject": trade["subject"],
        "gmt_create": beijing(trade["created_at"]).strftime(CLOCK),
        "gmt_payment": beijing(trade["paid_at"] or time.time()).strftime(CLOCK),
        "fund_bill_list": json.dumps([{"amount": amount, "fundChannel": "ALIPAYACCOUNT"}]),
    }
    if refund:
        fields["out_biz_no"] = refund["refund_number"]
        fields["refund_fee"] = _yuan(facts.refunded_minor)
        fields["gmt_refund"] = beijing(refund["done_at"]).strftime(CLOCK) + ".120"
        if closed:
            fields["gmt_close"] = beijing(refund["done_at"]).strftime(CLOCK)
    return fields


def _transfer_fields(keys: Material, event_id: str, transfer: Row) -> dict[str, str]:
    """The app's own message that one of its transfers changed: the facts stand in `biz_content`."""
    content = {
        "action_type": "FINISH",
        "biz_scene": "DIRECT_TRANSFER",
        "order_id": transfer["reference"],
        "origin_interface": "alipay.fund.trans.uni.transfer",
        "out_biz_no": transfer["number"],
        "pay_date": beijing(transfer["done_at"]).strftime(CLOCK),
        "pay_fund_order_id": transfer["reference"],
        "product_code": transfer["product"],
        "status": transfer["state"],
        "trans_amount": _yuan(transfer["amount_minor"]),
    }
    return {
        "app_id": keys.app_id,
        "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        "charset": "UTF-8",
        "msg_method": "alipay.fund.trans.order.changed",
        "notify_id": event_id,
        "utc_timestamp": str(int(time.time() * 1000)),
        "version": "1.1",
    }


def _yuan(minor: int) -> str:
    whole, cents = divmod(minor, 100)
    return f"{whole}.{cents:02}"


# -- WeChat Pay ----------------------------------------------------------------------------------------------


def _wechat(keys: Material, facts: Facts, variant: str) -> Message:
    resource = _wechat_refund(keys, facts) if facts.refund else _wechat_transaction(keys, facts)
    if variant == "wrong_app":
        resource["appid"] = "wx0000000000000000"
    if variant == "wrong_merchant":
        resource["mchid"] = "1600000000"
    if variant == "malformed":
        del resource["out_trade_no"]
    kind = "refund" if facts.refund else "transaction"
    plain = json.dumps(resource, ensure_ascii=False).encode()
    sealed = crypto.seal(keys.apiv3_key, plain, kind)
    if variant == "bad_cipher":
        first = "B" if sealed["ciphertext"].startswith("A") else "A"
        sealed["ciphertext"] = first + sealed["ciphertext"][1:]
    envelope = {
        "id": facts.event_id,
        "create_time": beijing(time.time()).isoformat(timespec="seconds"),
        "resource_type": "encrypt-resource",
        "event_type": "REFUND.SUCCESS" if facts.refund else "TRANSACTION.SUCCESS",
        "summary": "退款成功" if facts.refund else "支付成功",
        "resource": {"original_type": kind, **sealed},
    }
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return _wechat_signed(keys, facts, body, variant)


def _wechat_signed(keys: Material, facts: Facts, body: bytes, variant: str) -> Message:
    serial, key = _platform_key(keys, facts.event_id)
    if variant == "forged":
        key = _strangers_key()
    shift = {"stale": -STALE_S, "future": STALE_S}.get(variant, 0)
    headers = signed_headers(
        serial, key, body, at=time.time() + shift, digest="sha1" if variant == "sha1" else "sha256"
    )
    if variant == "probe":
        headers["Wechatpay-Signature"] = PROBE + secrets.token_urlsafe(48)
    if variant == "unknown_serial":
        headers["Wechatpay-Serial"] = secrets.token_hex(20).upper()
    if variant == "unsigned":
        del headers["Wechatpay-Signature"]
    return Message(headers, body + b" " if variant == "tampered" else body)


def signed_headers(
    serial: str, key: RSAPrivateKey, body: bytes, *, at: float, digest: str = "sha256"
) -> dict[str, str]:
    """The five headers of an answer or a notification."""
    timestamp, nonce = str(int(at)), secrets.token_hex(16)
    text = timestamp.encode() + b"\n" + nonce.encode() + b"\n" + body + b"\n"
    return {
        "Content-Type": "application/json",
        "Wechatpay-Serial": serial,
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": crypto.signature_of(key, text, digest),
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }


def _platform_key(keys: Material, event_id: str) -> tuple[str, RSAPrivateKey]:
    # Half of the events with one family of keys, half with the other, as in the middle of a merchant's
    # switch.
    serials = sorted(keys.platform_keys)
    serial = serials[sum(event_id.encode()) % len(serials)]
    return serial, keys.platform_keys[serial]


def _wechat_transaction(keys: Material, facts: Facts) -> dict[str, Any]:
    return transaction(keys, facts.trade, refunded_minor=0)


def transaction(keys: Material, trade: Row, *, refunded_minor: int) -> dict[str, Any]:
    """A trade as WeChat tells it, in a query's answer and in a notification."""
    state = {"waiting": "NOTPAY", "paid": "SUCCESS", "closed": "CLOSED"}[trade["state"]]
    told = {
        "appid": keys.appid,
        "mchid": keys.mchid,
        "out_trade_no": trade["number"],
        "trade_state": "REFUND" if refunded_minor else state,
        "trade_state_desc": state,
    }
    if trade["state"] != "paid":
        return told | {"amount": {"total": trade["amount_minor"], "currency": "CNY"}}
    total = trade["amount_minor"]
    return told | {
        "transaction_id": trade["reference"],
        "trade_type": "NATIVE",
        "bank_type": "OTHERS",
        "success_time": beijing(trade["paid_at"]).isoformat(timespec="seconds"),
        "payer": {"openid": trade["buyer"]},
        "amount": {"total": total, "payer_total": total, "currency": "CNY", "payer_currency": "CNY"},
    }


def _wechat_refund(keys: Material, facts: Facts) -> dict[str, Any]:
    trade, refund = facts.trade, facts.refund or {}
    total, amount = trade["amount_minor"], refund["amount_minor"]
    return {
        "mchid": keys.mchid,
        "out_trade_no": trade["number"],
        "transaction_id": trade["reference"],
        "out_refund_no": refund["refund_number"],
        "refund_id": refund["reference"],
        "refund_status": "SUCCESS",
        "success_time": beijing(refund["done_at"]).isoformat(timespec="seconds"),
        "user_received_account": "支付用户零钱",
        "amount": {"total": total, "refund": amount, "payer_total": total, "payer_refund": amount},
    }
