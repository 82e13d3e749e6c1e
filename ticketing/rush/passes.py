"""
Passes of submissions that were taken in and then refused: the pass comes back for another try, and whoever can buy
nothing at all makes room in the waiting room at once.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from basis import fast
from risk import waiting_room
from ticketing.rush import keys
from ticketing.rush.allocation import Answer, NotHeld
from ticketing.rush.messages import Submission


def burned_for(tier_id: int, refused: Sequence[Submission]) -> dict[str, str]:
    """
    The marks of the passes that were burned for what is refused, by order number; submit.lua left them in the results.

    :raises basis.fast.FastStoreAway: see there
    """
    if not refused:
        return {}
    told = fast.store().mget([keys.result(tier_id, one.number) for one in refused])
    known = ((one.number, json.loads(text)) for one, text in zip(refused, told, strict=True) if text)
    return {number: result["pass"] for number, result in known if "pass" in result}


def let_go(
    show: str,
    refused: Sequence[Submission],
    answers: Mapping[str, Answer],
    burned: Mapping[str, str],
    *,
    now: datetime,
) -> None:
    """End the turns of those to whom nothing can be sold, once they were told; a lost word costs a pass's life."""
    for one in refused:
        if one.number in burned and _is_final(one, answers[one.number]):
            nonce = burned[one.number].rpartition(":")[2]
            with contextlib.suppress(fast.FastStoreAway):
                waiting_room.leave(show=show, nonce=nonce, is_counted=False, now=now)


def _is_final(one: Submission, answer: Answer) -> bool:
    if not isinstance(answer, NotHeld):
        return False
    return answer.reason == "not_eligible" or (answer.reason == "limit_reached" and one.quantity == 1)
