"""What a case about a merchant rests on: the findings, each with what was measured and the orders to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.utils.safestring import SafeString

from basis import staff
from desk.models import Case
from desk.pages import words

LISTED, ORDERS = 30, 6


@dataclass(frozen=True, slots=True)
class Found:
    """One finding in the reader's words."""

    rule: str
    day: str
    measure: str
    bar: str
    points: int
    money: str
    orders: list[SafeString | str]
    state: str


def about(case: Case) -> list[Found]:
    """The findings about the merchant that the case names, the gravest first; none for any other case."""
    if case.subject_kind != "merchant":
        return []
    found = (
        apps.get_model("risk", "RiskFinding")
        .objects.filter(merchant=case.subject)
        .order_by("-weight", "-day")
    )
    return [_shown(one) for one in found[:LISTED]]


def _shown(one: Any) -> Found:
    from risk.trading import rules

    known = rules.RULES.get(one.rule)
    numbers = one.evidence.get("orders") or one.evidence.get("numbers") or []
    return Found(
        rule=str(known.title) if known else one.rule,
        day=f"{one.day}",
        measure=f"{one.measure:g}",
        bar=f"{one.bar:g}",
        points=one.weight,
        money=words.amount(one.amount_minor, one.currency),
        orders=[staff.number(str(number)) for number in numbers[:ORDERS]]
        if isinstance(numbers, list)
        else [],
        state=str(one.get_state_display()),
    )
