"""
The long-lived drainer: reads the streams of the tiers that it has and answers them, batch by batch.

One process allocates and pays for all its tiers: that measured better than one for each (docs/rush.md). A batch is
whatever has gathered, up to `BATCH`; with little to do it lingers, so that batches form by themselves.

Crash where you like: a message leaves its stream in the step that publishes its answer, after Postgres committed it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
)

from basis import fast
from basis.lifecycle import StaleState
from payments.batch import Pressed
from risk import payment_tokens, refusals
from ticketing import orders
from ticketing.rush import allocation, keys, lanes, limits, messages, passes, paying, rebuild, results
from ticketing.rush.allocation import Answer, Held, Lane
from ticketing.rush.messages import PressMessage, Submission, Unreadable
from ticketing.rush.results import Published

log = logging.getLogger(__name__)

# What a message can be at fault for; everything else is the machine's, and the batch waits until that is well again.
AT_FAULT = (DataError, IntegrityError, StaleState, allocation.Surprise, ValueError, ArithmeticError)
AWAY = (OperationalError, InterfaceError, ProgrammingError)

BATCH = 500
LINGER_S, LINGER_MAX_S = 0.02, 0.15
BEAT_S = 1.0  # how often lanes are looked for, and their sales written
LOOK_S = 15.0  # how often the copy of the hall is compared with Postgres, told or not


Found = Sequence[tuple[str, Mapping[str, str]]]


@dataclass(slots=True)
class Tally:
    """What a drainer has done."""

    submissions: int = 0
    held: int = 0
    presses: int = 0
    paid: int = 0
    batches: int = 0


@dataclass
class Drainer:
    """`worker` names the process in the lanes; `clock` tells the time."""

    worker: str
    clock: Callable[[], datetime]
    show_codes: Sequence[str] = ()
    lanes: dict[int, Lane] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    _beat_at: float = 0.0
    _linger_s: float = LINGER_S

    def run(self, *, stopping: Callable[[], bool]) -> None:
        """Drain until `stopping`; then leave the lanes to others."""
        try:
            while not stopping():
                self._step()
        finally:
            self.leave()

    def _step(self) -> None:
        try:
            handled = self.once()
        except fast.FastStoreAway:
            log.warning("rush.fast_store_away")
            time.sleep(0.5)
        except AWAY:
            log.exception("rush.database_away")
            connection.close()
            self.lanes.clear()
            time.sleep(0.5)
        else:
            # Nothing to do for a while: look less often, up to a bound that a first click does not feel.
            self._linger_s = LINGER_S if handled else min(self._linger_s * 1.5, LINGER_MAX_S)
            if handled < BATCH:
                time.sleep(self._linger_s)

    def once(self) -> int:
        """One round over all lanes; how many messages were answered."""
        if time.monotonic() - self._beat_at >= BEAT_S:
            self._beat()
            self._beat_at = time.monotonic()
        return sum(self._drain(lane) for lane in list(self.lanes.values()))

    def leave(self) -> None:
        """Give the lanes back."""
        for lane in self.lanes.values():
            lanes.leave(lane.tier_id, fence=lane.fence, now=self.clock())
        self.lanes.clear()

    # -- lanes
    # ---------------------------------------------------------------------------------------------------
    def _beat(self) -> None:
        now = self.clock()
        due = rebuild.due_tiers(show_codes=self.show_codes, now=now)
        behind = rebuild.left_behind(due, show_codes=self.show_codes, now=now)
        for tier_id in self.lanes.keys() - {*due, *behind}:
            lanes.leave(tier_id, fence=self.lanes.pop(tier_id).fence, now=now)
        for tier_id in self.lanes.keys() & set(behind):
            self.lanes[tier_id].looked_at = float("-inf")  # something has changed about the show
        for tier_id in [*due, *behind]:
            if tier_id not in self.lanes:
                fence = lanes.take(tier_id, worker=self.worker, now=now)
                if fence is not None:
                    log.info("rush.lane_taken", extra={"tier": tier_id, "fence": fence})
                    self.lanes[tier_id] = rebuild.lane_of(tier_id, fence=fence)
        for lane in list(self.lanes.values()):
            self._holding(lane, self._keep)
        for show in {lane.tier.show.code for lane in self.lanes.values()}:
            limits.publish(show)

    def _keep(self, lane: Lane) -> int:
        lanes.keep(lane.tier_id, fence=lane.fence, now=self.clock())
        gone = not fast.store().exists(keys.sale(lane.tier_id))
        anew = _dirty(lane) or gone or time.monotonic() - lane.looked_at >= LOOK_S
        rebuild.load(lane, now=self.clock(), anew=anew)
        return 0

    def _holding(self, lane: Lane, work: Callable[[Lane], int]) -> int:
        """Do `work`; forget the lane if it turns out to be another drainer's."""
        try:
            return work(lane)
        except (lanes.LaneLost, results.Stale):
            log.warning("rush.lane_lost", extra={"tier": lane.tier_id, "fence": lane.fence})
            self.lanes.pop(lane.tier_id, None)
            return 0

    def _drain(self, lane: Lane) -> int:
        return self._holding(lane, self._orders) + self._holding(lane, self._presses)

    # -- submissions
    # -----------------------------------------------------------------------------------------------
    def _orders(self, lane: Lane) -> int:
        stream = keys.orders(lane.tier_id)
        found = results.read_stream(stream, BATCH)
        if not found:
            return 0
        if _dirty(lane):
            lane.hall = None
        batch, spoilt = _readable(found, messages.submission)
        self._decide(lane, batch, spoilt, found)
        return len(found)

    def _decide(
        self, lane: Lane, batch: Sequence[Submission], spoilt: Sequence[Unreadable], found: Found
    ) -> None:
        now = self.clock()
        try:
            answers = allocation.allocate(lane, batch, now=now) if batch else {}
        except AT_FAULT:
            # One message that cannot be decided must not hold up those behind it: find it by halves.
            answers = self._by_halves(lane, batch, now)
        held = {one.number: one for one in batch if isinstance(answers[one.number], Held)}
        refused = [one for one in batch if one.number not in held]
        burned = passes.burned_for(lane.tier_id, refused)
        published = Published(
            results={
                keys.result(lane.tier_id, one.number): _told(one, answers[one.number], now) for one in batch
            }
            | results.given_up([keys.result(lane.tier_id, one.number) for one in spoilt if one.number]),
            last_id=found[-1][0],
            seats=_queued(found),
            waited_ms=_waited(found, self.clock()),
            free=lane.hall.free if lane.hall else None,
            counts=_counts(lane.tier_id, refused),
            passes=list(burned.values()),
        )
        results.publish(lane.tier_id, keys.orders(lane.tier_id), published, fence=lane.fence)
        if refused or spoilt:
            told = _reasons(answers) + Counter({"failed": len(spoilt)})
            refusals.count(lane.tier.show.code, told, tier=lane.tier.code, now=now)
            passes.let_go(lane.tier.show.code, refused, answers, burned, now=now)
        self.tally.submissions += len(batch)
        self.tally.held += len(held)
        self.tally.batches += 1

    def _by_halves(self, lane: Lane, batch: Sequence[Submission], now: datetime) -> dict[str, Answer]:
        if len(batch) == 1:
            try:
                return allocation.allocate(lane, batch, now=now)
            except AT_FAULT:
                log.exception("rush.submission_failed", extra={"number": batch[0].number})
                return {batch[0].number: allocation.NotHeld("failed")}
        half = len(batch) // 2
        return self._by_halves(lane, batch[:half], now) | self._by_halves(lane, batch[half:], now)

    # -- presses on Pay
    # --------------------------------------------------------------------------------------------
    def _presses(self, lane: Lane) -> int:
        stream = keys.presses(lane.tier_id)
        found = results.read_stream(stream, BATCH)
        if not found:
            return 0
        batch, spoilt = _readable(found, messages.press)
        answers = self._pay(lane, batch)
        published = Published(
            results=results.given_up([keys.payment(lane.tier_id, one.number) for one in spoilt if one.number])
            | {keys.payment(lane.tier_id, one.order): _paid(one, answer) for one, answer in answers},
            last_id=found[-1][0],
            waited_ms=_waited(found, self.clock()),
        )
        results.publish(lane.tier_id, stream, published, fence=lane.fence)
        self.tally.presses += len(batch)
        self.tally.paid += sum(answer.state == "paid" for _, answer in answers)
        self.tally.batches += 1
        return len(found)

    def _pay(self, lane: Lane, batch: Sequence[PressMessage]) -> list[tuple[PressMessage, Pressed]]:
        if not batch:
            return []
        try:
            return paying.pay(lane.tier_id, batch, fence=lane.fence, now=self.clock())
        except OperationalError as error:
            if not lanes.lost_a_race(error):
                raise
            return self._pay(lane, batch)
        except AT_FAULT:
            if len(batch) == 1:
                log.exception("rush.press_failed", extra={"order": batch[0].order})
                return [(batch[0], Pressed("refused", reason="failed"))]
            half = len(batch) // 2
            return self._pay(lane, batch[:half]) + self._pay(lane, batch[half:])


def _dirty(lane: Lane) -> bool:
    """Whether seats came back. Asked before looking at the rows: what comes back later makes it dirty again."""
    return bool(fast.store().hdel(keys.sale(lane.tier_id), "dirty"))


def _readable(found: Found, read: Callable[[str, Any], Any]) -> tuple[list[Any], list[Unreadable]]:
    batch, spoilt = [], []
    for stream_id, fields in found:
        try:
            batch.append(read(stream_id, fields))
        except Unreadable as error:
            log.error("rush.unreadable", extra={"stream_id": stream_id, "number": error.number})
            spoilt.append(error)
    return batch, spoilt


def _queued(found: Found) -> int:
    """What submit.lua added to `queued` for these messages."""
    return sum(messages.queued(fields) for _, fields in found)


def _waited(found: Found, now: datetime) -> int:
    """How long the first message stood in its stream, ms; its id begins with when it came, by the store's clock."""
    return max(0, int(now.timestamp() * 1000) - int(found[0][0].partition("-")[0]))


def _counts(tier_id: int, refused: Sequence[Submission]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in refused:
        key = keys.count(tier_id, one.buyer_id)
        counts[key] = counts.get(key, 0) + one.quantity
    return counts


def _reasons(answers: Mapping[str, Answer]) -> Counter[str]:
    """How many were refused for what, for those who watch the sale."""
    return Counter(answer.reason for answer in answers.values() if not isinstance(answer, Held))


def _told(one: Submission, answer: Answer, now: datetime) -> dict[str, Any]:
    """What the buyer reads."""
    if not isinstance(answer, Held):
        return {"state": "refused", "buyer": one.buyer_id, "reason": answer.reason}
    result = {
        "state": answer.state,
        "buyer": one.buyer_id,
        "order": answer.order,
        "seats": [
            {"section": place.section, "row": place.row, "seat": place.seat} for place in answer.places
        ],
        "amount": {"amount": answer.amount_minor, "currency": answer.currency},
        "hold_until": answer.hold_until.astimezone(UTC).isoformat(timespec="milliseconds"),
    }
    if answer.state == "held":
        claim = payment_tokens.Claim(
            one.buyer_id, f"{orders.PURCHASE}:{answer.order}", answer.amount_minor, serial=0
        )
        result["payment_token"] = payment_tokens.issue(claim, now=now)
    return result


def _paid(one: PressMessage, answer: Pressed) -> dict[str, Any]:
    # The mark is pay.lua's: the same token again is answered, another one is another try.
    mark = hashlib.sha1(one.token.encode(), usedforsecurity=False).hexdigest()[:16]
    return {
        "state": answer.state,
        "buyer": one.buyer_id,
        "payment": answer.payment,
        "reason": answer.reason,
        "mark": mark,
    }
