"""The cast of the API's tests: buyers' programs that speak HTTP to the product over a real database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import User
from payments.channels import registry
from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.channels.rig import Sandbox

API = "/api/v1"
_keys = itertools.count(1)


@dataclass
class Program:
    """A buyer's program with a token; every answer must be JSON or problem+json."""

    user: User | None
    secret: str = ""
    client: Client | None = None

    def get(self, path: str, **headers: str) -> Any:
        return self._send("get", path, headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._send("delete", path, headers)

    def post(self, path: str, body: Any = None, *, key: str | None = "new", **headers: str) -> Any:
        """`key="new"` makes one, None sends none. A `bytes` body goes as it is."""
        if key is not None:
            headers["Idempotency-Key"] = f"key-{next(_keys)}" if key == "new" else key
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self._send("post", path, headers, data=raw, content_type="application/json")

    def _send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Any:
        if self.secret:
            headers["Authorization"] = f"Bearer {self.secret}"
        client = self.client or Client()
        address = path if path.startswith("/api/") or path.startswith("http") else API + path
        return getattr(client, method)(address, headers=headers, **more)


@pytest.fixture
def program(buyer: Callable[..., User]) -> Callable[..., Program]:
    """`program("lin", cash=…)`: lin's program with every scope; `scopes=[…]` for a smaller token."""

    def make(handle: str, scopes: Any = None, **wallet: int) -> Program:
        user = buyer(handle, **wallet)
        now = timezone.now()
        token, secret = tokens.issue_token(user=user, name="test", scopes=scopes or tokens.SCOPES, now=now)
        tokens.note_use(
            token, now=now
        )  # the day's first use costs a write; the query counts are of the others
        return Program(user, secret)

    return make


@pytest.fixture
def stranger() -> Program:
    return Program(None)


@pytest.fixture
def clock() -> Callable[[], Any]:
    """The API reads the real clock, so its sample show must be on sale in real time."""
    from tests.conftest import Clock

    return Clock(now=timezone.now())


@pytest.fixture
def lin(program: Callable[..., Program]) -> Program:
    return program("lin", cash=200_000)


@pytest.fixture
def mei(program: Callable[..., Program]) -> Program:
    return program("mei", cash=200_000)


@pytest.fixture
def place(show: Any) -> Callable[..., dict[str, Any]]:
    """An order that was placed over the API."""

    def make(who: Program, tier: str = "UPPER", quantity: int = 1, **more: Any) -> dict[str, Any]:
        answer = who.post("/orders", {"show": show.code, "tier": tier, "quantity": quantity, **more})
        assert answer.status_code == 201, answer.content
        return dict(answer.json())

    return make


@pytest.fixture
def pay(place: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """An order (or a fresh one) paid over the API; answers the payment."""

    def make(who: Program, order: str = "", channel: str = "wallet") -> dict[str, Any]:
        number = order or place(who)["number"]
        token = who.post(f"/orders/{number}/payment-token", key=None).json()["token"]
        answer = who.post("/payments", {"order": number, "channel": channel, "token": token})
        assert answer.status_code == 201, answer.content
        return dict(answer.json())

    return make


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The answer is this problem, whole and well formed."""
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"].endswith(f"/api/problems/{code}")
    assert body["detail"]
    return dict(body)


@pytest.fixture
def channels(sandbox: Sandbox, settings: Any) -> Iterator[Sandbox]:  # noqa: F811
    """Alipay and WeChat Pay, played by the sandbox."""
    settings.SANDBOX_URL = sandbox.url
    settings.CHANNEL_KEYS_DIR = sandbox.keys
    settings.ALIPAY = settings.ALIPAY | {"product": "precreate"}
    settings.CHANNEL_TIMEOUT_S = 3.0
    registry._channels.cache_clear()
    yield sandbox
    registry._channels.cache_clear()


@pytest.fixture(autouse=True)
def no_channels_but_ours(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    """A test that starts no sandbox has the wallet alone, whatever sandbox a developer runs."""
    if "channels" in request.fixturenames:
        yield
        return
    settings.SANDBOX_URL = ""
    registry._channels.cache_clear()
    yield
    registry._channels.cache_clear()


def token_for(who: Program, number: str, kind: str = "orders") -> str:
    """A fresh payment token for an order or a top-up (`kind="wallet/topups"`)."""
    answer = who.post(f"/{kind}/{number}/payment-token", key=None)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["token"])
