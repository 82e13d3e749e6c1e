"""Debian's Prometheus: its tool, and a server with the example configuration, our addresses and a faster pulse."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.needs import needed

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
ALERTS, PLAYED, EXAMPLE = (DEPLOY / name for name in ("alerts.yml", "alerts_test.yml", "prometheus.yml"))


def tool(name: str) -> str:
    return shutil.which(name) or needed(
        name, "the alert rules are tested with Prometheus (Debian: prometheus)"
    )


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=DEPLOY, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


@contextmanager
def server(*, scrapes: str, token: str, place: Path) -> Iterator[Callable[..., Any]]:
    """A Prometheus that scrapes `scrapes` every second; what is yielded asks its API."""
    config = _config(scrapes, token, place)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        tool("prometheus"), f"--config.file={config}", f"--web.listen-address={address}",
        f"--storage.tsdb.path={place}/data", "--log.level=warn",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        yield lambda path, **query: _asked(f"http://{address}/api/v1/{path}", query)
    finally:
        process.terminate()
        process.wait(10)


def _config(scrapes: str, token: str, place: Path) -> Path:
    told = yaml.safe_load(EXAMPLE.read_text())
    told["global"] = {"evaluation_interval": "1s"}
    (job,) = told["scrape_configs"]
    (place / "token").write_text(token)
    job["scrape_interval"] = job["scrape_timeout"] = "1s"
    job["authorization"]["credentials_file"] = str(place / "token")
    job["static_configs"] = [{"targets": [scrapes]}]
    told["rule_files"] = [str(DEPLOY / name) for name in told["rule_files"]]
    (place / "prometheus.yml").write_text(yaml.safe_dump(told))
    return place / "prometheus.yml"


def _asked(url: str, query: dict[str, str]) -> Any:
    try:
        return httpx2.get(url, params=query, timeout=5).json().get("data")
    except (httpx2.TransportError, ValueError):
        return None  # it is starting


def within(seconds: float, look: Callable[[], Any]) -> Any:
    until = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.2)
    return found
