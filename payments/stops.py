"""
Channels and top-ups that staff have stopped (risk.switches): nobody starts a payment there. What is under way goes on:
its channel is asked, its money is taken in and goes back as always.
"""

from __future__ import annotations

from payments.models import ChannelCode
from risk import switches

STOPPED = "stopped"
TOPUP = "topup"


def refusal(kind: str, channel: str) -> str:
    """`stopped` if no payment of this kind of purchase may start at the channel now; else empty."""
    if kind == TOPUP and switches.stopped(switches.TOPUPS):
        return STOPPED
    return STOPPED if switches.stopped(switches.CHANNEL, channel) else ""


def refusals(kind: str, channels: list[str]) -> dict[str, str]:
    """The stopped ones among the channels."""
    return {channel: why for channel in channels if (why := refusal(kind, channel))}


def channels() -> list[tuple[str, str]]:
    """What can be stopped, for the switchboard."""
    return [(str(code), str(code.label)) for code in ChannelCode]
