"""
Two people. One asks for a resolution with the preview that he saw; another one, never the same, looks at what it would
do *now* and approves or rejects. Approving runs the resolution anew and commits it only if it does exactly what was
asked for: what changed in between makes the request stale, and the case is open again.

Nobody is exempt: a superuser has every permission and is still one person. The database refuses such a row besides.

    asked = request(case_number=…, resolution=…, inputs=…, fingerprint=…, reason=…, by=…, key=…, now=…)
    approve(request_id=asked.pk, by=…, reason=…, now=…)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from desk import resolve, trail, types
from desk.acts import CannotBeDone
from desk.models import (
    CASE_LIFECYCLE,
    REQUEST_LIFECYCLE,
    Case,
    CaseState,
    RequestState,
    Resolution,
    ResolutionRequest,
)
from desk.preview import Preview
from desk.resolve import NotOpen, StalePreview, WouldBreak
from desk.trail import Person


class SamePerson(Exception):
    """
    Who asked for it cannot approve or reject it, whatever his rights; nor can an account that he made, or whose
    password or rights he changed, within `HIS_FOR`.
    """


class NotWaiting(Exception):
    """The request is decided, withdrawn or overtaken already."""


class NoChecker(Exception):
    """Nobody else has the right to approve: the request would wait for ever."""


class NotNeeded(Exception):
    """One person is enough for this: resolve it."""


HIS_FOR = timedelta(days=7)
"""So long an account that somebody made or changed counts as himself: he may know its password."""


@dataclass(frozen=True, slots=True)
class Review:
    """What the checker looks at: what the maker was shown, and what it would do now; None if it no longer fits."""

    request: ResolutionRequest
    then: Mapping[str, Any]
    now: Preview | None
    refusal: str
    stale: bool


def request(
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
) -> ResolutionRequest:
    """
    Ask for a resolution that takes two people. The same `key` returns the same request.

    :raises NotNeeded: see there
    :raises NoChecker: see there

    and as `desk.resolve.execute` does.
    """
    known = ResolutionRequest.objects.select_related("case").filter(key=key).first()
    if known is not None:
        if (known.case.number, known.resolution) != (case_number, resolution):
            raise resolve.KeyReused(key)
        return known
    case = Case.objects.get(number=case_number)
    resolve.may(by, resolve.right_of(case))
    resolve.check_reason(reason)
    shown = resolve.preview(case_number=case_number, resolution=resolution, inputs=inputs, now=now)
    if shown.fingerprint != fingerprint:
        raise StalePreview(case_number)
    if not shown.needs_two:
        raise NotNeeded(case_number)
    if shown.types_amount and typed_minor != shown.amount_minor:
        raise resolve.AmountNotTyped(case_number)
    maker = _user(by)
    others = checkers(besides=maker)
    if all(trail.touched(one, by=maker, since=now - HIS_FOR) for one in others):
        raise NoChecker(case_number)
    with transaction.atomic(durable=True):
        case = resolve.lock_case(case_number)
        if case.state != CaseState.OPEN:
            raise NotOpen(case.state)
        CASE_LIFECYCLE.move(case, to=CaseState.APPROVAL, at=now, reason=resolution, actor=by.name)
        asked = ResolutionRequest.objects.create(
            key=key,
            case=case,
            resolution=resolution,
            inputs=dict(shown.inputs),
            preview=shown.as_json(),
            fingerprint=fingerprint,
            amount_minor=shown.amount_minor,
            currency=shown.currency,
            reason=reason,
            maker=maker,
            made_at=now,
        )
        REQUEST_LIFECYCLE.begin(asked, at=now, reason="asked_for", actor=by.name)
        _note("asked_for", asked, by=by, reason=reason, now=now)
    return asked


def review(*, request_id: int, now: datetime) -> Review:
    """
    What was asked for beside what it would do now. Changes nothing.

    :raises ResolutionRequest.DoesNotExist: there is none
    """
    asked = ResolutionRequest.objects.select_related("case", "maker", "checker").get(pk=request_id)
    shown, refusal = None, ""
    if asked.state == RequestState.WAITING:
        try:
            shown = resolve.preview(
                case_number=asked.case.number, resolution=asked.resolution, inputs=asked.inputs, now=now
            )
        except (CannotBeDone, WouldBreak) as error:
            refusal = str(error)
    fits = shown is not None and shown.fingerprint == asked.fingerprint and _may_still_ask(asked)
    stale = asked.state == RequestState.WAITING and not fits
    return Review(asked, asked.preview, shown, refusal, stale)


def approve(*, request_id: int, by: Person, reason: str = "", now: datetime) -> Resolution:
    """
    Approve and do it. Repeating it by the same checker returns the same resolution.

    :raises SamePerson: see there
    :raises resolve.NotAllowed: the right to approve is missing
    :raises NotWaiting: see there
    :raises StalePreview: what it would do now is not what was asked for; the request is over, the case is open again
    """
    asked = _open_to(request_id, by, now=now)
    if asked.state == RequestState.APPROVED and asked.checker_id == _user(by).pk:
        return Resolution.objects.get(key=_key(asked))
    if asked.state != RequestState.WAITING:
        raise NotWaiting(asked.state)
    try:
        way = resolve.way_of(asked.case, asked.resolution)
        answer = resolve.ask(asked.case, way)
        with transaction.atomic(durable=True):
            case, asked = _locked(asked)
            if not _may_still_ask(asked):
                raise StalePreview(f"{asked.maker.handle} may not ask for it any more")
            inputs = resolve.read_inputs(way, asked.inputs)
            maker = f"staff:{asked.maker.handle}"
            done = resolve.run(
                case, way, inputs, answer, actor=by.name, reason=asked.reason, now=now, maker=maker
            )
            if done.fingerprint != asked.fingerprint:
                raise StalePreview(case.number)
            _decide(asked, RequestState.APPROVED, by=by, reason=reason, now=now)
            return resolve.record(
                case, way, done, by=by, reason=asked.reason, key=_key(asked), now=now, maker=maker
            )
    except (StalePreview, CannotBeDone, WouldBreak) as error:
        _overtaken(request_id, by=by, why=str(error), now=now)
        raise StalePreview(str(error)) from error


def reject(*, request_id: int, by: Person, reason: str, now: datetime) -> ResolutionRequest:
    """
    Say no, and why: the case is open again. Raises as `approve` does.

    :raises resolve.ReasonMissing: see there
    """
    resolve.check_reason(reason)
    asked = _open_to(request_id, by, now=now)
    with transaction.atomic(durable=True):
        case, asked = _locked(asked)
        _decide(asked, RequestState.REJECTED, by=by, reason=reason, now=now)
        _open_again(case, "rejected", by=by, now=now)
    return asked


def withdraw(*, request_id: int, by: Person, reason: str = "", now: datetime) -> ResolutionRequest:
    """
    The maker takes it back.

    :raises resolve.NotAllowed: it is somebody else's
    :raises NotWaiting: see there
    """
    asked = ResolutionRequest.objects.select_related("case", "maker").get(pk=request_id)
    if asked.maker_id != _user(by).pk:
        raise resolve.NotAllowed("withdraw")
    with transaction.atomic(durable=True):
        case, asked = _locked(asked)
        REQUEST_LIFECYCLE.move(asked, to=RequestState.WITHDRAWN, at=now, reason="withdrawn", actor=by.name)
        _open_again(case, "withdrawn", by=by, now=now)
        _note("withdrawn", asked, by=by, reason=reason, now=now)
    return asked


def waiting() -> QuerySet[ResolutionRequest]:
    """What waits for a second person, the oldest first."""
    return (
        ResolutionRequest.objects.filter(state=RequestState.WAITING)
        .select_related("case", "maker")
        .order_by("made_at", "pk")
    )


def checkers(*, besides: User) -> QuerySet[User]:
    """Who could approve what `besides` asks for."""
    right = Permission.objects.filter(content_type__app_label="desk", codename="approve_resolution")
    able = Q(is_superuser=True) | Q(user_permissions__in=right) | Q(groups__permissions__in=right)
    return User.objects.filter(able, is_staff=True, is_active=True).exclude(pk=besides.pk).distinct()


def _user(by: Person) -> User:
    if by.user is None:
        raise resolve.NotAllowed("approve_resolution")
    return by.user


def _key(asked: ResolutionRequest) -> str:
    return f"request:{asked.pk}"


def _may_still_ask(asked: ResolutionRequest) -> bool:
    """Whether the maker is still one of two people who may: he has not left, and his role was not taken from him."""
    try:
        resolve.may(Person(asked.maker), resolve.right_of(asked.case))
    except resolve.NotAllowed:
        return False
    return True


def _open_to(request_id: int, by: Person, *, now: datetime) -> ResolutionRequest:
    """The request, if this person may decide it. Who asked is refused first: no right makes two people of one."""
    asked = ResolutionRequest.objects.select_related("case", "maker").get(pk=request_id)
    checker = _user(by)
    if asked.maker_id == checker.pk or trail.touched(checker, by=asked.maker, since=now - HIS_FOR):
        raise SamePerson(asked.pk)
    resolve.may(by, "approve_resolution")
    return asked


def _locked(asked: ResolutionRequest) -> tuple[Case, ResolutionRequest]:
    """Case, then request, locked and still waiting."""
    case = resolve.lock_case(asked.case.number)
    locked = (
        ResolutionRequest.objects.select_for_update(of=("self",), no_key=True)
        .select_related("maker", "case")
        .get(pk=asked.pk)
    )
    if locked.state != RequestState.WAITING or case.state != CaseState.APPROVAL:
        raise NotWaiting(locked.state)
    return case, locked


def _decide(asked: ResolutionRequest, to: RequestState, *, by: Person, reason: str, now: datetime) -> None:
    REQUEST_LIFECYCLE.move(
        asked,
        to=to,
        at=now,
        reason=str(to),
        actor=by.name,
        checker=by.user,
        checked_at=now,
        check_reason=reason[:500],
    )
    _note(str(to), asked, by=by, reason=reason, now=now)


def _open_again(case: Case, why: str, *, by: Person, now: datetime) -> None:
    """The case is to be decided anew; a wish of staff is over with its request."""
    known = types.TYPES.get(case.kind)
    if known and known.is_wish:
        CASE_LIFECYCLE.move(case, to=CaseState.GONE, at=now, reason=why, actor=by.name, closed_at=now)
    else:
        CASE_LIFECYCLE.move(case, to=CaseState.OPEN, at=now, reason=why, actor=by.name)


def _overtaken(request_id: int, *, by: Person, why: str, now: datetime) -> None:
    asked = ResolutionRequest.objects.select_related("case").get(pk=request_id)
    with transaction.atomic(durable=True):
        case, asked = _locked(asked)
        REQUEST_LIFECYCLE.move(asked, to=RequestState.STALE, at=now, reason="stale", actor=by.name)
        _open_again(case, "stale", by=by, now=now)
        _note("stale", asked, by=by, reason=why[:500], now=now)


def _note(action: str, asked: ResolutionRequest, *, by: Person, reason: str, now: datetime) -> None:
    facts = {
        "request": asked.pk,
        "resolution": asked.resolution,
        "inputs": asked.inputs,
        "amount_minor": asked.amount_minor,
        "maker": asked.maker.handle,
    }
    trail.write(action, by=by, now=now, case=asked.case, reason=reason, facts=facts)
