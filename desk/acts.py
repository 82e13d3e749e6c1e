"""
What the predefined resolutions are made of: what one needs to run (`Act`), and why it may not.

A resolution has two halves. `look` asks a channel, outside any transaction, and changes nothing. `do` runs in the
transaction of desk.resolve, moves what is to be moved through the product's own services, and reaches no network: what
a channel must be told is left to the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from desk.facts import Facts
from desk.models import Case, CaseState
from payments.models import Payment, Refund


class CannotBeDone(Exception):
    """The resolution does not fit the facts as they are. `reason` is a stable code; nothing was changed."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Act:
    """
    One run. `answer` is what `look` brought; `actor` is a name for histories, e.g. `staff:mei` or `coordinator`.
    `maker` is who asked for it where `actor` approves; empty in a preview.
    """

    case: Case
    facts: Facts
    answer: Any
    inputs: Mapping[str, str]
    actor: str
    reason: str
    now: datetime
    maker: str = ""

    @property
    def payment(self) -> Payment:
        found = self.facts.payment(self.case.payment_number)
        if found is None:
            raise CannotBeDone("no_payment", self.case.payment_number)
        return found

    @property
    def refund(self) -> Refund:
        found = self.facts.refund(self.case.subject)
        if found is None:
            raise CannotBeDone("no_refund", self.case.subject)
        return found


@dataclass(frozen=True, slots=True)
class Input:
    """What a resolution must be told. `kind`: text, amount (minor units), account (a ledger account's code)."""

    name: str
    label: Any
    kind: str = "text"
    help: Any = ""


# When two people are needed: for money that is booked, or set right without being booked, above the limit; always.
BY_MONEY_BOOKED, BY_MONEY_AT_RISK, ALWAYS = "booked", "at_risk", "always"


@dataclass(frozen=True, slots=True)
class Way:
    """
    A predefined resolution: `title` on the button, `says` what it does. `alone`: the coordinator may take it by itself.
    `leaves` is what becomes of the case: ACTED is watched until its cause is gone, EXPLAINED stays as it is.
    """

    code: str
    title: Any
    says: Any
    do: Callable[[Act], None]
    look: Callable[[Case, Facts], Any] | None = None
    inputs: tuple[Input, ...] = field(default=())
    two_people: str = BY_MONEY_BOOKED
    alone: bool = False
    leaves: str = CaseState.ACTED
