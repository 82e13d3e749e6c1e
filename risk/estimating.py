"""Estimate the thresholds from both sources and store them beside the settings in force."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.core.cache import cache

from risk import access_log, load, thresholds
from risk.load_models import RouteGroup, Source, ThresholdEstimate
from risk.thresholds import Second

KEEP = timedelta(days=2)
POSITION = "access-log-position"


def from_windows(*, now: datetime) -> int:
    """What the processes measured themselves; how many groups had enough to say."""
    found = {str(group): load.told(str(group)) for group in RouteGroup}
    return _store(found, Source.WINDOW, now=now)


def from_access_log(path: Path, *, now: datetime) -> int:
    """What the edge wrote since the last time."""
    inode, offset = cache.get(POSITION, (0, 0))
    found, position = access_log.read(path, access_log.Position(inode, offset))
    cache.set(POSITION, (position.inode, position.offset), 24 * 3600)
    return _store(found, Source.ACCESS_LOG, now=now)


def _store(found: dict[str, list[Second]], source: Source, *, now: datetime) -> int:
    rows = []
    for group, seconds in found.items():
        seen = thresholds.estimate(seconds)
        if seen is not None:
            rows.append(
                ThresholdEstimate(
                    group=group,
                    source=source,
                    at=now,
                    tps=seen.tps,
                    concurrency=seen.concurrency,
                    latency_ms=seen.latency_ms,
                    measured_tps=seen.measured_tps,
                    requests=seen.requests,
                )
            )
    ThresholdEstimate.objects.bulk_create(rows)
    return len(rows)


def forget(*, now: datetime) -> int:
    return ThresholdEstimate.objects.filter(at__lt=now - KEEP).delete()[0]
