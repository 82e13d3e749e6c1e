"""
Numbers that people and channels see: a letter for the kind, then time, then chance.

`[0-9A-Z]{20}`, valid as a merchant order number at every channel (docs/channels.md), sortable by time, and free of
the letters I, L, O and U, which are misread on the phone.
"""

from __future__ import annotations

import secrets
from datetime import datetime

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TIME_DIGITS = 9
CHANCE_DIGITS = 10

ORDER, PAYMENT, REFUND, TICKET, TOPUP, CASE = "K", "P", "R", "T", "W", "C"
SETTLEMENT, WITHDRAWAL = "S", "D"


def new_number(kind: str, now: datetime) -> str:
    """A new number of 20 characters: kind, milliseconds since 1970 in base 32, 50 random bits."""
    return (
        kind
        + _digits(int(now.timestamp() * 1000), TIME_DIGITS)
        + _digits(secrets.randbits(50), CHANCE_DIGITS)
    )


# Two digits at once: a rush makes a hundred thousand numbers in seconds.
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


def _digits(value: int, length: int) -> str:
    out = ""
    for _ in range((length + 1) // 2):
        value, pair = value >> 10, _PAIRS[value & 1023]
        out = pair + out
    return out[-length:]
