"""
What the pages of the staff share: pages to look at, numbers that lead to what they name, states as coloured labels.

The first letter of a number tells its kind (basis.numbers); each app registers the page where that kind is shown, so
that no page needs to know the app of what it points to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline

NOTHING = "—"
GOOD, WAITING, LOOK, BAD, PLAIN = "success", "info", "warning", "danger", "default"

_pages: dict[str, str] = {}


def shows_numbers(letter: str, changelist: str) -> None:
    """Numbers that begin with `letter` are found on this page, e.g. `ticketing_order`."""
    _pages[letter] = changelist


def page(name: str, text: object, **query: object) -> SafeString | str:
    """A link to a changelist, e.g. `page("wallet_journalentry", "K1…", q="K1…")`; the text alone if there is none."""
    try:
        address = reverse(f"admin:{name}_changelist")
    except NoReverseMatch:
        return str(text)
    return format_html('<a href="{}?{}" class="text-primary-600">{}</a>', address, urlencode(query), text)


def number(text: str) -> SafeString | str:
    """A number that leads to what it names."""
    if not text:
        return NOTHING
    return page(_pages[text[0]], text, q=text) if text[0] in _pages else text


def thing(of: Model, text: object = "") -> SafeString | str:
    """A link to one thing's own page."""
    meta = of._meta
    try:
        address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[of.pk])
    except NoReverseMatch:
        return str(text or of)
    return format_html('<a href="{}" class="text-primary-600">{}</a>', address, text or of)


def buyer(buyer_id: int, name: str = "") -> SafeString:
    """A buyer's page, by the key where that is all that is at hand."""
    return format_html(
        '<a href="{}" class="text-primary-600">{}</a>',
        reverse("admin:accounts_user_change", args=[buyer_id]),
        name or buyer_id,
    )


def label(value: str, text: object, colours: Mapping[str, str]) -> SafeString:
    """A state as a coloured label. The text says it too, for who cannot tell the colours."""
    return mark_safe(  # noqa: S308 (a template's output, escaped there)
        render_to_string("unfold/helpers/label.html", {"variant": colours.get(value, PLAIN), "text": text})
    )


def moment(at: datetime | None) -> str:
    """A time to the millisecond: what came first decides many a dispute."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S.%f}"[:-3] if at else NOTHING


def listed(items: Iterable[SafeString | str]) -> SafeString | str:
    items = list(items)
    return format_html_join(mark_safe("<br>"), "{}", ((item,) for item in items)) if items else NOTHING


class LookOnly:
    """Nobody adds, changes or deletes here, whatever his rights: the product's own steps do."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LookOnlyAdmin(LookOnly, ModelAdmin):
    """Newest first, found by whole numbers, counted once."""

    ordering: tuple[str, ...] = ("-pk",)
    list_per_page = 50
    show_full_result_count = False
    actions = None


class LookOnlyInline(LookOnly, TabularInline):
    extra = 0
    max_num = 0
    can_delete = False
    hide_title = True
    ordering = ("pk",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields


class HistoryInline(LookOnlyInline):
    """The events of one thing, oldest first."""

    fields = ("when", "from_state", "to_state", "reason", "actor", "facts")

    @admin.display(description=_("time"))
    def when(self, event: Any) -> str:
        return moment(event.at)


class HistoryAdmin(LookOnlyAdmin):
    """All events of one kind; `subject` names what they happened to."""

    subject = ""
    list_display = ("when", "happened_to", "from_state", "to_state", "reason", "actor")
    list_filter = ("to_state", "reason")
    list_per_page = 100

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(self.subject)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (f"{self.subject}__number__exact",)

    @admin.display(description=_("time"), ordering="at")
    def when(self, event: Any) -> str:
        return moment(event.at)

    @admin.display(description=_("number"))
    def happened_to(self, event: Any) -> SafeString | str:
        return thing(getattr(event, self.subject))


class Since(admin.SimpleListFilter):
    """The last minutes of a sale, or the last days; see `since`."""

    field = ""
    SPANS = {
        "10m": (timedelta(minutes=10), _("last 10 minutes")),
        "1h": (timedelta(hours=1), _("last hour")),
        "1d": (timedelta(days=1), _("last 24 hours")),
        "7d": (timedelta(days=7), _("last 7 days")),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(key, text) for key, (_span, text) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self.SPANS.get(self.value() or "")
        return queryset.filter(**{f"{self.field}__gte": timezone.now() - span[0]}) if span else queryset


def since(field_name: str) -> type[Since]:
    """A filter on a time column."""

    class SinceField(Since):
        field = field_name
        title = _("time")
        parameter_name = f"{field_name}_since"

    return SinceField
