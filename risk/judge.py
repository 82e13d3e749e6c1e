"""
The verdict over one request: the lists first, then every rule that is not off; pure, given the policy.

Rules in shadow mode are judged and reported like the others and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from basis import events
from risk.features import Features
from risk.models import ListKind, RuleVerdict
from risk.policy import Policy, RuleInForce
from risk.rules import Finding

log = events.get_logger(__name__)

ALLOW, CHALLENGE, DENY = "allow", "challenge", "deny"
SEVERITY = {ALLOW: 0, CHALLENGE: 1, DENY: 2}
RULE_FAILED = "rule_failed"


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding, for staff. `acted` is False for a rule in shadow mode."""

    code: str
    message: str
    weight: int
    verdict: str
    acted: bool

    def shown(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "weight": self.weight,
            "verdict": self.verdict,
            "acted": self.acted,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allow`, `challenge` or `deny`. `would` is what it were if the rules in shadow mode acted."""

    verdict: str
    reasons: tuple[Reason, ...] = ()
    score: int = 0
    would: str = ALLOW


def judge(features: Features, *, policy: Policy, now: datetime) -> Verdict:
    """What to do with the request, and why."""
    listed = policy.lists.find(features, now=now)
    if listed is not None:
        verdict = ALLOW if listed.kind == ListKind.ALLOW else DENY
        reason = Reason(f"listed_{listed.subject}", listed.reason, 0, verdict, True)
        return Verdict(verdict, (reason,), would=verdict)
    reasons = tuple(found for one in policy.rules if (found := _apply(one, features)) is not None)
    acting = [reason for reason in reasons if reason.acted]
    score = sum(reason.weight for reason in acting)
    would = _worst(reasons, sum(reason.weight for reason in reasons), policy)
    return Verdict(_worst(acting, score, policy), reasons, score, would)


def _apply(one: RuleInForce, features: Features) -> Reason | None:
    try:
        found = one.kind.judge(features, one.parameters)
    except Exception as error:
        # One broken rule must neither stop the sale nor open the gate without anybody knowing.
        log.exception("rule.failed", rule=one.kind.code, error=type(error).__name__)
        failed = Finding(f"{one.kind.code}: {type(error).__name__}")
        verdict = RuleVerdict.DENY if one.if_failed == DENY else RuleVerdict.SCORE
        return Reason(RULE_FAILED, failed.message, 0, verdict, one.acts)
    if found is None:
        return None
    return Reason(one.kind.code, found.message, one.weight, one.verdict, one.acts)


def _worst(reasons: Any, score: int, policy: Policy) -> str:
    by_score = DENY if score >= policy.deny_at else CHALLENGE if score >= policy.challenge_at else ALLOW
    alone = [reason.verdict for reason in reasons if reason.verdict in SEVERITY]
    return max([by_score, *alone], key=SEVERITY.__getitem__)
