"""What waits for a second person: the list, and one request with what it would do now beside what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from desk import approve, inbox, types, ways
from desk.models import RequestState, ResolutionRequest
from desk.pages import acting, effects, kinds, people, wanted, words
from desk.pages import inbox as inbox_page

PAGE = 50
LAST_PAGE = 1_000
WAITING, OTHERS, MINE, DECIDED = "", "others", "mine", "decided"
TABS = {
    WAITING: gettext_lazy("Waiting"),
    OTHERS: gettext_lazy("Asked by others"),
    MINE: gettext_lazy("Asked by me"),
    DECIDED: gettext_lazy("Decided"),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which requests somebody looks for: whose and in which state, about which type of case; the page from 1 on."""

    show: str = WAITING
    kind: str = ""
    page: int = 1

    @classmethod
    def read(cls, sent: Mapping[str, str]) -> Filters:
        show, kind = sent.get("show", ""), sent.get("kind", "")
        page = inbox_page.page_number(sent)
        return cls(
            show if show in TABS else WAITING, kind if kind in types.TYPES else "", min(page, LAST_PAGE)
        )

    def address(self, **changed: Any) -> str:
        known = asdict(replace(self, **changed))
        query = {name: value for name, value in known.items() if value and (name, value) != ("page", 1)}
        address = reverse("admin:desk_approvals")
        return f"{address}?{urlencode(query)}" if query else address


def page(request: HttpRequest) -> HttpResponse:
    """The requests: those that wait first asked for on top, those that are decided newest on top."""
    filters = Filters.read(request.GET.dict())
    start = (filters.page - 1) * PAGE
    found = list(_found(filters, people.me(request))[start : start + PAGE + 1])
    if start and not found:
        return HttpResponseRedirect(filters.address(page=1))
    context = {
        **admin.site.each_context(request),
        "title": _("Approvals"),
        "filters": filters,
        "tabs": [
            {
                "title": title,
                "address": filters.address(show=code, page=1),
                "is_current": filters.show == code,
            }
            for code, title in TABS.items()
        ],
        "kinds": sorted(((code, kinds.title(code)) for code in types.TYPES), key=lambda one: one[1]),
        "requests": [_row(one) for one in found[:PAGE]],
        "all_types": filters.address(kind="", page=1),
        "previous": filters.address(page=filters.page - 1) if start else "",
        "following": filters.address(page=filters.page + 1) if len(found) > PAGE else "",
        "from": start + 1,
        "to": start + len(found[:PAGE]),
    }
    return TemplateResponse(request, "admin/desk/approvals.html", context)


def _found(filters: Filters, me: int) -> QuerySet[ResolutionRequest]:
    found = approve.waiting()
    if filters.show == OTHERS:
        found = found.exclude(maker_id=me)
    elif filters.show != WAITING:
        everything = ResolutionRequest.objects.select_related("case", "maker", "checker").order_by("-pk")
        mine = filters.show == MINE
        found = everything.filter(maker_id=me) if mine else everything.exclude(state=RequestState.WAITING)
    return found.filter(case__kind=filters.kind) if filters.kind else found


def _row(one: ResolutionRequest) -> Mapping[str, Any]:
    return {
        "request": one,
        "title": kinds.resolution_title(one.case.kind, one.resolution),
        "kind": kinds.title(one.case.kind),
        "money": words.amount(one.amount_minor, one.currency),
        "maker": people.named(one.maker),
        "checker": people.named(one.checker) if one.checker_id else "",
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
        "wanted": wanted.told(asked.case),
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
    case_ids = ResolutionRequest.objects.filter(pk=pk).values_list("case_id", flat=True)
    with inbox.counted_again(case_ids, now=now):
        if deed is not None and acting.told(request, deed):
            messages.success(request, done)
    return HttpResponseRedirect(reverse("admin:desk_approval", args=[pk]))
