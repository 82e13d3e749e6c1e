"""The inbox: what waits for somebody, and what can be done to many cases at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from basis.requests import is_key
from desk import inbox
from desk.inbox import Filters, Summary
from desk.models import Case, Queue, SavedView
from desk.pages import acting, kinds, people, words
from desk.pages.posted import posted
from payments.models import ChannelCode
from ticketing.wording import channel_name

DONE_AT_ONCE = 10_000
"""More than so many cases are given out in several goes."""
LAST_PAGE = 2_000
ORDERS = {
    "": gettext_lazy("most urgent first"),
    "due": gettext_lazy("nearest limit first"),
    "oldest": gettext_lazy("oldest first"),
    "money": gettext_lazy("most money first"),
    "newest": gettext_lazy("newest first"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A case as the inbox shows it."""

    case: Case
    kind: str
    urgency: str
    age: str
    limit: str
    money: str
    channel: str
    suggested: str
    owner: str
    state: str
    colour: str


@dataclass(frozen=True, slots=True)
class Tab:
    """A view of the inbox that somebody can choose."""

    title: Any
    address: str
    is_current: bool
    count: int | None = None
    view: SavedView | None = None


def page(request: HttpRequest) -> HttpResponse:
    """The inbox, at most 12 queries however many cases wait."""
    now = timezone.now()
    filters = Filters.read(request.GET.dict())
    number = page_number(request.GET.dict())
    found = inbox.matching(filters, viewer_id=people.me(request), now=now)
    cases, has_more = inbox.page_of(found, page=number)
    if number > 1 and not cases:  # what stood there is done
        return HttpResponseRedirect(inbox_address(filters))
    sums, colleagues = inbox.summary(now=now), people.staff()
    context = {
        **admin.site.each_context(request),
        "title": _("Inbox"),
        "rows": [row(case, now=now) for case in cases],
        "filters": filters,
        "sums": sums,
        "tiles": _tiles(sums, now=now),
        "as_of": sums.taken_at if sums.taken_at and now - sums.taken_at > inbox.SUMS_ARE_OLD else None,
        "tabs": _tabs(request, filters, sums),
        "choices": _choices(filters, sums, colleagues, me=people.me(request)),
        "orders": ORDERS,
        "hidden": {name: value for name, value in filters.query().items() if name in ("state", "late")},
        "query": urlencode(filters.query() | ({"page": str(number)} if number > 1 else {})),
        "staff": colleagues,
        "may_assign": request.user.has_perm("desk.assign_case"),
        "previous": inbox_address(filters, page=number - 1) if number > 1 else "",
        "following": inbox_address(filters, page=number + 1) if has_more and number < LAST_PAGE else "",
        "from": (number - 1) * inbox.PAGE + 1,
        "to": (number - 1) * inbox.PAGE + len(cases),
        "is_filtered": bool(filters.query(order="")),
    }
    return TemplateResponse(request, "admin/desk/inbox.html", context)


def row(case: Case, *, now: datetime) -> Row:
    ends = case.closed_at or now
    return Row(
        case=case,
        kind=kinds.title(case.kind),
        urgency=inbox.urgency(case, now=now),
        age=words.span(ends - case.since),
        limit=words.round_span(case.due_at - case.since),
        money=words.amount(case.amount_minor, case.currency) if case.amount_minor else "",
        channel=channel_name(case.channel),
        suggested=kinds.resolution_title(case.kind, case.suggested),
        owner=people.named(case.owner),
        state=case.get_state_display(),
        colour=words.COLOURS.get(case.state, ""),
    )


def waiting(request: HttpRequest) -> JsonResponse:
    """How many cases wait now: an open inbox asks now and then whether it is still true."""
    sums = inbox.summary(now=timezone.now())
    return JsonResponse({"count": sums.count, "late": sums.late}, headers={"Cache-Control": "no-store"})


@posted
def assign(request: HttpRequest) -> HttpResponse:
    """Give the chosen cases, or all that the reader's filters find, to somebody or to nobody."""
    if not request.user.has_perm("desk.assign_case"):
        raise PermissionDenied
    keys = _meant(request)
    word = request.POST.get("owner", "")
    owner = people.chosen(request, request.POST.get("to", "") if word == "to" else word)
    if word == "to" and owner is None:
        messages.warning(request, _("Choose a colleague first."))
        return HttpResponseRedirect(_back(request))
    with inbox.counted_again(keys, now=timezone.now()):
        done = acting.assign(request, keys, owner=owner)
    text = ngettext("%(count)d case given to %(name)s.", "%(count)d cases given to %(name)s.", done)
    messages.success(request, text % {"count": done, "name": people.named(owner) or _("nobody")})
    return HttpResponseRedirect(_back(request))


def _meant(request: HttpRequest) -> list[int]:
    """The keys of the cases that a form means: those chosen, or the most urgent of all that its filters find."""
    if "all" not in request.POST:
        return [int(key) for key in request.POST.getlist("case")[:DONE_AT_ONCE] if is_key(key)]
    found = inbox.matching(_filters_of(request), viewer_id=people.me(request), now=timezone.now())
    return list(found.values_list("pk", flat=True)[:DONE_AT_ONCE])


@posted
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep the present filters under a name; the same name again replaces them."""
    name = request.POST.get("name", "").strip()[:60]
    if not name:
        return HttpResponseRedirect(_back(request))
    filters = Filters.read(request.POST.dict())
    SavedView.objects.update_or_create(
        owner_id=people.me(request),
        name=name,
        defaults={
            "query": filters.query(),
            "shared": "shared" in request.POST,
            "created_at": timezone.now(),
        },
    )
    messages.success(request, _("View “%(name)s” saved.") % {"name": name})
    return HttpResponseRedirect(inbox_address(filters))


@posted
def forget_view(request: HttpRequest, pk: int) -> HttpResponse:
    """A person forgets views of his own alone."""
    SavedView.objects.filter(pk=pk, owner_id=people.me(request)).delete()
    return HttpResponseRedirect(inbox_address(Filters()))


def _tiles(sums: Summary, *, now: datetime) -> list[dict[str, Any]]:
    at_risk = " + ".join(words.amount(minor, currency) for currency, minor in sorted(sums.at_risk.items()))
    oldest = words.span(now - sums.oldest) if sums.oldest else "—"
    return [
        {"figure": sums.count, "what": _("cases wait"), "url": inbox_address(Filters())},
        {"figure": at_risk or "—", "what": _("money at risk"), "url": inbox_address(Filters(order="money"))},
        {
            "figure": sums.late,
            "what": _("past their limit"),
            "url": inbox_address(Filters(late="1")),
            "bad": sums.late > 0,
        },
        {"figure": oldest, "what": _("the oldest"), "url": inbox_address(Filters(order="oldest"))},
    ]


def _tabs(request: HttpRequest, filters: Filters, sums: Summary) -> list[Tab]:
    now_at = filters.query(order="")
    mine = Case.objects.filter(state__in=inbox.INBOX_STATES, owner_id=people.me(request)).count()
    tabs = [
        (_("All"), Filters(), sums.count),
        (_("Mine"), Filters(owner=inbox.MINE), mine),
        (_("Nobody’s"), Filters(owner=inbox.NOBODYS), sums.unowned),
        *((queue.label, Filters(queue=queue), sums.queues.get(queue, 0)) for queue in Queue),
        (_("Waiting for approval"), Filters(state=inbox.APPROVAL), None),
        (_("Watched"), Filters(state=inbox.WATCHED), None),
        (_("Closed"), Filters(state=inbox.CLOSED, order="newest"), None),
    ]
    built_in = [Tab(title, inbox_address(one), one.query(order="") == now_at, n) for title, one, n in tabs]
    return built_in + [_saved(view, now_at) for view in people.views(request)]


def _saved(view: SavedView, now_at: dict[str, str]) -> Tab:
    filters = Filters.read(view.query)
    return Tab(view.name, inbox_address(filters), filters.query(order="") == now_at, view=view)


def _choices(filters: Filters, sums: Summary, colleagues: list[User], *, me: int) -> list[dict[str, Any]]:
    """The filters as selects: (value, text); what waits is counted beside it."""

    def counted(text: object, count: int) -> str:
        return f"{text} ({count})" if count else str(text)

    kind_options = [
        (code, counted(title, sums.kinds.get(code, 0)))
        for code, title in kinds.titles()
        if sums.kinds.get(code) or filters.kind == code or filters.state
    ]
    channel_options = [
        (code, counted(label, sums.channels.get(code, 0))) for code, label in ChannelCode.choices
    ]
    owners = [(inbox.MINE, _("mine")), (inbox.NOBODYS, _("nobody’s"))]
    owners += [(str(person.pk), people.named(person)) for person in colleagues if person.pk != me]
    queues = [(queue.value, counted(queue.label, sums.queues.get(queue.value, 0))) for queue in Queue]
    return [
        {"name": "kind", "any": _("every type"), "options": kind_options, "value": filters.kind},
        {"name": "channel", "any": _("every channel"), "options": channel_options, "value": filters.channel},
        {"name": "queue", "any": _("every team"), "options": queues, "value": filters.queue},
        {"name": "owner", "any": _("everybody’s"), "options": owners, "value": filters.owner},
    ]


def inbox_address(filters: Filters, *, page: int = 1) -> str:
    query = filters.query() | ({"page": str(page)} if page > 1 else {})
    address = reverse("admin:desk_case_changelist")
    return f"{address}?{urlencode(query)}" if query else address


def page_number(sent: Mapping[str, str]) -> int:
    """The page that an address asks for, counted from 1."""
    asked = sent.get("page", "")
    return max(1, min(int(asked), LAST_PAGE)) if asked.isdecimal() and len(asked) < 6 else 1


def _back(request: HttpRequest) -> str:
    """The inbox as it was, from the form's own filters: never an address that somebody sent."""
    sent = dict(parse_qsl(request.POST.get("query", "")[:500]))
    return inbox_address(_filters_of(request), page=page_number(sent))


def _filters_of(request: HttpRequest) -> Filters:
    """The filters of the inbox that a form was sent from."""
    return Filters.read(dict(parse_qsl(request.POST.get("query", "")[:500])))
