"""
WeChat Pay's v3 gateway: signed JSON requests below `/v3`, answers signed by the platform key the merchant
asks for.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from payments.sandbox import bill_rows, bills, crypto, trades
from payments.sandbox.faults import NONE, Fault
from payments.sandbox.messages import signed_headers
from payments.sandbox.play import OUTAGE, STAGE, Operation, Result, Stage, play
from payments.sandbox.trades import Refusal, beijing
from payments.sandbox.wechat_trades import Ask, close, open_trade, query, refund, refund_query

CLOCK_SKEW_S = 300
AUTHORIZATION = re.compile(r'(\w+)="([^"]*)"')
SCHEME = "WECHATPAY2-SHA256-RSA2048 "
MOUNTED_AT = "/wechat"  # where this gateway hangs in the sandbox; merchants sign the path below it

DECLINED = {
    "open": Refusal("RULE_LIMIT", "业务规则限制", 403),
    "query": Refusal("ORDER_NOT_EXIST", "订单不存在", 404),
    "close": Refusal("ORDER_NOT_EXIST", "订单不存在", 404),
    "refund": Refusal("INVALID_REQUEST", "订单状态不支持退款", 400),
    "refund_query": Refusal("RESOURCE_NOT_EXISTS", "退款单不存在", 404),
    "bill": Refusal("NO_AUTH", "商户无权限", 403),
}


async def native(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "open", open_trade)


async def query_trade(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "query", query)


async def close_trade(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "close", close)


async def create_refund(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "refund", refund)


async def query_refund(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "refund_query", refund_query)


async def trade_bill(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "bill", bills.ask_wechat(bill_rows.TRADE))


async def funds_bill(request: web.Request) -> web.StreamResponse:
    return await _answer(request, "bill", bills.ask_wechat(bill_rows.FUNDS))


async def bill_file(request: web.Request) -> web.StreamResponse:
    """Asked for with a signature, answered without one: the digest of the link's answer is what vouches for it."""
    refusal = _check_request(request, request.app[STAGE], await request.read())
    return await bills.file_of(request, "wechat", refusal)


async def certificates(request: web.Request) -> web.StreamResponse:
    """
    The platform certificates, encrypted under the APIv3 key: how a client in certificate mode learns them.
    """
    stage = request.app[STAGE]
    body = await request.read()
    refusal = _check_request(request, stage, body)
    listed = [_certificate(stage, serial) for serial in stage.keys.platform_certificates]
    return _encode(request, stage, refusal or {"data": listed}, "good")


def _certificate(stage: Stage, serial: str) -> dict[str, Any]:
    sealed = crypto.seal(stage.keys.apiv3_key, stage.keys.platform_certificates[serial], "certificate")
    return {
        "serial_no": serial,
        "effective_time": beijing(time.time() - 86400).isoformat(timespec="seconds"),
        "expire_time": beijing(time.time() + 365 * 86400).isoformat(timespec="seconds"),
        "encrypt_certificate": sealed,
    }


async def _answer(request: web.Request, op: str, do: Callable[[Ask, Fault], Result]) -> web.StreamResponse:
    stage, body = request.app[STAGE], await request.read()
    refusal = _check_request(request, stage, body)
    content, unreadable = _content(body)
    refusal = refusal or unreadable
    named = content | dict(request.match_info) | (dict(request.query) if op == "bill" else {})
    ask = Ask(stage, named, str(request.url.origin()))

    def act(fault: Fault = NONE) -> Result:
        return refusal or _check_merchant(stage, request, content, op) or do(ask, fault)

    def encode(result: Result, signature: str) -> web.Response:
        return _encode(request, stage, result, signature)

    number = str(named.get("out_refund_no", ""))
    trade_number = str(named.get("out_trade_no", "")) or _trade_of(stage, number)
    number = number or trade_number or str(named.get("bill_date", ""))
    return await play(request, Operation("wechat", op, number, act, encode, DECLINED[op], trade_number))


def _trade_of(stage: Stage, refund_number: str) -> str:
    """A refund's path does not name its trade, but faults are mostly ordered by the trade's number."""
    refund = trades.refund_of(stage.books, "wechat", refund_number)
    return str(refund["number"]) if refund else ""


def _content(body: bytes) -> tuple[dict[str, Any], Refusal | None]:
    if not body:
        return {}, None
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return {}, Refusal("PARAM_ERROR", "请求体不是合法的JSON")
    return content, None


def _check_request(request: web.Request, stage: Stage, body: bytes) -> Refusal | None:
    header = request.headers.get("Authorization", "")
    said = dict(AUTHORIZATION.findall(header))
    wrong = Refusal("SIGN_ERROR", "签名错误", 401)
    if not header.startswith(SCHEME) or said.get("mchid") != stage.keys.mchid:
        return wrong
    if said.get("serial_no") != stage.keys.merchant_serial:
        return wrong
    timestamp, nonce = said.get("timestamp", ""), said.get("nonce_str", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > CLOCK_SKEW_S:
        return Refusal("SIGN_ERROR", "时间戳已过期", 401)
    path = request.raw_path.removeprefix(MOUNTED_AT)
    text = f"{request.method}\n{path}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
    fits = crypto.signature_fits(stage.keys.merchant_public_key, text, said.get("signature", ""))
    return None if fits else wrong


def _check_merchant(stage: Stage, request: web.Request, content: dict[str, Any], op: str) -> Refusal | None:
    if op in ("refund", "refund_query", "bill"):
        return None
    named = request.query.get("mchid") if op == "query" else content.get("mchid")
    if named != stage.keys.mchid:
        return Refusal("PARAM_ERROR", "商户号mchid与签名不符")
    if op == "open" and content.get("appid") != stage.keys.appid:
        return Refusal("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
    return None


def _encode(request: web.Request, stage: Stage, result: Result, signature: str) -> web.Response:
    status, told = _told(result)
    body = b"" if told is None else json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    serial = request.headers.get("Wechatpay-Serial", "")
    if serial not in stage.keys.platform_keys:
        # An older client names no key: it works with certificates.
        serial = next(iter(stage.keys.platform_certificates))
    signed = body if signature == "good" else body + b" "
    headers = signed_headers(serial, stage.keys.platform_keys[serial], signed, at=time.time())
    if signature == "none":
        headers = {"Content-Type": "application/json"}
    return web.Response(status=status, body=body, headers=headers)


def _told(result: Result) -> tuple[int, dict[str, Any] | None]:
    if result is OUTAGE:
        return 500, {"code": "SYSTEM_ERROR", "message": "系统错误"}
    if isinstance(result, Refusal):
        return result.status, {"code": result.code, "message": result.message}
    return (200, result) if result else (204, None)
