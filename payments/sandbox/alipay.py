"""
Alipay's gateway: one address, the method in a parameter, answers signed over the answer object's own text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from payments.sandbox import alipay_transfers, bills, crypto
from payments.sandbox.alipay_trades import ABSENT, ACTS, Ask, open_trade
from payments.sandbox.faults import Fault
from payments.sandbox.messages import CLOCK
from payments.sandbox.play import OUTAGE, STAGE, Operation, Result, Stage, play
from payments.sandbox.trades import Refusal

BILL = "alipay.data.dataservice.bill.downloadurl.query"
NUMBER = re.compile(r"[A-Za-z0-9_]{1,64}")

OPS = {
    "alipay.trade.page.pay": "open",
    "alipay.trade.precreate": "open",
    "alipay.trade.query": "query",
    "alipay.trade.close": "close",
    "alipay.trade.refund": "refund",
    "alipay.trade.fastpay.refund.query": "refund_query",
    BILL: "bill",
    alipay_transfers.SEND: "transfer",
    alipay_transfers.ASK: "transfer_query",
}
# Where a method's own number stands, if not in out_trade_no.
NUMBERED_BY = {
    BILL: "bill_date",
    alipay_transfers.SEND: "out_biz_no",
    alipay_transfers.ASK: "out_biz_no",
}
DECLINED = {
    "open": Refusal("ACQ.TRADE_BUYER_NOT_MATCH", "交易买家不匹配"),
    "refund": Refusal("ACQ.TRADE_NOT_ALLOW_REFUND", "当前交易不允许退款"),
    "transfer": Refusal("PAYEE_NOT_EXIST", "收款账号不存在"),
    "bill": Refusal("INVALID_ARGUMENTS", "入参不合法"),
}


async def gateway(request: web.Request) -> web.StreamResponse:
    stage = request.app[STAGE]
    fields = {name: str(value) for name, value in {**request.query, **await request.post()}.items()}
    method = fields.get("method", "")
    refusal = _check_request(stage, fields)
    content: dict[str, Any] = {}
    if refusal is None:
        content, refusal = _content(fields)
    number = str(content.get(NUMBERED_BY.get(method, "out_trade_no"), ""))
    if method == "alipay.trade.page.pay":
        return await _page(request, fields, content, refusal)

    def act(fault: Fault) -> Result:
        act = bills.ask_alipay if method == BILL else {**ACTS, **alipay_transfers.ACTS}[method]
        return refusal or act(_ask(request, fields, content), fault)

    def encode(result: Result, signature: str) -> web.Response:
        return _encode(stage, method, result, signature)

    op = OPS.get(method, "open")
    own_number = str(content.get("out_request_no") or number) if op.startswith("refund") else number
    declined = DECLINED.get(op, ABSENT)
    return await play(request, Operation("alipay", op, own_number, act, encode, declined, number))


async def _page(
    request: web.Request, fields: dict[str, str], content: dict[str, Any], refusal: Refusal | None
) -> web.StreamResponse:
    """The buyer's browser, not the merchant's server: opening the page is what creates the trade."""

    def act(_: Fault) -> Result:
        return refusal or open_trade(_ask(request, fields, content), product="page")

    def encode(result: Result, _: str) -> web.Response:
        if isinstance(result, Refusal):
            return web.Response(status=400, text=f"{result.code}: {result.message}")
        return web.Response(status=302, headers={"Location": f"/cashier/alipay/{result['out_trade_no']}"})

    number = str(content.get("out_trade_no", ""))
    return await play(request, Operation("alipay", "open", number, act, encode, DECLINED["open"]))


def _ask(request: web.Request, fields: Mapping[str, str], content: dict[str, Any]) -> Ask:
    return Ask(
        stage=request.app[STAGE],
        content=content,
        notify_url=fields.get("notify_url", ""),
        return_url=fields.get("return_url", ""),
        origin=str(request.url.origin()),
    )


# -- requests and answers ------------------------------------------------------------------------------------


def _check_request(stage: Stage, fields: Mapping[str, str]) -> Refusal | None:
    if fields.get("method") not in OPS:
        return Refusal("isv.invalid-method", "不存在的方法名", 40002)
    if fields.get("app_id") != stage.keys.app_id:
        return Refusal("isv.invalid-app-id", "无效的AppID参数", 40002)
    if fields.get("sign_type") != "RSA2" or fields.get("charset", "").lower() != "utf-8":
        return Refusal("isv.invalid-signature-type", "无效的签名类型", 40002)
    signed = {name: value for name, value in fields.items() if name != "sign" and value}
    text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
    if not crypto.signature_fits(stage.keys.app_public_key, text.encode(), fields.get("sign", "")):
        return Refusal("isv.invalid-signature", "无效签名", 40002)
    try:
        datetime.strptime(fields.get("timestamp", ""), CLOCK)  # noqa: DTZ007
    except ValueError:
        return Refusal("isv.invalid-timestamp", "非法的时间戳参数", 40002)
    return None


def _content(fields: Mapping[str, str]) -> tuple[dict[str, Any], Refusal | None]:
    try:
        content = json.loads(fields.get("biz_content", ""))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return {}, Refusal("isv.invalid-parameter", "参数无效: biz_content", 40002)
    named = NUMBERED_BY.get(fields.get("method", ""), "out_trade_no")
    if fields.get("method") != BILL and not NUMBER.fullmatch(str(content.get(named, ""))):
        return content, Refusal("isv.invalid-parameter", f"参数无效: {named}", 40002)
    return content, None


def _encode(stage: Stage, method: str, result: Result, signature: str) -> web.Response:
    name = method.replace(".", "_") + "_response" if method in OPS else "error_response"
    # Alipay escapes the slash; whoever parses and writes the object again cannot verify it.
    text = json.dumps(_told(result), ensure_ascii=False).replace("/", "\\/")
    signed = text if signature == "good" else text + " "
    sign = "" if signature == "none" else crypto.signature_of(stage.keys.alipay_key, signed.encode())
    tail = f',"sign":{json.dumps(sign)}' if sign else ""
    return web.Response(body=f'{{"{name}":{text}{tail}}}'.encode(), content_type="text/html", charset="utf-8")


def _told(result: Result) -> dict[str, Any]:
    if result is OUTAGE:
        return {
            "code": "20000",
            "msg": "Service Currently Unavailable",
            "sub_code": "isp.unknow-error",
            "sub_msg": "系统繁忙",
        }
    if isinstance(result, Refusal):
        invalid = result.status == 40002
        return {
            "code": "40002" if invalid else "40004",
            "msg": "Invalid Arguments" if invalid else "Business Failed",
            "sub_code": result.code,
            "sub_msg": result.message,
        }
    return {"code": "10000", "msg": "Success", **result}
