"""
The rules: each measures one thing about a merchant's day. What is too much is not the rule's to say (thresholds.py).

A rule answers None where there is too little to judge by, else a number: the larger, the odder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from risk.trading.profile import Trading

Measure = Callable[[Trading], float | None]


@dataclass(frozen=True, slots=True)
class TradingRuleKind:
    """
    `floor`: below it nothing is ever found, whatever others do. `weight`: what a finding adds to the merchant's score.
    `unit`: `share`, `times` or `orders`. `fewest`: the day's paid orders below which it does not judge.
    """

    code: str
    title: Any
    says: Any
    measure: Measure
    floor: float
    weight: int
    unit: str
    fewest: int
    evidence: Callable[[Trading], Sequence[str]]


RULES: dict[str, TradingRuleKind] = {}


def title(code: str) -> str:
    return str(RULES[code].title) if code in RULES else code


def shown(code: str, value: float) -> str:
    """A measure as people read it."""
    unit = RULES[code].unit if code in RULES else ""
    if unit == "share":
        return f"{value * 100:.1f}%"
    return f"× {value:.1f}" if unit == "times" else f"{value:g}"


# Fewer make no habit, however large their share of a small merchant's day.
FEW, FEW_DISPUTES = 6, 3


FEWEST, FEWEST_TO_SHARE = 20, 10


def _share(part: int, whole: int, *, fewest: int = FEW) -> float:
    """What part of the whole; 0 where the part is too few to be a habit."""
    return min(1.0, part / whole) if whole and part >= fewest else 0.0


def rule(
    *, title: Any, says: Any, floor: float, weight: int, unit: str, fewest: int = FEWEST
) -> Callable[[Measure], Measure]:
    """Register a measure under its function's name. Its evidence is what the facts name for it."""

    def register(measure: Measure) -> Measure:
        code = measure.__name__

        def judged(trading: Trading) -> float | None:
            return None if trading.paid < fewest else measure(trading)

        def evidence(trading: Trading) -> Sequence[str]:
            return trading.numbers.get(code, ())

        RULES[code] = TradingRuleKind(code, title, says, judged, floor, weight, unit, fewest, evidence)
        return measure

    return register


@rule(
    title=_("far more money than usual"),
    says=_("The day's takings, as a multiple of the median of the selling days before."),
    floor=5.0,
    weight=15,
    unit="times",
)
def surge(trading: Trading) -> float | None:
    if trading.days_known < 3 or trading.usual_minor <= 0:
        return None
    return trading.took_minor / trading.usual_minor


@rule(
    title=_("an order far above the others"),
    says=_("The dearest order, as a multiple of what the dearest of a day usually is."),
    floor=4.0,
    weight=15,
    unit="times",
)
def amount_out_of_pattern(trading: Trading) -> float | None:
    if trading.days_known < 3 or trading.usual_largest_minor <= 0:
        return None
    return trading.largest_minor / trading.usual_largest_minor


@rule(
    title=_("sales at night"),
    says=_("The share of orders paid between one and five in the morning."),
    floor=0.4,
    weight=15,
    unit="share",
)
def at_night(trading: Trading) -> float | None:
    return _share(trading.at_night, trading.paid)


@rule(
    title=_("one buyer, many orders"),
    says=_("The share of the orders that one buyer has."),
    floor=0.2,
    weight=25,
    unit="share",
    fewest=FEWEST_TO_SHARE,
)
def one_buyer(trading: Trading) -> float | None:
    return _share(trading.buyer.orders, trading.paid)


@rule(
    title=_("one device, many orders"),
    says=_("The share of the orders that came from one device of several buyers."),
    floor=0.2,
    weight=30,
    unit="share",
    fewest=FEWEST_TO_SHARE,
)
def one_device(trading: Trading) -> float | None:
    return _share(trading.device.orders, trading.paid)


@rule(
    title=_("one card, many orders"),
    says=_("The share of the orders of several buyers that one card or one account with the channel paid."),
    floor=0.2,
    weight=30,
    unit="share",
    fewest=FEWEST_TO_SHARE,
)
def one_card(trading: Trading) -> float | None:
    return _share(trading.card.orders, trading.paid)


@rule(
    title=_("many refunds"),
    says=_("Of the orders paid within a week, the share that is refunded."),
    floor=0.3,
    weight=20,
    unit="share",
    fewest=0,
)
def refund_rate(trading: Trading) -> float | None:
    return _share(trading.week_refunded, trading.week_paid) if trading.week_paid >= FEWEST else None


@rule(
    title=_("many disputes"),
    says=_("Orders with a complaint or chargeback in four weeks, as a share of the orders paid in them."),
    floor=0.01,
    weight=35,
    unit="share",
    fewest=0,
)
def dispute_rate(trading: Trading) -> float | None:
    if trading.month_paid < FEWEST:
        return None
    return _share(trading.month_disputed, trading.month_paid, fewest=FEW_DISPUTES)


@rule(
    title=_("paid and refunded, again and again"),
    says=_("How many orders of one buyer were refunded in full within a week: turnover for show."),
    floor=4,
    weight=35,
    unit="orders",
    fewest=0,
)
def round_trips(trading: Trading) -> float | None:
    return float(trading.round_trips)


@rule(
    title=_("refunded within the hour"),
    says=_("The share of the orders that were refunded within an hour of being paid."),
    floor=0.15,
    weight=25,
    unit="share",
)
def refunded_soon(trading: Trading) -> float | None:
    return _share(trading.refunded_soon, trading.paid)


@rule(
    title=_("dealing with itself"),
    says=_("Paid orders of the merchant's own people, or from their devices."),
    floor=3,
    weight=40,
    unit="orders",
    fewest=1,
)
def self_dealing(trading: Trading) -> float | None:
    return float(trading.own_people)


@rule(
    title=_("split orders"),
    says=_(
        "The longest row of orders of one buyer and one amount, each within ten minutes of the one before."
    ),
    floor=5,
    weight=30,
    unit="orders",
    fewest=5,
)
def splitting(trading: Trading) -> float | None:
    return float(trading.split)


@rule(
    title=_("money without a show"),
    says=_("Paid orders of events that are not published, or of shows that had begun."),
    floor=1,
    weight=50,
    unit="orders",
    fewest=1,
)
def without_show(trading: Trading) -> float | None:
    return float(trading.off_show)
