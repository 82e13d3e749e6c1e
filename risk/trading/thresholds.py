"""
What is too much: a percentile of what all merchants do, and what staff have said about earlier findings.

Pure. A merchant's false alarms raise the bar for that merchant; those of several merchants raise it for all. What was
confirmed keeps it from rising past that.
"""

from __future__ import annotations

from collections.abc import Sequence

# Of the merchants' false alarms so many are silenced; the strangest may have been waved through by mistake.
FALSE_ALARMS_SILENCED = 0.9
# One merchant that is different is no reason to look at the others less.
FALSE_ALARM_MERCHANTS = 3
# Fewer merchants' days make no population: then the floor stands alone.
POPULATION_MIN = 20
MARGIN = 1.01
# A merchant's habit varies from day to day: the next one may be so much stronger than the one that was explained.
HABIT = 1.2


def learned(
    *,
    floor: float,
    usual: float | None = None,
    false_alarms: Sequence[float] = (),
    confirmed: Sequence[float] = (),
) -> float:
    """
    The value above which a measure is a finding, for any merchant. `usual` is the percentile of the population, None
    while there is none; `false_alarms` the largest of each merchant that had any; `confirmed` are measures.
    """
    bar = floor if usual is None else max(floor, usual)
    if len(false_alarms) >= FALSE_ALARM_MERCHANTS:
        bar = max(bar, quantile(false_alarms, FALSE_ALARMS_SILENCED) * MARGIN)
    if confirmed:
        bar = min(bar, max(floor, min(confirmed)))
    return bar


def own(bar: float, *, false_alarm: float | None, confirmed: bool) -> float:
    """The bar for one merchant: its own false alarms raise it, unless one of its findings was confirmed."""
    return bar if false_alarm is None or confirmed else max(bar, false_alarm * HABIT)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
