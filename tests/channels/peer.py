"""
Talk to a library that is not ours, in its own environment and process.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from payments.channels.wire import Answer, Wire
from tests.channels.rig import ROOT

ENVIRONMENTS = {"alipay": "python-alipay-sdk", "wechat": "wechatpayv3"}


class Peer:
    """Asks one question at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, do: str, **arguments: Any) -> Any:
        told = self.tell(do, **arguments)
        assert "error" not in told, told["error"]
        return told["result"]

    def tell(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer with `result`, or `error` where the library raised."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def started(name: str) -> Iterator[Peer]:
    """The peer of a channel. Without its environment the test is skipped, or fails where everything is required."""
    python = ROOT / ".venvs" / name / "bin" / "python"
    if not python.exists():
        reason = f"{ENVIRONMENTS[name]} is not installed: run scripts/peer-venvs"
        if os.environ.get("KAIPIAO_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    script = ROOT / "tests" / "channels" / "peers" / f"{name}_peer.py"
    clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([python, script], env=clean, cwd=script.parent, **pipes) as process:
        yield Peer(process)
        process.stdin.close()
        process.wait(timeout=10)


class Tap:
    """Keeps what an adapter sends and receives."""

    def __init__(self, wire: Wire) -> None:
        self.sent: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[Answer] = []
        self._send = wire.send
        wire.send = self._keep  # type: ignore[method-assign]

    def _keep(self, method: str, url: str, *, headers: dict[str, str], body: bytes = b"") -> Any:
        self.sent.append((method, url, dict(headers), body))
        answer = self._send(method, url, headers=headers, body=body)
        self.answers.append(answer)
        return answer
