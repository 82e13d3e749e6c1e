"""What is around the database: Redis, beat, workers, channels, disks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from basis import fast
from operations import devservices, tasks
from operations.doctor.database import skew
from operations.doctor.findings import Finding, failure, judged, warning, well

SLOW_MS = 10
BEAT_LATE = timedelta(seconds=60)
FREE_WARNING, FREE_FAILURE = 2 * 2**30, 256 * 2**20


def redis() -> Iterator[Finding]:
    """Redis only accelerates, and carries the queues: without it the beat's work stops."""
    try:
        store = fast.store()
        store.ping()
        began, before = time.perf_counter(), datetime.now(UTC)
        seconds, micros = store.time()
        took = time.perf_counter() - began
        server, memory, kept = store.info("server"), store.info("memory"), store.info("persistence")
    except fast.FastStoreAway as error:
        yield failure("redis", f"away: {error}", "start it or correct REDIS_URL; orders go on, queues do not")
        return
    name = server.get("server_name") or "redis"
    version = server.get(f"{name}_version") or server.get("redis_version")
    yield judged(
        "redis",
        f"{name} {version}, answers in {took * 1000:.1f} ms",
        "put it nearer: every press of Pay asks it",
        bad=took * 1000 > SLOW_MS,
    )
    there = datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)
    yield skew("redis clock", there, before, took)
    policy = memory.get("maxmemory_policy", "noeviction")
    yield judged(
        "redis memory",
        f"{policy}, {memory.get('used_memory_human')} used",
        "set maxmemory-policy noeviction: it would throw queued tasks away when it is full",
        bad=policy != "noeviction",
    )

    yield persistence(kept)


def persistence(kept: Mapping[str, Any]) -> Finding:
    """What a Redis that falls comes back with: who stands in the waiting room, and submissions that were accepted."""
    appends = bool(kept.get("aof_enabled"))
    broken = [
        name
        for name in ("aof_last_write_status", "rdb_last_bgsave_status")
        if kept.get(name, "ok") != "ok" and (appends or name.startswith("rdb"))
    ]
    if broken:
        return failure(
            "redis persistence", f"the last write failed: {', '.join(broken)}", "see its log, and the disk"
        )
    return judged(
        "redis persistence",
        "every write is appended to a file" if appends else "snapshots at most, no file that is appended to",
        "set appendonly yes: a restart would forget who waits and which submissions were accepted",
        bad=not appends,
    )


def beat() -> Iterator[Finding]:
    """The heartbeat that beat sends and a worker writes down (operations.tasks)."""
    do = "start beat and a worker for the queue `default` (manage.py stack run does)"
    try:
        last = tasks.last_heartbeat()
    except fast.FastStoreAway:
        yield warning("beat", "cannot be told without redis", "see redis")
        return
    if last is None:
        yield judged("beat", "has not been heard of", do, bad=True, worse=settings.PRODUCTION)
        return
    age = timezone.now() - last
    late = age > BEAT_LATE
    found = f"last heard of {age.total_seconds():.0f} s ago"
    yield judged("beat", found, do, bad=late, worse=late and settings.PRODUCTION)


def workers() -> Iterator[Finding]:
    """Which queues have a worker that answers now."""
    wanted = {settings.CELERY_TASK_DEFAULT_QUEUE}
    wanted |= {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    try:
        served = _served()
    except Exception as error:  # kombu raises whatever its transports raise
        yield warning("workers", f"the broker does not answer: {type(error).__name__}", "see redis")
        return
    for queue in sorted(wanted):
        names = sorted(name for name, queues in served.items() if queue in queues)
        if names:
            yield well(f"queue {queue}", f"{len(names)} worker(s): {', '.join(names[:3])}")
        else:
            do = f"start a worker with -Q {queue}; until then its work waits"
            yield judged(f"queue {queue}", "no worker answers", do, bad=True, worse=settings.PRODUCTION)


def _served() -> dict[str, set[str]]:
    from config.celery import app

    with app.connection_for_read(connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        answers = app.control.inspect(timeout=1.5, connection=connection).active_queues() or {}
    return {worker: {queue["name"] for queue in queues} for worker, queues in answers.items()}


def disks() -> Iterator[Finding]:
    """Room where we write: the checkout (logs, static files) and the embedded services' data."""
    seen: set[int] = set()
    for place in (Path(settings.BASE_DIR), devservices.paths().data):
        there = next(path for path in (place, *place.parents) if path.exists())
        if there.stat().st_dev in seen:
            continue
        seen.add(there.stat().st_dev)
        free = shutil.disk_usage(there).free
        yield judged(
            f"disk of {there}",
            f"{free / 2**30:.1f} GiB free",
            "make room: Postgres stops when its disk is full",
            bad=free < FREE_WARNING,
            worse=free < FREE_FAILURE,
        )
