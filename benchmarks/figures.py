"""What a benchmark answers, and the list of benchmarks: one module each, registered under the name of its figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

SMALLER_IS_BETTER = frozenset({"s", "ms", "bytes", "MB", "MiB", "times"})


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One measured number. `ceiling` is the best that could be hoped for, measured in the same run; `bar` is what was
    promised: a least value for a rate, a greatest for a time or a size. `facts` are printed and kept beside it.
    """

    name: str
    value: float
    unit: str
    ceiling: float | None = None
    bar: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return round(self.value / self.ceiling, 3) if self.ceiling else None

    @property
    def ok(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.unit in SMALLER_IS_BETTER else self.value >= self.bar

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "value": round(self.value, 3), "ratio": self.ratio, "ok": self.ok}


Measure = Callable[[], Figure]
MEASURES: dict[str, Measure] = {}
RUNS: dict[str, list[str]] = {}
WHEN_NAMED: set[str] = set()


def benchmark(name: str, *, run: str | None = None, when_named: bool = False) -> Callable[[Measure], Measure]:
    """
    Register a function that measures one figure; what several figures are read from is measured once.

    :param run: the name of the run that it is read from, where another module makes it; its own module otherwise.
        Each run has a process, a database and a Redis database of its own
    :param when_named: not among those that are measured when none is named, which end within a quarter of an hour
    """

    def register(measure: Measure) -> Measure:
        if when_named:
            WHEN_NAMED.add(name)
        MEASURES[name] = cache(measure)
        RUNS.setdefault(run or measure.__module__.rpartition(".of_")[2], []).append(name)
        return MEASURES[name]

    return register
