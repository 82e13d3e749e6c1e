"""
What the product asks of a channel that writes statements ("bills"): where today's file lies, and the file.

A channel writes a day's statement on the next morning. It answers that the file is ready, that it is not yet, or that
nothing happened on that day; links live seconds to minutes, so a file is fetched as soon as its link is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import BinaryIO, Protocol

from payments.channels.port import Declined, Unknown

# What payments calls the two statements: payments and refunds; movements of money.
TRADE, FUNDS = "trade", "funds"


@dataclass(frozen=True, slots=True)
class BillLink:
    """Where the file lies, for a short time. `sha1` is of the unpacked file, empty where the channel tells none."""

    url: str
    sha1: str = ""


@dataclass(frozen=True, slots=True)
class BillNotReady:
    """The channel still writes it; ask again."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class BillAbsent:
    """The channel has no statement of that day, which it also says when nothing happened."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The file is there, whole, and is the one that was announced."""

    size: int


BillResult = BillLink | BillNotReady | BillAbsent | Declined | Unknown


class BillChannel(Protocol):
    """A channel with statements. Like `port.Channel`: slow, outside any transaction, no exception for a network."""

    code: str

    @property
    def merchant(self) -> str:
        """Who we are in the channel's files."""
        ...

    def ask_bill(self, *, kind: str, day: date) -> BillResult:
        """`day` is a day in Shanghai that is over."""
        ...

    def download_bill(self, link: BillLink, into: BinaryIO) -> Downloaded | Unknown:
        """Write the file as it comes. After `Unknown`, throw away what was written and ask for a new link."""
        ...
