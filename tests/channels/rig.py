"""
The rig of the channel tests: a sandbox in a process of its own, a merchant's notify address, and short names for both.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from payments.channels import port
from payments.channels.alipay import Alipay, AlipayConfig
from payments.channels.wechat import Wechat, WechatConfig

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 20
NUMBERS = count(1)


def now() -> datetime:
    return datetime.now(UTC)


def number(prefix: str = "T") -> str:
    """A number that no other test uses at this sandbox."""
    return f"{prefix}{os.getpid():06d}{next(NUMBERS):06d}"


def a_trade(**changes: Any) -> port.Trade:
    facts = {
        "number": number(),
        "amount_minor": 38000,
        "currency": "CNY",
        "subject": "看台 380",
        "expires_at": now() + timedelta(minutes=15),
    }
    return port.Trade(**(facts | changes))


def a_refund(trade: port.Trade, **changes: Any) -> port.RefundOrder:
    facts = {
        "number": number("R"),
        "payment_number": trade.number,
        "channel_reference": "",
        "amount_minor": trade.amount_minor,
        "total_minor": trade.amount_minor,
        "currency": "CNY",
        "reason": "演出取消",
    }
    return port.RefundOrder(**(facts | changes))


def eventually(check: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """What `check` returns, once it is true."""
    end = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < end, f"not true within {within_s} s: {check}"
        time.sleep(0.02)
    return found


class Sandbox:
    """One sandbox process on a free port. `kill` and `start` keep its books and its port."""

    def __init__(self, directory: Path, *, time_factor: float = 200.0) -> None:
        self.keys = directory / "keys"
        self.state = directory / "state"
        self.time_factor = time_factor
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.http = httpx2.Client(trust_env=False, timeout=20)

    def start(self) -> None:
        command = [sys.executable, "-m", "payments.sandbox", "serve", "--dir", str(self.state)]
        command += [
            "--keys",
            str(self.keys),
            "--port",
            str(self.port),
            "--time-factor",
            str(self.time_factor),
        ]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the sandbox did not start"
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.process.wait(timeout=READY_WITHIN_S)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    # -- the buyer --------------------------------------------------------------------------------------------

    def pay(self, channel: str, trade_number: str) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        answer = self.http.post(f"{self.url}/cashier/{channel}/{trade_number}/pay", headers=headers)
        return {"status": answer.status_code} | answer.json()

    def scan(self, url: str) -> httpx2.Response:
        return self.http.get(url, follow_redirects=True)

    # -- control ----------------------------------------------------------------------------------------------

    def fault(
        self, fault: str, *, op: str = "", number: str = "", times: int | None = 1, **args: Any
    ) -> None:
        match = {"op": op, "number": number}
        self.control("POST", "faults", {"fault": fault, "match": match, "times": times, "args": args})

    def control(self, method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.http.request(method, f"{self.url}/_control/{path}", json=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def trade(self, trade_number: str) -> dict[str, Any]:
        [found] = self.control("GET", f"trades?number={trade_number}")["trades"]
        return found

    def notifies(self, trade_number: str) -> list[dict[str, Any]]:
        return self.control("GET", f"notifies?number={trade_number}")["notifies"]

    def message(
        self, channel: str, trade_number: str, variant: str, **more: Any
    ) -> tuple[dict[str, str], bytes]:
        """One notification as it would go over the wire, not sent."""
        asked = {"channel": channel, "number": trade_number, "variant": variant, "send": False, **more}
        told = self.control("POST", "notify", asked)
        return told["headers"], base64.b64decode(told["body_base64"])

    # -- the merchant -----------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        return json.loads((self.keys / "channels.json").read_text())

    def pem(self, name: str) -> str:
        return (self.keys / name).read_text()

    def alipay_config(self, **changes: Any) -> AlipayConfig:
        facts = self.facts()["alipay"]
        fields = {
            "gateway_url": f"{self.url}/alipay/gateway.do",
            "app_id": facts["app_id"],
            "seller_id": facts["seller_id"],
            "app_private_key_pem": self.pem(facts["app_private_key"]),
            "alipay_public_key_pem": self.pem(facts["alipay_public_key"]),
            "notify_url": "",
            "product": "precreate",
            "read_timeout_s": 1.0,
        }
        return AlipayConfig(**(fields | changes))

    def wechat_config(self, **changes: Any) -> WechatConfig:
        facts = self.facts()["wechat"]
        fields = {
            "gateway_url": f"{self.url}/wechat",
            "appid": facts["appid"],
            "mchid": facts["mchid"],
            "merchant_serial": facts["merchant_serial"],
            "merchant_private_key_pem": self.pem(facts["merchant_private_key"]),
            "apiv3_key": facts["apiv3_key"],
            "platform_keys": {serial: self.pem(name) for serial, name in facts["platform_keys"].items()},
            "notify_url": "",
            "read_timeout_s": 1.0,
        }
        return WechatConfig(**(fields | changes))

    def alipay(self, **changes: Any) -> Alipay:
        return Alipay(self.alipay_config(**changes))

    def wechat(self, **changes: Any) -> Wechat:
        return Wechat(self.wechat_config(**changes))

    def channel(self, code: str, **changes: Any) -> port.Channel:
        return self.alipay(**changes) if code == "alipay" else self.wechat(**changes)

    def paid(self, channel: port.Channel, **changes: Any) -> port.Trade:
        """A trade that is open at the channel and paid."""
        trade = a_trade(**changes)
        assert isinstance(channel.open(trade), port.Started)
        assert self.pay(channel.code, trade.number)["result"] == "paid"
        return trade


@dataclass
class Received:
    """One HTTP request at the merchant's notify address and what the adapter made of it."""

    notice: port.Notice | None
    refused: str
    at: float = field(default_factory=time.monotonic)


class Merchant:
    """The merchant's notify address: reads with the adapter, keeps everything, answers as the adapter says."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.channel: port.Channel | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/notify"

    def read(self, headers: dict[str, str], body: bytes) -> port.Reply:
        assert self.channel
        try:
            notice = self.channel.read_notify(headers=headers, body=body, now=now())
        except port.NotifyRefused as error:
            self.received.append(Received(None, error.reason))
            return self.channel.refused(error)
        self.received.append(Received(notice, ""))
        return self.channel.accepted()

    @property
    def notices(self) -> list[port.Notice]:
        return [received.notice for received in self.received if received.notice]

    @property
    def refusals(self) -> list[str]:
        return [received.refused for received in self.received if received.refused]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        merchant = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = merchant.read(dict(self.headers.items()), body)
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def a_merchant() -> Iterator[Merchant]:
    merchant = Merchant()
    thread = threading.Thread(target=merchant.server.serve_forever, daemon=True)
    thread.start()
    yield merchant
    merchant.server.shutdown()
    merchant.server.server_close()
