"""Withdrawals for the staff: to look at, and for the second person to approve or reject."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import numbers, staff
from basis.staff import HistoryInline, LookOnlyAdmin
from payments import paying_out, withdrawals
from payments.withdrawal_models import Owner, Withdrawal, WithdrawalEvent, WithdrawalState
from wallet.admin import amount

staff.shows_numbers(numbers.WITHDRAWAL, "payments_withdrawal")

APPROVE = "payments.approve_withdrawal"
STATES: dict[str, str] = {
    WithdrawalState.WAITING: staff.LOOK,
    WithdrawalState.READY: staff.WAITING,
    WithdrawalState.SENT: staff.WAITING,
    WithdrawalState.PAID: staff.GOOD,
    WithdrawalState.REFUSED: staff.BAD,
    WithdrawalState.RETURNED: staff.BAD,
}
WAITS = {"stopped": _("withdrawals are stopped"), "held": _("the organiser's settlement is held")}


class WithdrawalHistory(HistoryInline):
    model = WithdrawalEvent


@admin.register(Withdrawal)
class WithdrawalAdmin(LookOnlyAdmin):
    list_display = (
        "number",
        "when",
        "whose",
        "amount",
        "to",
        "is_now",
        "requested_by",
        "approved_by",
        "refusal",
    )
    list_filter = ("state", "owner_kind", staff.since("created_at"))
    search_fields = ("number__exact", "owner__exact", "channel_reference__exact")
    fields = (
        *(
            "number",
            "when",
            "whose",
            "amount",
            "to",
            "is_now",
            "waits",
            "needs_two",
            "requested_by",
            "approved_by",
        ),
        *("channel", "channel_reference", "refusal", "refusal_text", "sent", "ended", "booked"),
    )
    inlines = (WithdrawalHistory,)
    change_form_outer_before_template = "admin/withdrawals/decide.html"

    def get_urls(self) -> list[URLPattern]:
        decide = self.admin_site.admin_view(self.decide)
        return [path("<int:pk>/decide/", decide, name="payments_withdrawal_decide"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        waits = found is not None and found.state == WithdrawalState.WAITING
        extra = {
            "withdrawal": found,
            "may_decide": waits and request.user.has_perm(APPROVE),
            "is_own": found is not None and found.requested_by == request.user.get_username(),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def decide(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The second person approves, or gives it back with a reason."""
        if not request.user.has_perm(APPROVE):
            raise PermissionDenied
        back = HttpResponseRedirect(reverse("admin:payments_withdrawal_change", args=[pk]))
        found = Withdrawal.objects.filter(pk=pk).first()
        if found is None or request.method != "POST":
            return back
        who: dict[str, Any] = {"actor": request.user.get_username(), "now": timezone.now()}  # noqa: TID251 - a page
        reason = request.POST.get("reason", "").strip()
        try:
            if request.POST.get("what") == "approve":
                withdrawals.approve(number=found.number, **who)
            elif not reason:
                self.message_user(request, _("Say why."), messages.ERROR)
            else:
                withdrawals.reject(number=found.number, reason=reason, **who)
        except withdrawals.NotYours:
            told = _("Another person has to approve it, while it waits. Nothing was done.")
            self.message_user(request, told, messages.ERROR)
        return back

    @admin.display(description=_("time"), ordering="created_at")
    def when(self, one: Withdrawal) -> str:
        return staff.moment(one.created_at)

    @admin.display(description=_("whose"))
    def whose(self, one: Withdrawal) -> SafeString | str:
        if one.owner_kind == Owner.BUYER:
            return staff.buyer(int(one.owner))
        return staff.page("ticketing_organiser", one.owner, q=one.owner)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, one: Withdrawal) -> str:
        return amount(one.amount_minor, one.currency)

    @admin.display(description=_("paid to"))
    def to(self, one: Withdrawal) -> str:
        return f"{one.get_payee_kind_display()} {one.payee_shown}"

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, one: Withdrawal) -> SafeString:
        return staff.label(one.state, one.get_state_display(), STATES)

    @admin.display(description=_("waits for"))
    def waits(self, one: Withdrawal) -> str:
        why = paying_out.why_not_now(one) if one.is_open else ""
        return str(WAITS[why]) if why else staff.NOTHING

    @admin.display(description=_("sent at"))
    def sent(self, one: Withdrawal) -> str:
        return staff.moment(one.sent_at)

    @admin.display(description=_("ended at"))
    def ended(self, one: Withdrawal) -> str:
        return staff.moment(one.ended_at)

    @admin.display(description=_("journal entry"))
    def booked(self, one: Withdrawal) -> SafeString | str:
        return staff.page("wallet_journalentry", one.number, q=one.number)
