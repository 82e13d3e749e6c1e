"""What waits for a second person: the list, and one request with what it would do now beside what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from desk import approve, inbox, ways
from desk.models import RequestState, ResolutionRequest
from desk.pages import acting, effects, kinds, people, words

LISTED = 100
WAITING, MINE, DECIDED = "", "mine", "decided"


def page(request: HttpRequest) -> HttpResponse:
    """The requests, those that wait first asked for on top."""
    show = request.GET.get("show", "")
    found = _found(show, people.me(request))
    address = reverse("admin:desk_approvals")
    tabs = ((_("Waiting"), WAITING), (_("Asked by me"), MINE), (_("Decided"), DECIDED))
    context = {
        **admin.site.each_context(request),
        "title": _("Approvals"),
        "tabs": [
            {
                "title": title,
                "address": f"{address}?show={code}" if code else address,
                "is_current": show == code,
            }
            for title, code in tabs
        ],
        "requests": [_row(one) for one in found[:LISTED]],
    }
    return TemplateResponse(request, "admin/desk/approvals.html", context)


def _found(show: str, me: int) -> Any:
    if show == MINE:
        mine = ResolutionRequest.objects.filter(maker_id=me)
        return mine.select_related("case", "maker").order_by("-pk")
    if show == DECIDED:
        decided = ResolutionRequest.objects.exclude(state=RequestState.WAITING)
        return decided.select_related("case", "maker").order_by("-pk")
    return approve.waiting()


def _row(one: ResolutionRequest) -> Mapping[str, Any]:
    return {
        "request": one,
        "title": kinds.resolution_title(one.case.kind, one.resolution),
        "kind": kinds.title(one.case.kind),
        "money": words.amount(one.amount_minor, one.currency),
        "maker": people.named(one.maker),
        "colour": words.COLOURS.get(one.state, ""),
    }


def one(request: HttpRequest, pk: int) -> HttpResponse:
    """One request; a POST decides it."""
    if request.method == "POST":
        return _decide(request, pk)
    try:
        review = approve.review(request_id=pk, now=timezone.now())
    except ResolutionRequest.DoesNotExist:
        raise Http404 from None
    asked = review.request
    then = effects.stored(review.then)
    context = {
        **admin.site.each_context(request),
        "title": _("Approval"),
        "asked": asked,
        "way": ways.ALL.get(asked.resolution)
        or {"title": kinds.resolution_title(asked.case.kind, asked.resolution)},
        "kind": kinds.title(asked.case.kind),
        "colour": words.COLOURS.get(asked.state, ""),
        "money": words.amount(asked.amount_minor, asked.currency) if asked.amount_minor else "",
        "maker": people.named(asked.maker),
        "checker": people.named(asked.checker),
        "is_waiting": asked.state == RequestState.WAITING,
        "is_maker": asked.maker_id == people.me(request),
        "may_approve": request.user.has_perm("desk.approve_resolution"),
        "is_stale": review.stale and review.now is not None,
        "refusal": review.refusal,
        "can_approve": review.now is not None and not review.stale and review.now.holds,
        "diff": effects.compare(then, review.now),
        "preview": effects.show(review.now) if review.now else None,
    }
    return TemplateResponse(request, "admin/desk/approval.html", context)


def _decide(request: HttpRequest, pk: int) -> HttpResponse:
    reason, now, by = request.POST.get("reason", "").strip(), timezone.now(), acting.person(request)
    deeds: Mapping[str, tuple[Callable[[], Any], str]] = {
        "approve": (
            lambda: approve.approve(request_id=pk, by=by, reason=reason, now=now),
            _("Approved and done. The case is watched until its cause is gone."),
        ),
        "reject": (
            lambda: approve.reject(request_id=pk, by=by, reason=reason, now=now),
            _("Rejected. The case is open again."),
        ),
        "withdraw": (
            lambda: approve.withdraw(request_id=pk, by=by, reason=reason, now=now),
            _("Withdrawn. The case is open again."),
        ),
    }
    deed, done = deeds.get(request.POST.get("decision", ""), (None, ""))
    if deed is not None and acting.told(request, deed):
        messages.success(request, done)
    inbox.forget_summary()
    return HttpResponseRedirect(reverse("admin:desk_approval", args=[pk]))
