"""What the doctor says: a finding, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at, `found` is what it is like, `do` what to do; `do` is empty where all is well."""

    what: str
    level: Level
    found: str
    do: str = ""


def well(what: str, found: str) -> Finding:
    return Finding(what, Level.OK, found)


def warning(what: str, found: str, do: str) -> Finding:
    return Finding(what, Level.WARNING, found, do)


def failure(what: str, found: str, do: str) -> Finding:
    return Finding(what, Level.FAILURE, found, do)


def judged(what: str, found: str, do: str, *, bad: bool, worse: bool = False) -> Finding:
    """A failure if `worse`, a warning if `bad`, else well."""
    if worse:
        return failure(what, found, do)
    return warning(what, found, do) if bad else well(what, found)
