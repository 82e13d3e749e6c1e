"""
Kill switches: staff stop a sale, a channel, top-ups or withdrawals, and let them go on.

`stopped` costs no query where the gate's policy is held anyway (risk.policy): every process knows of a throw within
`policy.LOOK_EVERY_S`. Stopping stops what begins; whatever is under way ends as it would: orders that hold seats can be
paid, payments at a stopped channel are asked for, refunds go back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from django.db import transaction

from risk import policy
from risk.policy import Stop
from risk.switch_models import KillSwitch, Stoppable, SwitchAction, SwitchEvent

SALE, CHANNEL, TOPUPS, WITHDRAWALS = (
    Stoppable.SALE,
    Stoppable.CHANNEL,
    Stoppable.TOPUPS,
    Stoppable.WITHDRAWALS,
)

Targets = Callable[[], Iterable[tuple[str, str]]]
_targets: dict[str, Targets] = {}


class NoSuchTarget(Exception):
    """There is nothing of this kind and code that could be stopped."""


class NoReason(Exception):
    """Nobody stops or resumes a thing without saying why."""


def targets_from(kind: str, provider: Targets) -> None:
    """Register who knows what can be stopped, as (code, name). Called when the application starts."""
    _targets[kind] = provider


def targets(kind: str) -> list[tuple[str, str]]:
    """What can be stopped of a kind; the empty code stands for all shows, or for the only thing of its kind."""
    return list(_targets.get(kind, lambda: [("", "")])())


def stopped(kind: str, target: str = "") -> Stop | None:
    """What stops this now: its own switch, or the one for all; None if nothing does."""
    stops = policy.current().stops
    if not stops:
        return None
    return stops.get((kind, target)) or stops.get((kind, ""))


def in_force() -> list[Stop]:
    """Everything that is stopped, as this process knows it."""
    stops = policy.current().stops
    return [stops[key] for key in sorted(stops)]


def stop(
    *, kind: str, target: str, actor: str, reason: str, now: datetime, said_zh: str = "", said_en: str = ""
) -> KillSwitch:
    """
    Stop it. What is stopped already stays so, and the new reason and words count.

    :raises NoSuchTarget: see there; nothing was changed
    :raises NoReason: see there; nothing was changed
    """
    if kind not in Stoppable.values or target not in {code for code, _name in targets(kind)}:
        raise NoSuchTarget(f"{kind} {target}")
    words = {"said_zh": said_zh.strip(), "said_en": said_en.strip()}
    return _throw(kind, target, SwitchAction.STOP, actor=actor, reason=reason, now=now, **words)


def resume(*, kind: str, target: str, actor: str, reason: str, now: datetime) -> KillSwitch:
    """
    Let it go on. What is not stopped stays so, without a line in the trail.

    :raises NoSuchTarget: it was never stopped
    :raises NoReason: see there; nothing was changed
    """
    if not KillSwitch.objects.filter(kind=kind, target=target).exists():
        raise NoSuchTarget(f"{kind} {target}")
    return _throw(kind, target, SwitchAction.RESUME, actor=actor, reason=reason, now=now)


def _throw(
    kind: str, target: str, action: SwitchAction, *, actor: str, reason: str, now: datetime, **words: str
) -> KillSwitch:
    reason = reason.strip()
    if not reason:
        raise NoReason
    stops = action == SwitchAction.STOP
    values = {"is_stopped": stops, "reason": reason, "set_by": actor[:64], "set_at": now, **words}
    with transaction.atomic():
        switch, is_new = KillSwitch.objects.select_for_update(no_key=True).get_or_create(
            kind=kind, target=target, defaults=values
        )
        if not is_new and not stops and not switch.is_stopped:
            return switch
        for name, value in values.items():
            setattr(switch, name, value)
        switch.save(update_fields=list(values))
        SwitchEvent.objects.create(
            switch=switch, at=now, action=action, actor=actor[:64], reason=reason, facts=words
        )
    policy.forget()  # this process at once; the others within seconds
    return switch
