"""
What staff have set for the gate, as every process holds it: read again when its version has changed, looked at no more
often than every `LOOK_EVERY_S` and by one thread; the others go on with what they have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError

from basis import events
from risk import lists, rules
from risk.features import Need
from risk.models import (
    GateSetting,
    KillSwitch,
    LimitSetting,
    ListEntry,
    PolicyVersion,
    RuleMode,
    RuleSetting,
    ThresholdEstimate,
    ThresholdSetting,
)

log = events.get_logger(__name__)

LOOK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class RuleInForce:
    kind: rules.RuleKind
    acts: bool  # False: shadow
    verdict: str
    weight: int
    parameters: Mapping[str, Any]
    if_failed: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """In force for a route group, over all processes. None: no bound of that kind."""

    tps: float | None
    concurrency: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Something that staff have stopped (risk.switches), and what buyers are told of it; empty: our own words."""

    kind: str
    target: str
    said_zh: str = ""
    said_en: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    version: int
    rules: tuple[RuleInForce, ...] = ()
    lists: lists.Lists = field(default_factory=lists.Lists)
    limits: tuple[LimitSetting, ...] = ()
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()  # groups with a setting, whether it is on or not
    stops: Mapping[tuple[str, str], Stop] = field(default_factory=dict)  # by kind and target
    challenge_at: int = 50
    deny_at: int = 100
    difficulty: int = 15
    pass_minutes: int = 15

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset().union(*(one.kind.needs for one in self.rules))

    @property
    def judges(self) -> bool:
        """False: nothing is switched on, so nothing has to be gathered."""
        return bool(self.rules or self.lists.held)


class _Held:
    """This process's copy."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.looked_at = 0.0
        self.lock = threading.Lock()


_held = _Held()


def current() -> Policy:
    """
    The policy, at most `LOOK_EVERY_S` old.

    :raises DatabaseError: the first look failed; later ones keep what was read before
    """
    policy = _held.policy
    if policy is not None and time.monotonic() < _held.looked_at + LOOK_EVERY_S:
        return policy
    if not _held.lock.acquire(blocking=policy is None):
        return policy  # type: ignore[return-value]  # somebody looks; `policy` is what we have
    try:
        _held.policy = _looked(_held.policy)
        _held.looked_at = time.monotonic()
        return _held.policy
    except DatabaseError as error:
        if policy is None:
            raise
        _held.looked_at = time.monotonic()
        log.warning("policy.not_read", error=type(error).__name__)
        return policy
    finally:
        _held.lock.release()


def forget() -> None:
    """Read anew at the next look."""
    _held.policy, _held.looked_at = None, 0.0


def _looked(known: Policy | None) -> Policy:
    version = PolicyVersion.objects.values_list("version", flat=True).first() or 0
    return known if known is not None and known.version == version else read(version)


def read(version: int = 0) -> Policy:
    """Everything, from Postgres."""
    gate = GateSetting.objects.first() or GateSetting()
    loads = list(ThresholdSetting.objects.all())
    return Policy(
        version=version,
        rules=tuple(
            _rule(row) for row in RuleSetting.objects.exclude(mode=RuleMode.OFF) if row.code in rules.RULES
        ),
        lists=lists.built(ListEntry.objects.all()),
        limits=tuple(LimitSetting.objects.filter(is_on=True).order_by("pk")),
        thresholds={row.group: threshold_of(row) for row in loads if row.is_on},
        measured=frozenset(row.group for row in loads),
        stops={
            (row.kind, row.target): Stop(row.kind, row.target, row.said_zh, row.said_en)
            for row in KillSwitch.objects.filter(is_stopped=True)
        },
        challenge_at=gate.challenge_at,
        deny_at=gate.deny_at,
        difficulty=gate.difficulty,
        pass_minutes=gate.pass_minutes,
    )


def _rule(row: RuleSetting) -> RuleInForce:
    kind = rules.RULES[row.code]
    defaults = {parameter.name: parameter.default for parameter in kind.parameters}
    return RuleInForce(
        kind=kind,
        acts=row.mode == RuleMode.ON,
        verdict=row.verdict,
        weight=row.weight,
        # A rule that gained a parameter since the row was written has its default until staff say otherwise.
        parameters=defaults | dict(row.parameters),
        if_failed=row.if_failed,
    )


def threshold_of(row: ThresholdSetting) -> Threshold:
    if row.source == "override":
        return Threshold(row.tps, row.concurrency, row.source)
    found = ThresholdEstimate.objects.filter(group=row.group, source=row.source).order_by("-at").first()
    tps = found.tps * row.share_percent / 100 if found else None
    return Threshold(tps, row.concurrency, row.source)
