"""A case: four books side by side, what happened, what the channel told, and the ways to resolve it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from desk import facts as facts_of
from desk import inbox, types
from desk.acts import ALWAYS, Way
from desk.facts import Facts
from desk.inbox import Filters
from desk.models import Case, CaseState, RequestState, Resolution, ResolutionRequest
from desk.pages import acting, books, effects, evidence, kinds, people, story, words
from desk.pages.inbox import inbox_address, page_number, row
from desk.pages.posted import posted
from desk.resolve import right_of
from payments.models import ChannelCode
from payments.reconcile_models import Klass


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to resolve, as the page offers it."""

    code: str
    title: str
    says: str
    address: str
    is_suggested: bool
    always_two: bool


@dataclass(frozen=True, slots=True)
class Field:
    """What a way must be told, and what was typed."""

    name: str
    label: str
    kind: str
    help: str
    value: str


def page(request: HttpRequest, pk: int) -> HttpResponse:
    """The case; with `way` in the query also what that way would do, tried and taken back."""
    case = get_object_or_404(Case.objects.select_related("owner"), pk=pk)
    return TemplateResponse(request, "admin/desk/case.html", _context(request, case))


def _context(request: HttpRequest, case: Case) -> dict[str, Any]:
    now = timezone.now()
    facts = facts_of.of(case)
    shown = row(case, now=now)
    return {
        **admin.site.each_context(request),
        "title": shown.kind,
        "case": case,
        "row": shown,
        "about": kinds.says(case.kind),
        "found": _found(case),
        "books": books.side_by_side(case, facts),
        "evidence": evidence.about(case),
        "timeline": story.of(case, facts),
        "told": story.messages(facts.told),
        "related": [row(other, now=now) for other in inbox.related(case)],
        "staff": people.staff(),
        "may_assign": request.user.has_perm("desk.assign_case"),
        "can_ask": case.active and _at_a_channel(case, facts),
        **_neighbours(request, case),
        **_resolving(request, case),
    }


def _found(case: Case) -> list[tuple[str, str]]:
    """What the detector saw, in a line."""
    plain = (
        (name, value)
        for name, value in case.facts.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    )
    return [
        (kinds.fact(name), _said(case, name, value))
        for name, value in plain
        if value != "" and not name.endswith("_milli")
    ]


def _said(case: Case, name: str, value: Any) -> str:
    if name == "class" and value in Klass.values:
        return str(Klass(value).label)
    if name == "state":
        return effects.state(case.subject_kind, str(value))
    if name == "rules":
        return evidence.rules_of(str(value))
    return words.amount(int(value), case.currency) if name.endswith("_minor") else str(value)


def _at_a_channel(case: Case, facts: Facts) -> bool:
    payment = facts.payment(case.payment_number)
    return payment is not None and payment.channel != ChannelCode.WALLET


def _neighbours(request: HttpRequest, case: Case) -> dict[str, Any]:
    """The way back to the inbox as it was, and the cases before and after in its order."""
    sent = request.GET.get("from", "")[:500]
    told = dict(parse_qsl(sent))
    filters = Filters.read(told)
    around: dict[str, Any] = {
        "from": sent,
        "inbox_address": inbox_address(filters, page=page_number(told)),
        "page_address": reverse("admin:desk_case_change", args=[case.pk])
        + (f"?{urlencode({'from': sent})}" if sent else ""),
    }
    found = inbox.matching(filters, viewer_id=people.me(request), now=timezone.now())
    preceding = found.filter(inbox.before(case, filters.order)).order_by(*inbox.backwards(filters.order))
    around["following"] = _address_of(found.filter(inbox.after(case, filters.order)).first(), sent)
    around["preceding"] = _address_of(preceding.first(), sent)
    return around


def _address_of(case: Case | None, sent: str) -> str:
    if case is None:
        return ""
    address = reverse("admin:desk_case_change", args=[case.pk])
    return f"{address}?{urlencode({'from': sent})}" if sent else address


# -- resolving ---------------------------------------------------------------------------------------------------


def _resolving(request: HttpRequest, case: Case) -> dict[str, Any]:
    kind = types.TYPES.get(case.kind)
    waiting = (
        ResolutionRequest.objects.filter(case=case, state=RequestState.WAITING)
        .select_related("maker")
        .first()
    )
    context: dict[str, Any] = {
        "may_resolve": _may_resolve(request, case),
        "ways": [_choice(request, case, way, kind) for way in kind.ways] if kind else [],
        "waiting": waiting,
        "waiting_way": kinds.resolution_title(case.kind, waiting.resolution) if waiting else "",
        "done": [_done(case, one) for one in Resolution.objects.filter(case=case).order_by("pk")],
    }
    way = kind.way(request.GET.get("way", "")) if kind else None
    if way is None or case.state != CaseState.OPEN or not context["may_resolve"]:
        return context
    return context | _chosen(request, case, way)


def _chosen(request: HttpRequest, case: Case, way: Way) -> dict[str, Any]:
    """What this way would do, if everything that it must be told is there."""
    typed = acting.inputs_of(request.GET, way)
    fields = [
        Field(one.name, str(one.label), one.kind, str(one.help), typed.get(one.name, ""))
        for one in way.inputs
    ]
    context: dict[str, Any] = {"chosen": way, "inputs": fields, "key": secrets.token_hex(16)}
    if all(field.value for field in fields):
        preview, refusal = acting.preview(case, way, typed)
        context |= {"preview": effects.show(preview) if preview else None, "refusal": refusal}
    return context


def _choice(request: HttpRequest, case: Case, way: Way, kind: types.CaseType) -> Choice:
    query = {"way": way.code, "from": request.GET.get("from", "")[:500]}
    return Choice(
        code=way.code,
        title=str(way.title),
        says=str(way.says),
        address="?" + urlencode({name: value for name, value in query.items() if value}) + "#resolve",
        is_suggested=way.code == (case.suggested or kind.suggested),
        always_two=way.two_people == ALWAYS,
    )


def _done(case: Case, one: Resolution) -> Mapping[str, Any]:
    title = kinds.resolution_title(case.kind, one.resolution)
    return {
        "title": title,
        "actor": one.actor,
        "approved_by": one.approved_by,
        "at": one.at,
        "reason": one.reason,
    }


def _may_resolve(request: HttpRequest, case: Case) -> bool:
    return bool(request.user.has_perm(right_of(case)))


@posted
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    """Do what was previewed, or ask a second person for it."""
    case = get_object_or_404(Case, pk=pk)
    if not _may_resolve(request, case):
        raise PermissionDenied
    with inbox.counted_again([case.pk], now=timezone.now()):
        acting.confirm(request, case)
    return HttpResponseRedirect(_back(request, case))


@posted
def ask(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the channel what it knows, and tell it: nothing is changed."""
    case = get_object_or_404(Case, pk=pk)
    acting.ask(request, case)
    return HttpResponseRedirect(_back(request, case))


@posted
def take(request: HttpRequest, pk: int) -> HttpResponse:
    _may_assign(request)
    case = get_object_or_404(Case, pk=pk)
    with inbox.counted_again([case.pk], now=timezone.now()):
        acting.assign(request, [case.pk], owner=people.chosen(request, "me"))
    messages.success(request, _("The case is yours."))
    return HttpResponseRedirect(_back(request, case))


@posted
def note(request: HttpRequest, pk: int) -> HttpResponse:
    """A note for colleagues, and perhaps a new owner."""
    _may_assign(request)
    case = get_object_or_404(Case, pk=pk)
    text = request.POST.get("note", "").strip()[:500]
    owner = people.chosen(request, request.POST.get("to", ""))
    if owner is not None:
        with inbox.counted_again([case.pk], now=timezone.now()):
            acting.assign(request, [case.pk], owner=owner, reason=text)
    elif text:
        acting.note(request, case, text)
    return HttpResponseRedirect(_back(request, case))


def _may_assign(request: HttpRequest) -> None:
    if not request.user.has_perm("desk.assign_case"):
        raise PermissionDenied


def _back(request: HttpRequest, case: Case) -> str:
    return _address_of(case, request.POST.get("from", "")[:500])
