"""
The end of the waiting room: where one stands in front of a show, an order needs its buyer's admission pass and uses it.

A pass is good for one order a price tier, whichever way it is placed: the mark that an order leaves here is the one for
which the rush's script looks (ticketing/lua/submit.lua).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from basis import fast
from basis.held import Held
from risk import leaving, signing, waiting_room
from risk.room_models import Room
from risk.signing import Pass, QueueNumber
from ticketing import phases
from ticketing.rush import keys

GIVEN_UP = "left"  # the mark of a pass whose buyer has queued again


class PassNeeded(Exception):
    """The show has a waiting room, and no pass of this buyer for its present generation came along."""


class PassUsed(Exception):
    """The pass has given an order of this price tier already, or it has ended."""


def _load() -> dict[str, int]:
    return {room.show: room.epoch for room in Room.objects.all() if room.is_in_front}


in_front: Held[Mapping[str, int]] = Held(_load)  # the generation of the room, by show


def is_needed(show: str) -> bool:
    """Whether the show is sold by turns; known in every process within two seconds, without a query of its own."""
    return show in in_front.get()


def shown(text: str, *, show: str, buyer_id: int) -> Pass | None:
    """
    The buyer's pass out of what came with the request; None where the show is sold without turns.

    :raises PassNeeded: see there
    """
    epoch = in_front.get().get(show)
    if epoch is None:
        return None
    try:
        found = signing.read_pass(text)
    except signing.NotOurs as error:
        raise PassNeeded(show) from error
    # Where staff have started over, passes are void as the numbers are.
    if (found.show, found.buyer_id) != (show, buyer_id) or found.epoch not in (None, epoch):
        raise PassNeeded(show)
    return found


@contextlib.contextmanager
def used(admitted: Pass | None, *, tier_id: int, client_key: str, now: datetime) -> Iterator[None]:
    """
    Use the pass for the order that is placed inside; an order that is refused gives it back. The same key may use the
    same pass again, for it finds the same order. While the fast store is away the pass is not marked: it is signed, and
    how many seats the buyer may have is decided in Postgres.

    :raises PassUsed: see there
    """
    mark = _burn(admitted, tier_id, client_key, now) if admitted is not None else ""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(fast.FastStoreAway):
            if mark:
                fast.store().delete(mark)
            if admitted is not None and _is_final(error):
                waiting_room.leave(show=admitted.show, nonce=admitted.nonce, is_counted=False, now=now)
        raise


def _is_final(error: BaseException) -> bool:
    """Whether the buyer can buy nothing at all here, so that his place inside is the next one's."""
    if isinstance(error, phases.LimitReached):
        return error.left == 0
    return isinstance(error, phases.NotEligible)


def used_for(admitted: Pass, tier_ids: Sequence[int]) -> dict[int, str]:
    """
    The tiers for which the pass has given an order, and by what: an order number, or `key:` and the client's key.
    Empty while the store is away.
    """
    try:
        pipe = fast.store().pipeline(transaction=False)
        for tier_id in tier_ids:
            pipe.get(keys.admission(tier_id, admitted.nonce))
        found = pipe.execute()
    except fast.FastStoreAway:
        return {}
    return {tier_id: mark for tier_id, mark in zip(tier_ids, found, strict=True) if mark}


def give_up(admitted: Pass, tier_ids: Sequence[int], *, now: datetime) -> None:
    """
    End the buyer's own turn, so that he may queue again: the pass is worth nothing more, for any tier.

    :raises basis.fast.FastStoreAway: nothing was ended, or not all of it: the buyer asks again
    """
    left_ms = admitted.expires_s * 1000 - int(now.timestamp() * 1000)
    if left_ms <= 0:
        return
    is_counted = bool(used_for(admitted, tier_ids))
    pipe = fast.store().pipeline(transaction=False)
    for tier_id in tier_ids:
        pipe.set(keys.admission(tier_id, admitted.nonce), GIVEN_UP, nx=True, px=left_ms)
    pipe.execute()
    waiting_room.leave(show=admitted.show, nonce=admitted.nonce, is_counted=is_counted, now=now)


def leave(
    *, show: str, buyer_id: int, shown: QueueNumber | None = None, tier_ids: Sequence[int], now: datetime
) -> None:
    """
    Give the buyer's place in the line up, or his turn and its pass; what he has ordered stays. Again: nothing happens.

    :raises risk.waiting_room.NoRoom: see there
    :raises basis.fast.FastStoreAway: he may still have his place; asking again is safe
    """
    admitted = leaving.quit_line(show=show, buyer_id=buyer_id, shown=shown, now=now)
    if admitted is not None:
        # Void first, then out: whoever is out has no pass that is good for anything.
        give_up(admitted, tier_ids, now=now)
        leaving.quit_line(show=show, buyer_id=buyer_id, shown=shown, now=now)


def _burn(admitted: Pass, tier_id: int, client_key: str, now: datetime) -> str:
    """The mark that was made; empty if it was there by the same key, or the store is away."""
    left_ms = admitted.expires_s * 1000 - int(now.timestamp() * 1000)
    if left_ms <= 0:
        raise PassUsed(admitted.nonce)
    mark, by = keys.admission(tier_id, admitted.nonce), f"key:{client_key}"
    try:
        if fast.store().set(mark, by, nx=True, px=left_ms):
            return mark
        known = fast.store().get(mark)
    except fast.FastStoreAway:
        return ""
    if known != by:
        raise PassUsed(admitted.nonce)
    return ""
