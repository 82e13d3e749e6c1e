"""
The gate in front of what costs money (M7, M9): one call, one answer.

1. judge: lists, then rules, over features of which the costly ones are gathered only if a rule needs them;
2. a challenge that was passed before stands in for a new one;
3. the limiter: per show, buyer, address, device, as staff have set it.

Nothing set: nothing is gathered, counted, limited or asked, and the fast store is not touched.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from django.core.cache import cache

from basis import fast
from risk import challenge, counters, limiter, policy, records
from risk.challenge import Challenge
from risk.features import Features, History, Need
from risk.judge import CHALLENGE, DENY, Verdict, judge
from risk.models import LimitScope, LimitSetting, Route
from risk.policy import Policy

PASS, LIMITED, AWAY, DENIED, CHALLENGED = "pass", "limited", "away", "denied", "challenged"
HISTORY_KEEP_S = 60
TOKEN_MARK_S = 2 * 3600

HistoryOf = Callable[[int], History]
_history_of: list[HistoryOf] = []


@dataclass(frozen=True, slots=True)
class Limited:
    """The limit that refused, or the tightest that let pass, for the RateLimit headers."""

    name: str
    limit: int
    window_s: float
    remaining: int
    reset_s: int


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` says to the buyer what kind of refusal it is; reasons are for staff alone."""

    outcome: str
    code: str = ""
    retry_after_s: int = 0
    limited: Limited | None = None
    challenge: Challenge | None = None


def history_from(provider: HistoryOf) -> None:
    """Register who knows a buyer's orders. Called when the application starts."""
    _history_of[:] = [provider]


def check(features: Features, *, passed: str = "", limited: bool = True, now: datetime) -> Answer:
    """
    Whether this request may go on. `passed`: the pass of a challenge, if it brought one. `limited`: False for what is
    judged as its purpose and does not count towards that purpose's limits.
    """
    held = policy.current()
    if held.judges:
        refused = _judged(features, held, passed, now)
        if refused is not None:
            return refused
    return limit(features, route=features.purpose, now=now, held=held) if limited else Answer(PASS)


def _judged(features: Features, held: Policy, passed: str, now: datetime) -> Answer | None:
    features = _gathered(features, held, now)
    verdict = judge(features, policy=held, now=now)
    subject = challenge.subject_of(features)
    stands = verdict.verdict == CHALLENGE and challenge.holds(
        passed, subject=subject, purpose=features.purpose, now=now
    )
    records.note(features, verdict, did="passed" if stands else verdict.verdict, now=now)
    if verdict.verdict == DENY:
        return Answer(DENIED, code=_denial(verdict))
    if verdict.verdict == CHALLENGE and not stands:
        asked = challenge.ask_work(
            subject=subject, purpose=features.purpose, difficulty=_difficulty(verdict, held), now=now
        )
        return Answer(CHALLENGED, code="challenge_required", challenge=asked)
    return None


def _gathered(features: Features, held: Policy, now: datetime) -> Features:
    needs = held.needs
    if Need.RATES in needs:
        features = replace(features, rates=counters.count(features, now=now))
    if Need.HISTORY in needs and features.buyer_id is not None and _history_of:
        features = replace(features, history=_history(features.buyer_id))
    return features


def _history(buyer_id: int) -> History:
    """At most a minute old: rules look at habits, not at the last order."""
    found = cache.get(f"history:{buyer_id}")
    if found is None:
        found = _history_of[0](buyer_id)
        cache.set(f"history:{buyer_id}", found, HISTORY_KEEP_S)
    return found


def _denial(verdict: Verdict) -> str:
    """A buyer learns that he is on a list, never which rule he must get around."""
    listed = any(reason.code.startswith("listed_") for reason in verdict.reasons)
    return "listed" if listed else "looks_automated"


def _difficulty(verdict: Verdict, held: Policy) -> int:
    """One bit harder for every half of the way from the challenge's score to the denial's."""
    span = max(1, held.deny_at - held.challenge_at)
    extra = max(0, verdict.score - held.challenge_at) * 2 // span
    return held.difficulty + min(2, extra)


# -- the limiter
# -------------------------------------------------------------------------------------------------------------
def limit(features: Features, *, route: str, now: datetime, held: Policy | None = None) -> Answer:
    """Ask every limit of the route that fits, at once; no limit set passes without asking."""
    held = held or policy.current()
    fitting = [
        (one, who)
        for one in held.limits
        if one.route == route and one.show in ("", features.show) and (who := _who(one, features))
    ]
    if not fitting:
        return Answer(PASS)
    settings = [one for one, _who_ in fitting]
    asked = [limiter.Rule(f"{route}:{one.scope}", who, one.limit, one.window_ms) for one, who in fitting]
    answer = limiter.ask(
        features.show or route, asked, open_if_away=all(one.if_away == "open" for one in settings)
    )
    if answer.passed:
        return Answer(PASS, limited=_told(settings[answer.index], answer.remaining))
    if answer.refused_by == "store_away":
        return Answer(AWAY, code="unavailable", retry_after_s=2)
    wait_s = max(1, math.ceil(answer.retry_after_ms / 1000))
    told = replace(_told(settings[answer.index], 0), reset_s=wait_s)
    return Answer(LIMITED, code="too_many_requests", retry_after_s=wait_s, limited=told)


def limit_tokens(features: Features, *, purchase: str, now: datetime) -> Answer:
    """
    Before a purchase's payment token is handed out (M10): so many purchases a second get their first one. Whoever was
    let in once gets his tokens again at every reload; who was not comes back after the wait and gets his then.
    """
    held = policy.current()
    if not any(one.route == Route.PAYMENT_TOKEN for one in held.limits):
        return Answer(PASS)
    mark = f"paytoken:issued:{{{purchase}}}"
    with contextlib.suppress(fast.FastStoreAway):
        if fast.store().exists(mark):
            return Answer(PASS)
    answer = limit(features, route=Route.PAYMENT_TOKEN, now=now, held=held)
    if answer.outcome == PASS:
        with contextlib.suppress(fast.FastStoreAway):
            fast.store().set(mark, 1, ex=TOKEN_MARK_S)
    return answer


def _who(one: LimitSetting, features: Features) -> str:
    match one.scope:
        case LimitScope.SHOW:
            return features.show or "all"
        case LimitScope.BUYER:
            return str(features.buyer_id or "")
        case LimitScope.DEVICE:
            return features.device[:24]
    return features.customer


def _told(one: LimitSetting, remaining: int) -> Limited:
    return Limited(one.scope, one.limit, one.window_ms / 1000, remaining, math.ceil(one.window_ms / 1000))
