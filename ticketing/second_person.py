"""
What staff may not refund alone is asked for: of whoever registered to take such wishes (the desk), which has another
person look at them. Ticketing knows nobody above it; it says what is wanted and learns where it can be followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from accounts.models import User
from ticketing.refund_models import SeatsAfter


class CannotAsk(Exception):
    """Nothing was asked for. The text says why, in the reader's words."""


@dataclass(frozen=True, slots=True)
class WantedRefund:
    """
    A refund of an order as its maker saw it: what `ticketing.refunding.by_staff` takes, with the fingerprint of
    `ticketing.refund_preview`. An amount is in minor units.
    """

    order: str
    tickets: Sequence[str]
    amount_minor: int
    fingerprint: str
    seats_after: str = SeatsAfter.FREE


@dataclass(frozen=True, slots=True)
class WantedCancellation:
    """A show that is to be cancelled; what buyers are told, in both languages."""

    show: str
    said_zh: str = ""
    said_en: str = ""


@dataclass(frozen=True, slots=True)
class Maker:
    """Who asks, from where, and why. The same `key` asks once."""

    user: User
    reason: str
    key: str
    address: str | None = None


class Asker(Protocol):
    def __call__(self, wanted: WantedRefund | WantedCancellation, *, maker: Maker, now: datetime) -> str:
        """
        The address of the page where the request can be followed.

        :raises CannotAsk: see there
        """
        ...


_askers: list[Asker] = []


def asked_through(asker: Asker) -> None:
    """Register who takes wishes; called once, when the application starts."""
    _askers[:] = [asker]


def ask(wanted: WantedRefund | WantedCancellation, *, maker: Maker, now: datetime) -> str:
    """
    Ask for a second person's approval; nothing moves before it. Answers as `Asker` does.

    :raises CannotAsk: see there
    """
    if not _askers:
        raise CannotAsk("nobody takes requests")
    return _askers[0](wanted, maker=maker, now=now)
