"""
What is too much: a percentile of what all merchants do, and what staff have said about earlier findings.

Pure. A false alarm raises the bar to where it would not have rung; what was confirmed keeps it from rising past that.
"""

from __future__ import annotations

from collections.abc import Sequence

# Of the false alarms so many are silenced; the strangest of them may have been waved through by mistake.
FALSE_ALARMS_SILENCED = 0.9
# Fewer merchants make no population: then the floor stands alone.
POPULATION_MIN = 20
MARGIN = 1.01


def learned(
    *,
    population: Sequence[float],
    floor: float,
    percentile: float,
    false_alarms: Sequence[float] = (),
    confirmed: Sequence[float] = (),
) -> float:
    """
    The value above which a measure is a finding. `percentile` is from 0 to 100; `false_alarms` and `confirmed` are the
    measures of findings that staff have marked.
    """
    bar = floor
    if len(population) >= POPULATION_MIN:
        bar = max(bar, quantile(population, percentile / 100))
    if false_alarms:
        bar = max(bar, quantile(false_alarms, FALSE_ALARMS_SILENCED) * MARGIN)
    if confirmed:
        bar = min(bar, max(floor, min(confirmed)))
    return bar


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed, interpolated between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
