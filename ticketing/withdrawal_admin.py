"""*Withdraw…* on an organiser's page: what there is, to whom, how much."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from payments import money, withdrawals
from payments.api_withdrawals import WHY
from payments.withdrawal_models import PayeeKind
from ticketing import merchant_withdrawals, settling
from ticketing.models import Organiser
from wallet.admin import amount
from wallet.money import CNY

REQUEST = "payments.request_withdrawal"
SAID = {
    **WHY,
    "stopped": _("Withdrawals are stopped for now."),
    "held": _("The organiser's settlement is held."),
    "owing": _("The organiser owes money of settled shows; that comes first."),
}


class WithdrawalForm(forms.Form):
    """Amounts are in yuan."""

    amount = forms.DecimalField(
        label=_("amount (yuan)"),
        min_value=0,
        max_digits=12,
        decimal_places=2,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )
    kind = forms.ChoiceField(label=_("paid to"), choices=PayeeKind.choices, widget=UnfoldAdminSelectWidget)
    account = forms.CharField(label=_("account"), max_length=100, widget=UnfoldAdminTextInputWidget)
    name = forms.CharField(label=_("holder of the account"), max_length=60, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(max_length=64, widget=forms.HiddenInput)

    @property
    def payee(self) -> withdrawals.Payee:
        said = self.cleaned_data
        return withdrawals.Payee(said["kind"], "".join(said["account"].split()), said["name"].strip())


class Withdrawing:
    """For the organisers' pages: what an organiser has, and the way to withdraw it."""

    def get_urls(self) -> list[URLPattern]:
        site: Any = self.admin_site  # type: ignore[attr-defined]
        here = path("<int:pk>/withdraw/", site.admin_view(self.withdraw), name="ticketing_organiser_withdraw")
        return [here, *super().get_urls()]  # type: ignore[misc]

    def account(self, organiser: Organiser | None) -> SafeString | str:
        if organiser is None or organiser.pk is None:
            return "—"
        has = money.balance_of(money.merchant(organiser.code, CNY))
        told = _("%(has)s, owes %(owes)s") % {
            "has": amount(has, CNY),
            "owes": amount(settling.owing_minor(organiser.code, CNY), CNY),
        }
        address = reverse("admin:ticketing_organiser_withdraw", args=[organiser.pk])
        return format_html('{} · <a class="text-primary-600" href="{}">{}</a>', told, address, _("Withdraw…"))

    account.short_description = _("organiser's account")  # type: ignore[attr-defined]

    def withdraw(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not request.user.has_perm(REQUEST):
            raise PermissionDenied
        organiser = get_object_or_404(Organiser, pk=pk)
        form = WithdrawalForm(request.POST or None, initial={"key": str(uuid.uuid4())})
        if request.method == "POST" and form.is_valid():
            made = self._made(request, organiser, form)
            if made is not None:
                return made
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": f"{_('Withdraw')} {organiser.code}",
            "organiser": organiser,
            "form": form,
            "has": amount(money.balance_of(money.merchant(organiser.code, CNY)), CNY),
            "two_people": amount(settings.WITHDRAWAL_TWO_PEOPLE_FROM_MINOR, CNY),
        }
        return TemplateResponse(request, "admin/withdrawals/request.html", context)

    def _made(self, request: HttpRequest, organiser: Organiser, form: WithdrawalForm) -> HttpResponse | None:
        try:
            made = merchant_withdrawals.request(
                merchant=organiser.code,
                payee=form.payee,
                amount_minor=int(form.cleaned_data["amount"] * 100),
                client_key=form.cleaned_data["key"],
                actor=request.user.get_username(),
                now=timezone.now(),  # noqa: TID251 - a page
            )
        except (withdrawals.NotWithdrawable, withdrawals.KeyReused) as error:
            reason = getattr(error, "reason", "")
            form.add_error(None, str(SAID.get(reason, reason or error)))
            return None
        messages.success(request, f"{_('withdrawal')}: {made.number}")
        return HttpResponseRedirect(reverse("admin:payments_withdrawal_change", args=[made.pk]))
