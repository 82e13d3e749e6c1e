"""
Resolving a case: tried first, shown, then done, all by the same code.

    shown = preview(case_number=…, resolution="ask_channel", inputs={}, now=now)
    execute(case_number=…, resolution="ask_channel", inputs={}, fingerprint=shown.fingerprint, reason=…, by=…, key=…)

The channel, where one must be asked, is asked before any transaction. `preview` runs the resolution in a transaction
that is taken back. `execute` runs it again, compares what came out with the fingerprint of what was shown, and commits
only what was shown. Both lock the case first, then whatever the product's own steps lock (docs/locks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from desk import facts, invariants, trail, types, ways
from desk.acts import ALWAYS, BY_MONEY_AT_RISK, Act, CannotBeDone, Way
from desk.models import ACTIVE_STATES, CASE_LIFECYCLE, Case, CaseState, Resolution
from desk.preview import Check, Effects, Preview, digest, effects, of_states
from desk.refusals import REFUSALS
from desk.trail import Person
from wallet import journal

INPUT_MAX, REASON_MIN, REASON_MAX = 200, 3, 500


class NotAllowed(Exception):
    """This person may not do this. `permission` is what is missing."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


class NotOpen(Exception):
    """The case is closed, or waits for approval, or was acted on: there is nothing to decide now."""


class NoSuchWay(Exception):
    """This type of case has no such resolution."""


class ReasonMissing(Exception):
    """A resolution says why, in `REASON_MIN` to `REASON_MAX` characters."""


class AmountNotTyped(Exception):
    """Above DESK_TYPED_FROM_MINOR the amount is typed, so that it was read."""


class StalePreview(Exception):
    """Things changed since the preview was made: nothing was done. Look again."""


class WouldBreak(Exception):
    """An invariant that holds now would not hold afterwards: nothing was done. `checks` names it."""

    def __init__(self, checks: list[Check]) -> None:
        super().__init__("; ".join(f"{check.code}: {check.why}" for check in checks))
        self.checks = checks


class NeedsTwoPeople(Exception):
    """This must be asked for and approved by somebody else (desk.approve); nothing was done."""


class KeyReused(Exception):
    """The key belongs to another resolution."""


def preview(
    *, case_number: str, resolution: str, inputs: Mapping[str, str] | None = None, now: datetime
) -> Preview:
    """
    What the resolution would do now; nothing is changed.

    :raises Case.DoesNotExist: there is no such case
    :raises NoSuchWay: see there
    :raises desk.acts.CannotBeDone: it does not fit the facts
    """
    case = Case.objects.get(number=case_number)
    way = way_of(case, resolution)
    given = read_inputs(way, inputs or {})
    answer = ask(case, way)
    with transaction.atomic():
        with connection.cursor() as cursor:
            # A look must not make buyers wait.
            cursor.execute("SET LOCAL lock_timeout = '2s'")
        tried = run(
            lock_case(case_number), way, given, answer, actor="staff:preview", reason="preview", now=now
        )
        transaction.set_rollback(True)
    return tried


def execute(
    *,
    case_number: str,
    resolution: str,
    inputs: Mapping[str, str] | None = None,
    fingerprint: str,
    reason: str,
    by: Person,
    key: str,
    now: datetime,
    typed_minor: int | None = None,
) -> Resolution:
    """
    Do what the preview with this `fingerprint` showed. The same `key` does it once and returns the same resolution.

    :raises NotAllowed: see there
    :raises ReasonMissing: see there
    :raises NotOpen: see there
    :raises NoSuchWay: see there
    :raises AmountNotTyped: see there
    :raises NeedsTwoPeople: see there
    :raises StalePreview: see there
    :raises WouldBreak: see there
    :raises KeyReused: see there
    :raises desk.acts.CannotBeDone: it does not fit the facts
    """
    known = Resolution.objects.select_related("case").filter(key=key).first()
    if known is not None:
        return same(known, case_number, resolution)
    case = Case.objects.get(number=case_number)
    may(by, right_of(case))
    check_reason(reason)
    way = way_of(case, resolution)
    given = read_inputs(way, inputs or {})
    answer = ask(case, way)
    with transaction.atomic(durable=True):
        case = lock_case(case_number)
        known = Resolution.objects.select_related("case").filter(key=key).first()
        if known is not None:
            return same(known, case_number, resolution)
        if case.state != CaseState.OPEN:
            raise NotOpen(case.state)
        done = run(case, way, given, answer, actor=by.name, reason=reason, now=now)
        if done.fingerprint != fingerprint:
            raise StalePreview(case_number)
        if done.types_amount and typed_minor != done.amount_minor:
            raise AmountNotTyped(case_number)
        if done.needs_two:
            raise NeedsTwoPeople(case_number)
        return record(case, way, done, by=by, reason=reason, key=key, now=now)


def by_coordinator(*, case_number: str, now: datetime) -> Resolution | None:
    """
    Take the suggested resolution if the coordinator may take it alone; None if a person must decide, or if it would
    move nothing. It runs the same code, and leaves to two people what takes two.
    """
    case = Case.objects.get(number=case_number)
    way = way_of(case, case.suggested)
    if not way.alone:
        return None
    try:
        answer = ask(case, way)
        with transaction.atomic(durable=True):
            case = lock_case(case_number)
            if case.state != CaseState.OPEN:
                return None
            by, why = Person(None), "suggested"
            done = run(case, way, {}, answer, actor=by.name, reason=why, now=now)
            if done.needs_two or not (done.moves or done.lines):
                transaction.set_rollback(True)
                return None
            key = f"coordinator:{case.number}:{now.isoformat()}"
            return record(case, way, done, by=by, reason=why, key=key, now=now)
    except (CannotBeDone, WouldBreak):
        return None


# -- the parts, which desk.approve uses too ----------------------------------------------------------------------


def way_of(case: Case, code: str) -> Way:
    """
    :raises NoSuchWay: see there
    """
    known = types.TYPES.get(case.kind)
    way = known.way(code) if known else None
    if way is None:
        raise NoSuchWay(f"{case.kind}: {code}")
    return way


def read_inputs(way: Way, given: Mapping[str, str]) -> dict[str, str]:
    """
    What the resolution must be told, and nothing else.

    :raises desk.acts.CannotBeDone: something is missing or too long
    """
    read = {}
    for one in way.inputs:
        text = str(given.get(one.name, "")).strip()
        if not text or len(text) > INPUT_MAX:
            raise CannotBeDone("input_missing", one.name)
        read[one.name] = text
    return read


def ask(case: Case, way: Way) -> Any:
    """What the channel says; None if nobody is asked. No transaction is open."""
    return way.look(case, facts.of(case)) if way.look else None


def lock_case(number: str) -> Case:
    """The case with its row locked: the first lock of every transaction of the desk."""
    return Case.objects.select_for_update(of=("self",), no_key=True).get(number=number)


def right_of(case: Case) -> str:
    """What resolving a case of this type needs."""
    known = types.TYPES.get(case.kind)
    return (known.right if known else "") or f"desk.resolve_{case.queue}"


def may(by: Person, permission: str) -> None:
    """
    `permission` is one of the desk's own, or another app's with its label.

    :raises NotAllowed: see there
    """
    user = by.user
    if user is None or not (user.is_active and user.is_staff and user.has_perm(full_right(permission))):
        raise NotAllowed(permission)


def full_right(permission: str) -> str:
    """With its app: a right without one is the desk's own."""
    return permission if "." in permission else f"desk.{permission}"


def check_reason(reason: str) -> None:
    if not REASON_MIN <= len(reason.strip()) <= REASON_MAX:
        raise ReasonMissing


def same(known: Resolution, case_number: str, resolution: str) -> Resolution:
    if (known.case.number, known.resolution) != (case_number, resolution):
        raise KeyReused(known.key)
    return known


def run(
    case: Case,
    way: Way,
    inputs: Mapping[str, str],
    answer: Any,
    *,
    actor: str,
    reason: str,
    now: datetime,
    maker: str = "",
) -> Preview:
    """
    Do it in the caller's transaction, which holds the case, and say what it did.

    :raises desk.acts.CannotBeDone: it does not fit the facts
    :raises WouldBreak: see there
    """
    before = facts.of(case)
    held = {check.code for check in invariants.checks(before) if check.holds}
    mark = journal.last_line()
    _translated(way.do, Act(case, before, answer, inputs, actor, reason, now, maker))
    after = facts.of(case)
    did = effects(before, after, journal.booked_since(mark))
    checks = invariants.checks(after, booked=did.lines)
    broken = [check for check in checks if not check.holds and check.code in held]
    if broken:
        raise WouldBreak(broken)
    return _told(case, way, inputs, answer, looks=(before, after), did=did, checks=checks)


def _translated(do: Callable[[Act], None], act: Act) -> None:
    try:
        do(act)
    except CannotBeDone:
        raise
    except tuple(REFUSALS) as error:
        known = next(code for kind, code in REFUSALS.items() if isinstance(error, kind))
        raise CannotBeDone(known, str(error)[:200]) from error


def _told(
    case: Case,
    way: Way,
    inputs: Mapping[str, str],
    answer: Any,
    *,
    looks: tuple[facts.Facts, facts.Facts],
    did: Effects,
    checks: list[Check],
) -> Preview:
    before, after = looks
    at_risk = way.two_people == BY_MONEY_AT_RISK
    amount_minor = (
        max(did.moved_minor, case.amount_minor) if at_risk else did.moved_minor or case.amount_minor
    )
    moves_money = bool(did.moved_minor) or at_risk
    needs_two = way.two_people == ALWAYS or (
        moves_money and amount_minor >= settings.DESK_TWO_PEOPLE_FROM_MINOR
    )
    driven = sorted(message.kind for message in after.next_steps().values())
    return Preview(
        case=case.number,
        resolution=way.code,
        inputs=dict(inputs),
        answer="" if answer is None else f"{type(answer).__name__}",
        moves=did.moves,
        lines=did.lines,
        messages=did.messages,
        checks=tuple(checks),
        case_becomes=way.leaves,
        amount_minor=amount_minor,
        moved_minor=did.moved_minor,
        currency=case.currency,
        needs_two=needs_two,
        types_amount=moves_money and amount_minor >= settings.DESK_TYPED_FROM_MINOR,
        fingerprint=digest(
            case.number, case.cause, way.code, dict(inputs), of_states(before), did.moves, did.lines, driven
        ),
    )


def record(
    case: Case,
    way: Way,
    done: Preview,
    *,
    by: Person,
    reason: str,
    key: str,
    now: datetime,
    maker: str = "",
) -> Resolution:
    """Write down what was done and move the case, in the same transaction."""
    closed = way.leaves not in ACTIVE_STATES
    CASE_LIFECYCLE.move(
        case,
        to=CaseState(way.leaves),
        at=now,
        reason=way.code,
        actor=by.name,
        closed_at=now if closed else None,
        watch_until=None if closed else now + ways.WATCHED_FOR,
    )
    shown = done.as_json()
    trail.write(
        "resolved",
        by=by,
        now=now,
        case=case,
        reason=reason,
        facts={
            "resolution": way.code,
            "amount_minor": done.moved_minor,
            "maker": maker,
            "moves": shown["moves"],
        },
    )
    return Resolution.objects.create(
        key=key,
        case=case,
        resolution=way.code,
        inputs=dict(done.inputs),
        effects=shown,
        reason=reason,
        actor=maker or by.name,
        approved_by=by.name if maker else "",
        at=now,
    )
