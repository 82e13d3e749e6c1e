"""
Play one operation of a gateway: do it or misbehave, commit, then answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from payments.sandbox.books import Books
from payments.sandbox.faults import Fault, Faults
from payments.sandbox.keys import Material
from payments.sandbox.notifier import Notifier
from payments.sandbox.trades import Refusal

SLOW_S = 6.0
SILENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything a gateway needs to play its part."""

    books: Books
    keys: Material
    faults: Faults
    notifier: Notifier
    time_factor: float


STAGE = web.AppKey("stage", Stage)

Result = dict[str, Any] | Refusal
# How a gateway writes a result down: (result, signature) with signature "good", "bad" or "none".
Encode = Callable[[Result, str], web.StreamResponse]

OUTAGE = Refusal("outage", "the gateway's own failure", 500)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request as the gateway understood it. `act` runs without awaiting, so nothing comes in between."""

    channel: str
    op: str
    number: str
    act: Callable[[Fault], Result]
    encode: Encode
    declined: Refusal
    trade_number: str = ""


async def play(request: web.Request, operation: Operation) -> web.StreamResponse:
    stage = request.app[STAGE]
    fault = stage.faults.strike(
        channel=operation.channel,
        op=operation.op,
        number=operation.number,
        trade_number=operation.trade_number,
    )
    await _before(request, stage, fault)
    result = _act(operation, fault)
    # What the answer says must survive us, whether it is written now or was written by a neighbour's request.
    await stage.books.durable()
    return await _answer(request, stage, operation, fault, result)


async def _before(request: web.Request, stage: Stage, fault: Fault) -> None:
    # Using the fault up is a write as well.
    await stage.books.durable()
    match fault.name:
        case "http_500":
            raise web.HTTPInternalServerError(text="sandbox: failed before doing anything")
        case "slow":
            await asyncio.sleep(fault.seconds(SLOW_S))
        case "drop_connection" if not fault.args.get("after"):
            drop(request)
        case "no_answer" if not fault.args.get("after", True):
            await _silence(request, fault)


def _act(operation: Operation, fault: Fault) -> Result:
    if fault.name in ("alipay_20000", "system_error"):
        return OUTAGE
    if fault.name == "decline":
        declined = operation.declined
        return Refusal(str(fault.args.get("code", declined.code)), declined.message, declined.status)
    return operation.act(fault)


async def _answer(
    request: web.Request, stage: Stage, operation: Operation, fault: Fault, result: Result
) -> web.StreamResponse:
    signature = "good"
    match fault.name:
        case "http_500_after_success":
            raise web.HTTPInternalServerError(text="sandbox: failed after doing it")
        case "drop_connection":
            drop(request)
        case "no_answer":
            await _silence(request, fault)
        case "notify_before_response":
            await stage.notifier.deliver_now(operation.channel, operation.trade_number or operation.number)
        case "bad_signature":
            signature = "bad"
        case "unsigned":
            signature = "none"
    return operation.encode(result, signature)


def drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError


async def _silence(request: web.Request, fault: Fault) -> None:
    await asyncio.sleep(fault.seconds(SILENT_S))
    drop(request)
