"""
Which workers are alive: each says so with its Celery heartbeat, every few seconds, in the fast store. And how much lies
in the broker's queues.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from typing import Any

from celery import current_app
from celery.signals import heartbeat_sent

from basis import fast
from risk.load import ALIVE_S, PROCESSES

WORKERS = "operations:workers"
WORKER_ALIVE_S = 20
SAY_EVERY_S = 5
QUEUES = ("notify", "compensate", "default")

_said = [0.0]


@heartbeat_sent.connect
def say(sender: Any = None, **_more: object) -> None:
    """Called in the worker's main process with each of its heartbeats."""
    if time.monotonic() < _said[0] + SAY_EVERY_S:
        return
    _said[0] = time.monotonic()
    name = str(getattr(getattr(sender, "eventer", None), "hostname", "") or "worker")
    with contextlib.suppress(fast.FastStoreAway):
        fast.store().zadd(WORKERS, {name[:80]: time.time()})
        fast.store().zremrangebyscore(WORKERS, "-inf", time.time() - 3600)


def workers(*, now: datetime) -> list[tuple[str, float]]:
    """The workers of the last hour, and how many seconds ago each spoke; empty while the store is away."""
    try:
        found: Any = fast.store().zrange(WORKERS, 0, -1, withscores=True)
    except fast.FastStoreAway:
        return []
    return [(str(name), max(0.0, now.timestamp() - at)) for name, at in found]


def web_processes(*, now: datetime) -> int | None:
    """How many web processes have served a request within the last seconds; None while the store is away."""
    try:
        return int(fast.store().zcount(PROCESSES, now.timestamp() - ALIVE_S, "+inf"))
    except fast.FastStoreAway:
        return None


def queued() -> dict[str, int]:
    """Tasks that lie in the broker's queues, by queue; empty while the broker is away."""
    try:
        with current_app.connection_for_read() as connection:
            client: Any = connection.default_channel.client  # type: ignore[attr-defined]
            return {queue: int(client.llen(queue)) for queue in QUEUES}
    except Exception:
        # Each transport has errors of its own, and a page about health must come up when things are ill.
        return {}
