"""
Put the two gateways, the cashier and the control interface together, and serve them on this machine only.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import signal
import sys
from pathlib import Path
from typing import TextIO

from aiohttp import web

from payments.sandbox import alipay, bills, cashier, control, keys, wechat
from payments.sandbox.books import Books
from payments.sandbox.faults import Faults
from payments.sandbox.notifier import Notifier, is_loopback
from payments.sandbox.play import STAGE, Stage

GRACE_S = 2.0
BACKLOG = 1024


class CannotServe(Exception):
    """The address is not on this machine, or another sandbox already keeps these books."""


def routes() -> list[web.RouteDef]:
    channel, number = "{channel:alipay|wechat}", "{number}"
    trade = f"/wechat/v3/pay/transactions/out-trade-no/{'{out_trade_no}'}"
    refunds = "/wechat/v3/refund/domestic/refunds"
    return [
        web.get("/healthz", control.health),
        web.route("*", "/alipay/gateway.do", alipay.gateway),
        web.post("/wechat/v3/pay/transactions/native", wechat.native),
        web.get(trade, wechat.query_trade),
        web.post(f"{trade}/close", wechat.close_trade),
        web.post(refunds, wechat.create_refund),
        web.get(f"{refunds}/{'{out_refund_no}'}", wechat.query_refund),
        web.get("/wechat/v3/certificates", wechat.certificates),
        web.get("/wechat/v3/bill/tradebill", wechat.trade_bill),
        web.get("/wechat/v3/bill/fundflowbill", wechat.funds_bill),
        web.get("/wechat/v3/billdownload/file", wechat.bill_file),
        web.get("/alipay/billdownload", bills.alipay_file),
        web.get(f"/cashier/{channel}/{number}", cashier.show),
        web.post(f"/cashier/{channel}/{number}/pay", cashier.pay),
        web.post(f"/cashier/{channel}/{number}/abandon", cashier.abandon),
        web.get("/_control/faults", control.list_faults),
        web.post("/_control/faults", control.order_fault),
        web.delete("/_control/faults", control.clear_faults),
        web.post("/_control/weather", control.set_weather),
        web.get("/_control/trades", control.list_trades),
        web.get("/_control/books", control.totals),
        web.get("/_control/notifies", control.list_notifies),
        web.post("/_control/notify", control.send_notify),
        web.post("/_control/app", control.set_app_address),
        web.post("/_control/reset", control.reset),
        web.post("/_control/bills/clock", control.set_bill_clock),
        web.get("/_control/bills/differences", control.list_differences),
        web.post("/_control/bills/differences", control.plant_difference),
        web.delete("/_control/bills/differences", control.forget_differences),
    ]


async def serve(
    *, host: str, port: int, state: Path, key_dir: Path, time_factor: float, app_url: str = ""
) -> None:
    """
    Run until SIGTERM or SIGINT. Prints one line of JSON with the address once it answers.

    :raises CannotServe: see there
    """
    if not is_loopback(f"http://{host}:{port}"):
        raise CannotServe(f"{host} is not an address of this machine alone")
    state.mkdir(parents=True, exist_ok=True)
    keys.make(key_dir)
    lock = _claim(state)
    books = Books(state / "books.sqlite3")
    try:
        await _run(books, host=host, port=port, key_dir=key_dir, time_factor=time_factor, app_url=app_url)
    finally:
        books.close()
        lock.close()


async def _run(
    books: Books, *, host: str, port: int, key_dir: Path, time_factor: float, app_url: str
) -> None:
    # Before anybody can know that we are here: a signal that follows at once must not find the default.
    stopped = _stop_on_signals()
    material, faults = keys.load(key_dir), Faults(books)
    notifier = Notifier(books=books, keys=material, faults=faults, time_factor=time_factor, app_url=app_url)
    app = web.Application()
    app[STAGE] = Stage(books, material, faults, notifier, time_factor)
    app.add_routes(routes())
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=GRACE_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=BACKLOG)
    await site.start()
    delivering = asyncio.create_task(notifier.run())
    print(json.dumps({"ready": True, "url": _address(host, runner)}), flush=True)
    try:
        await _until(stopped, delivering)
    finally:
        await runner.cleanup()
        delivering.cancel()
        await notifier.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering


def _stop_on_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def _until(stopped: asyncio.Event, delivering: asyncio.Task[None]) -> None:
    """A sandbox that no longer delivers is of no use: its failure ends the process too."""
    waiting = asyncio.create_task(stopped.wait())
    done, _ = await asyncio.wait({waiting, delivering}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if delivering in done:
        delivering.result()


def _claim(state: Path) -> TextIO:
    lock = (state / "serving").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise CannotServe(f"another sandbox keeps the books in {state}") from error
    return lock


def _address(host: str, runner: web.AppRunner) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{runner.addresses[0][1]}"


def run(*, host: str, port: int, state: Path, key_dir: Path, time_factor: float, app_url: str = "") -> int:
    try:
        asyncio.run(
            serve(
                host=host,
                port=port,
                state=state,
                key_dir=key_dir,
                time_factor=time_factor,
                app_url=app_url,
            )
        )
    except (CannotServe, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0
