"""
The buyer's side: open the page or scan the code, then pay or leave. People get pages; programs that accept
JSON get the same facts as JSON.
"""

from __future__ import annotations

from aiohttp import web

from payments.sandbox import pages, trades
from payments.sandbox.alipay_trades import return_address
from payments.sandbox.books import Row
from payments.sandbox.faults import Fault
from payments.sandbox.play import STAGE, Operation, Result, Stage, play
from payments.sandbox.trades import Refusal

DECLINED = Refusal("declined", "the buyer's bank refused", 402)
OUTCOMES = {"absent": 404, "closed": 409, "expired": 409, "declined": 402, "outage": 500}


async def show(request: web.Request) -> web.StreamResponse:
    """Scanning an Alipay code, that is opening this page, creates the trade at Alipay."""
    stage, channel, trade = _asked(request)
    if trade is None:
        return _told(request, channel, Refusal("absent", "", 404), None)
    trades.set_waiting(stage.books, trade)
    await stage.books.durable()
    state = _payable(trade)
    if _wants_json(request):
        return web.json_response(_facts(trade) | {"result": state})
    page = pages.cashier(trade) if state == "waiting" else pages.outcome(channel, state, trade)
    return _html(page)


async def pay(request: web.Request) -> web.StreamResponse:
    """Pay once: a second press on the same trade is answered like the first."""
    stage, channel, trade = _asked(request)

    def act(_: Fault) -> Result:
        if trade is None:
            return Refusal("absent", "", 404)
        return _pay(stage, trade)

    def encode(result: Result, _: str) -> web.StreamResponse:
        return _told(request, channel, result, trade)

    number = request.match_info["number"]
    return await play(request, Operation(channel, "pay", number, act, encode, DECLINED))


async def abandon(request: web.Request) -> web.StreamResponse:
    """The buyer leaves. Nothing happens to the trade: it may still be paid until its deadline."""
    _, channel, trade = _asked(request)
    if trade is None:
        return _told(request, channel, Refusal("absent", "", 404), None)
    if _wants_json(request):
        return web.json_response({"result": "left", "number": trade["number"]})
    if trade["return_url"]:
        raise web.HTTPSeeOther(trade["return_url"])
    return web.HTTPSeeOther(f"/cashier/{channel}/{trade['number']}")


def _asked(request: web.Request) -> tuple[Stage, str, Row | None]:
    stage, channel = request.app[STAGE], request.match_info["channel"]
    return stage, channel, trades.find(stage.books, channel, request.match_info["number"])


def _payable(trade: Row) -> str:
    if trade["state"] in ("paid", "closed"):
        return str(trade["state"])
    return "expired" if trades.is_past(trade) else "waiting"


def _pay(stage: Stage, trade: Row) -> Result:
    state = _payable(trade)
    if state == "waiting":
        with stage.books.change():
            trades.set_paid(stage.books, trade)
            stage.notifier.owe(trade)
        state = "paid"
    return _facts(trade) | {"result": state} if state == "paid" else Refusal(state, "", OUTCOMES[state])


def _told(request: web.Request, channel: str, result: Result, trade: Row | None) -> web.StreamResponse:
    state = result.code if isinstance(result, Refusal) else str(result["result"])
    status = OUTCOMES.get(state, 402) if isinstance(result, Refusal) else 200
    back = (
        return_address(request.app[STAGE], trade) if trade and state == "paid" and channel == "alipay" else ""
    )
    if _wants_json(request):
        told = {} if isinstance(result, Refusal) else result
        return web.json_response({**told, "result": state, "return_url": back}, status=status)
    if back:
        return web.Response(status=303, headers={"Location": back})
    return _html(pages.outcome(channel, state if state in pages.STATES else "declined", trade), status)


def _facts(trade: Row) -> dict[str, object]:
    return {
        "number": trade["number"],
        "reference": trade["reference"],
        "amount_minor": trade["amount_minor"],
        "subject": trade["subject"],
    }


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(
        text=page, content_type="text/html", status=status, headers={"Cache-Control": "no-store"}
    )


def _wants_json(request: web.Request) -> bool:
    return "json" in request.headers.get("Accept", "")
