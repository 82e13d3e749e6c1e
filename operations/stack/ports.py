"""Ports of the stack's own, the same ones from day to day, and whether something answers at them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
# Below the ports that the kernel hands to outgoing connections, so that a busy client cannot take ours while
# a program is being started again.
PORTS = range(20_000, 32_000)


class NoPort(Exception):
    """Every port that was tried is taken."""


def remembered_ports(memory: Path, *, names: tuple[str, ...]) -> dict[str, int]:
    """
    The ports of the last time where they are still free, others where not: bookmarks stay good.

    :raises NoPort: see there
    """
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
    chosen: dict[str, int] = {}
    for name in names:
        candidates = _candidates(known.get(name))
        chosen[name] = next(port for port in candidates if port not in chosen.values() and _is_free(port))
    memory.write_text(json.dumps({**known, **chosen}) + "\n")
    return chosen


def _candidates(remembered: int | None) -> Iterator[int]:
    if remembered is not None:
        yield remembered
    for _attempt in range(1_000):
        yield random.choice(PORTS)  # noqa: S311 - only to keep two checkouts apart
    raise NoPort(f"no free port between {PORTS.start} and {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of the last run that still linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def connects(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:  # noqa: S310 - our own http:// address
            return bool(response.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
