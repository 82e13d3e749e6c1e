"""
Channels' statements for the staff: to look at, to upload where a channel cannot be asked, and what is not here yet.
Uploading adds what a channel said; nobody changes or deletes it.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSingleDateWidget, UnfoldBooleanWidget

from basis import staff
from basis.staff import LookOnlyAdmin
from payments.models import OutboxMessage
from payments.statement_models import Statement, StatementLine, StatementSource
from payments.statements import fetch, load
from payments.statements.load import Wanted
from payments.statements.shape import Refused
from wallet.admin import amount

KINDS = {"payment": staff.GOOD, "refund": staff.LOOK}
MISSING_SHOWN = 20


class UploadForm(forms.Form):
    """The file tells its channel and kind; the day is the staff's word, which every row must agree with."""

    day = forms.DateField(label=_("day"), widget=UnfoldAdminSingleDateWidget)
    file = forms.FileField(
        label=_("file"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("As the channel gave it: zip, gzip or CSV."),
    )
    replace = forms.BooleanField(
        label=_("replace the statement that is loaded for this day"),
        required=False,
        widget=UnfoldBooleanWidget,
    )


@admin.register(Statement)
class StatementAdmin(LookOnlyAdmin):
    list_display = ("what", "kind", "lines_of", "sums", "source", "loaded", "uploaded_by", "counts")
    list_filter = ("channel", "kind", "source", staff.since("loaded_at"))
    search_fields = ("sha256__exact",)
    date_hierarchy = "day"
    ordering = ("-day", "channel", "kind", "-pk")
    fields = (
        *("what", "kind", "currency", "source", "uploaded_by", "loaded", "counts"),
        *("kept", "sha256", "lines_of", "sums", "told"),
    )
    readonly_fields = fields
    list_before_template = "admin/statements/missing.html"
    actions_list = ["upload"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Statement]:
        return super().get_queryset(request).select_related("replaced_by")

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:pk>/file/", self.admin_site.admin_view(self.download), name="payments_statement_file"
        )
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "missing": _missing()})

    def has_upload_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("payments.add_statement"))

    @action(
        description=_("Upload a statement"), url_path="upload", permissions=["upload"], icon="upload_file"
    )
    def upload(self, request: HttpRequest) -> HttpResponse:
        """Load what staff have from the channel's own site."""
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid() and (statement := _loaded(request, form)):
            said = gettext("%(statement)s is loaded: %(lines)d lines.")
            self.message_user(
                request, said % {"statement": statement, "lines": statement.lines}, messages.SUCCESS
            )
            return redirect("admin:payments_statement_change", statement.pk)
        context = {**self.admin_site.each_context(request), "form": form, "title": _("Upload a statement")}
        return TemplateResponse(request, "admin/statements/upload.html", context)

    def download(self, request: HttpRequest, pk: int) -> FileResponse:
        """The file as it came."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        statement = Statement.objects.filter(pk=pk).exclude(file="").first()
        name = str(statement.file.name) if statement else ""
        if statement is None or not statement.file.storage.exists(name):
            raise Http404
        return FileResponse(
            statement.file.open("rb"),
            as_attachment=True,
            filename=f"{statement.channel}-{name.rsplit('/', 1)[-1]}",
            content_type="application/octet-stream",
        )

    @admin.display(description=_("statement"), ordering="day")
    def what(self, statement: Statement) -> str:
        return f"{statement.channel} {statement.day}"

    @admin.display(description=_("lines"), ordering="lines")
    def lines_of(self, statement: Statement) -> SafeString | str:
        return staff.page("payments_statementline", f"{statement.lines:,}", statement__id__exact=statement.pk)

    @admin.display(description=_("totals"))
    def sums(self, statement: Statement) -> SafeString | str:
        kinds = dict(StatementLine._meta.get_field("kind").flatchoices)
        return staff.listed(
            f"{kinds[kind]}: {sum_['count']:,}, {amount(sum_['amount_minor'], statement.currency)}"
            for kind, sum_ in statement.totals.items()
            if kind in kinds
        )

    @admin.display(description=_("the file's own totals"))
    def told(self, statement: Statement) -> SafeString:
        kinds = dict(StatementLine._meta.get_field("kind").flatchoices)  # of a day that came in halves
        told = statement.totals.get("told", {}).items()
        return format_html_join(
            "", "<div>{}: {}</div>", ((kinds.get(name, name), _flat(value)) for name, value in told)
        )

    @admin.display(description=_("file"))
    def kept(self, statement: Statement) -> SafeString | str:
        if not statement.file:
            return str(_("the channel said that nothing happened on this day"))
        address = reverse("admin:payments_statement_file", args=[statement.pk])
        return format_html('<a href="{}" class="text-primary-600">{}</a>', address, statement.file.name)

    @admin.display(description=_("loaded at"), ordering="loaded_at")
    def loaded(self, statement: Statement) -> str:
        return staff.moment(statement.loaded_at)

    @admin.display(description=_("counts"))
    def counts(self, statement: Statement) -> SafeString:
        if statement.replaced_by_id is None:
            return staff.label("good", _("yes"), {"good": staff.GOOD})
        return staff.label("old", _("replaced"), {"old": staff.PLAIN})


@admin.register(StatementLine)
class StatementLineAdmin(LookOnlyAdmin):
    list_display = (
        "line_no",
        "day",
        "channel",
        "is_a",
        "ours",
        "reference",
        "moved",
        "fee",
        "status",
        "when",
    )
    list_filter = ("kind", "channel")
    search_fields = ("number__exact", "payment_number__exact", "reference__exact")
    fields = (
        *("in_statement", "line_no", "day", "channel", "is_a", "ours", "payment", "reference"),
        *("moved", "discount", "fee", "currency", "status", "when"),
    )
    readonly_fields = fields

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # One of thousands of statements, or those that count, are chosen by a link, not from a list.
        linked = ("statement__id__exact", "statement__kind__exact", "statement__replaced_by__isnull")
        return lookup in linked or super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("kind"), ordering="kind")
    def is_a(self, line: StatementLine) -> SafeString:
        return staff.label(line.kind, line.get_kind_display(), KINDS)

    @admin.display(description=_("number"))
    def ours(self, line: StatementLine) -> SafeString | str:
        return staff.number(line.number)

    @admin.display(description=_("payment"))
    def payment(self, line: StatementLine) -> SafeString | str:
        return staff.number(line.payment_number)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def moved(self, line: StatementLine) -> str:
        return amount(line.amount_minor, line.currency)

    @admin.display(description=_("of it a discount of ours"))
    def discount(self, line: StatementLine) -> str:
        return amount(line.discount_minor, line.currency) if line.discount_minor else staff.NOTHING

    @admin.display(description=_("fee"), ordering="fee_milli")
    def fee(self, line: StatementLine) -> str:
        # Channels keep fractions of a fen: five decimals of a yuan.
        whole, part = divmod(abs(line.fee_milli), 100_000)
        return f"{'−' if line.fee_milli < 0 else ''}{whole}.{part:05d}"

    @admin.display(description=_("happened at"), ordering="happened_at")
    def when(self, line: StatementLine) -> str:
        return staff.moment(line.happened_at)

    @admin.display(description=_("statement"))
    def in_statement(self, line: StatementLine) -> SafeString | str:
        return staff.thing(line.statement)


def _loaded(request: HttpRequest, form: UploadForm) -> Statement | None:
    """The statement, or none and the reason beside the field."""
    try:
        return load.load(
            form.cleaned_data["file"].file,
            wanted=Wanted(day=form.cleaned_data["day"], merchants=fetch.merchants()),
            source=StatementSource.UPLOADED,
            now=timezone.now(),  # noqa: TID251  # the staff's edge
            by=request.user.get_username(),
            replace=form.cleaned_data["replace"],
        )
    except Refused as error:
        form.add_error("file", error.said())
        return None


def _missing() -> list[OutboxMessage]:
    """Statements that were asked for and are not here, the latest day first."""
    return fetch.not_here(limit=MISSING_SHOWN)


def _flat(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{name} {_flat(one)}" for name, one in value.items())
