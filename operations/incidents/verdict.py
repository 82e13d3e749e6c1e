"""What one replay saw, and whether it was right. Right is exact: everything that must hold is compared, not judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Verdict:
    """The facts of one seed, and what was wrong about them, in words."""

    incident: int
    seed: int
    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def note(self, **facts: Any) -> None:
        """Facts that are worth telling and have no right value of their own."""
        self.facts.update(facts)

    def expect(self, fact: str, seen: Any, wanted: Any) -> None:
        """A fact with one right value."""
        self.facts[fact] = seen
        if seen != wanted:
            self.wrong.append(f"{fact} is {seen!r}, right is {wanted!r}")

    def expect_that(self, holds: bool, fact: str, seen: Any) -> None:
        """A fact that must be as the name of it says; `seen` is told either way."""
        self.facts[fact] = seen
        if not holds:
            self.wrong.append(f"{fact}: {seen!r}")

    @property
    def right(self) -> bool:
        return not self.wrong


@dataclass(frozen=True, slots=True)
class Told:
    """One incident over all its seeds, as `manage.py incidents --json` prints it."""

    id: int
    name: str
    right: bool
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "right": self.right, "facts": self.facts}


def told(incident: int, name: str, verdicts: list[Verdict]) -> Told:
    """One seed: its own facts. Several: sums of what counts, shares of what varies, and every wrong in full."""
    wrong = {str(verdict.seed): verdict.wrong for verdict in verdicts if not verdict.right}
    facts: dict[str, Any] = {"seeds": len(verdicts), "right_seeds": len(verdicts) - len(wrong)}
    if len(verdicts) == 1:
        facts |= {"seed": verdicts[0].seed, **verdicts[0].facts}
    else:
        facts |= summed([verdict.facts for verdict in verdicts])
    if wrong:
        facts["wrong"] = wrong
    return Told(incident, name, bool(verdicts) and not wrong, facts)


def summed(many: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts are added up, seconds give their longest, words are counted; amounts that never vary stay as they are."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for facts in many for name in facts):
        values = [facts[name] for facts in many if name in facts]
        if all(isinstance(value, bool) for value in values):
            found[name] = f"{sum(values)} of {len(values)}"
        elif name.endswith("_s"):
            found[f"{name}_max"] = max(values)
        elif name.endswith("_fen") and len(set(values)) == 1:
            found[name] = values[0]
        elif all(isinstance(value, int) for value in values):
            found[name] = sum(values)
        elif all(isinstance(value, str) for value in values):
            found[name] = dict(sorted(Counter(values).items()))
        elif all(isinstance(value, Mapping) for value in values):
            found[name] = dict(sum((Counter(value) for value in values), Counter()))
    return found
