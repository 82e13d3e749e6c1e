"""A real nginx in front of a stub, or of the product itself."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from operations import edge
from operations.edge import Edge
from tests.needs import needed


@pytest.fixture(autouse=True)
def _nginx_is_here() -> None:
    if edge.missing():
        needed(" ".join(edge.missing()), "the edge is tested with a real nginx")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Edge]]:
    """`edges(upstream="127.0.0.1:1", …)`: a running edge, ended after the test."""
    started: list[Edge] = []

    def make(*, upstream: str = "127.0.0.1:1", **more: Any) -> Edge:
        from django.conf import settings

        state = Path(tmp_path_factory.mktemp("edge"))
        listen = f"127.0.0.1:{free_port()}"
        more.setdefault("redis_url", settings.REDIS_URL)
        more.setdefault("limits", edge.usual_limits(reads=0, writes=0))
        made = Edge(state=state, listen=listen, upstream=upstream, **more)
        edge.start(made)
        started.append(made)
        return made

    yield make
    for one in started:
        edge.stop(one.state)


@dataclass
class Stub:
    """Plays granian: notes what it is asked, answers after `delay_s`."""

    address: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def stub() -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            seen.asked.append(
                {"method": self.command, "path": self.path, **{k.lower(): v for k, v in self.headers.items()}}
            )
            time.sleep(seen.delay_s)
            body = json.dumps({"n": len(seen.asked)}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in seen.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_POST = do_HEAD = do_GET

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen = Stub(f"127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=10, trust_env=False) as client:
        yield client


def log_of(one: Edge) -> list[dict[str, Any]]:
    """The access log, once it was flushed."""
    time.sleep(1.2)
    return [json.loads(line) for line in (one.state / "access.log").read_text().splitlines()]


def as_nobody() -> dict[str, Any]:
    """How a subprocess becomes an ordinary user, where we are root."""
    return {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
