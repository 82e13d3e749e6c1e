"""What the page tests stand on: the present time (pages read the clock), signed-in clients, and channels by script."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from payments.channels import registry
from payments.channels.port import Closed, Paid, Refunded, Started, Waiting
from tests.conftest import Clock

BACKEND = "accounts.signin.PhoneOrEmailBackend"


@pytest.fixture
def clock() -> Clock:
    return Clock(now=datetime.now(UTC))


@dataclass
class ScriptedChannel:
    """Plays a channel of the outside world: it answers what the test wrote down, and counts what it was asked."""

    code: str
    opened: Any = None
    state: Any = field(default_factory=Waiting)
    closed: Any = field(default_factory=Closed)
    opens: list[Any] = field(default_factory=list)
    asked: int = 0
    closes: int = 0

    def open(self, trade: Any) -> Any:
        self.opens.append(trade)
        return self.opened or Started("redirect", f"https://pay.example/{self.code}/{trade.number}?a=1&b=2")

    def query(self, number: str) -> Any:
        self.asked += 1
        return self.state

    def close(self, number: str) -> Any:
        self.closes += 1
        return self.closed

    def refund(self, order: Any) -> Any:
        return Refunded(f"R-{order.number}", order.amount_minor, datetime.now(UTC))

    query_refund = refund

    def takes_money(self) -> None:
        trade = self.opens[-1]
        self.state = Paid(f"X-{trade.number}", trade.amount_minor, trade.currency, datetime.now(UTC))


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> dict[str, ScriptedChannel]:
    scripted = {code: ScriptedChannel(code) for code in ("alipay", "wechat")}
    monkeypatch.setattr(registry, "_channels", lambda: scripted)
    return scripted


@pytest.fixture
def no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_channels", dict)


@dataclass
class Visitor:
    """A browser without JavaScript: it follows forms as they are in the page."""

    client: Client
    user: Any = None

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.client.get(path, **kwargs)

    def page(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.content.decode()

    def order(self, tier: str = "UPPER", quantity: int = 1, **more: str) -> str:
        """Order from the event page and answer the order's page."""
        page = self.page("/events/river-of-stars/")
        data = {"client_key": hidden(page, "client_key"), "show": "small", "tier": tier, "quantity": quantity}
        answer = self.client.post("/events/river-of-stars/", data | more)
        assert answer.status_code == 303, text_of(answer)
        return str(answer.url)

    def pay(self, page: str, channel: str, token: str = "") -> Any:
        token = token or hidden(self.page(page), "token")
        return self.client.post(f"{page}pay/", {"token": token, "channel": channel})


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name}"
    return found[1]


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def stage(page: str) -> str:
    found = re.search(r'data-stage="(\w+)"', page)
    return found[1] if found else ""


@pytest.fixture
def visit(show: Any, buyer: Callable[..., Any]) -> Callable[..., Visitor]:
    """`visit("lin", cash=100_000)`: lin's browser, signed in, Chinese; `visit()`: a stranger's."""

    def make(handle: str = "", *, language: str = "zh-hans", **money: int) -> Visitor:
        client = Client(headers={"accept-language": language})
        if not handle:
            return Visitor(client)
        user = buyer(handle, **money)
        client.force_login(user, backend=BACKEND)
        return Visitor(client, user)

    return make
