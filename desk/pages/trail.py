"""The trail: who did what, when, from where and why; to read, and to take away as CSV or JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from basis.requests import is_key
from desk import trail
from desk.models import TrailEntry
from desk.pages import kinds

PAGE = 50
CONTENT = {"csv": "text/csv; charset=utf-8", "json": "application/x-ndjson; charset=utf-8"}
# A spreadsheet reads UTF-8 only where this mark says so.
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Filters:
    """What somebody looks for in the trail; `since` and `until` are days in the desk's time zone, both included."""

    text: str = ""
    actor: str = ""
    action: str = ""
    since: str = ""
    until: str = ""
    before: str = ""

    @classmethod
    def read(cls, sent: Any) -> Filters:
        return cls(
            text=sent.get("text", "").strip()[:96],
            actor=sent.get("actor", "")[:64],
            action=sent.get("action", "")[:32],
            since=_day(sent.get("since", "")),
            until=_day(sent.get("until", "")),
            before=sent.get("before", "") if is_key(sent.get("before", "")) else "",
        )

    def entries(self) -> QuerySet[TrailEntry]:
        return trail.entries(
            actor=self.actor,
            action=self.action,
            subject=self.text.upper() if self.text.isalnum() else self.text,
            since=_midnight(self.since),
            until=_midnight(self.until, days=1),
        )

    def query(self, **changed: str) -> str:
        return urlencode({name: value for name, value in (asdict(self) | changed).items() if value})


def page(request: HttpRequest) -> HttpResponse:
    """The newest entries first, 50 a page; older ones by the key of the last, which costs the same at any depth."""
    filters = Filters.read(request.GET)
    found = filters.entries()
    if filters.before:
        found = found.filter(pk__lt=int(filters.before))
    entries = list(found[: PAGE + 1])
    more = len(entries) > PAGE
    entries = entries[:PAGE]
    following = f"?{filters.query(before=str(entries[-1].pk))}" if more else ""
    context = {
        **admin.site.each_context(request),
        "title": _("Audit trail"),
        "filters": filters,
        "entries": [(entry, kinds.action(entry.action)) for entry in entries],
        "actors": _actors(request),
        "actions": kinds.actions(),
        "following": following,
        "export": f"{reverse('admin:desk_trail_export')}?{filters.query(before='')}",
        "may_export": request.user.has_perm("desk.export_trail"),
    }
    return TemplateResponse(request, "admin/desk/trail.html", context)


def export(request: HttpRequest) -> HttpResponseBase:
    """The entries that the filters let through, oldest first, as a file."""
    if not request.user.has_perm("desk.export_trail"):
        raise PermissionDenied
    kind = "json" if request.GET.get("format") == "json" else "csv"
    found = Filters.read(request.GET).entries()
    lines = trail.export_json(found) if kind == "json" else _with_mark(trail.export_csv(found))
    name = f"trail-{timezone.localtime():%Y%m%d-%H%M%S}.{'jsonl' if kind == 'json' else 'csv'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(lines, content_type=CONTENT[kind], headers=headers)


def _with_mark(lines: Any) -> Any:
    yield BOM
    yield from lines


def _actors(request: HttpRequest) -> list[str]:
    """The colleagues, as the trail names them."""
    from desk.pages import people

    return [trail.COORDINATOR, *(trail.Person(one).name for one in people.staff())]


def _day(text: str) -> str:
    try:
        return text if parse_date(text) else ""
    except ValueError:
        return ""


def _midnight(day: str, *, days: int = 0) -> datetime | None:
    found = parse_date(day) if day else None
    try:
        return (
            timezone.make_aware(datetime.combine(found, time.min)) + timedelta(days=days) if found else None
        )
    except OverflowError:
        return None  # the calendar's last day has none after it
