"""
What somebody who waits is told: the members that integrators know from other waiting rooms, and ours beside them.

`deploy/nginx/lua/queue.lua` answers polls with the same members; tests/edge compares the two.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from risk import signing, waiting_room
from risk.signing import NotOurs, QueueNumber
from risk.waiting_room import Standing

HEADER = "Queue-Number"
QUEUE_COOKIE, PASS_COOKIE = "queue_{show}", "pass_{show}"
COOKIE_AGE_S = 24 * 3600
NOBODY_PASSES = ("closed", "draw", "paused")


def of(show: str, buyer_id: int, standing: Standing, *, now: datetime) -> dict[str, Any]:
    """The body of the answer to a join or a poll."""
    low, high = standing.wait_low_s, standing.wait_high_s
    known = high >= 0
    given = waiting_room.pass_of(show, buyer_id, standing)
    return {
        "inWaitingRoom": standing.status == "waiting",
        "waitTime": math.ceil(high / 60) if known else 0,
        "waitTimeKnown": known,
        "waitTimeFormatted": _minutes(low, high) if known else "",
        "queueIsFull": False,
        "queueAll": standing.state in NOBODY_PASSES,
        "lastUpdated": _utc(int(now.timestamp())),
        "refreshIntervalSeconds": standing.interval_ms / 1000,
        "show": show,
        "status": standing.status,
        "state": standing.state,
        "number": standing.number,
        "token": signing.sign_number(waiting_room.number_of(show, buyer_id, standing)),
        "place": standing.place or None,
        "ahead": standing.ahead if standing.ahead >= 0 else None,
        "waiting": standing.waiting,
        "wait_seconds": {"low": low, "high": high} if known else None,
        "outlook": standing.outlook,
        "pass": {"token": signing.sign_pass(given), "expires_at": _utc(given.expires_s)} if given else None,
    }


def status_of(standing: Standing) -> int:
    """202: wait and ask again. 200: nothing more to wait for, for better or worse."""
    return 202 if standing.status == "waiting" else 200


def shown_number(show: str, *candidates: str | None) -> QueueNumber | None:
    """The first of the texts that is a number of ours for this show; others are as good as none."""
    for text in candidates:
        try:
            number = signing.read_number(text or "")
        except NotOurs:
            continue
        if number.show == show:
            return number
    return None


def _minutes(low_s: int, high_s: int) -> str:
    low, high = max(1, math.floor(low_s / 60)), max(1, math.ceil(high_s / 60))
    return f"{low} min" if low == high else f"{low}–{high} min"


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
