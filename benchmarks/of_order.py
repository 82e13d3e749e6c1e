"""What one order costs, request by request: statements, processor time of Python and of Postgres; no network."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from benchmarks import cpu, ground
from benchmarks.figures import Figure, benchmark
from operations import devservices

ORDERS, WARM = 400, 40
CASH = 2_000_000
SCOPES = ("orders:write", "orders:read", "payments:write", "payments:read")


@dataclass
class Spent:
    """Of one kind of request: processor seconds, seconds from call to answer, statements, number of requests."""

    python_s: float = 0.0
    postgres_s: float = 0.0
    wall_s: float = 0.0
    statements: int = 0
    requests: int = 0
    answers: list[Any] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        n = max(self.requests, 1)
        return {
            "statements": round(self.statements / n, 1),
            "python_ms": round(1000 * self.python_s / n, 2),
            "postgres_ms": round(1000 * self.postgres_s / n, 2),
            "wall_ms": round(1000 * self.wall_s / n, 2),
        }


@benchmark("one_order")
def one_order() -> Figure:
    """Order, payment token, payment from the wallet, and a look at the order, in this process."""
    seen = measure(WARM) and measure(ORDERS)
    total = [sum(getattr(spent, name) for spent in seen.values()) for name in ("python_s", "postgres_s")]
    facts: dict[str, Any] = {name: spent.row() for name, spent in seen.items()}
    wrong = ground.violations()
    assert not wrong, wrong[:5]
    return Figure("one_order", 1000 * sum(total) / ORDERS, "ms", facts=facts | {"audit": "clean"})


def measure(count: int) -> dict[str, Spent]:
    """What the requests of `count` orders cost, each kind after the other."""
    from benchmarks import of_sale

    show = of_sale.rush_show()
    tiers = list(show.tiers.values_list("code", flat=True))
    wants = [{"show": show.code, "tier": tiers[i % len(tiers)], "quantity": 1} for i in range(count)]
    secrets = _signed_in(count)
    orders = _each(secrets, lambda i: ("POST", "orders", wants[i]))
    numbers = [answer["number"] for answer in orders.answers]
    tokens = _each(secrets, lambda i: ("POST", f"orders/{numbers[i]}/payment-token", {}))
    paid = _each(secrets, lambda i: ("POST", "payments", _press(numbers[i], tokens.answers[i])))
    assert all(answer["state"] == "succeeded" for answer in paid.answers), paid.answers[0]
    looks = _each(secrets, lambda i: ("GET", f"orders/{numbers[i]}", None))
    return {"order": orders, "payment_token": tokens, "payment": paid, "look": looks}


def _press(number: str, offer: dict[str, Any]) -> dict[str, Any]:
    return {"order": number, "channel": "wallet", "token": offer["token"]}


def _signed_in(count: int) -> list[str]:
    from django.utils import timezone

    from accounts.models import User
    from accounts.tokens import issue_tokens_in_bulk
    from operations import seeding

    buyers = seeding.seed_buyers(count, CASH, now=timezone.now(), prefix=f"one-{uuid4().hex[:6]}-")
    return issue_tokens_in_bulk(list(User.objects.filter(pk__in=buyers)), SCOPES, timezone.now())


Asked = tuple[str, str, dict[str, Any] | None]


def _each(secrets: list[str], asked: Callable[[int], Asked]) -> Spent:
    from django.db import connection

    spent = Spent()

    def count(execute: Any, *args: Any) -> Any:
        spent.statements += 1
        return execute(*args)

    postgres = devservices.status()["postgres"]["pid"]
    begun = (time.process_time(), time.perf_counter(), cpu.seconds(postgres))
    with connection.execute_wrapper(count):
        for i, secret in enumerate(secrets):
            spent.answers.append(call(secret, *asked(i)))
    ended = (time.process_time(), time.perf_counter(), cpu.seconds(postgres))
    spent.python_s, spent.wall_s, spent.postgres_s = (b - a for a, b in zip(begun, ended, strict=True))
    spent.requests = len(secrets)
    return spent


def call(secret: str, method: str, path: str, body: dict[str, Any] | None) -> Any:
    """One request through the WSGI application; its answer."""
    from config.wsgi import application

    raw = json.dumps(body).encode() if body is not None else b""
    told: list[str] = []

    def start(status: str, headers: Iterable[tuple[str, str]], _error: Any = None) -> Any:
        told.append(status)

    answer = application(_environ(secret, method, path, raw), start)
    try:
        text = b"".join(answer)
    finally:
        answer.close()
    assert told[0][0] == "2", (told, text[:300])
    return json.loads(text)


def _environ(secret: str, method: str, path: str, raw: bytes) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": f"/api/v1/{path}",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_AUTHORIZATION": f"Bearer {secret}",
        "HTTP_IDEMPOTENCY_KEY": uuid4().hex,
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(raw),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
