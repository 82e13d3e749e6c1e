"""What a case about a merchant rests on: the findings, each with what was measured and the orders to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.utils.safestring import SafeString

from basis import staff
from desk.models import Case
from desk.pages import words
from risk.trading import rules

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


def rules_of(codes: str) -> str:
    """The names of rules, of their codes in one line."""
    return ", ".join(rules.title(code) for code in codes.split(", "))


def _shown(one: Any) -> Found:
    numbers = one.evidence.get("orders") or one.evidence.get("numbers") or []
    return Found(
        rule=rules.title(one.rule),
        day=f"{one.day}",
        measure=rules.shown(one.rule, one.measure),
        bar=rules.shown(one.rule, one.bar),
        points=one.weight,
        money=words.amount(one.amount_minor, one.currency),
        orders=[staff.number(str(number)) for number in numbers[:ORDERS]]
        if isinstance(numbers, list)
        else [],
        state=str(one.get_state_display()),
    )
