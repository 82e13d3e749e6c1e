"""
Who goes first at a bounded channel, and for whom there is room: pure, the same for the product and its simulation.

Everybody gets a deadline when he comes: now, plus the longest wait, less his head start. The earliest deadline is
served first, so weight counts, and waiting counts too: each second that somebody waits is worth a second of head start.
Nobody is admitted whose coming would make anybody miss a deadline at the channel's capacity. Thus the lightest waits
at most `max_wait_s`, as long as the channel delivers what it is set to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.entry_models import SPARE_S, ChannelSetting

# Slices of the limiter cost up to a tenth of its rate; promises are made over less than what is set.
SURE = 0.9
# The lightest are admitted while this much of the room is taken, the heaviest while there is any.
OPEN_TO_ALL = 0.8


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who wants to pay. Amounts in fen."""

    vip_level: int = 0
    is_large: bool = False
    wallet_minor: int = 0
    amount_minor: int = 0

    @property
    def weight(self) -> str:
        """His class in a few letters, for staff and reports."""
        parts = [f"vip{self.vip_level}"] if self.vip_level else []
        return " ".join([*parts, *(["large"] if self.is_large else [])]) or "plain"


def head_start_s(who: Candidate, setting: ChannelSetting) -> float:
    """
    Seconds by which he is put forward: none at least, and never so many that the lightest are left without time of
    their own.
    """
    wanted = (
        who.vip_level * setting.vip_s
        + who.is_large * setting.large_s
        + min(1.0, who.wallet_minor / setting.wallet_full_minor) * setting.wallet_s
        + min(1.0, who.amount_minor / setting.amount_full_minor) * setting.amount_s
    )
    return max(0.0, min(wanted, most_head_start_s(setting)))


def most_head_start_s(setting: ChannelSetting) -> float:
    return float(setting.max_wait_s - SPARE_S)


def due_at(who: Candidate, setting: ChannelSetting, *, now: datetime) -> datetime:
    return now + timedelta(seconds=setting.max_wait_s - head_start_s(who, setting))


def has_room(
    waiting_due: Iterable[datetime],
    due: datetime,
    setting: ChannelSetting,
    *,
    head_start: float,
    now: datetime,
) -> bool:
    """
    Whether one more with deadline `due` can be served without anybody missing his. `waiting_due`: all deadlines of
    those who wait, rising.
    """
    ahead = 0
    rate = setting.calls_per_second * SURE * _share(head_start, setting)
    checked_own = False
    for other in waiting_due:
        if not checked_own and other > due:
            checked_own = True
            if not _fits(ahead + 1, due, rate, now):
                return False
        ahead += 1
        if checked_own and not _fits(ahead + 1, other, rate, now):
            return False
    return checked_own or _fits(ahead + 1, due, rate, now)


def _fits(number: int, due: datetime, rate: float, now: datetime) -> bool:
    return number <= max(1.0, rate * (due - now).total_seconds())


def _share(head_start: float, setting: ChannelSetting) -> float:
    most = most_head_start_s(setting)
    return OPEN_TO_ALL + (1 - OPEN_TO_ALL) * min(1.0, head_start / most if most else 1.0)
