"""What staff say about findings, and holding a merchant's settlement. Each with a name and a reason."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, transaction

from risk.trading_models import FindingState, RiskFinding, SettlementHold


class NoReason(Exception):
    """Nobody marks a finding, holds or lifts without saying why."""


class MarkedBefore(Exception):
    """Somebody has said what this finding was."""


class HeldBefore(Exception):
    """The merchant's settlement is held already."""


class NotHeld(Exception):
    """There is no hold on this merchant's settlement."""


def mark(*, finding_id: int, state: str, actor: str, reason: str, now: datetime) -> RiskFinding:
    """
    Say what a finding was: confirmed, or a false alarm. The rule's bar learns from it the next night.

    :raises NoReason: see there
    :raises MarkedBefore: see there
    """
    reason = _given(reason)
    to = FindingState(state)
    changed = RiskFinding.objects.filter(pk=finding_id, state=FindingState.OPEN).update(
        state=to, marked_by=actor, marked_at=now, reason=reason
    )
    if changed != 1 or to == FindingState.OPEN:
        raise MarkedBefore(finding_id)
    return RiskFinding.objects.get(pk=finding_id)


def hold(*, merchant: str, actor: str, reason: str, now: datetime) -> SettlementHold:
    """
    Hold a merchant's settlement: nothing is paid out to it until the hold is lifted.

    :raises NoReason: see there
    :raises HeldBefore: see there
    """
    reason = _given(reason)
    try:
        with transaction.atomic():
            return SettlementHold.objects.create(merchant=merchant, reason=reason, held_by=actor, held_at=now)
    except IntegrityError as error:
        raise HeldBefore(merchant) from error


def lift(*, merchant: str, actor: str, reason: str, now: datetime) -> None:
    """
    Let the merchant be paid out again.

    :raises NoReason: see there
    :raises NotHeld: see there
    """
    reason = _given(reason)
    held = SettlementHold.objects.filter(merchant=merchant, lifted_at=None)
    if held.update(lifted_by=actor, lifted_at=now, lift_reason=reason) != 1:
        raise NotHeld(merchant)


def is_held(merchant: str) -> bool:
    """Whether nothing may be paid out to the merchant. Whoever pays out asks this in the transaction that does."""
    return SettlementHold.objects.filter(merchant=merchant, lifted_at=None).exists()


def held_among(merchants: Iterable[str]) -> set[str]:
    """Those of the merchants that nothing may be paid out to; asked as `is_held` is."""
    holds = SettlementHold.objects.filter(merchant__in=list(merchants), lifted_at=None)
    return set(holds.values_list("merchant", flat=True))


def _given(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise NoReason
    return reason[:500]
