"""
What a buyer is like, drawn from a seed: the same seed and number give the same buyer, on every machine.

The shares are those of a hot sale on phones: most look and shake their heads at the price, most of those who order pay,
and every kind of trouble that the shop must survive is there dozens of times among 5,000 buyers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

WALLET, ALIPAY, WECHAT = "wallet", "alipay", "wechat"

# Where a buyer goes away, or what he does instead of simply paying.
LOOKS_ONLY, LEAVES_ORDER, LEAVES_CASHIER = "looks_only", "leaves_order", "leaves_cashier"
CANCELS, CANCELS_AT_CASHIER = "cancels", "cancels_at_cashier"
SWITCHES, PAYS_BOTH, COMES_LATE, PAYS = "switches", "pays_both", "comes_late", "pays"

WAYS = {
    LOOKS_ONLY: 82.0,
    PAYS: 23.0,
    LEAVES_ORDER: 1.5,
    LEAVES_CASHIER: 1.5,
    SWITCHES: 2.0,
    CANCELS: 1.0,
    COMES_LATE: 1.0,
    PAYS_BOTH: 1.0,
    CANCELS_AT_CASHIER: 1.0,
}
CHANNELS = {WALLET: 40, ALIPAY: 30, WECHAT: 30}
QUANTITIES = {1: 20, 2: 50, 3: 15, 4: 15}
PRESSES = {1: 80, 2: 10, 3: 5, 5: 4, 8: 1}
MAP_SHARE = 0.15
ACCEPTS_EQUAL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Habit:
    """One buyer's evening, decided beforehand; what the shop answers may still change it."""

    way: str
    channel: str
    second_channel: str
    quantity: int
    presses: int
    same_key: bool
    on_map: bool
    accepts_equal: bool
    taste: float
    thinks_s: float


def habit_of(seed: int, index: int) -> Habit:
    """The habit of buyer number `index` of the crowd `seed`."""
    dice = random.Random(f"{seed}:{index}")  # noqa: S311 - a simulation
    way = _one_of(dice, WAYS)
    channel = _one_of(dice, CHANNELS)
    if way not in (PAYS, LOOKS_ONLY, LEAVES_ORDER, CANCELS) and channel == WALLET:
        channel = dice.choice((ALIPAY, WECHAT))  # the wallet has no cashier to leave, or to be late at
    others = [other for other in (ALIPAY, WECHAT, WALLET) if other != channel]
    return Habit(
        way=way,
        channel=channel,
        second_channel=others[0] if dice.random() < 0.8 else others[1],
        quantity=_one_of(dice, QUANTITIES),
        presses=_one_of(dice, PRESSES),
        same_key=dice.random() < 0.5,
        on_map=dice.random() < MAP_SHARE,
        accepts_equal=dice.random() < ACCEPTS_EQUAL_SHARE,
        taste=dice.random(),
        thinks_s=dice.uniform(0.0, 0.4),
    )


def has_money_in_wallet(seed: int, index: int) -> bool:
    """Whether this buyer topped his wallet up before the sale; a few who press Pay there did not."""
    habit = habit_of(seed, index)
    return WALLET in (habit.channel, habit.second_channel) and index % 50 != 0


def _one_of(dice: random.Random, shares: Mapping[T, float]) -> T:
    return dice.choices(list(shares), weights=list(shares.values()))[0]
