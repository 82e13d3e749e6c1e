"""
Yuan strings at the edge, integer fen inside. Alipay writes amounts as yuan with two decimals; no float is
used.
"""

from __future__ import annotations

import re

YUAN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?")


def to_yuan(fen: int) -> str:
    """
    The amount as Alipay wants it: 12345 fen is "123.45".

    :raises ValueError: the amount is negative
    """
    if fen < 0:
        raise ValueError(f"an amount of {fen} fen cannot be sent")
    return f"{fen // 100}.{fen % 100:02d}"


def to_fen(yuan: object) -> int:
    """
    The amount in fen of a yuan string; "12", "12.3" and "12.30" are all accepted.

    :raises ValueError: it is not a plain decimal string (a JSON number is refused: it may have been rounded)
    """
    match = YUAN.fullmatch(yuan) if isinstance(yuan, str) else None
    if match is None:
        raise ValueError(f"not an amount in yuan: {yuan!r}")
    whole, cents = match.groups(default="")
    return int(whole) * 100 + int((cents or "0").ljust(2, "0"))
