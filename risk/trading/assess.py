"""
Judging days: measures beside bars, a finding where one is over, and nothing that staff have marked is touched again.

The same day may be judged any number of times: live while it lasts, and once more when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction

from risk.trading import rules, thresholds
from risk.trading.profile import Trading
from risk.trading_models import FindingState, MerchantDay, RiskFinding, TradingRule

POPULATION_DAYS = 28
MARKED_DAYS = 365
EVIDENCE_MAX = 20


@dataclass(frozen=True, slots=True)
class Bar:
    """One rule in force: what is above `value` is a finding. It comes from `compared_with` days of merchants."""

    code: str
    value: float
    compared_with: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A merchant's day with its findings: rule, measure and bar."""

    trading: Trading
    measures: Mapping[str, float]
    found: Sequence[tuple[str, float, Bar]]

    @property
    def score(self) -> int:
        return sum(rules.RULES[code].weight for code, _measure, _bar in self.found)


def judge(trading: Trading, bars: Mapping[str, Bar]) -> Judged:
    """What is odd about one day. Pure."""
    measures = {code: value for code in bars if (value := rules.RULES[code].measure(trading)) is not None}
    found = [(code, value, bars[code]) for code, value in measures.items() if value > bars[code].value]
    return Judged(trading, measures, found)


def bars() -> dict[str, Bar]:
    """The rules in force: what was learned last, or their floors before anything was."""
    rows = {row.code: row for row in TradingRule.objects.filter(code__in=rules.RULES)}
    found = {}
    for code, kind in rules.RULES.items():
        row = rows.get(code)
        if row is None:
            found[code] = Bar(code, kind.floor, 0)
        elif row.is_on:
            value = row.bar if row.bar is not None else _floor(row, kind)
            found[code] = Bar(code, max(value, _floor(row, kind)), int(row.learned_from.get("days", 0)))
    return found


def _floor(row: TradingRule | None, kind: rules.TradingRuleKind) -> float:
    return kind.floor if row is None or row.floor is None else row.floor


def learn(*, until: date, now: datetime) -> dict[str, float]:
    """Set every rule's bar anew from the merchants' days before `until` and from what staff have marked."""
    days = list(
        MerchantDay.objects.filter(
            day__gte=until - timedelta(days=POPULATION_DAYS), day__lt=until
        ).values_list("measures", flat=True)
    )
    since = now - timedelta(days=MARKED_DAYS)
    marked: dict[tuple[str, str], list[float]] = {}
    settled = RiskFinding.objects.exclude(state=FindingState.OPEN).filter(marked_at__gte=since)
    for code, state, measure in settled.values_list("rule", "state", "measure"):
        marked.setdefault((code, state), []).append(measure)
    learned = {}
    for code, kind in rules.RULES.items():
        row = TradingRule.objects.get_or_create(code=code)[0]
        population = [measures[code] for measures in days if code in measures]
        alarms = marked.get((code, FindingState.FALSE_ALARM), [])
        confirmed = marked.get((code, FindingState.CONFIRMED), [])
        learned[code] = thresholds.learned(
            population=population,
            floor=_floor(row, kind),
            percentile=row.percentile,
            false_alarms=alarms,
            confirmed=confirmed,
        )
        facts = {"days": len(population), "false_alarms": len(alarms), "confirmed": len(confirmed)}
        TradingRule.objects.filter(pk=row.pk).update(bar=learned[code], learned_at=now, learned_from=facts)
    return learned


def assess(tradings: Iterable[Trading], *, now: datetime) -> list[Judged]:
    """Judge days and write down what was found. Repeatable; what staff have marked stays as it is."""
    in_force = bars()
    judged = [judge(trading, in_force) for trading in tradings]
    if not judged:
        return []
    with transaction.atomic():
        _keep_days(judged, now)
        _keep_findings(judged, now)
    return judged


def _keep_days(judged: Sequence[Judged], now: datetime) -> None:
    MerchantDay.objects.bulk_create(
        [
            MerchantDay(
                merchant=one.trading.merchant,
                day=one.trading.day,
                facts=_facts(one.trading),
                measures=dict(one.measures),
                score=one.score,
                judged_at=now,
            )
            for one in judged
        ],
        update_conflicts=True,
        unique_fields=["merchant", "day"],
        update_fields=["facts", "measures", "score", "judged_at"],
    )


def _keep_findings(judged: Sequence[Judged], now: datetime) -> None:
    days = {one.trading.day for one in judged}
    merchants = {one.trading.merchant for one in judged}
    known = RiskFinding.objects.select_for_update(no_key=True).filter(day__in=days, merchant__in=merchants)
    marked = {
        (row.merchant, row.rule, row.day) for row in known.order_by("pk") if row.state != FindingState.OPEN
    }
    rows = [
        row
        for one in judged
        for row in _findings(one, now)
        if (row.merchant, row.rule, row.day) not in marked
    ]
    RiskFinding.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["merchant", "rule", "day"],
        update_fields=["measure", "bar", "amount_minor", "evidence", "seen_at"],
    )


def _findings(one: Judged, now: datetime) -> list[RiskFinding]:
    trading = one.trading
    return [
        RiskFinding(
            merchant=trading.merchant,
            rule=code,
            day=trading.day,
            measure=measure,
            bar=bar.value,
            weight=rules.RULES[code].weight,
            amount_minor=trading.took_minor,
            evidence={
                "orders": list(rules.RULES[code].evidence(trading))[:EVIDENCE_MAX],
                "facts": _facts(trading),
                "compared_with": bar.compared_with,
            },
            found_at=now,
            seen_at=now,
        )
        for code, measure, bar in one.found
    ]


def _facts(trading: Trading) -> dict[str, Any]:
    """The facts as they are kept: without the order numbers, which stand in the evidence."""
    facts = asdict(trading)
    for name in ("merchant", "day", "numbers"):
        facts.pop(name)
    for name in ("buyer", "device", "card"):
        facts[name].pop("numbers")
    return facts
