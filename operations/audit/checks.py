"""What a check is: a question to the database that answers with everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LISTED = 20
"""So many violations of a check are listed; the count is always the whole."""


@dataclass(frozen=True, slots=True)
class Check:
    """
    `name` starts with the number of the invariant (PRODUCT.md). `checked` is a SELECT of one number: how many
    things the check looks at. `wrong` is a SELECT of (`what`, `why`), one row per violation.

    Both may use the parameters of `operations.audit.run.parameters` and the check's own.
    """

    name: str
    says: str
    checked: str
    wrong: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def invariant(self) -> int:
        return int(self.name.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Violation:
    """`what` is the number (or kind and id) of the thing that is wrong, `why` says in a sentence what is wrong."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found. `found` counts every violation, `violations` lists the first `LISTED`."""

    check: Check
    checked: int
    found: int
    violations: tuple[Violation, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        return self.found == 0
