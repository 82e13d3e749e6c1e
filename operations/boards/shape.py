"""What a board is made of: figures, charts, tables, a funnel, and choices of what to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from basis import staff
from wallet.admin import amount

GOOD, WAITING, LOOK, BAD = staff.GOOD, staff.WAITING, staff.LOOK, staff.BAD

LONG = 9
# Colours by meaning; boards.css gives each its light and its dark value.
TAKEN, HELD, FREE, LOST, OTHER, PLACED = "taken", "held", "free", "lost", "other", "placed"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, as shown. `note` puts it into proportion; `url` leads to the rows that it counts."""

    key: str
    text: Any
    value: str
    url: str = ""
    note: Any = ""
    tone: str = ""

    @property
    def is_long(self) -> bool:
        """Too long for the largest letters."""
        return len(self.value) > LONG


@dataclass(frozen=True, slots=True)
class Cell:
    value: Any
    url: str = ""
    tone: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    key: str
    title: Any
    headers: Sequence[Any]
    rows: Sequence[Sequence[Cell]]
    empty: Any = ""
    wide: bool = False
    kind: str = field(default="table", init=False)

    @property
    def columns(self) -> list[tuple[Any, bool]]:
        """Each header, and whether numbers stand below it."""
        numbers = [cell.number for cell in self.rows[0]] if self.rows else [False] * len(self.headers)
        return list(zip(self.headers, numbers, strict=True))


@dataclass(frozen=True, slots=True)
class Series:
    name: Any
    values: Sequence[float]
    colour: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`links` has one address per label: pressing there leads to the rows."""

    key: str
    title: Any
    form: str  # line, bar
    labels: Sequence[str]
    series: Sequence[Series]
    stacked: bool = False
    sideways: bool = False
    links: Sequence[str] = ()
    wide: bool = False
    kind: str = field(default="chart", init=False)

    @property
    def data(self) -> str:
        """What boards.js draws, as JSON."""
        return json.dumps(
            {
                "form": self.form,
                "labels": list(self.labels),
                "series": [
                    {"name": str(one.name), "values": list(one.values), "colour": one.colour}
                    for one in self.series
                ],
                "stacked": self.stacked,
                "sideways": self.sideways,
                "links": list(self.links),
            },
            ensure_ascii=False,
        )

    @property
    def spoken(self) -> str:
        """The chart in a sentence, for who cannot see it."""
        sums = ", ".join(f"{one.name}: {sum(one.values):g}" for one in self.series)
        return f"{self.title}. {sums}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the funnel; shares are percents, of the widest step and of the step before."""

    text: Any
    count: int
    of_widest: float
    of_before: float | None
    url: str = ""

    @property
    def shown(self) -> str:
        return number(self.count)


@dataclass(frozen=True, slots=True)
class Funnel:
    key: str
    title: Any
    stages: Sequence[Stage]
    wide: bool = False
    kind: str = field(default="funnel", init=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A question that the reader answers: a form field of the board's address."""

    name: str
    text: Any
    options: Sequence[tuple[str, Any]]
    chosen: str


Panel = Chart | Table | Funnel


@dataclass(frozen=True, slots=True)
class Board:
    title: Any
    as_of: datetime
    every_s: int
    figures: Sequence[Figure]
    panels: Sequence[Panel]
    choices: Sequence[Choice] = ()
    state: Any = ""
    state_tone: str = ""


def funnel(key: str, title: Any, steps: Sequence[tuple[Any, int, str]]) -> Funnel:
    """Steps with what remains of the crowd at each, and the share of the step before."""
    widest = max([count for _text, count, _url in steps] or [0])
    stages: list[Stage] = []
    before: int | None = None
    for text, count, url in steps:
        of_before = round(100 * count / before, 1) if before else None
        stages.append(Stage(text, count, round(100 * count / widest, 1) if widest else 0, of_before, url))
        before = count
    return Funnel(key, title, stages)


def number(value: float) -> str:
    """Thousands apart, as both languages write them."""
    return f"{value:,.0f}"


def money(minor: int, currency: str) -> str:
    """An amount; with the short sign, as everybody here knows which yuan is meant."""
    return amount(minor, currency).replace("CN¥", "¥")


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else staff.NOTHING
