"""
Judging days: measures beside bars, a finding where one is over, and nothing that staff have marked is touched again.

The same day may be judged any number of times: live while it lasts, and once more when it is over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from risk.trading import rules, thresholds
from risk.trading.profile import Trading
from risk.trading_models import FindingState, MerchantDay, RiskFinding, TradingRule

POPULATION_DAYS = 28
MARKED_DAYS = 365
EVIDENCE_MAX = 20
BATCH = 1000


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


# A percentile of each measure over the merchants' days, without those on which it was confirmed to be odd.
POPULATION = """
SELECT measure.key, count(*), percentile_cont(%(shares)s::float[]) WITHIN GROUP (ORDER BY measure.value::float)
  FROM risk_merchantday day CROSS JOIN LATERAL jsonb_each_text(day.measures) measure
 WHERE day.day >= %(since)s AND day.day < %(until)s AND NOT EXISTS (
         SELECT 1 FROM risk_riskfinding finding
          WHERE finding.merchant = day.merchant AND finding.day = day.day AND finding.rule = measure.key
            AND finding.state = 'confirmed')
 GROUP BY 1
"""


def learn(*, until: date, now: datetime) -> dict[str, float]:
    """Set every rule's bar anew from the merchants' days before `until` and from what staff have marked."""
    rows = {code: TradingRule.objects.get_or_create(code=code)[0] for code in rules.RULES}
    population = _population({row.percentile for row in rows.values()}, until)
    alarms, confirmed = _marked(now)
    learned = {}
    for code, kind in rules.RULES.items():
        row = rows[code]
        days, usual = population.get(code, (0, {}))
        mine = [measure for (_merchant, rule), measure in alarms.items() if rule == code]
        right = [measure for (_merchant, rule), measure in confirmed.items() if rule == code]
        learned[code] = thresholds.learned(
            floor=_floor(row, kind),
            usual=usual[row.percentile] if days >= thresholds.POPULATION_MIN else None,
            false_alarms=mine,
            confirmed=right,
        )
        facts = {"days": days, "false_alarms": len(mine), "confirmed": len(right)}
        TradingRule.objects.filter(pk=row.pk).update(bar=learned[code], learned_at=now, learned_from=facts)
    return learned


def _population(percentiles: Collection[float], until: date) -> dict[str, tuple[int, dict[float, float]]]:
    """By rule: of how many days, and the value of each percentile."""
    asked = sorted(percentiles)
    values: dict[str, Any] = {
        "shares": [one / 100 for one in asked],
        "since": until - timedelta(days=POPULATION_DAYS),
        "until": until,
    }
    with connection.cursor() as cursor:
        cursor.execute(POPULATION, values)
        return {code: (days, dict(zip(asked, found, strict=True))) for code, days, found in cursor.fetchall()}


Marked = dict[tuple[str, str], float]  # by merchant and rule


def _marked(now: datetime) -> tuple[Marked, Marked]:
    """What staff said within a year: each merchant's largest false alarm and smallest confirmed measure of a rule."""
    marked = RiskFinding.objects.exclude(state=FindingState.OPEN).filter(
        marked_at__gte=now - timedelta(days=MARKED_DAYS)
    )
    alarms: Marked = {}
    confirmed: Marked = {}
    for merchant, code, state, measure in marked.values_list("merchant", "rule", "state", "measure"):
        if state == FindingState.FALSE_ALARM:
            alarms[merchant, code] = max(measure, alarms.get((merchant, code), measure))
        else:
            confirmed[merchant, code] = min(measure, confirmed.get((merchant, code), measure))
    return alarms, confirmed


def assess(tradings: Iterable[Trading], *, now: datetime) -> list[Judged]:
    """Judge days and write down what was found. Repeatable; what staff have marked stays as it is."""
    in_force, (alarms, confirmed) = bars(), _marked(now)
    judged = [judge(trading, _own(trading.merchant, in_force, alarms, confirmed)) for trading in tradings]
    if not judged:
        return []
    with transaction.atomic():
        _keep_days(judged, now)
        _keep_findings(judged, now)
    return judged


def _own(merchant: str, in_force: Mapping[str, Bar], alarms: Marked, confirmed: Marked) -> Mapping[str, Bar]:
    """The bars for one merchant."""
    own = {
        code: replace(
            bar,
            value=thresholds.own(
                bar.value, false_alarm=alarms[merchant, code], confirmed=(merchant, code) in confirmed
            ),
        )
        for code, bar in in_force.items()
        if (merchant, code) in alarms
    }
    return {**in_force, **own} if own else in_force


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
        batch_size=BATCH,
        update_fields=["facts", "measures", "score", "judged_at"],
    )


def _keep_findings(judged: Sequence[Judged], now: datetime) -> None:
    days = {one.trading.day for one in judged}
    known = RiskFinding.objects.select_for_update(no_key=True).filter(day__in=days).order_by("pk")
    marked = {(row.merchant, row.rule, row.day) for row in known if row.state != FindingState.OPEN}
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
        batch_size=BATCH,
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
