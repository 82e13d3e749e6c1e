"""The case type about merchants: findings of risk.trading that weigh enough together, and what may be done."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from desk.acts import Act, CannotBeDone, Way
from desk.models import Queue
from desk.types import CaseType, register
from risk.trading import marking
from risk.trading_models import FindingState, RiskFinding

ENOUGH = 40
"""So many points of open findings make a case: one grave finding, or two or three lesser ones."""
COUNTED_DAYS, COUNTED_TIMES = 28, 2
"""A rule counts twice at most, and what is much older than the newest finding not at all."""


def _mark(act: Act, state: FindingState) -> None:
    """Mark every open finding about the merchant. Findings that came since the case was opened are among them."""
    found = list(
        RiskFinding.objects.filter(merchant=act.case.subject, state=FindingState.OPEN).order_by("pk")
    )
    if not found:
        raise CannotBeDone("no_findings", act.case.subject)
    for finding in found:
        marking.mark(finding_id=finding.pk, state=state, actor=act.actor, reason=_why(act), now=act.now)


def _why(act: Act) -> str:
    """A preview has no reason yet; what it does is undone."""
    return act.reason or "preview"


def hold_settlement(act: Act) -> None:
    _mark(act, FindingState.CONFIRMED)
    with contextlib.suppress(marking.HeldBefore):
        marking.hold(merchant=act.case.subject, actor=act.actor, reason=_why(act), now=act.now)


def confirm(act: Act) -> None:
    _mark(act, FindingState.CONFIRMED)


def false_alarm(act: Act) -> None:
    _mark(act, FindingState.FALSE_ALARM)


HOLD_SETTLEMENT = Way(
    code="hold_settlement",
    title=_("Hold the merchant's settlement"),
    says=_("Confirms the findings. Nothing is paid out to the merchant until staff lift the hold."),
    do=hold_settlement,
)
CONFIRM_FINDINGS = Way(
    code="confirm_findings",
    title=_("Confirm, and do not hold"),
    says=_("The findings were right; the merchant goes on. What is like them will be found again."),
    do=confirm,
)
FALSE_ALARM = Way(
    code="false_alarm",
    title=_("False alarm"),
    says=_("The findings were harmless. The rules learn from it and ring later next time."),
    do=false_alarm,
)

MERCHANT_SUSPECT = CaseType(
    code="merchant_suspect",
    title=_("A merchant's trading looks odd"),
    says=_(
        "Rules about trading found this merchant's days out of pattern. The findings name orders to look at."
    ),
    subject_kind="merchant",
    queue=Queue.RISK,
    rests=timedelta(0),
    due=timedelta(hours=24),
    ways=(HOLD_SETTLEMENT, CONFIRM_FINDINGS, FALSE_ALARM),
    detector="""
SELECT finding.merchant AS subject, '' AS channel, '' AS purchase_kind, '' AS purchase_number, '' AS payment_number,
       max(finding.amount_minor) AS amount_minor, min(finding.currency) AS currency, min(finding.found_at) AS since,
       string_agg(finding.rule || '@' || finding.day, ',' ORDER BY finding.rule, finding.day) AS cause,
       jsonb_build_object('score', sum(finding.weight), 'rules', string_agg(DISTINCT finding.rule, ', ')) AS facts
  FROM (SELECT *, row_number() OVER (PARTITION BY merchant, rule ORDER BY day DESC) AS nth,
               max(day) OVER (PARTITION BY merchant) AS newest FROM risk_riskfinding WHERE state = 'open') finding
 WHERE finding.nth <= %(times)s AND finding.day > finding.newest - %(days)s
 GROUP BY finding.merchant HAVING sum(finding.weight) >= %(enough)s
""",
    parameters={"enough": ENOUGH, "days": COUNTED_DAYS, "times": COUNTED_TIMES},
)

register(MERCHANT_SUSPECT)
