"""
How fast a channel may be called: calls a second and calls in flight, over all processes by the fast store; while that
is away each process keeps to both by itself, which is looser by the number of processes.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from basis import fast
from basis.scripts import Script
from payments import breaker
from payments.entry_models import ChannelSetting
from risk import limiter

SLOT = Script(Path(__file__).parent / "lua" / "slot.lua")
SLOT_LIFE_MS = 60_000
BUSY_MS = 20


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to call once. End it with what came of the call."""

    setting: ChannelSetting | None
    id: str = ""
    is_local: bool = False

    def end(self, *, ok: bool) -> None:
        if self.setting is None:
            return
        _give_back(self)
        if self.setting.breaker_failures:
            breaker.report(
                self.setting.channel,
                ok=ok,
                failures=self.setting.breaker_failures,
                open_s=self.setting.breaker_open_s,
            )

    def unused(self) -> None:
        """Nobody was there to be called for."""
        if self.setting is not None:
            _give_back(self)


FREE = Slot(None)


def take(setting: ChannelSetting) -> Slot | int:
    """A slot, or in how many milliseconds to ask again."""
    try:
        taken = _take_shared(setting)
    except fast.FastStoreAway:
        taken = _take_here(setting)
    if isinstance(taken, Slot) and setting.breaker_failures and not breaker.may_call(setting.channel):
        taken.unused()
        return 1000
    return taken


def _take_shared(setting: ChannelSetting) -> Slot | int:
    id_ = secrets.token_hex(6)
    if not SLOT.run(keys=[_slots(setting.channel)], args=[setting.in_flight, id_, SLOT_LIFE_MS]):
        return BUSY_MS
    limit = max(1, int(setting.calls_per_second))
    rule = limiter.Rule("calls", setting.channel, limit, round(1000 * limit / setting.calls_per_second))
    answer = limiter.ask(f"entry:{setting.channel}", [rule], open_if_away=False)
    if answer.passed:
        return Slot(setting, id_)
    fast.store().zrem(_slots(setting.channel), id_)
    if answer.refused_by == "store_away":
        raise fast.FastStoreAway
    return answer.retry_after_ms


def _give_back(slot: Slot) -> None:
    channel = slot.setting.channel if slot.setting else ""
    if slot.is_local:
        with _lock:
            _in_flight[channel] = max(0, _in_flight.get(channel, 0) - 1)
        return
    try:
        fast.store().zrem(_slots(channel), slot.id)
    except fast.FastStoreAway:
        return  # it ends by itself


# -- while the store is away
# -----------------------------------------------------------------------------------------------
_lock = threading.Lock()
_in_flight: dict[str, int] = {}
_calls: dict[str, deque[float]] = {}


def _take_here(setting: ChannelSetting) -> Slot | int:
    with _lock:
        if _in_flight.get(setting.channel, 0) >= setting.in_flight:
            return BUSY_MS
        now, calls = time.monotonic(), _calls.setdefault(setting.channel, deque())
        limit = max(1, int(setting.calls_per_second))
        window_s = limit / setting.calls_per_second
        while calls and calls[0] <= now - window_s:
            calls.popleft()
        if len(calls) >= limit:
            return max(1, int((calls[0] + window_s - now) * 1000))
        calls.append(now)
        _in_flight[setting.channel] = _in_flight.get(setting.channel, 0) + 1
        return Slot(setting, is_local=True)


def _slots(channel: str) -> str:
    return f"{{entry:{channel}}}:slots"
