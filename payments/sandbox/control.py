"""
The control interface of tests and drills: order misbehaviour, look into the books, send one notification by
hand.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from uuid import uuid4

from aiohttp import web

from payments.sandbox import bills, trades, transfers
from payments.sandbox.books import Row
from payments.sandbox.faults import BadOrder
from payments.sandbox.messages import VARIANTS, Facts, Message, compose
from payments.sandbox.play import STAGE, Stage

ROWS_MAX = 1000


async def order_fault(request: web.Request) -> web.StreamResponse:
    stage, asked = request.app[STAGE], await _asked(request)
    try:
        stage.faults.order(
            fault=str(asked.get("fault")),
            match=asked.get("match") or {},
            times=asked.get("times", 1),
            args=asked.get("args") or {},
        )
    except BadOrder as error:
        return _bad(str(error))
    return await _done(stage, {"faults": stage.faults.listed()})


async def list_faults(request: web.Request) -> web.StreamResponse:
    faults = request.app[STAGE].faults
    return web.json_response({"faults": faults.listed(), "weather": faults.weather()})


async def clear_faults(request: web.Request) -> web.StreamResponse:
    """All of them, or those ordered for one `number`."""
    stage = request.app[STAGE]
    stage.faults.clear(request.query.get("number", ""))
    return await _done(stage, {"faults": stage.faults.listed()})


async def set_weather(request: web.Request) -> web.StreamResponse:
    stage = request.app[STAGE]
    try:
        stage.faults.set_weather(await _asked(request))
    except BadOrder as error:
        return _bad(str(error))
    return await _done(stage, {"weather": stage.faults.weather()})


async def list_trades(request: web.Request) -> web.StreamResponse:
    """Trades whose number begins with `number` and whose subject holds `subject`, each with its refunds."""
    books = request.app[STAGE].books
    values = [request.query.get(name, "") for name in ("channel", "number", "subject")]
    wanted = "(?1 = '' OR channel = ?1) AND substr(number, 1, length(?2)) = ?2 AND instr(subject, ?3) > 0"
    found = books.all(f"SELECT * FROM trades WHERE {wanted} ORDER BY number LIMIT ?4", *values, ROWS_MAX)  # noqa: S608
    for row in found:
        row.update(trades.find(books, row["channel"], row["number"]) or row)
        own = "SELECT * FROM refunds WHERE channel = ? AND number = ? ORDER BY created_at"
        row["refunds"] = [_as_of_now(refund) for refund in books.all(own, row["channel"], row["number"])]
    return web.json_response({"trades": found})


def _as_of_now(refund: Row) -> Row:
    done = refund["done_at"] <= time.time()
    return refund | {"state": "success" if done else "processing"}


async def totals(request: web.Request) -> web.StreamResponse:
    """Per channel, what was taken and what was given back: the sums a merchant's ledger must agree with."""
    books = request.app[STAGE].books
    statement = """
        SELECT channel, count(*) AS trades,
          coalesce(sum(state = 'paid'), 0) AS paid_count,
          coalesce(sum(CASE WHEN state = 'paid' THEN amount_minor END), 0) AS paid_minor,
          coalesce(sum(state = 'waiting'), 0) AS waiting_count,
          coalesce(sum(state = 'offered'), 0) AS offered_count,
          coalesce(sum(state = 'closed'), 0) AS closed_count
        FROM trades GROUP BY channel"""
    refunds = """
        SELECT channel, count(*) AS refund_count, sum(amount_minor) AS refunded_minor
        FROM refunds GROUP BY channel"""
    nothing = {"refund_count": 0, "refunded_minor": 0}
    given = {row["channel"]: row for row in books.all(refunds)}
    told = {row["channel"]: row | given.get(row["channel"], nothing) for row in books.all(statement)}
    for row in told.values():
        row["net_minor"] = row["paid_minor"] - row["refunded_minor"]
    return web.json_response({"channels": told})


async def list_notifies(request: web.Request) -> web.StreamResponse:
    """What was sent or is still owed about a trade, with every answer the merchant gave."""
    books, number = request.app[STAGE].books, request.query.get("number", "")
    wanted = "substr(number, 1, length(?1)) = ?1 OR refund_number = ?1 ORDER BY id LIMIT ?2"
    found = books.all(f"SELECT * FROM notifies WHERE {wanted}", number, ROWS_MAX)  # noqa: S608
    pending = books.one("SELECT count(*) AS pending FROM notifies WHERE state = 'pending'") or {"pending": 0}
    return web.json_response({"notifies": [_shown(row) for row in found], "pending": pending["pending"]})


def _shown(row: Row) -> Row:
    kept = {name: value for name, value in row.items() if not name.startswith("sent_")}
    return kept | {"args": json.loads(row["args"]), "answers": json.loads(row["answers"])}


async def send_notify(request: web.Request) -> web.StreamResponse:
    """
    Compose one notification now and post it (unless `send` is false), whatever the schedule says. The answer
    holds the message itself, so that a test can hand it to a reader without a web server.
    """
    stage, asked = request.app[STAGE], await _asked(request)
    variant = str(asked.get("variant", "true"))
    if variant not in VARIANTS | {"replayed", "unknown_order"}:
        return _bad(f"unknown variant {variant!r}")
    found = _replayed(stage, asked) if variant == "replayed" else _composed(stage, asked, variant)
    if found is None:
        return _bad("there is no such trade, or nothing was sent about it yet")
    message, url = found
    told: dict[str, Any] = {
        "headers": message.headers,
        "body_base64": base64.b64encode(message.body).decode(),
    }
    if asked.get("send", True):
        status, answer = await stage.notifier.post(str(asked.get("url") or url), message)
        told |= {"status": status, "answer": answer}
    return await _done(stage, told)


def _replayed(stage: Stage, asked: dict[str, Any]) -> tuple[Message, str] | None:
    """The very bytes and headers that were sent before."""
    statement = """SELECT * FROM notifies WHERE channel = ? AND number = ? AND sent_headers <> ''
                   AND (? = '' OR refund_number = ?) ORDER BY id DESC"""
    refund = str(asked.get("refund_number", ""))
    row = stage.books.one(statement, asked.get("channel"), asked.get("number"), refund, refund)
    return (Message(json.loads(row["sent_headers"]), row["sent_body"]), row["url"]) if row else None


def _composed(stage: Stage, asked: dict[str, Any], variant: str) -> tuple[Message, str] | None:
    channel, number = str(asked.get("channel")), str(asked.get("number"))
    trade = trades.find(stage.books, channel, number)
    transfer = None if trade else transfers.find(stage.books, number, stage.time_factor)
    if transfer is not None:
        about = Facts(str(asked.get("event_id") or uuid4().hex), {}, None, 0, transfer)
        return compose(stage.keys, channel, about, variant=variant), stage.notifier.app_url
    if variant == "unknown_order":
        trade, variant = _invented(channel, number, trade), "true"
    if trade is None:
        return None
    # Said of a trade that is not paid, the notification claims that it is: that is the harm to be refused.
    trade |= {"state": "paid", "paid_at": trade["paid_at"] or time.time()}
    refund = trades.refund_of(stage.books, channel, str(asked.get("refund_number", "")), number)
    event_id = str(asked.get("event_id") or uuid4().hex)
    facts = Facts(event_id, trade, refund, trade["refunded_minor"])
    message = compose(stage.keys, channel, facts, variant=variant, args=asked.get("args") or {})
    return message, (refund or trade)["notify_url"]


def _invented(channel: str, number: str, like: Row | None) -> Row:
    now = time.time()
    return {
        "channel": channel,
        "number": f"NOSUCH{uuid4().hex[:16].upper()}" if like else number,
        "reference": trades.reference("22"),
        "subject": "?",
        "amount_minor": like["amount_minor"] if like else 100,
        "refunded_minor": 0,
        "buyer": "",
        "notify_url": like["notify_url"] if like else "",
        "created_at": now,
        "paid_at": now,
    }


async def set_app_address(request: web.Request) -> web.StreamResponse:
    """`url`: where the app is told of what concerns no trade. As a merchant enters it at the gateway."""
    stage = request.app[STAGE]
    stage.notifier.app_url = str((await _asked(request)).get("url", ""))
    return await _done(stage, {"url": stage.notifier.app_url})


async def set_bill_clock(request: web.Request) -> web.StreamResponse:
    """`ahead_s`: how far the statements' clock goes ahead; `link_s`: how long their links live."""
    stage = request.app[STAGE]
    bills.set_clock(stage, await _asked(request))
    return await _done(stage, {"now": bills.now(stage).isoformat()})


async def plant_difference(request: web.Request) -> web.StreamResponse:
    stage = request.app[STAGE]
    planted = bills.plant(stage, await _asked(request))
    return _bad(planted) if isinstance(planted, str) else await _done(stage, {"planted": planted})


async def list_differences(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {"differences": request.app[STAGE].books.all("SELECT * FROM planted ORDER BY id")}
    )


async def forget_differences(request: web.Request) -> web.StreamResponse:
    stage = request.app[STAGE]
    stage.books.update("DELETE FROM planted")
    return await _done(stage, {"differences": []})


async def reset(request: web.Request) -> web.StreamResponse:
    stage = request.app[STAGE]
    stage.books.reset()
    stage.faults.reload()
    return await _done(stage, {"reset": True})


async def health(request: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True, "time_factor": request.app[STAGE].time_factor})


async def _asked(request: web.Request) -> dict[str, Any]:
    try:
        asked = await request.json()
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise web.HTTPBadRequest(text="a JSON object is wanted")
    return asked


async def _done(stage: Stage, told: dict[str, Any]) -> web.Response:
    await stage.books.durable()
    return web.json_response(told)


def _bad(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)
