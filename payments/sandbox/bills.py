"""
Statements on the gateways' terms: of days that are over, from the next morning on, behind links that age.

The clock of these rules can be put ahead (`ahead_s`), so that today's statement can be had today.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web

from payments.sandbox import bill_files, bill_rows
from payments.sandbox.alipay_trades import Ask as AlipayAsk
from payments.sandbox.bill_files import About
from payments.sandbox.faults import Fault
from payments.sandbox.play import STAGE, Operation, Result, Stage, play
from payments.sandbox.trades import BEIJING, Refusal
from payments.sandbox.wechat_trades import Ask as WechatAsk

READY_HOUR = 9  # of the next day
BACK = {"alipay": timedelta(days=900), "wechat": timedelta(days=92)}
LINK_S = {"alipay": 30.0, "wechat": 300.0}
LINKS_MAX = 1000
ALIPAY_KINDS = {"trade": bill_rows.TRADE, "signcustomer": bill_rows.FUNDS}
DAMAGED_AT = 60


@dataclass(frozen=True, slots=True)
class Link:
    """Where one statement lies until `dies_at`."""

    channel: str
    kind: str
    day: date
    dies_at: float


_links: dict[str, Link] = {}


def setting(stage: Stage, name: str, default: float) -> float:
    row = stage.books.one("SELECT value FROM bill_settings WHERE name = ?", name)
    return float(row["value"]) if row else default


def now(stage: Stage) -> datetime:
    return datetime.fromtimestamp(time.time() + setting(stage, "ahead_s", 0), BEIJING)


# -- asking for a link -----------------------------------------------------------------------------------------


def ask_alipay(ask: AlipayAsk, _: Fault) -> Result:
    kind, day = ALIPAY_KINDS.get(str(ask.content.get("bill_type"))), _day(ask.content.get("bill_date"))
    today = now(ask.stage).date()
    if kind is None or day is None or not today - BACK["alipay"] <= day < today:
        return Refusal("INVALID_ARGUMENTS", "入参不合法")
    # One answer for "not yet" and for "nothing": that is all that Alipay says.
    if not _is_ready(ask.stage, "alipay", kind, day) or not _rows(ask.stage, "alipay", kind, day):
        return Refusal("BILL_NOT_EXIST", "账单不存在")
    return {
        "bill_download_url": f"{ask.origin}/alipay/billdownload?token={_link(ask.stage, 'alipay', kind, day)}"
    }


def ask_wechat(kind: str) -> Callable[[WechatAsk, Fault], Result]:
    def act(ask: WechatAsk, _: Fault) -> Result:
        day, today = _day(ask.content.get("bill_date")), now(ask.stage).date()
        if day is None or not today - BACK["wechat"] <= day < today:
            return Refusal("PARAM_ERROR", "账单日期不合法")
        if not _is_ready(ask.stage, "wechat", kind, day):
            return Refusal("STATEMENT_CREATING", "账单生成中")
        rows = _rows(ask.stage, "wechat", kind, day)
        if not rows:
            return Refusal("NO_STATEMENT_EXIST", "账单文件不存在")
        text = _text(ask.stage, "wechat", kind, day)
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        if "wrong_sha1" in bill_rows.file_differences(ask.stage.books, "wechat", day, where=kind):
            digest = digest[::-1]
        where = f"{ask.origin}/wechat/v3/billdownload/file?token={_link(ask.stage, 'wechat', kind, day)}"
        return {"hash_type": "SHA1", "hash_value": digest, "download_url": where}

    return act


def _is_ready(stage: Stage, channel: str, kind: str, day: date) -> bool:
    ready_at = datetime(day.year, day.month, day.day, READY_HOUR, tzinfo=BEIJING) + timedelta(days=1)
    late = bill_rows.file_differences(stage.books, channel, day, where=kind).get("not_ready")
    if late is None:
        return now(stage) >= ready_at
    times = int(json.loads(late["args"]).get("times", 1)) - 1
    if times > 0:
        stage.books.update(
            "UPDATE planted SET args = ? WHERE id = ?", json.dumps({"times": times}), late["id"]
        )
    else:
        stage.books.update("DELETE FROM planted WHERE id = ?", late["id"])
    return False


def _link(stage: Stage, channel: str, kind: str, day: date) -> str:
    token = secrets.token_urlsafe(24)
    while len(_links) >= LINKS_MAX:
        del _links[next(iter(_links))]
    _links[token] = Link(channel, kind, day, time.time() + setting(stage, "link_s", LINK_S[channel]))
    return token


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        return None


# -- the file --------------------------------------------------------------------------------------------------


async def alipay_file(request: web.Request) -> web.StreamResponse:
    """At an address of its own, without any signature."""
    return await _file(request, "alipay", None)


async def file_of(request: web.Request, channel: str, refusal: Refusal | None) -> web.StreamResponse:
    """The file behind a link, unless the request itself was refused."""
    return await _file(request, channel, refusal)


async def _file(request: web.Request, channel: str, refusal: Refusal | None) -> web.StreamResponse:
    stage = request.app[STAGE]
    link = _links.get(request.query.get("token", ""))
    dead = link is None or link.channel != channel or link.dies_at <= time.time()
    refusal = refusal or (Refusal("LINK_EXPIRED", "下载地址已失效", 403) if dead else None)

    def act(_: Fault) -> Result:
        return refusal or {}

    def encode(result: Result, _: str) -> web.Response:
        if isinstance(result, Refusal) or link is None:
            return web.Response(status=getattr(result, "status", 403), text="link expired")
        return web.Response(body=packed(stage, link), content_type="application/octet-stream")

    number = link.day.isoformat() if link else ""
    return await play(
        request, Operation(channel, "bill_file", number, act, encode, Refusal("LINK_EXPIRED", ""))
    )


def packed(stage: Stage, link: Link) -> bytes:
    """The file as it goes over the wire, spoilt where somebody asked for it."""
    text = _text(stage, link.channel, link.kind, link.day)
    differences = bill_rows.file_differences(stage.books, link.channel, link.day, where=link.kind)
    if link.channel == "wechat":
        raw = bill_files.wechat_gzip(text)
    else:
        what = "业务明细" if link.kind == bill_rows.TRADE else "账务明细"
        raw = bill_files.alipay_zip(_about(stage, link.channel, link.kind, link.day), text, what)
    if "junk" in differences:
        return b"<html>busy</html>"
    return raw[:-DAMAGED_AT] if "damaged" in differences else raw


def _rows(stage: Stage, channel: str, kind: str, day: date) -> list[bill_rows.BillRow]:
    return bill_rows.rows_of(stage.books, channel, day, where=kind)


def _text(stage: Stage, channel: str, kind: str, day: date) -> str:
    write = getattr(bill_files, f"{channel}_{kind}")
    text: str = write(_about(stage, channel, kind, day), _rows(stage, channel, kind, day))
    if "truncated" in bill_rows.file_differences(stage.books, channel, day, where=kind):
        lines = text.splitlines(keepends=True)
        text = "".join(lines[: len(lines) - 3])
    return text


def _about(stage: Stage, channel: str, kind: str, day: date) -> About:
    differences = bill_rows.file_differences(stage.books, channel, day, where=kind)
    merchant = stage.keys.seller_id if channel == "alipay" else stage.keys.mchid
    if "other_merchant" in differences:
        merchant = merchant[::-1]
    return About(merchant, stage.keys.appid, day, slip_minor=1 if "totals" in differences else 0)


# -- control ---------------------------------------------------------------------------------------------------


def plant(stage: Stage, asked: dict[str, Any]) -> dict[str, Any] | str:
    """Remember one difference; its row, or what is wrong with the request."""
    channel, what, day = str(asked.get("channel")), str(asked.get("what")), _day(asked.get("day"))
    if channel not in LINK_S or day is None:
        return "name a channel and a day"
    if what not in bill_rows.ROW_DIFFERENCES and what not in bill_rows.FILE_DIFFERENCES:
        return f"unknown difference {what!r}"
    if what in bill_rows.ONLY_WECHAT and channel != "wechat":
        return f"{channel}'s statements cannot say {what!r}"
    number, where = str(asked.get("number", "")), str(asked.get("where", bill_rows.TRADE))
    if what in bill_rows.ROW_DIFFERENCES and what != "invented" and not number:
        return "name the number of the payment or refund"
    if where not in (bill_rows.TRADE, bill_rows.FUNDS, bill_rows.BOTH):
        return f"unknown statement {where!r}"
    row = {"channel": channel, "day": day.isoformat(), "what": what, "number": number, "place": where}
    stage.books.insert("planted", **row, args=json.dumps(asked.get("args") or {}))
    return row


def set_clock(stage: Stage, asked: dict[str, Any]) -> None:
    for name in ("ahead_s", "link_s"):
        if name in asked:
            stage.books.update("INSERT OR REPLACE INTO bill_settings VALUES (?, ?)", name, float(asked[name]))
