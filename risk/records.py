"""
Verdicts for staff to read: noted in a stream of the fast store by the request, moved to Postgres by the beat.

A request pays one command and only if there is something to tell. While the store is away it goes to the log instead;
what the store itself loses is lost: nothing but these records hangs on it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DataError, transaction

from basis import events, fast
from risk.features import Features
from risk.judge import ALLOW, Verdict
from risk.models import Judgement

log = events.get_logger(__name__)

STREAM = "{risk}:judgements"
LENGTH_MAX = 200_000
BATCH = 2000
KEEP = timedelta(days=30)


def note(features: Features, verdict: Verdict, *, did: str, now: datetime) -> None:
    """Note what was found and what was done (`did`: the verdict, or `passed` for a challenge passed before)."""
    if verdict.verdict == ALLOW and not verdict.reasons:
        return
    record = {
        "at": now.timestamp(),
        "purpose": features.purpose,
        "verdict": did,
        "score": verdict.score,
        "reasons": [reason.shown() for reason in verdict.reasons],
        "buyer_id": features.buyer_id,
        "show": features.show[:50],
        "address": features.address[:45],
        "device": features.device[:64],
        "request_id": features.request_id[:64],
    }
    try:
        fast.store().xadd(STREAM, {"r": json.dumps(record)}, maxlen=LENGTH_MAX, approximate=True)
    except fast.FastStoreAway:
        told = {name: record[name] for name in ("purpose", "verdict", "score", "buyer_id", "show")}
        log.warning("judgement.not_kept", **told, reasons=[reason.code for reason in verdict.reasons])


def drain(*, limit: int = BATCH) -> int:
    """Move the oldest records to Postgres; how many. Moving one twice keeps one: its stream id is its key."""
    try:
        found: list[Any] = fast.store().xrange(STREAM, count=limit)  # type: ignore[assignment]
    except fast.FastStoreAway:
        return 0
    if not found:
        return 0
    _keep([row for key, fields in found if (row := _row(key, fields)) is not None])
    with contextlib.suppress(fast.FastStoreAway):  # then they come again
        fast.store().xdel(STREAM, *(key for key, _fields in found))
    return len(found)


def _row(key: str, fields: Mapping[str, str]) -> Judgement | None:
    try:
        record = json.loads(fields["r"])
        record["at"] = datetime.fromtimestamp(record["at"], UTC)
        # A wiped store starts its ids anew; with the time they stay unique.
        return Judgement(key=f"{key}:{int(record['at'].timestamp())}"[:40], **record)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        log.error("judgement.unreadable", key=key)
        return None


def _keep(rows: Sequence[Judgement]) -> None:
    """Write them; one that Postgres will not take is found by halves and must not keep the others back for good."""
    try:
        with transaction.atomic():
            Judgement.objects.bulk_create(rows, ignore_conflicts=True)
    except (DataError, ValueError):
        if len(rows) == 1:
            log.exception("judgement.unreadable", key=rows[0].key)
            return
        half = len(rows) // 2
        _keep(rows[:half])
        _keep(rows[half:])


def forget(*, now: datetime) -> int:
    """Delete what is older than `KEEP`."""
    return Judgement.objects.filter(at__lt=now - KEEP).delete()[0]
