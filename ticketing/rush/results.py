"""
What the buyers are told: a result per order number in the fast store, where the edge and the pages read it.

Publishing is one script a batch: results written and messages dropped together, and only by the tier's present drainer.
A batch that was committed and not published is read again, and finds its orders by their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from basis import fast
from basis.scripts import Script
from ticketing.rush import keys

LUA = Path(__file__).resolve().parent.parent / "lua"
# The sale of a tier whose drainer is gone this long takes no more submissions.
SALE_LEASE_MS = 10_000


# One encoder for all: json.dumps makes one a call.
ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@lru_cache
def script(name: str) -> Script:
    return Script(LUA / f"{name}.lua")


class Stale(Exception):
    """A later drainer has the tier: nothing was published, and nothing more may be."""


@dataclass(frozen=True, slots=True)
class Published:
    """
    A decided batch. `results` maps the keys of results to what they say; `counts` the keys of buyers' counts to what is
    taken off them; `passes` are marks of passes that go; `last_id` is its last message; `seats` were queued with it;
    `free` seats are left now; its first message waited `waited_ms`.
    """

    results: Mapping[str, Mapping[str, Any]]
    last_id: str
    seats: int = 0
    free: int | None = None
    counts: Mapping[str, int] | None = None
    passes: Sequence[str] = ()
    waited_ms: int = 0


def publish(tier_id: int, stream: str, batch: Published, *, fence: int) -> None:
    """
    Tell the buyers and drop the messages.

    :raises Stale: see there
    :raises basis.fast.FastStoreAway: whether it was published is not known; doing it again is safe
    """
    counts = batch.counts or {}
    answered = script("publish").run(
        keys=[keys.sale(tier_id), stream, keys.fence(tier_id), *batch.results, *counts, *batch.passes],
        args=[
            fence,
            after(batch.last_id),
            "" if batch.free is None else batch.free,
            batch.seats,
            SALE_LEASE_MS,
            len(batch.results),
            batch.waited_ms,
            *(written(result) for result in batch.results.values()),
            *counts.values(),
        ],
    )
    if not answered:
        raise Stale(tier_id)


def given_up(wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
    """
    What is told under these keys of results whose messages nobody can read: that it failed, to the buyer whom the door
    noted there. What the door did not write has nobody to be told to.

    :raises basis.fast.FastStoreAway: see there
    """
    told = fast.store().mget(wanted) if wanted else []
    waiting = ((key, json.loads(text)) for key, text in zip(wanted, told, strict=True) if text)
    return {
        key: {"state": "refused", "buyer": result["buyer"], "reason": "failed"}
        for key, result in waiting
        if result["state"] == "queued"
    }


def after(stream_id: str) -> str:
    """The smallest id after `stream_id`."""
    time, _, serial = stream_id.partition("-")
    return f"{time}-{int(serial) + 1}"


def written(result: Mapping[str, Any]) -> str:
    return ENCODE(result)


def read_stream(stream: str, limit: int) -> Sequence[tuple[str, Mapping[str, str]]]:
    """The oldest messages without an answer, in the order in which they were accepted."""
    return cast("Sequence[tuple[str, Mapping[str, str]]]", fast.store().xrange(stream, count=limit))
