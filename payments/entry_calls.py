"""Open the payments whose turn at a bounded channel has come, as fast as the channel may be called and no faster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from django.db import connection

from payments import checkout, entry, entry_pace
from payments.entry_models import ChannelTurn
from payments.entry_pace import Slot
from payments.models import Payment
from risk import switches

log = logging.getLogger(__name__)

THREADS = 16
SLEEP_S_MAX = 0.5


def run(
    channel: str, *, clock: Callable[[], datetime], sleep: Callable[[float], None], until: datetime
) -> int:
    """Work the channel's queue off until it is empty or the time is over; how many calls were made."""
    if switches.stopped(switches.CHANNEL, channel):
        return 0  # they wait on, may choose another channel, and are closed unpaid when their time is over
    setting = entry.setting_of(channel)
    if setting is None:
        return _open_all(channel, clock)
    made: list[Future[None]] = []
    with ThreadPoolExecutor(max_workers=min(setting.in_flight, THREADS)) as pool:
        while clock() < until:
            if not entry.waiting(channel).exists():
                break
            slot = entry_pace.take(setting)
            if not isinstance(slot, Slot):
                sleep(min(slot / 1000, SLEEP_S_MAX))
                continue
            turn = entry.next_turn(channel, now=clock())
            if turn is None:
                slot.unused()
                break
            made.append(pool.submit(_call, turn, slot, clock))
    return len(made)


def _open_all(channel: str, clock: Callable[[], datetime]) -> int:
    """The bound was taken away while some waited: nobody has to wait any more."""
    made = 0
    while (turn := entry.next_turn(channel, now=clock())) is not None:
        _open(turn, entry_pace.FREE, clock)
        made += 1
    return made


def _call(turn: ChannelTurn, slot: Slot, clock: Callable[[], datetime]) -> None:
    try:
        _open(turn, slot, clock)
    finally:
        connection.close()  # a thread of the pool; the connection goes back to its own pool


def _open(turn: ChannelTurn, slot: Slot, clock: Callable[[], datetime]) -> None:
    try:
        payment = Payment.objects.get(pk=turn.payment_id)
        checkout.open_trade(payment, turn.return_url, slot, now=clock())
    except Exception:
        # The payment has its chase; one failed call must not stop the others behind it.
        log.exception("entry.call_failed", extra={"turn": turn.pk})


def waiting_channels() -> list[str]:
    """Where somebody waits."""
    found = (
        ChannelTurn.objects.filter(called_at=None, left_at=None).order_by().values_list("channel", flat=True)
    )
    return sorted(found.distinct())
