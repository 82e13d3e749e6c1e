"""Disputes for the staff: filed where a channel tells by letter or on its own site, decided once, with a reason."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from basis import staff
from basis.staff import LookOnlyAdmin
from payments import disputes
from payments.dispute_models import Dispute, DisputeKind, DisputeState
from payments.models import ChannelCode
from wallet.admin import amount

STATES: dict[str, str] = {
    DisputeState.OPEN: staff.LOOK,
    DisputeState.UPHELD: staff.BAD,
    DisputeState.DISMISSED: staff.PLAIN,
}
SOURCES = [(disputes.STAFF, _("the buyer, to staff")), *ChannelCode.choices]


class FileForm(forms.Form):
    payment_number = forms.CharField(
        label=_("number of the payment"), max_length=32, widget=UnfoldAdminTextInputWidget
    )
    kind = forms.ChoiceField(label=_("kind"), choices=DisputeKind.choices, widget=UnfoldAdminSelectWidget)
    source = forms.ChoiceField(label=_("told by"), choices=SOURCES, widget=UnfoldAdminSelectWidget)
    reference = forms.CharField(
        label=_("its number there"),
        max_length=64,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The channel's number of the dispute, or that of the letter: one number is filed once."),
    )
    yuan = forms.DecimalField(
        label=_("amount"),
        required=False,
        min_value=0,
        decimal_places=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=_("Empty: all of the payment."),
    )
    note = forms.CharField(label=_("note"), max_length=500, required=False, widget=UnfoldAdminTextInputWidget)


@admin.register(Dispute)
class DisputeAdmin(LookOnlyAdmin):
    list_display = ("opened", "what", "of_payment", "about", "source", "reference", "is_now", "filed_by")
    list_filter = ("state", "kind", "source", staff.since("opened_at"))
    search_fields = ("reference__exact", "payment__number__exact", "payment__purchase_number__exact")
    list_select_related = ("payment",)
    fields = (
        *("of_payment", "of_purchase", "what", "about", "source", "reference", "note"),
        *("opened", "filed_by", "filed", "is_now", "decided_by", "decided", "decision"),
    )
    readonly_fields = fields
    actions_list = ["file"]
    change_form_outer_after_template = "admin/disputes/decide.html"

    def get_urls(self) -> list[URLPattern]:
        decide = path(
            "<int:pk>/decide/", self.admin_site.admin_view(self.decide), name="payments_dispute_decide"
        )
        return [decide, *super().get_urls()]

    def has_file_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("payments.add_dispute"))

    @action(description=_("File a dispute"), url_path="file", permissions=["file"], icon="gavel")
    def file(self, request: HttpRequest) -> HttpResponse:
        """Write down what a buyer, a bank or a channel objects to."""
        form = FileForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and (dispute := _filed(request, form)):
            self.message_user(request, gettext("The dispute is filed."), messages.SUCCESS)
            return redirect("admin:payments_dispute_change", dispute.pk)
        context = {**self.admin_site.each_context(request), "form": form, "title": _("File a dispute")}
        return TemplateResponse(request, "admin/disputes/file.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        dispute = self.get_object(request, object_id)
        may = request.user.has_perm("payments.change_dispute")
        extra = {
            "dispute": dispute,
            "may_decide": may and dispute is not None and dispute.state == DisputeState.OPEN,
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def decide(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say who was right."""
        if not request.user.has_perm("payments.change_dispute"):
            raise PermissionDenied
        if request.method == "POST":
            try:
                disputes.decide(
                    dispute_id=pk,
                    upheld=request.POST.get("upheld") == "1",
                    actor=request.user.get_username(),
                    reason=request.POST.get("reason", ""),
                    now=timezone.now(),  # noqa: TID251 - a page
                )
            except disputes.NoReason:
                self.message_user(request, gettext("Say why."), messages.ERROR)
            except (disputes.NoSuchDispute, disputes.DecidedBefore):
                self.message_user(request, gettext("Somebody was faster: look again."), messages.WARNING)
        return redirect("admin:payments_dispute_change", pk)

    @admin.display(description=_("opened at"), ordering="opened_at")
    def opened(self, dispute: Dispute) -> str:
        return staff.moment(dispute.opened_at)

    @admin.display(description=_("filed at"))
    def filed(self, dispute: Dispute) -> str:
        return staff.moment(dispute.filed_at)

    @admin.display(description=_("decided at"))
    def decided(self, dispute: Dispute) -> str:
        return staff.moment(dispute.decided_at)

    @admin.display(description=_("kind"), ordering="kind")
    def what(self, dispute: Dispute) -> str:
        return dispute.get_kind_display()

    @admin.display(description=_("payment"))
    def of_payment(self, dispute: Dispute) -> SafeString | str:
        return staff.number(dispute.payment.number)

    @admin.display(description=_("purchase"))
    def of_purchase(self, dispute: Dispute) -> SafeString | str:
        return staff.number(dispute.payment.purchase_number)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def about(self, dispute: Dispute) -> str:
        return amount(dispute.amount_minor, dispute.currency)

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, dispute: Dispute) -> SafeString:
        return staff.label(dispute.state, dispute.get_state_display(), STATES)


def _filed(request: HttpRequest, form: FileForm) -> Dispute | None:
    """File it, or say on the form why not."""
    told = dict(form.cleaned_data)
    yuan = told.pop("yuan")
    now = timezone.now()  # noqa: TID251 - a page
    try:
        return disputes.file(
            **told,
            amount_minor=None if yuan is None else int(yuan * 100),
            actor=request.user.get_username(),
            opened_at=now,
            now=now,
        )
    except disputes.NotPaid:
        form.add_error("payment_number", gettext("There is no paid payment of this number."))
    except disputes.MoreThanPaid:
        form.add_error("yuan", gettext("More than the payment took, or nothing."))
    except disputes.FiledOtherwise:
        form.add_error("reference", gettext("This number is filed already, with other facts."))
    return None
