"""What a merchant did in a day, as plain values. Money is in minor units of one currency; shares are from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Concentration:
    """The buyer, device or account with the channel that has the most paid orders. `name` may be a blind index."""

    name: str = ""
    orders: int = 0
    numbers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Trading:
    """
    One merchant, one day. `usual_minor` is the median of the days before on which it sold, `usual_largest_minor` that
    of their dearest orders; `largest_minor` is the dearest order and `middling_minor` the median one. What begins with
    `week_` or `month_` is about the last 7 or 28 days, this one among them. `numbers` are orders to look at, by rule.
    """

    merchant: str
    day: date
    paid: int = 0
    took_minor: int = 0
    usual_minor: int = 0
    usual_largest_minor: int = 0
    days_known: int = 0
    largest_minor: int = 0
    middling_minor: int = 0
    at_night: int = 0
    buyers: int = 0
    buyer: Concentration = field(default_factory=Concentration)
    device: Concentration = field(default_factory=Concentration)
    card: Concentration = field(default_factory=Concentration)
    refunded: int = 0
    refunded_soon: int = 0  # within an hour of being paid
    week_paid: int = 0
    week_refunded: int = 0  # of those paid in the week
    month_paid: int = 0
    month_disputed: int = 0  # orders with a dispute that was not dismissed
    round_trips: int = 0  # most orders of one buyer that were refunded in full within the week
    own_people: int = 0  # paid orders of those who act for the merchant, or from their devices
    split: int = 0  # orders of one buyer and one amount within minutes of each other, the longest such row
    split_minor: int = 0
    off_show: int = 0  # paid orders of events that are not published, or after the show had begun
    numbers: dict[str, Sequence[str]] = field(default_factory=dict)
