"""The cells of a statement: yuan, fees, times and numbers, read exactly or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache

# Below ten milliards of yuan: what no row is. Everything that is reckoned with it stays within the database's integers.
FEN = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]{1,2}))?").fullmatch
MILLI = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]{1,5}))?").fullmatch
TOTAL = re.compile(r"([+-]?)([0-9]{1,15})(?:\.([0-9]{1,5}))?").fullmatch
COUNT = re.compile(r"([0-9]{1,9})(?:\.0+)?").fullmatch
CLOCK = re.compile(r" (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]").fullmatch
# What channels allow in a merchant's numbers: nothing that would need escaping on its way into the database.
NUMBERS = re.compile(r"[0-9A-Za-z_*|@.\n-]*").fullmatch
NUMBER_MAX = 64
CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
HEADER_TWINS = str.maketrans(
    {"（": "(", "）": ")", "＋": "+", "－": "-", "\ufeff": None, "\t": None, '"': None}
)


@lru_cache(maxsize=8192)
def fen(yuan: str) -> int:
    """
    "-12.30" is −1230.

    :raises ValueError: it is no amount of yuan with at most two decimals
    """
    return _scaled(FEN(yuan.strip()), 2, yuan)


@lru_cache(maxsize=8192)
def milli(yuan: str) -> int:
    """
    A fee in thousandths of a fen: "0.00540" is 540.

    :raises ValueError: it has more than five decimals, or is no amount
    """
    return _scaled(MILLI(yuan.strip()), 5, yuan)


def total(yuan: str) -> int:
    """
    The sum of a whole file in thousandths of a fen, of amounts or of fees.

    :raises ValueError: it has more than five decimals, or is no amount
    """
    return _scaled(TOTAL(yuan.strip()), 5, yuan)


def _scaled(match: re.Match[str] | None, decimals: int, text: str) -> int:
    if match is None:
        raise ValueError(f"not an amount in yuan: {text[:40]!r}")
    sign, whole, part = match.groups(default="")
    value = int(whole) * 10**decimals + int(part.ljust(decimals, "0"))
    return -value if sign == "-" else value


def count(text: str) -> int:
    """
    "45" and "45.0" are 45: channels write counts either way.

    :raises ValueError: it is no count
    """
    match = COUNT(text.strip())
    if match is None:
        raise ValueError(f"not a count: {text[:40]!r}")
    return int(match[1])


def discount(ordered: int, received: int) -> int:
    """What of `ordered` a discount at the merchant's cost took off, where `received` is a part of it; else nothing."""
    return ordered - received if 0 <= received <= ordered else 0


def currency(text: str) -> str:
    """:raises ValueError: it is not three capital letters"""
    if not CURRENCY(text):
        raise ValueError(f"not a currency: {text[:40]!r}")
    return text


def safe(*numbers: str) -> None:
    """:raises ValueError: a number is too long or holds what no channel allows in one"""
    if not NUMBERS("\n".join(numbers)) or max(map(len, numbers)) > NUMBER_MAX:
        raise ValueError(f"not a number: {numbers}")


class NotOfTheDay(ValueError):
    """The row happened on another day than the statement is about."""


def clock_of(day: date) -> Callable[[str], str]:
    """A reader of times such as "2026-11-20 12:00:00"; it refuses another day's (NotOfTheDay) and what is no time."""
    wanted = day.isoformat()

    def read(text: str) -> str:
        if not CLOCK(text[10:]):
            raise ValueError(f"not a time: {text[:40]!r}")
        if text[:10] != wanted:
            raise NotOfTheDay(text)
        return text

    return read


def header(names: Sequence[str]) -> list[str]:
    """Column names as we compare them: exports differ in full-width signs, white space and quotes."""
    return [name.translate(HEADER_TWINS).replace(" ", "") for name in names]
